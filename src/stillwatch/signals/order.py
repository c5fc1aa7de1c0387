"""The order of a frame: every exchange's place when all are sorted by account, time and id.

Files come by day, so within an account the rows are nearly always in time order already: the rows are dealt out to
their accounts in one pass, and only an account whose times do not ascend is sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import DatasetError
from stillwatch.signals.characters import U8
from stillwatch.signals.columns import U64, Codes, Ints
from stillwatch.signals.compiled import compiled
from stillwatch.signals.hashing import SEED, chain, finish
from stillwatch.signals.sketch import spans


def ordered(owner: Codes, ts: Ints, n_accounts: int, ids: Callable[[Ints], pa.Array]) -> tuple[Ints, Ints]:
    """Return the rows in the order of account, time and id, and where each account starts (n_accounts + 1).

    ``owner`` is the account and ``ts`` the time of each row; ``ids(rows)`` gives the ids of some rows, and is asked
    only for rows of one account and one time.

    >>> order, start = ordered(np.array([1, 0, 1], np.int32), np.array([5, 9, 3]), 2, lambda rows: None)
    >>> order.tolist(), start.tolist()
    ([1, 2, 0], [0, 1, 3])
    """
    start = np.zeros(n_accounts + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=n_accounts), out=start[1:])
    order, tied = np.empty(len(owner), np.int64), np.zeros(len(owner), bool)
    _deal(owner, ts, start, order, tied)
    at = np.flatnonzero(tied)
    if len(at):
        rows = order[at]
        rank = pc.rank(ids(rows), tiebreaker="first").to_numpy()
        order[at] = rows[np.lexsort((rank, ts[rows], owner[rows]))]
    return order, start


@compiled
def _deal(owner: Codes, ts: Ints, start: Ints, order: Ints, tied: npt.NDArray[np.bool_]) -> None:
    """Write the rows account by account, each account's by time; mark those whose time is not their own."""
    cursor = start[:-1].copy()
    for row in range(len(owner)):
        order[cursor[owner[row]]] = row
        cursor[owner[row]] += 1
    for account in range(len(start) - 1):
        first, last = start[account], start[account + 1]
        for k in range(first + 1, last):
            if ts[order[k]] < ts[order[k - 1]]:
                mine = order[first:last].copy()
                order[first:last] = mine[np.argsort(ts[mine], kind="mergesort")]
                break
        for k in range(first + 1, last):
            if ts[order[k]] == ts[order[k - 1]]:
                tied[k] = tied[k - 1] = True


def hashed(texts: pa.Array) -> U64:
    """Return a 64-bit hash of each string's bytes, 0 where a text is null or empty.

    >>> hashed(pa.array(["a", None, "", "a"])).tolist()[1:3], len(set(hashed(pa.array(["a", "b", "a"])).tolist()))
    ([0, 0], 2)
    """
    data, starts, ends = spans(texts)
    out = np.empty(len(starts), np.uint64)
    _hash_bytes(data, starts, ends, out)
    return out


@compiled
def _hash_bytes(data: U8, starts: Ints, ends: Ints, out: U64) -> None:
    for row in range(len(out)):
        h = SEED
        word = np.uint64(0)
        for k in range(starts[row], ends[row]):
            word = (word << np.uint64(8)) | np.uint64(data[k])
            if (k - starts[row]) & 7 == 7:
                h = chain(h, word)
                word = np.uint64(0)
        h = finish(chain(chain(h, word), np.uint64(ends[row] - starts[row])))
        out[row] = 0 if ends[row] == starts[row] else max(h, np.uint64(1))


def demand_distinct(ids: Callable[[], Iterable[pa.Array]], rows: int) -> None:
    """Raise :class:`DatasetError` when an id occurs twice; ``ids()`` gives all of them, array after array.

    Hashes are compared first (eight bytes an id), and the ids themselves where two hashes are equal.

    >>> demand_distinct(lambda: [pa.array(["a", "b"]), pa.array(["a"])], 3)
    Traceback (most recent call last):
    stillwatch.errors.DatasetError: 1 exchange ids occur more than once, such as 'a'
    """
    seen = np.empty(rows, np.uint64)
    first = 0
    for part in ids():
        seen[first : first + len(part)] = hashed(part)
        first += len(part)
    seen.sort()
    twice = np.unique(seen[1:][seen[1:] == seen[:-1]])
    if not len(twice):
        return
    kept = [part.filter(pa.array(np.isin(hashed(part), twice))) for part in ids()]
    counts = pc.value_counts(pa.chunked_array(kept))
    often = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(often):
        example = often.field("values")[0].as_py()
        raise DatasetError(f"{len(often):,} exchange ids occur more than once, such as {example!r}")
