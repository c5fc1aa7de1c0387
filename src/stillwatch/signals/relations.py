"""Relational steps over stored fingerprints: the same Ibis expressions on every engine, no function of ours inside.

One machine counts habits with kernels over postings (:mod:`.postings`), which cost a fraction of this
(docs/spark.md); a cluster counts them where the rows are, and the driver gets the pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.signals.postings import STACK_KINDS
from stillwatch.signals.traits import FEW_EXCHANGES, Incidence


def content_habits(exchanges: Any, *, min_holders: int = 5) -> Any:
    """Return the pairs of :func:`~stillwatch.signals.traits.content_traits`: ``account_id``, ``hash`` and ``n``.

    ``exchanges`` is an Ibis table with ``account_id`` and ``sketch``; ``n`` counts the account's uses of the hash. A
    habit is a hash used twice, or once by an account of four exchanges at most; it is kept when ``min_holders``
    accounts have it. A hash's kind is in its top four bits, whether the engine takes it as signed or not.

    >>> import ibis
    >>> from stillwatch.signals.sketch import Kind
    >>> rows = {"account_id": ["a", "b"], "sketch": [[int(Kind.HEAD) << 60], [int(Kind.HEAD) << 60]]}
    >>> found = content_habits(ibis.memtable(rows, schema={"account_id": "string", "sketch": "array<uint64>"}))
    >>> found.columns, int(found.count().to_pyarrow().as_py())
    (('account_id', 'hash', 'n'), 0)
    """
    used = exchanges.select("account_id", hash=exchanges.sketch.unnest())
    used = used.filter(((used.hash >> 60) & 15).isin([int(kind) for kind in STACK_KINDS]))
    pairs = used.group_by("account_id", "hash").agg(n=used.count())
    volume = exchanges.group_by("account_id").agg(volume=exchanges.count())
    known = pairs.inner_join(volume, "account_id")
    habits = known.filter((known.n >= 2) | (known.volume <= FEW_EXCHANGES)).select("account_id", "hash", "n")
    holders = habits.group_by("hash").agg(holders=habits.count())
    return habits.semi_join(holders.filter(holders.holders >= min_holders), "hash")


def habit_traits(habits: pa.Table, account_ids: pa.Array) -> Incidence:
    """Return the rows of :func:`content_habits` as the traits of accounts, coded as a frame codes them.

    >>> rows = pa.table({"account_id": ["b", "a"], "hash": pa.array([7, 7], pa.uint64()), "n": [2, 3]})
    >>> traits = habit_traits(rows, pa.array(["a", "b"]))
    >>> traits.account.tolist(), traits.count.tolist(), traits.label.tolist()
    ([0, 1], [3, 2], [7])
    """
    owner = np.asarray(pc.index_in(habits["account_id"], value_set=account_ids).to_numpy(), np.int32)
    hashes = np.asarray(habits["hash"].to_numpy()).view(np.uint64)
    label, value = np.unique(hashes, return_inverse=True)
    order = np.lexsort((value, owner))
    start = np.searchsorted(owner[order], np.arange(len(account_ids) + 1)).astype(np.int64)
    count = np.asarray(habits["n"].to_numpy(), np.int64)[order]
    return Incidence(owner[order], value[order].astype(np.int32), count, start, len(label), label)
