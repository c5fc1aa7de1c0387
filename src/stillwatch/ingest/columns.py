"""Many exchanges finished at once, column by column: what :func:`~stillwatch.ingest.cells.finish_exchange` does to one.

A row at a time costs calls for every cell. Here a column whose values are as the contract wants them is left as it
is, and texts that stand in many rows are converted, hashed and looked up once. Rows of which one cannot be finished
are not finished here at all: the way row by row says which one, and why.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from stillwatch.ingest.cells import (
    CONVERT,
    IDS,
    REQUIRED,
    Converter,
    Desk,
    amount,
    check_time,
    decimal,
    derived,
    flag,
    integer,
    text,
)
from stillwatch.ingest.privacy import PREFIX, sealed_id
from stillwatch.ingest.reader import RowError

_CONVERT = CONVERT["exchanges"]
_SHORT = ("asn", "country", "network_kind", "ts")  # columns of short values that repeat, or that cost much
_INT64 = 1 << 63


@dataclass(slots=True)
class Column:
    """A column of some rows: values, and where each was found; None in both for rows without the cell."""

    values: list[Any]
    origins: list[str | None]

    def taken(self, rows: list[int]) -> Column:
        """Return the column of some of the rows.

        >>> Column([1, 2], ["a", "b"]).taken([1])
        Column(values=[2], origins=['b'])
        """
        return Column([self.values[at] for at in rows], [self.origins[at] for at in rows])


Columns = dict[str, Column]


def finish_columns(columns: Columns, desk: Desk, required: tuple[str, ...] = ()) -> None:
    """Bring columns as found to what the contract wants, in place, personal values hashed.

    ``required`` are columns that have to be there besides those of the contract. Raises :class:`RowError` when any
    row lacks one or holds a value that does not fit; the columns are of no use then.

    >>> from stillwatch.ingest.privacy import Key
    >>> desk = Desk(Key(b"0123456789abcdef"), now_us=1_800_000_000_000_000)
    >>> found = {"account_id": ["a"], "ts": [1767225600], "model": ["m"], "ip": ["10.1.2.3"]}
    >>> columns = {name: Column(values, ["x"]) for name, values in found.items()}
    >>> finish_columns(columns, desk)
    >>> columns["ts"].values, columns["ip_prefix"]
    ([1767225600000000], Column(values=['10.1.2.0/24'], origins=['derived from x']))
    """
    notes = Counter[str]()
    for name, column in columns.items():
        _convert(name, column, notes)
    for name in (*REQUIRED, *required):
        if name not in columns or None in columns[name].values:
            raise RowError(f"{name} is missing")
    moments = columns["ts"].values
    if wrong := check_time(min(moments), desk.now_us) or check_time(max(moments), desk.now_us):
        raise RowError(f"ts: {wrong}")
    desk.notes.update(notes)
    _seal(columns, desk)
    _place(columns, desk)


def _convert(name: str, column: Column, notes: Counter[str]) -> None:
    if None not in column.values:
        column.values = _values(name, column.values, notes)
    else:
        each = iter(_values(name, [value for value in column.values if value is not None], notes))
        column.values = [None if value is None else next(each) for value in column.values]
    if None in column.values:
        pairs = zip(column.values, column.origins, strict=True)
        column.origins = [None if value is None else origin for value, origin in pairs]


def _values(name: str, found: list[Any], notes: Counter[str]) -> list[Any]:
    """Return values of a column (none of them None) converted. Raises :class:`RowError` when one does not fit."""
    convert = _CONVERT[name]
    kinds = set(map(type, found))
    kind = next(iter(kinds)) if len(kinds) == 1 else None
    if (plain := _PLAIN.get(convert)) and plain[0] is kind and plain[1](found):
        return found
    if name in _SHORT and (kind is int or (kind is str and all(map(str.isascii, found)))):
        known = {value: convert(value, notes) for value in set(found)}
        return [known[value] for value in found]
    return [convert(value, notes) for value in found]


def _are_texts(found: Collection[str]) -> bool:
    return all(found) and all(map(str.isascii, found))


def _are_amounts(found: Collection[int]) -> bool:
    return min(found) >= 0 and max(found) < _INT64


_PLAIN: Mapping[Converter, tuple[type, Callable[[Any], bool]]] = {
    text: (str, _are_texts),
    amount: (int, _are_amounts),
    integer: (int, _are_amounts),
    decimal: (float, lambda found: all(map(math.isfinite, found))),
    flag: (bool, lambda _: True),
}
"""For a conversion: the type whose values it leaves as they are, and what must hold of them besides."""


def _seal(columns: Columns, desk: Desk) -> None:
    """Hash the identifiers that are e-mail addresses or secret keys."""
    for name in IDS:
        if name in columns:
            values = columns[name].values
            sealed = {value: None if value is None else sealed_id(desk.key, value) for value in set(values)}
            columns[name].values = [sealed[value] for value in values]


def _place(columns: Columns, desk: Desk) -> None:
    """Hash the addresses, after deriving what is known of them; what is no address goes."""
    if "ip" not in columns:
        return
    values, origins = columns["ip"].values, columns["ip"].origins
    for at, (raw, origin) in enumerate(zip(values, origins, strict=True)):
        if raw is None or raw.startswith(PREFIX):
            continue
        values[at], facts = derived(raw, origin or "", desk)
        if values[at] is None:
            origins[at] = None
        for name, fact, whence in facts:
            column = columns.setdefault(name, Column([None] * len(values), [None] * len(values)))
            if column.values[at] is None:
                column.values[at], column.origins[at] = fact, whence
