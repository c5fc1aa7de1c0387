"""Where engines are named, and nowhere else: the connection that Ibis expressions run on."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import ibis


def connect(*, threads: int | None = None, memory_limit: str | None = None) -> Any:
    """Open an in-process DuckDB connection for Ibis: spilling to disk, order of rows not kept.

    Instants leave as epoch microseconds (``epoch_us``): DuckDB's time-zone extension is not always there, and
    integers mean the same on every engine.

    ``threads`` defaults to the processors of this machine; ``memory_limit`` is DuckDB's, such as ``"2GB"``.

    >>> connect(threads=1).list_tables()
    []
    """
    settings: dict[str, Any] = {
        "threads": threads or os.cpu_count() or 1,
        "temp_directory": tempfile.gettempdir(),
        "preserve_insertion_order": False,
    }
    if memory_limit is not None:
        settings["memory_limit"] = memory_limit
    return ibis.duckdb.connect(**settings)
