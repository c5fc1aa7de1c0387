"""A score for every account: whose group it is nearest to, and how near."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from stillwatch.campaigns.fleets import FLEET_ROUTE
from stillwatch.cases.folder import TABLES
from stillwatch.cases.record import Recorded
from stillwatch.linkage.space import Space


def score_table(recorded: list[Recorded], space: Space) -> pa.Table:
    """Return ``scores.parquet``: every account's nearest reported group and its log odds of belonging there, in nats.

    Members have odds above even and others below, whatever rule kept an account out. Groups without a fitted profile
    (one owner's fleet) are left out; no group, no rows.

    >>> table = score_table([example_recorded()], example_space())
    >>> len(table) == example_space().frame.n_accounts, max(table["log_odds"].to_pylist()) > 0
    (True, True)
    """
    schema = pa.schema(list(TABLES["scores"].items()))
    fitted = [one for one in recorded if one.judged.found.seed.candidate.route != FLEET_ROUTE]
    if not fitted:
        return schema.empty_table()
    odds = np.stack([one.judged.found.profile.odds() for one in fitted])
    for row, one in zip(odds, fitted, strict=True):
        inside = np.zeros(space.frame.n_accounts, bool)
        inside[one.judged.found.members] = True
        row[:] = np.where(inside, np.maximum(row, 0.0), np.minimum(row, -0.01))
    best = odds.argmax(axis=0)
    ids = pa.array([one.lineage.campaign_id for one in fitted], pa.string())
    nats = np.round(odds[best, np.arange(odds.shape[1])], 4)
    return pa.table([space.frame.account_ids, ids.take(pa.array(best)), nats], schema=schema)
