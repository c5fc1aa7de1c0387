"""What campaigns took: the exchanges of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from stillwatch.cases.folder import TABLES
from stillwatch.cases.record import Recorded
from stillwatch.linkage.space import Space


def exchange_table(recorded: Sequence[Recorded], space: Space) -> pa.Table:
    """Return the rows of ``campaign_exchanges.parquet``: exchanges with probability of at least ½.

    Campaign by campaign, as they come, each in the order of ids, which are read once for all.

    >>> from types import SimpleNamespace
    >>> found = SimpleNamespace(split=SimpleNamespace(rows=np.array([0, 2]), probability=np.array([0.9, 0.1])))
    >>> recorded = SimpleNamespace(judged=SimpleNamespace(found=found), lineage=SimpleNamespace(campaign_id="SW-1"))
    >>> frame = SimpleNamespace(exchange_ids=pa.array(["e1", "e2", "e3"]))
    >>> exchange_table([recorded], SimpleNamespace(frame=frame)).to_pylist()
    [{'campaign_id': 'SW-1', 'exchange_id': 'e1', 'probability': 0.9}]
    """
    splits = [one.judged.found.split for one in recorded]
    rows = [split.rows[split.probability >= 0.5] for split in splits]
    ids = space.frame.exchange_ids.take(pa.array(np.concatenate([np.zeros(0, np.int64), *rows])))
    tables, first = [], 0
    for one, split, mine in zip(recorded, splits, rows, strict=True):
        table = {
            "campaign_id": pa.repeat(pa.scalar(one.lineage.campaign_id, pa.string()), len(mine)),
            "exchange_id": ids.slice(first, len(mine)),
            "probability": np.round(split.probability[split.probability >= 0.5], 6),
        }
        tables.append(pa.table(table).sort_by("exchange_id"))
        first += len(mine)
    schema = pa.schema(list(TABLES["campaign_exchanges"].items()))
    return pa.concat_tables([schema.empty_table(), *(table.cast(schema) for table in tables)])
