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
from stillwatch.signals.columns import U64, Again, Codes, Ints, Lists, Ragged, rested, room
from stillwatch.signals.compiled import lean, whole
from stillwatch.signals.sketch import Kind
from stillwatch.tables.threads import mapped

STACK_KINDS = (Kind.SHINGLE, Kind.SYSTEM, Kind.TOOL, Kind.HEAD, Kind.TAIL, Kind.SYSTEM_ID, Kind.TOOLSET)
POSTED_KINDS = (*STACK_KINDS, Kind.WORD)
_LAST_STACK = np.uint64((int(max(STACK_KINDS)) + 1 << 60) - 1)
SCHEMA = pa.schema({"hash": pa.uint64(), "rows": pa.list_(pa.uint32())})
_MOST_AT_ONCE = 1 << 24
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


def habits_of(
    parts: Iterable[tuple[Places, Postings]], account: Codes, few: Mask, least: int
) -> tuple[Codes, Codes, Codes, U64]:
    """Return account, value (a place in the label), count and label of account × hash pairs, by account and hash.

    ``parts`` gives of each piece the place of its rows in ``account``, and their postings, as often as it is gone
    through. There are all pairs that occur twice, or once in an account of the mask ``few``, of hashes that at least
    ``least`` accounts so hold, and no others. The label is ascending. Memory follows what is found: uses are looked at
    a range of hashes at a time.

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
