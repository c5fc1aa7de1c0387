"""What a reader is: records of a file in, cells of canonical rows (or reasons) out.

A reader never writes, never hashes, never looks at a clock; it names for each canonical column the value *as
found* and the attribute it was found in. Everything after that (types, privacy, rejects, coverage) is the same for
every format and lives in :mod:`stillwatch.ingest.cells`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from stillwatch.ingest.fieldmap import FieldMap
    from stillwatch.ingest.identity import IdentityMap
    from stillwatch.ingest.lanes import Lane

Table = Literal["exchanges", "accounts", "launches"]
Cells = dict[str, tuple[object, str]]
"""Canonical column -> (value as found, where it was found)."""


class Record(NamedTuple):
    """One parsed record of a file; ``line`` counts from 1 (rows for Parquet), ``raw`` is None when not kept."""

    value: Any
    source: str
    line: int
    raw: bytes | None = None


class Mapped(NamedTuple):
    """A row to be: its cells and the record they came from."""

    cells: Cells
    record: Record


class Rejected(NamedTuple):
    """A record that makes no row, and why; ``column`` (of the line, from 1) where it is known."""

    record: Record
    reason: str
    column: int | None = None


class Skipped(NamedTuple):
    """A record that is rightly no exchange: a tool span, a log line about something else."""

    record: Record
    reason: str


Outcome = Mapped | Rejected | Skipped


@dataclass(frozen=True, slots=True)
class Plan:
    """What a reader is told: the identity map, the field map when there is one, and how far records may lie apart.

    ``join_window`` is the number of half exchanges (a span that waits for its messages, a batch request that waits
    for its answer) kept in memory; the oldest go out as they are.
    """

    identity: IdentityMap
    field_map: FieldMap | None = None
    join_window: int = 200_000


class Mapper(Protocol):
    """A reader at work on the files of one run, in order."""

    def feed(self, record: Record) -> Iterable[Outcome]:
        """Take one record; give what is complete."""

    def finish(self) -> Iterable[Outcome]:
        """Give what was still waiting for its other half."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A format: its name, what it reads, how a record of it is told, and the mapper for a plan.

    ``recognises`` sees one parsed record; a file is given to the first reader of the catalogue that recognises most
    of its first records. ``lane`` opens the fast lane for the usual shape of lines, where there is one.
    """

    name: str
    reads: str
    recognises: Callable[[Any], bool]
    open: Callable[[Plan], Mapper]
    table: Table = "exchanges"
    lane: Callable[[Plan], Lane | None] | None = None


class RowError(Exception):
    """A record cannot become a row; the text is the reason that the reject carries."""


@dataclass(frozen=True, slots=True)
class Each:
    """A mapper for formats where one record is one exchange: a pure function from value to cells.

    >>> mapper = Each(lambda value: {"model": (value["m"], "m")})
    >>> [outcome.cells for outcome in mapper.feed(Record({"m": "x"}, "a.jsonl", 1))]
    [{'model': ('x', 'm')}]
    """

    cells: Callable[[Any], Cells]

    def feed(self, record: Record) -> Iterator[Outcome]:
        """Map the record, or reject it when it is not an object or the function says why not."""
        if not isinstance(record.value, dict):
            yield Rejected(record, f"expected an object, got {kind_of(record.value)}")
            return
        try:
            yield Mapped(self.cells(record.value), record)
        except RowError as error:
            yield Rejected(record, str(error))

    def finish(self) -> Iterator[Outcome]:
        """Nothing waits."""
        return iter(())


def kind_of(value: object) -> str:
    """Name the JSON kind of a value, for messages to people.

    >>> [kind_of(value) for value in ({}, [], "x", 1.5, True, None)]
    ['an object', 'a list', 'text', 'a number', 'true or false', 'null']
    """
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (dict, "an object"),
        (list, "a list"),
        (str, "text"),
        (bool, "true or false"),
        ((int, float), "a number"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "null" if value is None else "binary")


def first(value: dict[str, Any], *names: str) -> tuple[object, str] | None:
    """Return the first named member that holds something, with its name.

    >>> first({"a": None, "b": "", "c": 0}, "a", "b", "c")
    (0, 'c')
    """
    for name in names:
        found = value.get(name)
        if found is not None and found != "":
            return found, name
    return None
