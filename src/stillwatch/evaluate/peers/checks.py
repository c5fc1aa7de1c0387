"""The promises every detector keeps, runnable on a stranger's: hand it to ``check_detector`` with a labelled dataset.

* findings are well formed: every account once, scores finite, every group named and described
  (:func:`check_well_formed`);
* no label is read: a copy of the dataset without labels gives the same answer (:func:`check_no_label_read`);
* ids are opaque: other spellings of every id give the same groups and scores (:func:`check_ids_are_opaque`);
* order is nothing: rows stored in another order give the same groups and scores (:func:`check_row_order`).

A detector that learns is given fitted. Copies are written below ``work``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.evaluate.findings import Detector, Findings
from stillwatch.tables import EXCHANGES, Dataset, DatasetWriter

_OPAQUE = ("exchange_id", "account_id", "session_id", "api_key_id", "end_user_id")
_NEAR = 1e-6
Check = Callable[[Detector, Dataset, Findings, Path], None]


class PromiseBroken(AssertionError):  # noqa: N818 - named after what happened
    """A detector does not keep a promise.

    >>> raise PromiseBroken("volume: an account is listed twice")
    Traceback (most recent call last):
    stillwatch.evaluate.peers.checks.PromiseBroken: volume: an account is listed twice
    """


def check_well_formed(detector: Detector, dataset: Dataset, found: Findings, work: Path) -> None:
    """Demand accounts of the dataset, each once, finite scores, described groups with a member, times in order.

    Raises :class:`PromiseBroken`.

    >>> from types import SimpleNamespace
    >>> found = Findings(pa.table({"account_id": ["a", "a"], "score": [1.0, 2.0]}))
    >>> check_well_formed(SimpleNamespace(name="mine"), Dataset(Path("no-such-folder")), found, Path())
    Traceback (most recent call last):
    stillwatch.evaluate.peers.checks.PromiseBroken: mine: an account is listed twice
    """
    ids, scores = found.accounts["account_id"], found.accounts["score"].to_numpy()
    used = set(pc.drop_null(found.accounts["group"]).to_pylist())
    described = found.groups["group"].to_pylist()
    begin, end = (found.groups[name].cast(pa.int64()).to_numpy(zero_copy_only=False) for name in _TIMES)
    broken = {
        "an account is listed twice": pc.count_distinct(ids).as_py() != len(ids),
        "an account is not of the dataset": not set(ids.to_pylist()) <= _accounts(dataset),
        "a score is not finite": not np.isfinite(scores).all(),
        "groups of accounts and groups described differ": used != set(described) or len(used) != len(described),
        "a verdict is none": not set(found.groups["verdict"].to_pylist()) <= {"campaign", "needs_person"},
        "a group ends before it begins": bool((end < begin).any()),
    }
    for promise, failed in broken.items():
        if failed:
            raise PromiseBroken(f"{detector.name}: {promise}")


_TIMES = ("first_seen", "last_seen")


def _accounts(dataset: Dataset) -> set[str]:
    known: set[str] = set(dataset.accounts()["account_id"].to_pylist())
    for batch in dataset.batches(["account_id"]):
        known |= set(batch["account_id"].to_pylist())
    return known


def check_no_label_read(detector: Detector, dataset: Dataset, found: Findings, work: Path) -> None:
    """Demand the same findings of a copy without labels. Raises :class:`PromiseBroken`.

    >>> import tempfile
    >>> from stillwatch.evaluate.detectors import detector
    >>> nothing, volume = Dataset(Path("no-such-folder")), detector("volume")
    >>> with tempfile.TemporaryDirectory() as work:
    ...     check_no_label_read(volume, nothing, judged(volume, nothing, Path(work) / "first"), Path(work))
    """
    bare = rewritten(dataset, work / "data")
    _demand_alike(detector, found, judged(detector, bare, work / "found"), "labels")


def check_ids_are_opaque(detector: Detector, dataset: Dataset, found: Findings, work: Path) -> None:
    """Demand the same partition and scores when all ids are replaced by keyed hashes. Raises :class:`PromiseBroken`.

    >>> import tempfile
    >>> from stillwatch.evaluate.detectors import detector
    >>> nothing, volume = Dataset(Path("no-such-folder")), detector("volume")
    >>> with tempfile.TemporaryDirectory() as work:
    ...     check_ids_are_opaque(volume, nothing, judged(volume, nothing, Path(work) / "first"), Path(work))
    """
    key = b"another spelling"
    again = judged(detector, rewritten(dataset, work / "data", key=key), work / "found")
    back = {_hashed(key, name): name for name in _accounts(dataset)}
    named = pa.array([back[name] for name in again.accounts["account_id"].to_pylist()], pa.string())
    renamed = Findings(again.accounts.set_column(0, "account_id", named), again.groups)
    _demand_alike(detector, found, renamed, "the spelling of ids")


def check_row_order(detector: Detector, dataset: Dataset, found: Findings, work: Path) -> None:
    """Demand the same partition and scores of rows in another order. Raises :class:`PromiseBroken`.

    >>> import tempfile
    >>> from stillwatch.evaluate.detectors import detector
    >>> nothing, volume = Dataset(Path("no-such-folder")), detector("volume")
    >>> with tempfile.TemporaryDirectory() as work:
    ...     check_row_order(volume, nothing, judged(volume, nothing, Path(work) / "first"), Path(work))
    """
    mixed = rewritten(dataset, work / "data", shuffle=np.random.default_rng(0))
    _demand_alike(detector, found, judged(detector, mixed, work / "found"), "the order of rows")


CHECKS: tuple[Check, ...] = (check_well_formed, check_no_label_read, check_ids_are_opaque, check_row_order)


def check_detector(detector: Detector, dataset: Dataset, work: Path) -> None:
    """Run every check on a detector, fitted if it must be; raise :class:`PromiseBroken` at the first that fails.

    >>> import tempfile
    >>> from stillwatch.evaluate.detectors import detector
    >>> nothing, volume = Dataset(Path("no-such-folder")), detector("volume")
    >>> with tempfile.TemporaryDirectory() as work:
    ...     check_detector(volume, nothing, Path(work))
    """
    found = judged(detector, dataset, work / "found")
    for check in CHECKS:
        check(detector, dataset, found, work / check.__name__)


def judged(detector: Detector, dataset: Dataset, work: Path) -> Findings:
    """Return the findings, with a new folder to work in.

    >>> import tempfile
    >>> from stillwatch.evaluate.detectors import detector
    >>> nothing, volume = Dataset(Path("no-such-folder")), detector("volume")
    >>> with tempfile.TemporaryDirectory() as work:
    ...     len(judged(volume, nothing, Path(work) / "new").groups)
    0
    """
    work.mkdir(parents=True)
    return detector.find(dataset, work)


def rewritten(
    dataset: Dataset, folder: Path, *, key: bytes | None = None, shuffle: np.random.Generator | None = None
) -> Dataset:
    """Write a copy without labels: ids replaced by hashes under ``key``, rows in an order drawn from ``shuffle``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     copy = rewritten(Dataset(Path("no-such-folder")), Path(place) / "copy")
    ...     copy.count_exchanges()
    0
    """
    exchanges = pa.Table.from_batches(dataset.batches(EXCHANGES.names), EXCHANGES)
    tables = []
    for table in (exchanges, dataset.accounts()):
        for name in _OPAQUE if key else ():
            if name in table.column_names and pa.types.is_string(table[name].type):
                renamed = [None if one is None else _hashed(key or b"", one) for one in table[name].to_pylist()]
                at = table.schema.get_field_index(name)
                table = table.set_column(at, table.schema.field(at), pa.array(renamed, pa.string()))
        tables.append(table.take(shuffle.permutation(len(table))) if shuffle else table)
    with DatasetWriter(folder) as writer:
        if len(tables[0]):
            writer.add_exchanges(tables[0])
        writer.set_accounts(tables[1])
        writer.set_launches(dataset.launches())
        writer.commit()
    return Dataset.open(folder)


def _hashed(key: bytes, name: str) -> str:
    return hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:20]


def _demand_alike(detector: Detector, one: Findings, two: Findings, what: str) -> None:
    if _partition(one) != _partition(two):
        raise PromiseBroken(f"{detector.name}: the groups depend on {what}")
    first, second = (
        dict(zip(*(f.accounts[n].to_pylist() for n in ("account_id", "score")), strict=True)) for f in (one, two)
    )
    names = sorted(first)
    if names != sorted(second) or not np.allclose([first[n] for n in names], [second[n] for n in names], _NEAR, _NEAR):
        raise PromiseBroken(f"{detector.name}: the scores depend on {what}")


def _partition(found: Findings) -> set[frozenset[str]]:
    """Return the groups as sets of accounts; their names are nothing."""
    held: dict[str, set[str]] = {}
    for account, group in zip(*(found.accounts[n].to_pylist() for n in ("account_id", "group")), strict=True):
        if group is not None:
            held.setdefault(group, set()).add(account)
    return {frozenset(members) for members in held.values()}
