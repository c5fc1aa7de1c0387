"""Postings: which rows of a piece hold which hash, so that what few share is never looked at by what looks for crowds.

A daily partial result (docs/decisions/0014-daily-partials.md): made once a piece beside its fingerprints and merged
over pieces by adding, in whatever order the pieces come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stillwatch.signals.characters import U8
from stillwatch.signals.columns import U64, Again, Codes, Ints, Lists, Ragged
from stillwatch.signals.compiled import lean, whole
from stillwatch.signals.sketch import Kind

STACK_KINDS = (Kind.SHINGLE, Kind.SYSTEM, Kind.TOOL, Kind.HEAD, Kind.TAIL, Kind.SYSTEM_ID, Kind.TOOLSET)
POSTED_KINDS = (*STACK_KINDS, Kind.WORD)
SCHEMA = pa.schema({"hash": pa.uint64(), "rows": pa.list_(pa.uint32())})
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_PAYLOAD = np.uint64(Kind.PAYLOAD)
_WANTED = np.isin(np.arange(16), np.array(POSTED_KINDS))
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.integer]
U32 = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Postings:
    """The hashes of a piece that say how prompts are built, and its words (``POSTED_KINDS``), with the rows of each.

    ``values`` ascend; the rows of the i-th are ``rows[start[i]:start[i + 1]]``, in the order they were given.

    >>> held = Postings.of(Ragged(np.array([0, 2, 3]), np.array([5, 9, 5], np.uint64)))
    >>> held.values.tolist(), held.start.tolist(), held.rows.tolist()
    ([5, 9], [0, 2, 3], [0, 1, 0])
    """

    values: U64
    start: Codes
    rows: U32

    @classmethod
    def of(cls, lists: Ragged, row: npt.NDArray[np.integer] | None = None) -> Postings:
        """Turn lists of hashes by row into rows by hash; ``row`` gives the number of each list's row.

        >>> Postings.of(Ragged(np.array([0, 1]), np.array([5], np.uint64)), np.array([7])).rows.tolist()
        [7]
        """
        numbers = np.arange(len(lists.offsets) - 1) if row is None else row
        code = np.empty(len(lists.flat), np.int32)
        distinct = np.empty(len(lists.flat), np.uint64)
        found = _coded(lists.flat, _WANTED, code, distinct, _empty_table(len(lists.flat)))
        order = np.argsort(distinct[:found])
        rank = np.empty(found, np.int32)
        rank[order] = np.arange(found, dtype=np.int32)
        start = np.zeros(found + 1, np.int64)
        _sizes(code, rank, start[1:])
        np.cumsum(start, out=start)
        rows = np.empty(int(start[-1]), np.uint32)
        _dealt(lists.offsets, numbers.astype(np.uint32), code, rank, start[:-1].copy(), rows)
        return cls(distinct[order], start.astype(np.int32), rows)

    @classmethod
    def read(cls, path: Path) -> Postings:
        """Map the postings that :meth:`write` wrote: what is not looked at takes no memory.

        >>> Postings.read(Path("no-such-file"))
        Traceback (most recent call last):
        FileNotFoundError: ...
        """
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            batch = reader.get_batch(0)
        rows = batch.column("rows")
        return cls(batch.column("hash").to_numpy(), rows.offsets.to_numpy(), rows.values.to_numpy())

    def write(self, path: Path) -> None:
        """Write the postings to a file.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Postings.of(Ragged(np.array([0, 1]), np.array([5], np.uint64))).write(Path(folder) / "one")
        ...     Postings.read(Path(folder) / "one").values.tolist()
        [5]
        """
        rows = pa.ListArray.from_arrays(pa.array(self.start), pa.array(self.rows))
        batch = pa.record_batch([pa.array(self.values), rows], SCHEMA)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            writer.write_batch(batch)

    def within(self, low: np.uint64, high: np.uint64) -> Postings:
        """Return the postings of the hashes from ``low`` to ``high``, both included.

        >>> held = Postings.of(Ragged(np.array([0, 2]), np.array([5, 9], np.uint64)))
        >>> held.within(np.uint64(6), np.uint64(9)).values.tolist()
        [9]
        """
        first, last = np.searchsorted(self.values, low, "left"), np.searchsorted(self.values, high, "right")
        return Postings(self.values[first:last], self.start[first : last + 1], self.rows)

    def counted(self, values: U64, group: Codes, groups: int, rows: int) -> tuple[U8, U32, Ints]:
        """Count the hashes of each group in each of the piece's ``rows``: counts (255 at most), rows, groups' starts.

        ``group`` gives the group of each of ``values``, ascending; a row without a group's hashes is not listed.

        >>> held = Postings.of(Ragged(np.array([0, 2, 3]), np.array([5, 9, 5], np.uint64)))
        >>> found = held.counted(np.array([5, 9], np.uint64), np.zeros(2, np.int32), 1, 2)
        >>> [part.tolist() for part in found]
        [[2, 1], [0, 1], [0, 2]]
        """
        at = np.minimum(np.searchsorted(self.values, values), max(0, len(self.values) - 1))
        there = self.values[at] == values if len(self.values) else np.zeros(len(values), bool)
        at, group = at[there], group[there]
        most = int((self.start[at + 1] - self.start[at]).sum()) if len(at) else 0
        counts, found, start = np.empty(most, np.uint8), np.empty(most, np.uint32), np.zeros(groups + 1, np.int64)
        n = _count_groups((self.start, self.rows), at, group, np.zeros(rows, np.int32), (counts, found, start))
        return counts[:n].copy(), found[:n].copy(), np.cumsum(start)


@lean
def _count_groups(held: tuple[Codes, U32], at: Ints, group: Codes, times: Codes, to: tuple[U8, U32, Ints]) -> int:
    """Write, group by group, the rows of its hashes and how many of them each holds; return how many rows."""
    start, rows = held
    counts, found, size = to
    n, first = 0, 0
    for i in range(len(at)):
        for k in range(start[at[i]], start[at[i] + 1]):
            if times[rows[k]] == 0:
                found[n] = rows[k]
                n += 1
            times[rows[k]] += 1
        if i + 1 == len(at) or group[i + 1] != group[i]:
            for k in range(first, n):
                counts[k] = min(255, times[found[k]])
                times[found[k]] = 0
            size[group[i] + 1] = n - first
            first = n
    return n


def postings_of(lists: Ragged | Lists) -> Iterable[tuple[Places, Postings]]:
    """Return the rows and postings of lists, piece by piece: as they are kept, or else made here.

    What is kept in files is mapped anew each time, and no longer than it is looked at.

    >>> [held.values.tolist() for _, held in postings_of(Ragged(np.array([0, 1]), np.array([5], np.uint64)))]
    [[5]]
    """
    if isinstance(lists, Lists) and lists.kept:
        return Again(lists.kept.postings)
    return [(rows, Postings.of(part)) for rows, part in lists]


def whole_prompts(lists: Ragged) -> U64:
    """Return the hash of the whole prompt among each row's hashes, 0 without one.

    >>> prompt = int(Kind.PAYLOAD) << 60 | 7
    >>> whole_prompts(Ragged(np.array([0, 2, 3]), np.array([5, prompt, 9], np.uint64))).tolist() == [prompt, 0]
    True
    """
    out = np.zeros(len(lists.offsets) - 1, np.uint64)
    _find_prompts(lists.offsets, lists.flat, out)
    return out


@lean
def _find_prompts(offsets: Ints, flat: U64, out: U64) -> None:
    for row in range(len(out)):
        for k in range(offsets[row], offsets[row + 1]):
            if flat[k] >> np.uint64(60) == _PAYLOAD:
                out[row] = flat[k]


def prompts_of(lists: Ragged | Lists) -> U64:
    """Return the hash of each row's whole prompt, 0 without one: as it is kept, or else found here.

    >>> prompts_of(Ragged(np.array([0, 1]), np.array([5], np.uint64))).tolist()
    [0]
    """
    if isinstance(lists, Lists) and lists.kept:
        return lists.kept.prompts()
    return whole_prompts(lists.whole if isinstance(lists, Lists) else lists)


def _empty_table(values: int) -> tuple[U64, Codes]:
    size = 1 << int(np.ceil(np.log2(2 * max(8, values))))
    return np.empty(size, np.uint64), np.full(size, -1, np.int32)


@lean
def _coded(flat: U64, wanted: Mask, code: Codes, distinct: U64, table: tuple[U64, Codes]) -> int:
    """Give each wanted value a number, in the order they come (-1 the others); return how many there are."""
    known, number = table
    mask = len(known) - 1
    found = 0
    for k in range(len(flat)):
        value = flat[k]
        code[k] = -1
        if not wanted[value >> np.uint64(60)]:
            continue
        at = whole((value * _GOLDEN) >> np.uint64(20)) & mask
        while number[at] >= 0 and known[at] != value:
            at = (at + 1) & mask
        if number[at] < 0:
            known[at], number[at], distinct[found] = value, found, value
            found += 1
        code[k] = number[at]
    return found


@lean
def _sizes(code: Codes, rank: Codes, size: Ints) -> None:
    for k in range(len(code)):
        if code[k] >= 0:
            size[rank[code[k]]] += 1


@lean
def _dealt(offsets: Ints, row: U32, code: Codes, rank: Codes, cursor: Ints, rows: U32) -> None:
    for i in range(len(row)):
        for k in range(offsets[i], offsets[i + 1]):
            if code[k] >= 0:
                at = rank[code[k]]
                rows[cursor[at]] = row[i]
                cursor[at] += 1
