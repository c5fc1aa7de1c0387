"""The rows of a dataset, piece by piece, and each one's place in the frame: how a column of the frame is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.signals.columns import U64, Codes, Ints, Ragged, Resting, rested
from stillwatch.signals.order import demand_distinct, hashed, ordered
from stillwatch.signals.postings import Postings
from stillwatch.signals.stored import IN_MEMORY_ROWS, Stored
from stillwatch.tables.memory import give_back
from stillwatch.tables.pieces import Piece, piece_column
from stillwatch.tables.threads import mapped

T = TypeVar("T")
Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.int8]


class Rows:
    """All exchanges: where they are read from (``parts``), their fingerprints, and their order in the frame.

    ``place`` gives the frame row of each row in file order, ``order`` the reverse.

    >>> rows = Rows([], Stored([]), np.zeros(0, np.int64))
    >>> rows.count, rows.numbers("input_tokens").tolist()
    (0, [])
    """

    def __init__(self, parts: list[Piece], stored: Stored, order: Ints) -> None:
        """Hold the pieces, their fingerprints and the order of their rows."""
        self.parts, self.stored, self.count = parts, stored, len(order)
        width = np.int32 if len(order) < 2**31 else np.int64
        self._order: Resting[Any] = Resting(order.astype(width, copy=False), self.folder)
        place = np.empty(len(order), width)
        place[order] = np.arange(len(order), dtype=width)
        self._place = Resting(place, self.folder)

    @property
    def folder(self) -> Path | None:
        """Return the folder that large columns rest in; None for the system's own.

        >>> Rows([], Stored([]), np.zeros(0, np.int64)).folder is None
        True
        """
        return self.stored.folder

    def numbers(self, name: str) -> Numbers:
        """Return a column as floats, NaN where it is null.

        >>> Rows([], Stored([]), np.zeros(0, np.int64)).numbers("status").tolist()
        []
        """
        return self._filled(np.empty(self.count), (_number(column) for column in self._columns(name)))

    def flags(self, name: str) -> Flags:
        """Return a column of truth values as 0 and 1, -1 where it is null.

        >>> Rows([], Stored([]), np.zeros(0, np.int64)).flags("refused").dtype
        dtype('int8')
        """
        return self._filled(np.empty(self.count, np.int8), (_flag(column) for column in self._columns(name)))

    def hashes(self, name: str) -> U64:
        """Return a text column as hashes, 0 where it is null or empty.

        >>> Rows([], Stored([]), np.zeros(0, np.int64)).hashes("session_id").dtype
        dtype('uint64')
        """
        made = mapped(self.parts, lambda piece: np.concatenate([hashed(c) for c in _chunks(piece, name)]))
        return self._filled(np.empty(self.count, np.uint64), made)

    def codes(self, name: str) -> tuple[Codes, pa.Array]:
        """Return a column as codes in the order of its spellings, -1 where null or empty, and the spellings.

        >>> codes, spelt = Rows([], Stored([]), np.zeros(0, np.int64)).codes("ip")
        >>> codes.tolist(), spelt.to_pylist()
        ([], [])
        """
        own, values, place = _coded(self.parts, name, [])
        return self._filled(np.empty(self.count, np.int32), map(recoded, own, place)), values

    def template(self) -> U64:
        """Return the template id of each exchange, 0 without a prompt.

        >>> Rows([], Stored([]), np.zeros(0, np.int64)).template().tolist()
        []
        """
        return self._laid(np.empty(self.count, np.uint64), "template_id")

    def prompts(self) -> U64:
        """Return the hash of each exchange's whole prompt, 0 without a prompt.

        >>> Rows([], Stored([]), np.zeros(0, np.int64)).prompts().tolist()
        []
        """
        return self._laid(np.empty(self.count, np.uint64), "prompt")

    def capability(self) -> npt.NDArray[np.uint8]:
        """Return the capability class of each exchange, 0 for none.

        >>> Rows([], Stored([]), np.zeros(0, np.int64)).capability().dtype
        dtype('uint8')
        """
        return self._laid(np.empty(self.count, np.uint8), "capability")

    def lists(self, name: str) -> Iterator[tuple[Ints, Ragged]]:
        """Yield, a piece at a time, the frame rows of a piece's rows and their lists (``sketch`` or ``cues``).

        >>> list(Rows([], Stored([]), np.zeros(0, np.int64)).lists("cues"))
        []
        """
        stored = self.stored
        tables = stored.sketches(self.parts) if name == "sketch" else stored.tables([name, "row"])
        for piece, table in zip(self.parts, tables, strict=True):
            yield self._places(piece, table), Ragged.of(table[name])

    def postings(self) -> Iterator[tuple[npt.NDArray[Any], Postings]]:
        """Yield, a piece at a time, the frame rows of a piece's rows and which of them hold which hash.

        >>> list(Rows([], Stored([]), np.zeros(0, np.int64)).postings())
        []
        """
        for piece, held in zip(self.parts, self.stored.postings(), strict=True):
            yield self._place.array[piece.first : piece.last], held

    def ids(self) -> Ids:
        """Return the ids of the exchanges in the order of the frame.

        >>> len(Rows([], Stored([]), np.zeros(0, np.int64)).ids())
        0
        """
        return Ids(self.parts, self._order)

    def _columns(self, name: str) -> Iterator[pa.ChunkedArray]:
        return mapped(self.parts, lambda piece: piece_column(piece, name))

    def _places(self, piece: Piece, table: pa.Table) -> Ints:
        """Return the frame rows of some lines of a piece."""
        return np.asarray(self._place.array[piece.first : piece.last][table["row"].to_numpy()], np.int64)

    def _laid(self, out: npt.NDArray[T], name: str) -> npt.NDArray[T]:  # type: ignore[type-var]
        """Put a fingerprint column where its rows belong, 0 where it is null."""
        for piece, table in zip(self.parts, self.stored.tables([name, "row"]), strict=True):
            out[self._places(piece, table)] = pc.fill_null(table[name], 0).to_numpy()
        return out

    def _filled(self, out: npt.NDArray[T], columns: Iterable[npt.NDArray[T]]) -> npt.NDArray[T]:  # type: ignore[type-var]
        """Put the values of every piece where its rows belong."""
        place = self._place.array
        for piece, values in zip(self.parts, columns, strict=True):
            out[place[piece.first : piece.last]] = values
        return out


class Ids:
    """Ids of exchanges by row of the frame: read when asked for, all of them kept when they are few.

    >>> len(Ids([], Resting(np.zeros(0, np.int64), None)))
    0
    """

    def __init__(self, parts: list[Piece], order: Resting[Any]) -> None:
        """Offer the ids of ``parts``; ``order`` gives the row in file order of each row of the frame."""
        self._parts, self._order = parts, order
        self._last = np.array([piece.last for piece in parts], np.int64)
        few = not parts or parts[-1].last <= IN_MEMORY_ROWS
        self._read = lru_cache(maxsize=None if few else 4)(self._column)

    def _column(self, number: int) -> pa.Array:
        return one_array(piece_column(self._parts[number], "exchange_id"))

    def __len__(self) -> int:
        return len(self._order.array)

    def __getitem__(self, row: int) -> pa.Scalar:
        return self.take(np.array([row]))[0]

    def take(self, rows: pa.Array | Ints) -> pa.Array:
        """Return the ids of some rows of the frame, in that order.

        >>> Ids([], Resting(np.zeros(0, np.int64), None)).take(np.zeros(0, np.int64)).type
        DataType(string)
        """
        return taken(self._order.array[np.asarray(rows, np.int64)], self._last, self._read)

    def to_pylist(self) -> list[str]:
        """Return all ids as strings.

        >>> Ids([], Resting(np.zeros(0, np.int64), None)).to_pylist()
        []
        """
        found: list[str] = self.take(np.arange(len(self))).to_pylist()
        return found


def taken(rows: npt.NDArray[np.integer], last: Ints, read: Callable[[int], pa.Array]) -> pa.Array:
    """Return the values of some rows in file order; ``last`` are the pieces' ends, ``read(i)`` the values of piece i.

    >>> taken(np.array([2, 0]), np.array([2, 3]), [pa.array(["a", "b"]), pa.array(["c"])].__getitem__).to_pylist()
    ['c', 'a']
    """
    number = np.searchsorted(last, rows, "right").astype(np.int32)
    by_piece = np.argsort(number, kind="stable")
    bounds = np.searchsorted(number[by_piece], np.arange(len(last) + 1))
    parts = [pa.array([], pa.string())]
    for piece, (begin, end) in enumerate(pairwise(bounds.tolist())):
        if begin < end:
            mine = rows[by_piece[begin:end]] - (last[piece - 1] if piece else 0)
            parts.append(read(piece).take(pa.array(mine)))
    back = np.empty(len(rows), np.int64)
    back[by_piece] = np.arange(len(rows))
    return pa.concat_arrays(parts).take(pa.array(back))


def arranged(parts: list[Piece], stored: Stored, others: pa.Array) -> tuple[Rows, Codes, Ints, pa.Array, Ints]:
    """Return the rows in order, the account and time of each, the ids of all accounts (``others`` too), their starts.

    Times are microseconds since 1970.

    Raises :class:`~stillwatch.errors.DatasetError` when an exchange id occurs twice.

    >>> rows, owner, ts, accounts, start = arranged([], Stored([]), pa.array(["b", "a"]))
    >>> accounts.to_pylist(), start.tolist()
    (['a', 'b'], [0, 0, 0])
    """
    last = np.array([piece.last for piece in parts], np.int64)
    rows = int(last[-1]) if len(last) else 0
    demand_distinct(lambda: mapped(parts, lambda piece: one_array(piece_column(piece, "exchange_id"))), rows)
    codes, accounts, place = _coded(parts, "account_id", [others], blank=True)
    owner, ts = np.empty(rows, np.int32), np.empty(rows, np.int64)
    for piece, own, there in zip(parts, codes, place, strict=True):
        owner[piece.first : piece.last] = recoded(own, there)
    del codes, place
    give_back()
    for piece, column in zip(parts, mapped(parts, lambda piece: piece_column(piece, "ts")), strict=True):
        ts[piece.first : piece.last] = _moment(column)
    ids = lambda some: taken(some, last, lambda number: one_array(piece_column(parts[number], "exchange_id")))  # noqa: E731
    order, start = ordered(owner, ts, len(accounts), ids)
    ts, owner = rested(ts[order]), rested(owner[order])
    return Rows(parts, stored, order), owner, ts, accounts, start


def _coded(
    parts: list[Piece], name: str, others: list[pa.Array], *, blank: bool = False
) -> tuple[list[Codes], pa.Array, list[Codes]]:
    """Return a column's codes by piece, all spellings in order, and where each piece's own are among them."""
    made = list(mapped(parts, lambda piece: encoded(piece_column(piece, name), blank=blank)))
    found = [there for _, there in made]
    values = spellings([*others, *found])
    return [own for own, _ in made], values, places(found, values)


def encoded(column: pa.ChunkedArray, *, blank: bool = False) -> tuple[Codes, pa.Array]:
    """Return each value's place among a column's distinct ones (-1 null), and those; "" is null unless ``blank``.

    >>> codes, values = encoded(pa.chunked_array([["b", "", "b"]]))
    >>> codes.tolist(), values.to_pylist()
    ([0, -1, 0], ['b'])
    """
    text = one_array(column)
    if not pa.types.is_string(text.type):
        text = text.cast(pa.string())
    if not blank:
        text = pc.if_else(pc.equal(text, ""), None, text)
    coded = text.dictionary_encode()
    return np.asarray(pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False), np.int32), coded.dictionary


def spellings(found: list[pa.Array]) -> pa.Array:
    """Return the distinct values of some arrays in order, nulls left out.

    >>> spellings([pa.array(["b", None]), pa.array(["a", "b"])]).to_pylist()
    ['a', 'b']
    """
    values = pc.drop_null(pc.unique(pa.chunked_array(found, pa.string())))
    return values.take(pc.array_sort_indices(values))


def places(found: list[pa.Array], values: pa.Array) -> list[Codes]:
    """Return where the values of each array are among ``values``, which are gone through once for all of them.

    >>> [place.tolist() for place in places([pa.array(["b"]), pa.array(["a", "b"])], pa.array(["a", "b"]))]
    [[1], [0, 1]]
    """
    place = pc.index_in(pa.chunked_array(found, pa.string()), value_set=values).to_numpy().astype(np.int32)
    return np.split(place, np.cumsum([len(there) for there in found[:-1]])) if found else []


def recoded(own: Codes, place: Codes) -> Codes:
    """Return codes as codes among other values, ``place`` being where each value is among those; -1 stays.

    >>> recoded(np.array([0, -1], np.int32), np.array([1], np.int32)).tolist()
    [1, -1]
    """
    return np.append(place, np.int32(-1))[own]


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array.

    >>> one_array(pa.chunked_array([[1], [2]])).to_pylist()
    [1, 2]
    """
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _chunks(piece: Piece, name: str) -> list[pa.Array]:
    return list(piece_column(piece, name).chunks)


def _number(column: pa.ChunkedArray) -> Numbers:
    return np.asarray(one_array(column.cast(pa.float64())).to_numpy(zero_copy_only=False), np.float64)


def _flag(column: pa.ChunkedArray) -> Flags:
    return np.asarray(pc.fill_null(column.cast(pa.int8()), -1).to_numpy(), np.int8)


def _moment(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)
