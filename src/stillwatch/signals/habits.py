"""Which account uses which hash as a habit, over all pieces, in memory that follows what accounts share.

Nearly all hashes of real text occur once. A first pass counts occurrences of hashes in a table of small counters, a
second those of account × hash pairs; both err towards more. A third pass keeps and counts exactly the pairs that can
be a habit of an account and whose hash can have enough holders. So the answer is that of counting everything, without
holding everything.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from stillwatch.signals.characters import U8
from stillwatch.signals.columns import U64, Codes, Ints, Ragged
from stillwatch.signals.compiled import compiled, inlined, whole

MOST_CELLS_LOG2 = 31
MOST_PAIRS = 1 << 24
_ROWS = 1 << 16
_GOLDEN, _OTHER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
_LOW = np.uint64(0xFFFFFFFF)
Mask = npt.NDArray[np.bool_]
_Cells = tuple[U8, int]


def habits_of(
    lists: Iterable[tuple[Ints, Ragged]], account: Codes, kinds: Mask, few: Mask, least: int
) -> tuple[Codes, Codes, Ints, U64]:
    """Return account, value (a place in the label), count and label of account × hash pairs, by account and hash.

    ``lists`` is walked three times; ``account`` gives the account of each row, ``kinds`` which kinds (16 entries)
    count. There are all pairs that occur twice, or once in an account of the mask ``few``, of hashes that occur at
    least ``least`` times in all; others may be there or not. The label is ascending.

    >>> lists = Ragged(np.array([0, 2, 3]), np.array([5, 9, 5], np.uint64))
    >>> account, few = np.array([0, 1], np.int32), np.ones(2, bool)
    >>> owner, value, count, label = habits_of(lists, account, np.ones(16, bool), few, 2)
    >>> owner.tolist(), label[value].tolist(), count.tolist()
    ([0, 1], [5, 5], [1, 1])
    """
    hashes, pairs = _counted(lists, account, kinds, least)
    index = _Index()
    total: tuple[U64, Codes] = (np.zeros(0, np.uint64), np.zeros(0, np.int32))
    parts: list[tuple[U64, Codes]] = []
    for rows, mine in lists:
        owner = account[rows]
        wanted = np.empty(len(mine.flat), np.bool_)
        _mark((owner, mine.offsets, mine.flat), kinds, few, (hashes, pairs), least, wanted)
        keys = index.keys(owner, mine, wanted)
        distinct, times = np.unique(keys, return_counts=True)
        parts.append((distinct, times.astype(np.int32)))
        if sum(len(part) for part, _ in parts) > MOST_PAIRS:
            total, parts = _joined([total, *parts]), []
    keys, counts = _joined([total, *parts])
    order = np.argsort(index.labels)
    rank = np.empty(len(order), np.uint64)
    rank[order] = np.arange(len(order), dtype=np.uint64)
    keys = (keys & ~_LOW) | rank[(keys & _LOW).astype(np.int64)]
    by_key = np.argsort(keys)
    keys = keys[by_key]
    owners, values = (keys >> np.uint64(32)).astype(np.int32), (keys & _LOW).astype(np.int32)
    return owners, values, counts[by_key].astype(np.int64), index.labels[order]


def _counted(lists: Iterable[tuple[Ints, Ragged]], account: Codes, kinds: Mask, least: int) -> tuple[_Cells, _Cells]:
    """Return counters of the hashes of some kinds, and of account × hash pairs of hashes that occur often enough."""
    hashes = _cells(sum(len(mine.flat) for _, mine in lists))
    often = 0
    for _, mine in lists:
        often += _count_hashes(mine.flat, kinds, hashes)
    pairs = _cells(often, MOST_CELLS_LOG2 - 1)
    for rows, mine in lists:
        _count_pairs((account[rows], mine.offsets, mine.flat), kinds, hashes, least, pairs)
    return hashes, pairs


def _cells(values: int, most: int = MOST_CELLS_LOG2) -> _Cells:
    """Return counters for so many values, two a byte, and the logarithm of their number."""
    size = min(most, max(10, int(np.ceil(np.log2(values + 1)))))
    return np.zeros(1 << (size - 1), np.uint8), size


@inlined
def _times(cells: U8, at: int) -> int:
    """Return the counter at a place: 15 at most."""
    return whole(cells[at >> 1] >> np.uint8(4 * (at & 1))) & 15


@inlined
def _of_hash(value: np.uint64, size: int) -> int:
    return whole((value * _GOLDEN) >> np.uint64(64 - size))


@inlined
def _of_pair(owner: int, value: np.uint64, size: int) -> int:
    h = (value ^ (np.uint64(owner) * _OTHER)) * _GOLDEN
    return whole((h ^ (h >> np.uint64(29))) * _OTHER >> np.uint64(64 - size))


@compiled
def _count_hashes(flat: U64, kinds: Mask, hashes: _Cells) -> int:
    """Count the hashes; return how many were seen before, which bounds the occurrences of those that repeat."""
    cells, size = hashes
    again = 0
    for value in flat:
        if kinds[value >> np.uint64(60)]:
            at = _of_hash(value, size)
            times = _times(cells, at)
            again += times > 0
            if times < 15:
                cells[at >> 1] += np.uint8(1 << (4 * (at & 1)))
    return again


@compiled
def _count_pairs(rows: tuple[Codes, Ints, U64], kinds: Mask, hashes: _Cells, least: int, pairs: _Cells) -> None:
    account, offsets, flat = rows
    for row in range(len(account)):
        for k in range(offsets[row], offsets[row + 1]):
            if kinds[flat[k] >> np.uint64(60)] and _times(hashes[0], _of_hash(flat[k], hashes[1])) >= least:
                at = _of_pair(account[row], flat[k], pairs[1])
                if _times(pairs[0], at) < 15:
                    pairs[0][at >> 1] += np.uint8(1 << (4 * (at & 1)))


@compiled
def _mark(
    rows: tuple[Codes, Ints, U64], kinds: Mask, few: Mask, counters: tuple[_Cells, _Cells], least: int, wanted: Mask
) -> None:
    """Mark the hashes of each row that may be a habit of its account and of enough others."""
    account, offsets, flat = rows
    hashes, pairs = counters
    for row in range(len(account)):
        enough = 1 if few[account[row]] else 2
        for k in range(offsets[row], offsets[row + 1]):
            wanted[k] = False
            if kinds[flat[k] >> np.uint64(60)] and _times(hashes[0], _of_hash(flat[k], hashes[1])) >= least:
                wanted[k] = _times(pairs[0], _of_pair(account[row], flat[k], pairs[1])) >= enough


class _Index:
    """Distinct hashes in the order they were first seen, and a table to find them in."""

    def __init__(self) -> None:
        self._known, self._size = np.zeros(1 << 10, np.uint64), 0
        self._slots = np.full(1 << 12, -1, np.int32)

    @property
    def labels(self) -> U64:
        """Return the hashes, first seen first."""
        return self._known[: self._size]

    def keys(self, account: Codes, lists: Ragged, wanted: npt.NDArray[np.bool_]) -> U64:
        """Return a key (account, then the number of the hash) for every wanted hash of the rows."""
        keys = [np.zeros(0, np.uint64)]
        for first in range(0, len(account), _ROWS):
            offsets = lists.offsets[first : first + _ROWS + 1]
            room = int(np.count_nonzero(wanted[offsets[0] : offsets[-1]]))
            self._make_room(self._size + room)
            keys.append(np.empty(room, np.uint64))
            tables = (self._slots, self._known)
            self._size = _number((offsets, lists.flat), account[first:], wanted, tables, self._size, keys[-1])
        return np.concatenate(keys)

    def _make_room(self, need: int) -> None:
        if need > len(self._known):
            self._known = np.concatenate([self.labels, np.zeros(2 * need - self._size, np.uint64)])
        if 2 * need > len(self._slots):
            self._slots = np.full(1 << int(np.ceil(np.log2(4 * need))), -1, np.int32)
            _place(self._known, self._size, self._slots)


@compiled
def _place(known: U64, size: int, slots: Codes) -> None:
    mask = len(slots) - 1
    for code in range(size):
        at = whole((known[code] * _GOLDEN) >> np.uint64(20)) & mask
        while slots[at] >= 0:
            at = (at + 1) & mask
        slots[at] = code


@compiled
def _number(
    lists: tuple[Ints, U64], account: Codes, wanted: npt.NDArray[np.bool_], table: tuple[Codes, U64], size: int,
    keys: U64,
) -> int:  # fmt: skip
    """Write a key for every wanted hash; return how many hashes are known then."""
    offsets, flat = lists
    slots, known = table
    mask = len(slots) - 1
    n = 0
    for row in range(len(offsets) - 1):
        high = np.uint64(account[row]) << np.uint64(32)
        for k in range(offsets[row], offsets[row + 1]):
            if not wanted[k]:
                continue
            value = flat[k]
            at = whole((value * _GOLDEN) >> np.uint64(20)) & mask
            while slots[at] >= 0 and known[slots[at]] != value:
                at = (at + 1) & mask
            if slots[at] < 0:
                slots[at] = size
                known[size] = value
                size += 1
            keys[n] = high | np.uint64(slots[at])
            n += 1
    return size


def _summed(keys: U64, counts: Codes) -> tuple[U64, Codes]:
    """Return the distinct keys, ascending, and the sum of each one's counts."""
    if not len(keys):
        return keys, counts
    order = np.argsort(keys)
    keys = keys[order]
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[first], np.add.reduceat(counts[order], first).astype(np.int32)


def _joined(parts: list[tuple[U64, Codes]]) -> tuple[U64, Codes]:
    return _summed(np.concatenate([keys for keys, _ in parts]), np.concatenate([counts for _, counts in parts]))
