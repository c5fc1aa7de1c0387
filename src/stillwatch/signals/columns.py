"""Columns of a frame: made when first asked for; large ones rest in a file and are seen through a memory map.

A hundred million exchanges have more columns than a small machine has memory, and a scan looks at few of them at a
time. What nobody looks at takes no memory.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.signals.compiled import compiled, lean, whole

if TYPE_CHECKING:
    from stillwatch.signals.postings import Postings

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
U64 = npt.NDArray[np.uint64]
S = TypeVar("S")
T = TypeVar("T", bound=np.generic)
LARGE_BYTES = 1 << 26


class Resting(Generic[T]):
    """An array that is kept in memory when small and else in a file without a name, mapped while it is looked at.

    >>> Resting(np.array([1, 2]), None).array.tolist()
    [1, 2]
    """

    def __init__(self, array: npt.NDArray[T], folder: Path | None, *, large: int = LARGE_BYTES) -> None:
        """Keep ``array``; from ``large`` bytes on in a file of ``folder`` (None: where temporary files go)."""
        self._array: npt.NDArray[T] | None = array
        if array.nbytes >= large:
            self._shape, self._type, self._array = array.shape, array.dtype, None
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it lives as long as this object)
            weakref.finalize(self, self._file.close)
            _reserve(self._file, array.nbytes, folder)
            array.tofile(self._file)
            self._file.flush()

    @property
    def array(self) -> npt.NDArray[T]:
        """Return the values; read-only when they rest in a file.

        >>> large = Resting(np.arange(3), None, large=1).array
        >>> large.tolist(), large.flags.writeable
        ([0, 1, 2], False)
        """
        if self._array is not None:
            return self._array
        return np.memmap(self._file, self._type, "r", shape=self._shape).view(np.ndarray)


def _reserve(file: IO[bytes], size: int, folder: Path | None) -> None:
    """Take room on the disk, or raise :class:`OSError`: a map of a file on a full one would end the program."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            what = f"{error.strerror} for a column of {size:,} bytes"
            raise OSError(error.errno, what, str(folder or tempfile.gettempdir())) from None


def rested(array: npt.NDArray[T]) -> npt.NDArray[T]:
    """Return the values: the array itself when small, else read-only from a file without a name (see :class:`Resting`).

    >>> rested(np.array([1, 2])).tolist()
    [1, 2]
    """
    return Resting(array, None).array


def room(count: int, dtype: type[T], *, large: int = LARGE_BYTES) -> npt.NDArray[T]:
    """Return an array to be filled: in memory when small, and else in a file without a name, which holds it mapped.

    >>> room(3, np.int32).shape, room(3, np.int32, large=1).dtype
    ((3,), dtype('int32'))
    """
    if count * np.dtype(dtype).itemsize < large:
        return np.empty(count, dtype)
    with tempfile.TemporaryFile() as file:
        _reserve(file, count * np.dtype(dtype).itemsize, None)
        return np.memmap(file, dtype, "w+", shape=(int(count),)).view(np.ndarray)


class Columns(Mapping[str, npt.NDArray[T]]):
    """Named columns, each made by ``make(name)`` when it is first asked for, then kept (see :class:`Resting`).

    >>> columns = Columns(["ip"], lambda name: np.array([len(name)]), None)
    >>> list(columns), columns["ip"].tolist(), "asn" in columns
    (['ip'], [2], False)
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], npt.NDArray[T]], folder: Path | None) -> None:
        """Offer the columns ``names``; large ones rest in ``folder``."""
        self._names, self._make, self._folder = tuple(names), make, folder
        self._kept: dict[str, Resting[T]] = {}

    def __getitem__(self, name: str) -> npt.NDArray[T]:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._kept:
            self._kept[name] = Resting(self._make(name), self._folder)
        return self._kept[name].array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Names(Mapping[str, list[str]]):
    """The spellings behind codes, by column: strings are made of a column's values when somebody asks for them.

    >>> names = Names({"model": lambda: pa.array(["m"])})
    >>> names["model"], len(names)
    (['m'], 1)
    """

    def __init__(self, values: Mapping[str, Callable[[], pa.Array]]) -> None:
        """Offer a list a column; ``values[column]()`` gives its distinct values in order."""
        self._values = dict(values)
        self._kept: dict[str, list[str]] = {}

    def __getitem__(self, name: str) -> list[str]:
        if name not in self._kept:
            self._kept[name] = self._values[name]().to_pylist()
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class Ragged:
    """A list of 64-bit hashes per row: ``flat[offsets[i]:offsets[i + 1]]`` belongs to row i.

    >>> r = Ragged(np.array([0, 2, 3]), np.array([7, 8, 9], np.uint64))
    >>> r.flat[r.offsets[0] : r.offsets[1]].tolist()
    [7, 8]
    """

    offsets: Ints
    flat: U64

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Ragged:
        """Return a list column as a Ragged; a null is an empty list.

        >>> Ragged.of(pa.chunked_array([[[7], None], [[8, 9]]], pa.list_(pa.uint64()))).offsets.tolist()
        [0, 1, 1, 3]
        """
        lengths = [pc.fill_null(pc.list_value_length(c), 0).to_numpy(zero_copy_only=False) for c in column.chunks]
        parts = [pc.list_flatten(c).to_numpy(zero_copy_only=False) for c in column.chunks]
        offsets = np.zeros(len(column) + 1, np.int64)
        np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]), out=offsets[1:])
        return cls(offsets, np.concatenate([np.zeros(0, np.uint64), *parts]).astype(np.uint64, copy=False))

    def __iter__(self) -> Iterator[tuple[Ints, Ragged]]:
        """Yield all rows and their lists, as one piece (see :class:`Lists`)."""
        yield np.arange(len(self.offsets) - 1), self

    def rows(self) -> Ints:
        """Return the row of every element of ``flat``.

        >>> Ragged(np.array([0, 2, 3]), np.array([7, 8, 9], np.uint64)).rows().tolist()
        [0, 0, 1]
        """
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def take(self, order: Ints) -> Ragged:
        """Return the rows in another order.

        >>> r = Ragged(np.array([0, 2, 3]), np.array([7, 8, 9], np.uint64)).take(np.array([1, 0]))
        >>> r.flat.tolist()
        [9, 7, 8]
        """
        lengths = np.diff(self.offsets)[order]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        starts = self.offsets[:-1][order]
        index = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, lengths)
        return Ragged(offsets, self.flat[index])


class Again(Generic[S]):
    """What can be gone through many times: each time ``begin()`` is called, so that nothing stays open in between.

    >>> twice = Again(lambda: iter([1, 2]))
    >>> list(twice), list(twice)
    ([1, 2], [1, 2])
    """

    def __init__(self, begin: Callable[[], Iterator[S]]) -> None:
        """Go through what ``begin()`` yields."""
        self._begin = begin

    def __iter__(self) -> Iterator[S]:
        return self._begin()


class Kept(Protocol):
    """What is made of sketches once and kept beside them."""

    def postings(self) -> Iterator[tuple[npt.NDArray[Any], Postings]]:
        """Yield, a piece at a time, the places of its rows and which of them hold which hash."""

    def prompts(self) -> U64:
        """Return the hash of each row's whole prompt, 0 without a prompt."""


class Lists:
    """The lists of all rows, read a piece at a time; what is asked of the whole (like a :class:`Ragged`) is gathered.

    >>> one = (np.array([1, 0]), Ragged(np.array([0, 1, 3]), np.array([7, 8, 9], np.uint64)))
    >>> lists = Lists(lambda: iter([one]), 2)
    >>> lists.flat.tolist(), lists.offsets.tolist(), [place.tolist() for place, _ in lists]
    ([8, 9, 7], [0, 2, 3], [[1, 0]])
    """

    def __init__(
        self, pieces: Callable[[], Iterator[tuple[Ints, Ragged]]], rows: int, kept: Kept | None = None
    ) -> None:
        """Offer ``rows`` lists; ``pieces()`` gives rows and lists by piece, ``kept`` what is made of them."""
        self._pieces, self._rows, self.kept = pieces, rows, kept

    def __iter__(self) -> Iterator[tuple[Ints, Ragged]]:
        return self._pieces()

    @cached_property
    def whole(self) -> Ragged:
        """Return all lists in memory.

        >>> one = (np.array([0]), Ragged(np.array([0, 1]), np.array([7], np.uint64)))
        >>> Lists(lambda: iter([one]), 1).whole.flat.tolist()
        [7]
        """
        offsets = np.zeros(self._rows + 1, np.int64)
        for place, lists in self:
            offsets[1:][place] = np.diff(lists.offsets)
        np.cumsum(offsets, out=offsets)
        flat = np.empty(int(offsets[-1]), np.uint64)
        for place, lists in self:
            _fill(place, lists.offsets, lists.flat, offsets, flat)
        return Ragged(offsets, flat)

    @property
    def offsets(self) -> Ints:
        """Return where each row's list starts in ``flat``.

        >>> one = (np.array([0]), Ragged(np.array([0, 1]), np.array([7], np.uint64)))
        >>> Lists(lambda: iter([one]), 1).offsets.tolist()
        [0, 1]
        """
        return self.whole.offsets

    @property
    def flat(self) -> U64:
        """Return the values of all lists.

        >>> one = (np.array([0]), Ragged(np.array([0, 1]), np.array([7], np.uint64)))
        >>> Lists(lambda: iter([one]), 1).flat.tolist()
        [7]
        """
        return self.whole.flat

    def rows(self) -> Ints:
        """Return the row of every element of ``flat``.

        >>> one = (np.array([0]), Ragged(np.array([0, 1]), np.array([7], np.uint64)))
        >>> Lists(lambda: iter([one]), 1).rows().tolist()
        [0]
        """
        return self.whole.rows()

    def take(self, order: Ints) -> Ragged:
        """Return the rows in another order, in memory.

        >>> one = (np.array([0]), Ragged(np.array([0, 1]), np.array([7], np.uint64)))
        >>> Lists(lambda: iter([one]), 1).take(np.array([0, 0])).flat.tolist()
        [7, 7]
        """
        return self.whole.take(order)


@compiled
def _fill(place: Ints, offsets: Ints, values: U64, to: Ints, flat: U64) -> None:
    """Copy the list of each row of a piece to where the row's list lies in ``flat``."""
    for row in range(len(place)):
        n = to[place[row]]
        for k in range(offsets[row], offsets[row + 1]):
            flat[n] = values[k]
            n += 1


def slices(rows: int, *, at_once: int = 1 << 22) -> list[slice]:
    """Cut rows into slices, one at least.

    >>> slices(5, at_once=3)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return [slice(first, min(first + at_once, rows)) for first in range(0, max(rows, 1), at_once)]


def blocks(account: npt.NDArray[np.integer], *, rows: int = 1 << 20) -> list[slice]:
    """Cut rows that come sorted by account into slices of about ``rows`` rows that split no account.

    Rows in any other order make one slice.

    >>> blocks(np.array([0, 0, 1, 2]), rows=2)
    [slice(0, 2, None), slice(2, 4, None)]
    """
    n = len(account)
    starts = range(0, n, rows)
    if n <= rows or any((account[k + 1 : k + rows + 1] < account[k : min(k + rows, n - 1)]).any() for k in starts):
        return [slice(0, n)]
    cuts = np.unique(np.searchsorted(account, account[rows::rows], "left"))
    edges = [0, *(int(cut) for cut in cuts if cut), n]
    return [slice(a, b) for a, b in pairwise(edges)]


def tallies(
    values: U64,
    owner: Codes | None = None,
    *,
    counted: npt.NDArray[np.bool_] | None = None,
    rows: int = 1 << 23,
) -> npt.NDArray[np.uint32]:
    """Return how often each value occurs in ``values``, same shape; 0 for a value of 0, which stands for none.

    With ``owner``, a number a value, how often its owner has it; with ``counted``, how often where that is true. Many
    values are counted part by part (by their lowest bits), so that memory grows little beyond the answer.

    >>> tallies(np.array([5, 0, 5, 7], np.uint64)).tolist()
    [2, 0, 2, 1]
    >>> tallies(np.array([5, 0, 5, 5], np.uint64), np.array([0, 0, 0, 1], np.int32)).tolist()
    [2, 0, 2, 1]
    >>> tallies(np.array([5, 5, 7], np.uint64), counted=np.array([True, False, False])).tolist()
    [1, 1, 0]
    """
    out = np.zeros(len(values), np.uint32)
    whose = np.broadcast_to(np.int32(0), len(values)) if owner is None else owner
    ones = np.broadcast_to(True, len(values)) if counted is None else counted
    parts = 1 << max(0, int(np.ceil(np.log2(max(1, len(values)) / rows))))
    for part in range(parts):
        here = np.flatnonzero((values != 0) & ((values & np.uint64(parts - 1)) == part))
        size = 1 << int(np.ceil(np.log2(2 * max(8, len(here)))))
        _tally(values, (whose, ones), here, (np.full(size, -1, np.int64), np.zeros(size, np.uint32)), out)
    return out


@lean
def _tally(values: U64, owners: Any, here: Ints, table: tuple[Ints, npt.NDArray[np.uint32]], out: Any) -> None:
    """Count pairs of value and owner at some places; ``table`` holds the first place of each and its count."""
    (owner, ones), (first, seen) = owners, table
    mask = len(first) - 1
    for turn in range(2):
        for place in here:
            value, mine = values[place], owner[place]
            at = whole(((value + np.uint64(mine)) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
            while first[at] >= 0 and (values[first[at]] != value or owner[first[at]] != mine):
                at = (at + 1) & mask
            if turn:
                out[place] = seen[at]
            else:
                first[at] = place if first[at] < 0 else first[at]
                seen[at] += np.uint32(ones[place])
