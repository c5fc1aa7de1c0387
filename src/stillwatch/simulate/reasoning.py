"""Opaque reasoning references: given out with an answer, sent back in the next turn, or replayed elsewhere.

A client that keeps reasoning sends the reference of its last answer along. Published incidents used references of one
conversation in another one, of another account (docs/simulate.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.simulate.chance import Keys, hex_names, mix, unit

_RESUMED = 0.03  # of sessions that go on from an earlier one of the same account: resume, fork, compaction


def references(ids: pa.Array | pa.ChunkedArray) -> list[str]:
    """Return the reference that each exchange's answer comes with.

    >>> references(pa.array(["ex_00000000000000ff"]))[0][:4]
    'rsn_'
    """
    return [f"rsn_{name}" for name in hex_names(mix(_numbers(ids), "reasoning"))]


def carried_on(table: pa.Table, share: float, owners: pa.Array | None = None) -> pa.Array:
    """Return the reference that each exchange sends back: the one of the turn before, in a ``share`` of the sessions.

    Now and then a session begins with the last reference of an earlier one: resume, fork, compaction. ``owners`` names
    for each row who runs the account; accounts of one owner hand conversations over as one account does. Columns
    ``exchange_id``, ``account_id``, ``session_id`` and ``ts`` are read; null where nothing is sent back.

    >>> turns = {"exchange_id": ["ex_01", "ex_02"], "account_id": ["a"] * 2, "session_id": ["s_1"] * 2, "ts": [1, 2]}
    >>> carried_on(pa.table(turns), 1.0).null_count
    1
    """
    table = table.select(["exchange_id", "session_id", "ts"]).append_column("owner", owners or table["account_id"])
    order = pc.sort_indices(table, [("owner", "ascending"), ("ts", "ascending")]).to_numpy()
    rows = table.take(order)
    owner = rows["owner"].combine_chunks().dictionary_encode().indices.to_numpy()
    session = rows["session_id"].combine_chunks().fill_null("s_0").dictionary_encode()
    keys = _numbers(session.dictionary)[session.indices.to_numpy()]
    known = rows["session_id"].is_valid().to_numpy()
    resumed = unit(mix(_numbers(rows["exchange_id"]), "resumed")) < _RESUMED
    after = (owner[1:] == owner[:-1]) & known[1:] & known[:-1] & (unit(mix(keys, "keeps"))[1:] < share)
    after &= (keys[1:] == keys[:-1]) | resumed[1:]
    found, given = np.full(table.num_rows, None, object), np.array(references(rows["exchange_id"]), object)
    found[order[1:][after]] = given[:-1][after]
    return pa.array(found.tolist(), pa.string())


def _numbers(ids: pa.Array | pa.ChunkedArray) -> Keys:
    return np.array([int(text.rpartition("_")[2], 16) for text in ids.to_pylist()], np.uint64)


@dataclass
class Vault:
    """What a campaign was given lately: times, accounts and references, of today and the day before."""

    days: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)

    def keep(self, table: pa.Table) -> None:
        """Add a day's exchanges; what is older than the day before is dropped."""
        given = np.array(references(table["exchange_id"]), object)
        accounts = np.array(table["account_id"].to_pylist(), object)
        self.days = [*self.days[-1:], (table["ts"].cast(pa.int64()).to_numpy(), accounts, given)]

    def replayed(self, table: pa.Table) -> pa.Array:
        """Return for each exchange a reference that another account was given before it; null when there is none."""
        if not self.days:
            return pa.nulls(table.num_rows, pa.string())
        ts, accounts, given = (np.concatenate(parts) for parts in zip(*self.days, strict=True))
        order = np.argsort(ts, kind="stable")
        ts, accounts, given = ts[order], accounts[order], given[order]
        now = table["ts"].cast(pa.int64()).to_numpy()
        before = np.searchsorted(ts, now)
        found = np.full(table.num_rows, None, object)
        keys, own = _numbers(table["exchange_id"]), np.array(table["account_id"].to_pylist(), object)
        free = np.ones(table.num_rows, bool)
        for attempt in range(6):
            recent = np.minimum(before, 400)
            place = before - 1 - (unit(mix(keys, attempt, "which")) * recent).astype(np.int64)
            good = (before > 0) & free & (accounts[np.maximum(place, 0)] != own)
            found[good], free = given[place[good]], free & ~good
        return pa.array(found.tolist(), pa.string())
