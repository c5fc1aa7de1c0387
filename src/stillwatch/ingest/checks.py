"""The promises every reader keeps, runnable on a stranger's reader.

``check_reader(reader, values, plan)`` runs them all on parsed records of the format and raises
:class:`PromiseBroken` with the reader, the promise and the record that broke it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from stillwatch.ingest.accounts import finish_account, finish_launch
from stillwatch.ingest.cells import Desk, finish_exchange
from stillwatch.ingest.coverage import Coverage
from stillwatch.ingest.privacy import Key
from stillwatch.ingest.reader import Mapped, Outcome, Plan, Reader, Record, Rejected, RowError, Skipped

_HOSTILE: tuple[Any, ...] = (None, True, -1, 1.5, "", "x", "[", "{}", [], [None], [[]], {}, {"type": 1}, 10**400)
_DEPTH = 16
_ITEMS = 40
_REQUIRED = {
    "exchanges": ("account_id", "ts", "model"),
    "accounts": ("account_id", "created_at"),
    "launches": ("model", "released_at"),
}
_FAR_FUTURE_US = 4_000_000_000_000_000


class PromiseBroken(AssertionError):  # noqa: N818 - named after what happened
    """A reader does not keep a promise."""


def outcomes(reader: Reader, values: Iterable[Any], plan: Plan) -> list[Outcome]:
    """Run a fresh mapper over values, as lines 1, 2, … of one file."""
    mapper = reader.open(plan)
    found: list[Outcome] = []
    for line, value in enumerate(values, start=1):
        found.extend(mapper.feed(Record(value, "sample", line)))
    found.extend(mapper.finish())
    return found


def check_deterministic(reader: Reader, values: list[Any], plan: Plan) -> None:
    """Demand that the same records give the same outcomes."""
    if outcomes(reader, values, plan) != outcomes(reader, values, plan):
        raise PromiseBroken(f"{reader.name}: two runs over the same records differ")


def check_leaves_input_alone(reader: Reader, values: list[Any], plan: Plan) -> None:
    """Demand that records are not changed by being read."""
    before = copy.deepcopy(values)
    outcomes(reader, values, plan)
    if values != before:
        raise PromiseBroken(f"{reader.name}: a record was changed by reading it")


def check_fills_required(reader: Reader, values: list[Any], plan: Plan) -> None:
    """Demand that good records give rows with every required column, of which the contract accepts every value."""
    rows = [outcome for outcome in outcomes(reader, values, plan) if isinstance(outcome, Mapped)]
    if not rows:
        raise PromiseBroken(f"{reader.name}: no row from {len(values)} good records")
    for row in rows:
        missing = [name for name in _REQUIRED[reader.table] if name not in row.cells]
        if missing:
            raise PromiseBroken(f"{reader.name}: line {row.record.line} has no {missing[0]}")
        if unread := _finished(reader, row):
            raise PromiseBroken(f"{reader.name}: line {row.record.line}: {unread[0]}")


def check_rejects_instead_of_raising(reader: Reader, values: list[Any], plan: Plan) -> None:
    """Demand that no record, however wrong, raises; what makes no row is rejected or skipped with a reason."""
    for value in (*_HOSTILE, *_spoiled(values)):
        try:
            found = outcomes(reader, [value], plan)
            for outcome in found:
                _attempt(reader, outcome)
        except Exception as error:
            raise PromiseBroken(f"{reader.name}: {type(error).__name__}: {error} from {str(value)[:300]}") from error


def check_coverage_adds_up(reader: Reader, values: list[Any], plan: Plan) -> None:
    """Demand that every cell names its source, and that the counts by source add up to the cells."""
    coverage, cells = Coverage(), 0
    for outcome in outcomes(reader, values, plan):
        if isinstance(outcome, Mapped):
            coverage.count(outcome.cells)
            cells += len(outcome.cells)
            if not all(origin for _, origin in outcome.cells.values()):
                raise PromiseBroken(f"{reader.name}: a cell of line {outcome.record.line} names no source")
    if sum(coverage.sources.values()) != cells:
        raise PromiseBroken(f"{reader.name}: coverage does not add up")


def check_ids_stable(reader: Reader, values: list[Any], plan: Plan) -> None:
    """Demand that the ids of exchanges do not depend on the order in which records come."""
    ids = [
        sorted(
            str(o.cells.get("exchange_id", ("", ""))[0]) for o in outcomes(reader, order, plan) if isinstance(o, Mapped)
        )
        for order in (values, values[::-1])
    ]
    if ids[0] != ids[1]:
        raise PromiseBroken(f"{reader.name}: ids depend on the order of records")


CHECKS: tuple[Callable[[Reader, list[Any], Plan], None], ...] = (
    check_deterministic,
    check_leaves_input_alone,
    check_fills_required,
    check_rejects_instead_of_raising,
    check_coverage_adds_up,
    check_ids_stable,
)


def check_reader(reader: Reader, values: list[Any], plan: Plan) -> None:
    """Run every check on a reader and good records of its format.

    Raises :class:`PromiseBroken` at the first promise not kept.

    >>> from stillwatch.ingest.catalogue import READERS
    >>> from stillwatch.ingest.identity import default_identity
    >>> good = {"account_id": "a", "ts": 1767225600, "model": "m"}
    >>> check_reader(READERS["canonical"], [good], Plan(default_identity()))
    """
    for check in CHECKS:
        check(reader, values, plan)


def _finished(reader: Reader, row: Mapped) -> list[str]:
    """Finish a row; return what could not be read of it. Raises :class:`RowError` when it makes no row."""
    desk = Desk(Key(b"a key for checks only"), _FAR_FUTURE_US)
    finish = {"exchanges": finish_exchange, "accounts": finish_account, "launches": finish_launch}[reader.table]
    finish(row.cells, desk)
    return desk.unread


def _attempt(reader: Reader, outcome: Outcome) -> None:
    if isinstance(outcome, Mapped):
        try:
            _finished(reader, outcome)
        except RowError:
            return
    elif not (isinstance(outcome, Rejected | Skipped) and outcome.reason):
        raise PromiseBroken(f"{reader.name}: an outcome without a reason")


def _spoiled(values: Iterable[Any]) -> Iterator[Any]:
    """Yield copies of the records with one member after another replaced by something of another kind."""
    for value in values:
        if not isinstance(value, dict):
            continue
        for path in _member_paths(value, _DEPTH):
            for hostile in _HOSTILE:
                yield _replaced(value, path, hostile)


def _member_paths(value: Any, depth: int) -> Iterator[tuple[Any, ...]]:
    if depth == 0:
        return
    keys = list(value) if isinstance(value, dict) else range(min(_ITEMS, len(value))) if isinstance(value, list) else ()
    for key in keys:
        yield (key,)
        yield from ((key, *rest) for rest in _member_paths(value[key], depth - 1))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = value.copy()
    changed[path[0]] = _replaced(value[path[0]], path[1:], new)
    return changed
