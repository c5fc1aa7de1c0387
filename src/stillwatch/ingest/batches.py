"""Rows on their way to the dataset: gathered column by column, then one Arrow table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import ConfigError
from stillwatch.ingest.columns import Columns
from stillwatch.ingest.reader import Cells, Record
from stillwatch.tables import EXCHANGES
from stillwatch.tables.schema import FINGERPRINT_COLUMNS, TEXT_COLUMNS

Fingerprint = Callable[[pa.Table], pa.Table]
MAX_ROWS = 65_536
MAX_BYTES = 64 << 20


class Batch:
    """Rows of the contract, column by column, until there are enough of them.

    >>> batch = Batch()
    >>> cells = {"exchange_id": ("e", ""), "account_id": ("a", ""), "ts": (1767225600000000, ""), "model": ("m", "")}
    >>> batch.add(cells, Record(None, "a.jsonl", 1))
    >>> batch.table().select(["exchange_id", "source", "source_line"]).to_pylist()
    [{'exchange_id': 'e', 'source': 'a.jsonl', 'source_line': 1}]
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.rows, self.bytes = 0, 0
        self._columns: dict[str, list[Any]] = {name: [] for name in EXCHANGES.names}

    def add(self, cells: Cells, record: Record) -> None:
        """Add a finished row; ``source`` and ``source_line`` come from its record."""
        for name, column in self._columns.items():
            cell = cells.get(name)
            column.append(cell[0] if cell is not None else None)
        self._columns["source"][-1] = record.source
        self._columns["source_line"][-1] = record.line
        self.rows += 1
        for name in TEXT_COLUMNS:
            if name in cells:
                self.bytes += len(str(cells[name][0]))

    def extend(self, columns: Columns, rows: int) -> None:
        """Add finished rows, column by column."""
        for name, held in self._columns.items():
            held.extend(columns[name].values if name in columns else [None] * rows)
        self.rows += rows
        for name in TEXT_COLUMNS:
            if name in columns:
                self.bytes += sum(map(len, filter(None, columns[name].values)))

    def is_full(self) -> bool:
        """Say whether it is time to write: enough rows, or enough text."""
        return self.rows >= MAX_ROWS or self.bytes >= MAX_BYTES

    def table(self) -> pa.Table:
        """Return the rows as a table of the contract."""
        arrays = [pa.array(self._columns[field.name], field.type) for field in EXCHANGES]
        return pa.Table.from_arrays(
            [a.combine_chunks() if isinstance(a, pa.ChunkedArray) else a for a in arrays], schema=EXCHANGES
        )


def without_content(table: pa.Table, fingerprint: Fingerprint | None) -> pa.Table:
    """Return the table with fingerprints in place of text.

    Rows that come without text keep the fingerprints they brought. Raises :class:`ConfigError` without a
    fingerprint function: text would be lost for nothing.

    >>> table = pa.table({"prompt_text": ["Hi"], "capability": pa.array([None], pa.uint8())})
    >>> without_content(table, lambda t: t.set_column(1, "capability", pa.array([3], pa.uint8()))).to_pylist()
    [{'prompt_text': None, 'capability': 3}]
    """
    if fingerprint is None:
        raise ConfigError("content-free ingest needs a fingerprint function")
    made = fingerprint(table)
    had_text = None
    for name in TEXT_COLUMNS:
        if name in table.column_names:
            there = table.column(name).is_valid()
            had_text = there if had_text is None else pc.or_(had_text, there)
    for name in table.column_names:
        position = made.column_names.index(name)
        if name in TEXT_COLUMNS:
            made = made.set_column(position, name, pa.nulls(table.num_rows, pa.string()))
        elif name in FINGERPRINT_COLUMNS and had_text is not None:
            field = table.schema.field(name)
            chosen = pc.if_else(had_text, made.column(name).cast(field.type), table.column(name))
            made = made.set_column(position, field, chosen)
    return made
