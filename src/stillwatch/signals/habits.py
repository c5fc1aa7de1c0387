"""Which account uses which hash as a habit, a run of accounts at a time, in memory that follows what accounts share.

Fingerprints lie by account, so the hashes of an account are counted together and exactly, in a table that fits the
processor's cache; only habits are kept. Then counters that err towards more say which hashes enough accounts hold.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stillwatch.signals.characters import U8
from stillwatch.signals.columns import U64, Codes, Ints, Lists, Ragged, Resting, blocks
from stillwatch.signals.compiled import inlined, lean, whole

MOST_CELLS_LOG2 = 31
BLOCK_ROWS = 1 << 19
_LARGE_BYTES = 1 << 20
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
Mask = npt.NDArray[np.bool_]
_Cells = tuple[U8, int]
_Found = tuple[Codes, U64, Codes]


def habits_of(
    lists: Ragged | Lists, account: Codes, kinds: Mask, few: Mask, least: int
) -> tuple[Codes, Codes, Ints, U64]:
    """Return account, value (a place in the label), count and label of account × hash pairs, by account and hash.

    ``account`` gives the account of each row, ``kinds`` which kinds (16 entries) count. There are all pairs that occur
    twice, or once in an account of the mask ``few``, of hashes that at least ``least`` accounts so hold, and no others.
    The label is ascending.

    >>> lists = Ragged(np.array([0, 2, 3]), np.array([5, 9, 5], np.uint64))
    >>> account, few = np.array([0, 1], np.int32), np.ones(2, bool)
    >>> owner, value, count, label = habits_of(lists, account, np.ones(16, bool), few, 2)
    >>> owner.tolist(), label[value].tolist(), count.tolist()
    ([0, 1], [5, 5], [1, 1])
    """
    runs = blocks(account, rows=BLOCK_ROWS)
    edges = [runs[0].start, *(run.stop for run in runs)]
    found = [
        _rested(_held(parts, account[a:b], account, kinds, few))
        for (a, b), parts in zip(pairwise(edges), lists.cut(edges), strict=True)
    ]
    cells = _cells(sum(len(values.array) for _, values, _ in found))
    for _, values, _ in found:
        _count_hashes(values.array, cells)
    kept = [_shared((owner.array, values.array, times.array), cells, least) for owner, values, times in found]
    label = np.unique(np.concatenate([np.unique(values) for _, values, _ in kept]))
    return _gathered([_placed(kept.pop(0), label) for _ in range(len(kept))], label, least)


def _rested(found: _Found) -> tuple[Resting[np.int32], Resting[np.uint64], Resting[np.int32]]:
    owner, values, times = found
    return tuple(Resting(part, None, large=_LARGE_BYTES) for part in (owner, values, times))  # type: ignore[return-value]


def _held(
    parts: list[tuple[Ints, Ragged]], mine: Codes, account: Codes, kinds: Mask, few: Mask
) -> tuple[Codes, U64, Codes]:
    """Return account, hash and count of the habits of some accounts: ``mine``, one entry a row."""
    if not len(mine):
        return np.zeros(0, np.int32), np.zeros(0, np.uint64), np.zeros(0, np.int32)
    first, last = int(mine.min()), int(mine.max()) + 1
    start = np.zeros(last - first + 1, np.int64)
    dealt = [(account[rows] - first, lists.offsets, lists.flat) for rows, lists in parts]
    for part in dealt:
        _count_values(part, kinds, start[1:])
    np.cumsum(start, out=start)
    values, cursor = np.empty(start[-1], np.uint64), start[:-1].copy()
    for part in dealt:
        _deal_values(part, kinds, cursor, values)
    owner, times = np.empty(len(values), np.int32), np.empty(len(values), np.int32)
    size = 1 << int(np.ceil(np.log2(2 * max(8, int(np.diff(start).max())))))
    table = (np.empty(size, np.uint64), np.empty(size, np.int32))
    n = _repeated(values, start, few[first:last], table, owner, times)
    return owner[:n] + np.int32(first), values[:n].copy(), times[:n].copy()


@lean
def _count_values(rows: tuple[Codes, Ints, U64], kinds: Mask, of: Ints) -> None:
    """Add how many values of the wanted kinds each account's rows have."""
    owner, offsets, flat = rows
    for row in range(len(owner)):
        for k in range(offsets[row], offsets[row + 1]):
            of[owner[row]] += kinds[flat[k] >> np.uint64(60)]


@lean
def _deal_values(rows: tuple[Codes, Ints, U64], kinds: Mask, cursor: Ints, values: U64) -> None:
    """Write the wanted values of each row behind those that its account has already."""
    owner, offsets, flat = rows
    for row in range(len(owner)):
        n = cursor[owner[row]]
        for k in range(offsets[row], offsets[row + 1]):
            if kinds[flat[k] >> np.uint64(60)]:
                values[n] = flat[k]
                n += 1
        cursor[owner[row]] = n


@lean
def _repeated(values: U64, start: Ints, few: Mask, table: tuple[U64, Codes], owner: Codes, times: Codes) -> int:
    """Write each account's habits to the front of ``owner``, ``values`` and ``times``; return how many there are."""
    known, seen = table
    n = 0
    for account in range(len(few)):
        size, shift = 16, 60
        while size < 2 * (start[account + 1] - start[account]):
            size, shift = 2 * size, shift - 1
        seen[:size] = 0
        for k in range(start[account], start[account + 1]):
            at = whole((values[k] * _GOLDEN) >> np.uint64(shift))
            while seen[at] > 0 and known[at] != values[k]:
                at = (at + 1) & (size - 1)
            known[at] = values[k]
            seen[at] += 1
        enough = 1 if few[account] else 2
        for at in range(size):
            if seen[at] >= enough:
                owner[n], values[n], times[n] = account, known[at], seen[at]
                n += 1
    return n


def _cells(values: int) -> _Cells:
    """Return counters for so many values, two a byte, and the logarithm of their number."""
    size = min(MOST_CELLS_LOG2, max(10, int(np.ceil(np.log2(values + 1)))))
    return np.zeros(1 << (size - 1), np.uint8), size


@inlined
def _times(cells: U8, at: int) -> int:
    """Return the counter at a place: 15 at most."""
    return whole(cells[at >> 1] >> np.uint8(4 * (at & 1))) & 15


@inlined
def _of_hash(value: np.uint64, size: int) -> int:
    return whole((value * _GOLDEN) >> np.uint64(64 - size))


@lean
def _count_hashes(values: U64, hashes: _Cells) -> None:
    cells, size = hashes
    for value in values:
        at = _of_hash(value, size)
        if _times(cells, at) < 15:
            cells[at >> 1] += np.uint8(1 << (4 * (at & 1)))


@lean
def _mark_shared(values: U64, hashes: _Cells, least: int, wanted: Mask) -> None:
    cells, size = hashes
    for k in range(len(values)):
        wanted[k] = _times(cells, _of_hash(values[k], size)) >= least


def _shared(found: _Found, cells: _Cells, least: int) -> _Found:
    """Keep the pairs whose hash enough accounts may hold."""
    owner, values, times = found
    wanted = np.empty(len(values), np.bool_)
    _mark_shared(values, cells, min(least, 15), wanted)
    return owner[wanted], values[wanted], times[wanted]


def _gathered(parts: list[tuple[Codes, Codes, Codes]], label: U64, least: int) -> tuple[Codes, Codes, Ints, U64]:
    """Join pairs whose hash enough accounts hold; ``parts`` is emptied on the way, so that memory holds them once."""
    holders = np.zeros(len(label), np.int64)
    for _, place, _ in parts:
        holders += np.bincount(place, minlength=len(label))
    enough = holders >= least
    dense, total = (np.cumsum(enough) - 1).astype(np.int32), int(holders[enough].sum())
    owners, values, counts = np.empty(total, np.int32), np.empty(total, np.int32), np.empty(total, np.int64)
    first = 0
    while parts:
        owner, place, times = parts.pop(0)
        use = enough[place]
        last = first + int(np.count_nonzero(use))
        owners[first:last], values[first:last], counts[first:last] = owner[use], dense[place[use]], times[use]
        first = last
    return owners, values, counts, label[enough]


def _placed(found: _Found, label: U64) -> tuple[Codes, Codes, Codes]:
    """Return account, place in ``label`` and count, by account and place."""
    owner, values, times = found
    place = np.searchsorted(label, values).astype(np.int32)
    order = np.lexsort((place, owner))
    return owner[order], place[order], times[order]
