"""Habits: which hashes accounts use again and again, gathered from postings a range of hashes at a time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from stillwatch.signals.characters import U8
from stillwatch.signals.columns import U64, Codes, Ints, rested, room
from stillwatch.signals.compiled import lean, whole
from stillwatch.signals.postings import STACK_KINDS, Places, Postings
from stillwatch.tables.threads import mapped

_LAST_STACK = np.uint64((int(max(STACK_KINDS)) + 1 << 60) - 1)
_MOST_AT_ONCE = 1 << 24  # uses
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
Mask = npt.NDArray[np.bool_]
U32 = npt.NDArray[np.uint32]


def habits_of(
    parts: Iterable[tuple[Places, Postings]], account: Codes, few: Mask, least: int
) -> tuple[Codes, Codes, Codes, U64]:
    """Return account, value (a place in the label), count and label of account × hash pairs, by account and hash.

    ``parts`` gives of each piece the place of its rows in ``account``, and their postings, as often as it is gone
    through. There are all pairs that occur twice, or once in an account of the mask ``few``, of hashes that at least
    ``least`` accounts so hold, and no others. The label is ascending. Memory follows what is found: uses are looked at
    a range of hashes at a time.

    >>> from stillwatch.signals.columns import Ragged
    >>> held = Postings.of(Ragged(np.array([0, 2, 3]), np.array([5, 9, 5], np.uint64)))
    >>> account, few = np.array([0, 1], np.int32), np.ones(2, bool)
    >>> owner, value, count, label = habits_of([(np.arange(2), held)], account, few, 2)
    >>> owner.tolist(), label[value].tolist(), count.tolist()
    ([0, 1], [5, 5], [1, 1])
    """
    whose = _by_piece(parts, account)

    def looked(ends: tuple[np.uint64, np.uint64]) -> tuple[Codes, Codes, Codes, U64]:
        mine = [(owner, held.within(*ends)) for owner, (_, held) in zip(whose, parts, strict=True)]
        label, start, uses = _crowded(mine, least)
        owner, place, count, kept = _repeated(uses, start, few, least)
        return owner, place, count, label[kept]

    owners, holders, counts, labels = [], [], [], [np.zeros(0, np.uint64)]
    for owner, place, count, label in mapped(_ranges(held for _, held in parts), looked):
        owners.append(owner)
        holders.append(np.bincount(place, minlength=len(label)))
        counts.append(count)
        labels.append(label)
    return *_by_account(owners, holders, counts, len(few)), np.concatenate(labels)


def _by_piece(parts: Iterable[tuple[Places, Postings]], account: Codes) -> list[Codes]:
    """Return the account of each piece's rows: they are looked at for every range of hashes, and lie far apart."""
    whose, every, first = room(len(account), np.int32), list[Codes](), 0
    for rows, _ in parts:
        every.append(whose[first : first + len(rows)])
        every[-1][:] = account[rows]
        first += len(rows)
    return every


def _ranges(held: Iterable[Postings]) -> list[tuple[np.uint64, np.uint64]]:
    """Cut the hashes that say how prompts are built into ranges, ends included, of about ``_MOST_AT_ONCE`` uses."""
    step = max(1, _MOST_AT_ONCE // 64)
    cuts = [np.zeros(0, np.uint64)]
    for one in held:
        at = np.searchsorted(one.start, np.arange(step, int(one.start[-1]) + 1, step), "left") - 1
        cuts.append(one.values[at])
    edges = np.unique(np.sort(np.concatenate(cuts))[63::64])
    edges = edges[edges < _LAST_STACK]
    return list(zip([np.uint64(0), *(edges + np.uint64(1))], [*edges, _LAST_STACK], strict=True))


def _crowded(mine: list[tuple[Codes, Postings]], least: int) -> tuple[U64, Ints, Codes]:
    """Return the hashes that may have ``least`` holders, and the account of every use of each, hash by hash.

    ``mine`` is the account of each of a piece's rows, and its postings.
    """
    size = max(10, int(np.ceil(np.log2(1 + sum(len(held.values) for _, held in mine)))) + 1)
    cells = np.zeros(1 << size, np.uint8)
    for _, held in mine:
        _add_uses(held.values, held.start, cells, size)
    chosen = [_often(held.values, cells, size, min(least, 255)) for _, held in mine]
    label = _distinct(np.concatenate([held.values[at] for (_, held), at in zip(mine, chosen, strict=True)]))
    places = [np.searchsorted(label, held.values[at]) for (_, held), at in zip(mine, chosen, strict=True)]
    start = np.zeros(len(label) + 1, np.int64)
    for (_, held), at, place in zip(mine, chosen, places, strict=True):
        start[1:][place] += held.start[at + 1] - held.start[at]
    np.cumsum(start, out=start)
    uses, cursor = np.empty(int(start[-1]), np.int32), start[:-1].copy()
    for (owner, held), at, place in zip(mine, chosen, places, strict=True):
        _gather_uses(held.start, held.rows, at, place, owner, cursor, uses)
    return label, start, uses


def _distinct(values: U64) -> U64:
    """Return the distinct values, ascending; by sorting, which is many times as fast as NumPy's table of hashes."""
    values.sort()
    return values[np.concatenate(([True], values[1:] != values[:-1]))[: len(values)]]


@lean
def _add_uses(values: U64, start: Codes, cells: U8, size: int) -> None:
    """Add the uses of each hash to its counter, which stops at 255 and errs towards more."""
    for k in range(len(values)):
        at = whole((values[k] * _GOLDEN) >> np.uint64(64 - size))
        cells[at] = np.uint8(min(255, whole(cells[at]) + start[k + 1] - start[k]))


def _often(values: U64, cells: U8, size: int, least: int) -> Ints:
    wanted = np.empty(len(values), np.bool_)
    _mark_often(values, cells, size, least, wanted)
    return np.flatnonzero(wanted)


@lean
def _mark_often(values: U64, cells: U8, size: int, least: int, wanted: Mask) -> None:
    for k in range(len(values)):
        wanted[k] = cells[whole((values[k] * _GOLDEN) >> np.uint64(64 - size))] >= least


@lean
def _gather_uses(start: Codes, rows: U32, at: Ints, place: Ints, account: Codes, cursor: Ints, uses: Codes) -> None:
    """Write the accounts of the rows of the chosen hashes behind what their places have already."""
    for i in range(len(at)):
        n = cursor[place[i]]
        for k in range(start[at[i]], start[at[i] + 1]):
            uses[n] = account[rows[k]]
            n += 1
        cursor[place[i]] = n


def _repeated(uses: Codes, start: Ints, few: Mask, least: int) -> tuple[Codes, Codes, Codes, Mask]:
    """Return account, place and count of the habits among the uses, and which hashes enough accounts hold."""
    place, count, kept = np.empty(len(uses), np.int32), np.empty(len(uses), np.int32), np.empty(len(start) - 1, bool)
    n = _count_habits(uses, start, few, least, np.zeros(len(few), np.int32), (place, count, kept))
    return uses[:n].copy(), place[:n].copy(), count[:n].copy(), kept


@lean
def _count_habits(
    uses: Codes, start: Ints, few: Mask, least: int, times: Codes, found: tuple[Codes, Codes, Mask]
) -> int:
    """Write accounts to the front of ``uses``, which is read before; return how many pairs there are."""
    place, count, kept = found
    n, dense = 0, 0
    for h in range(len(start) - 1):
        first = n
        for k in range(start[h], start[h + 1]):
            times[uses[k]] += 1
        for k in range(start[h], start[h + 1]):
            account = uses[k]
            if times[account] >= (1 if few[account] else 2):
                uses[n], place[n], count[n] = account, dense, times[account]
                n += 1
            times[account] = 0
        kept[h] = n - first >= least
        if kept[h]:
            dense += 1
        else:
            n = first
    return n


def _by_account(owners: list[Codes], holders: list[Ints], counts: list[Codes], n: int) -> tuple[Codes, Codes, Codes]:
    """Put pairs that come by hash, ``holders`` of each, in the order of their accounts; use up the parts."""
    size = np.zeros(n + 1, np.int64)
    for owner in owners:
        size[1:] += np.bincount(owner, minlength=n)
    start = np.cumsum(size)
    value, count, cursor = np.empty(start[-1], np.int32), np.empty(start[-1], np.int32), start[:-1].copy()
    first = 0
    while owners:
        _deal(owners.pop(0), holders[0], counts.pop(0), first, (cursor, value, count))
        first += len(holders.pop(0))
    return rested(np.repeat(np.arange(n, dtype=np.int32), size[1:])), rested(value), rested(count)


@lean
def _deal(owner: Codes, holders: Ints, count: Codes, first: int, to: tuple[Ints, Codes, Codes]) -> None:
    cursor, values, counts = to
    k = 0
    for place in range(len(holders)):
        for _ in range(holders[place]):
            at = cursor[owner[k]]
            values[at], counts[at] = first + place, count[k]
            cursor[owner[k]] = at + 1
            k += 1
