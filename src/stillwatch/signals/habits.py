"""Which account uses which hash how often, over all pieces, in memory that follows what accounts share.

Nearly all hashes of real text occur once. A first pass counts occurrences in a table of small counters, which errs
towards more; the second pass keeps an account × hash pair only where the hash can have enough holders, and counts it
exactly. So the answer is that of counting everything, without holding everything.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from stillwatch.signals.characters import U8
from stillwatch.signals.columns import U64, Codes, Ints, Ragged
from stillwatch.signals.compiled import compiled, whole

MOST_CELLS_LOG2 = 30
MOST_PAIRS = 1 << 25
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NONE = -1
_ROWS = 1 << 16


def pairs_of(
    lists: Iterable[tuple[Ints, Ragged]], account: Codes, kinds: npt.NDArray[np.bool_], least: int
) -> tuple[Codes, Codes, Ints, U64]:
    """Return account, value (a place in the label), count and label of account × hash pairs, by account and hash.

    ``lists`` is walked twice; ``account`` gives the account of each row, ``kinds`` which kinds (16 entries) count. Left
    out are hashes that occur fewer than ``least`` times in all, and perhaps not all of these. The label is ascending.

    >>> lists = Ragged(np.array([0, 2, 3]), np.array([5, 9, 5], np.uint64))
    >>> owner, value, count, label = pairs_of(lists, np.array([0, 1], np.int32), np.ones(16, bool), 2)
    >>> owner.tolist(), label[value].tolist(), count.tolist()
    ([0, 1], [5, 5], [1, 1])
    """
    cells = _counted(lists, kinds)
    index = _Index()
    keys, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    parts: list[tuple[U64, Ints]] = []
    for rows, mine in lists:
        wanted = _wanted(mine.flat, kinds, cells, least)
        found = index.keys(np.asarray(account[rows], np.int32), mine, wanted)
        parts.append(_summed(found, np.ones(len(found), np.int64)))
        if sum(len(part) for part, _ in parts) > MOST_PAIRS:
            keys, counts = _joined([(keys, counts), *parts])
            parts = []
    keys, counts = _joined([(keys, counts), *parts])
    label = index.labels
    order = np.argsort(label)
    rank = np.empty(len(order), np.uint64)
    rank[order] = np.arange(len(order), dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    keys = (keys & ~low) | rank[(keys & low).astype(np.int64)]
    by_key = np.argsort(keys)
    keys = keys[by_key]
    owner, value = (keys >> np.uint64(32)).astype(np.int32), (keys & low).astype(np.int32)
    return owner, value, counts[by_key], label[order]


def _counted(lists: Iterable[tuple[Ints, Ragged]], kinds: npt.NDArray[np.bool_]) -> U8:
    """Return counters (at most 255 each) of the hashes of some kinds; a hash's counter is never below its count."""
    total = sum(len(mine.flat) for _, mine in lists)
    size = min(MOST_CELLS_LOG2, max(10, int(np.ceil(np.log2(total + 1)))))
    cells = np.zeros(1 << size, np.uint8)
    for _, mine in lists:
        _count(mine.flat, kinds, cells, size)
    return cells


@compiled
def _count(flat: U64, kinds: npt.NDArray[np.bool_], cells: U8, size: int) -> None:
    for value in flat:
        if kinds[value >> np.uint64(60)]:
            at = whole((value * _GOLDEN) >> np.uint64(64 - size))
            if cells[at] != 255:
                cells[at] += np.uint8(1)


class _Index:
    """Distinct hashes in the order they were first seen, and a table to find them in."""

    def __init__(self) -> None:
        self._known, self._size = np.zeros(1 << 10, np.uint64), 0
        self._slots = np.full(1 << 12, _NONE, np.int32)

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
            self._slots = np.full(1 << int(np.ceil(np.log2(4 * need))), _NONE, np.int32)
            _place(self._known, self._size, self._slots)


def _wanted(flat: U64, kinds: npt.NDArray[np.bool_], cells: U8, least: int) -> npt.NDArray[np.bool_]:
    """Return which values are of a kind that counts and may occur ``least`` times."""
    wanted = np.empty(len(flat), np.bool_)
    _mark(flat, kinds, cells, int(np.log2(len(cells))), least, wanted)
    return wanted


@compiled
def _mark(
    flat: U64, kinds: npt.NDArray[np.bool_], cells: U8, size: int, least: int, wanted: npt.NDArray[np.bool_]
) -> None:
    for k in range(len(flat)):
        at = whole((flat[k] * _GOLDEN) >> np.uint64(64 - size))
        wanted[k] = kinds[flat[k] >> np.uint64(60)] and cells[at] >= least


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


def _summed(keys: U64, counts: Ints) -> tuple[U64, Ints]:
    """Return the distinct keys, ascending, and the sum of each one's counts."""
    order = np.argsort(keys)
    keys = keys[order]
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.zeros(0, np.int64)
    return keys[first], np.add.reduceat(counts[order], first) if len(first) else counts


def _joined(parts: list[tuple[U64, Ints]]) -> tuple[U64, Ints]:
    return _summed(np.concatenate([keys for keys, _ in parts]), np.concatenate([counts for _, counts in parts]))
