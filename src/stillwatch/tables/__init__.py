"""The canonical tables: the only thing that writers (ingest, simulate) and readers (signals …) share.

A dataset is a folder: ``exchanges/day=YYYY-MM-DD/*.parquet``, ``accounts.parquet``, optional
``launches.parquet`` and, from the simulator only, ``labels/``. Times are UTC microseconds. Absent evidence is
null, never 0 or "".
"""

from stillwatch.tables.schema import ACCOUNTS, EXCHANGES, LABELS_ACCOUNTS, LABELS_EXCHANGES, LAUNCHES
from stillwatch.tables.store import Dataset, DatasetWriter

__all__ = [
    "ACCOUNTS",
    "EXCHANGES",
    "LABELS_ACCOUNTS",
    "LABELS_EXCHANGES",
    "LAUNCHES",
    "Dataset",
    "DatasetWriter",
]
