"""Open, read and extend a dataset folder.

Writes are all or nothing. A writer stages whole files under ``.staging/``; ``commit`` writes the list of renames and
removals to ``.commit.json`` in one atomic rename (from then on the dataset counts as *after*), carries them out and
removes the list. Whoever opens the dataset next finishes an interrupted commit or drops an interrupted staging, so
nobody sees a state between (a redo log; see docs/decisions/0002-atomic-datasets.md).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.errors import DatasetError
from stillwatch.tables.engines import read_files
from stillwatch.tables.objects import is_object, located
from stillwatch.tables.redo import STAGING, Step, is_locked, publish, recover
from stillwatch.tables.schema import ACCOUNTS, EXCHANGES, LABELS_ACCOUNTS, LABELS_EXCHANGES, LAUNCHES

ROWS_PER_GROUP = 65_536
ROWS_PER_FILE = 16 * ROWS_PER_GROUP
_SMALL = {
    "accounts": ("accounts.parquet", ACCOUNTS),
    "launches": ("launches.parquet", LAUNCHES),
    "label_accounts": ("labels/accounts.parquet", LABELS_ACCOUNTS),
    "label_exchanges": ("labels/exchanges.parquet", LABELS_EXCHANGES),
}


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast a table to a canonical schema: missing nullable columns become null, others are an error.

    Times finer than microseconds are cut. Raises :class:`DatasetError` on a missing required column, an unknown
    column, a null where none may be or a type that does not cast.

    >>> conform(pa.table({"model": ["m"], "released_at": [0]}), LAUNCHES).schema == LAUNCHES
    True
    """
    unknown = [name for name in table.column_names if name not in schema.names]
    if unknown:
        raise DatasetError(f"unknown column {unknown[0]!r}; known: {', '.join(schema.names)}")
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            if not field.nullable:
                raise DatasetError(f"column {field.name!r} is required and missing")
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        if column.type != field.type:
            try:
                column = column.cast(field.type, safe=not pa.types.is_timestamp(field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise DatasetError(f"column {field.name!r} is not {field.type}: {error}") from error
        if not field.nullable and column.null_count:
            raise DatasetError(f"column {field.name!r} is required and has {column.null_count} nulls")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


@dataclass(frozen=True)
class Dataset:
    """A dataset folder, opened for reading. ``origin`` is the dataset that this one was condensed from, if it was.

    With ``first_day`` (YYYY-MM-DD) exchanges of earlier days are left out (:meth:`since`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Dataset.open(folder)
    Traceback (most recent call last):
    stillwatch.errors.DatasetError: ... holds no dataset: neither exchanges/ nor accounts.parquet is there
    >>> row = {"exchange_id": "e1", "account_id": "a", "ts": 0, "model": "m"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with DatasetWriter(folder) as writer:
    ...         writer.add_exchanges(pa.Table.from_pylist([row]))
    ...         writer.commit()
    ...     dataset = Dataset.open(folder)
    ...     dataset.days(), dataset.count_exchanges(), [b.to_pylist() for b in dataset.batches(["model"])]
    (['1970-01-01'], 1, [[{'model': 'm'}]])
    """

    path: Path
    origin: Dataset | None = None
    first_day: str = ""

    @classmethod
    def open(cls, path: str | Path) -> Dataset:
        """Open a dataset, first finishing or dropping what an interrupted writer left; ``s3://…`` is read as it is.

        Raises :class:`DatasetError` when the folder holds none.

        >>> Dataset.open("no-such-folder")
        Traceback (most recent call last):
        stillwatch.errors.DatasetError: no-such-folder holds no dataset: ...
        """
        folder = located(path)
        if not is_object(folder):
            recover(folder)
        dataset = cls(folder)
        if not dataset.exchange_files() and not (folder / "accounts.parquet").exists():
            raise DatasetError(f"{folder} holds no dataset: neither exchanges/ nor accounts.parquet is there")
        return dataset

    @property
    def texts(self) -> Dataset:
        """Return the dataset that holds the text: the one that this was condensed from, or this one.

        >>> condensed = Dataset(Path("kept"), origin=Dataset(Path("data")))
        >>> str(condensed.texts.path), str(condensed.texts.texts.path)
        ('data', 'data')
        """
        return self.origin or self

    @property
    def whole(self) -> Dataset:
        """Return the dataset with the exchanges of all its days.

        >>> Dataset(Path("data"), first_day="2026-01-02").whole.first_day
        ''
        """
        return replace(self, first_day="")

    def since(self, day: date) -> Dataset:
        """Return the dataset without exchanges before a day (UTC); accounts and launches stay.

        Raises :class:`DatasetError` when no exchange is left.

        >>> Dataset(Path("no-such-folder")).since(date(2026, 1, 2))
        Traceback (most recent call last):
        stillwatch.errors.DatasetError: no-such-folder has no exchange from 2026-01-02 on; it has none at all
        """
        rest, days = replace(self, first_day=day.isoformat()), self.days()
        if not rest.exchange_files():
            last = f"the last is of {days[-1]}" if days else "it has none at all"
            raise DatasetError(f"{self.path} has no exchange from {day.isoformat()} on; {last}")
        return rest

    def exchange_files(self) -> list[Path]:
        """Return the Parquet files of exchanges, by day and name.

        >>> Dataset(Path("no-such-folder")).exchange_files()
        []
        """
        files = sorted((self.path / "exchanges").glob("day=*/*.parquet"))
        return [file for file in files if file.parent.name >= f"day={self.first_day}"]

    def days(self) -> list[str]:
        """Return the days that have exchanges, ascending, as YYYY-MM-DD."""
        return sorted({file.parent.name.removeprefix("day=") for file in self.exchange_files()})

    def count_exchanges(self) -> int:
        """Return the number of exchanges, from the Parquet footers alone."""
        return sum(int(pq.read_metadata(file).num_rows) for file in self.exchange_files())

    def exchanges(self, connection: Any) -> Any:
        """Return the exchanges as an Ibis table on a connection from :func:`stillwatch.tables.engines.connect`.

        Columns that the files lack come as typed nulls, so that every reader sees the whole contract.

        >>> Dataset(Path("no-such-folder")).exchanges(None).columns[:3]
        ('exchange_id', 'account_id', 'ts')
        """
        files = [str(file) for file in self.exchange_files()]
        if not files:
            return ibis.memtable(EXCHANGES.empty_table())
        return read_files(connection, files, EXCHANGES)

    def batches(self, columns: list[str], *, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Yield record batches of the exchanges, day by day, columns typed as the contract says.

        Rows come in file order; a column that a file lacks comes as nulls.

        >>> list(Dataset(Path("no-such-folder")).batches(["model"]))
        []
        """
        schema = pa.schema([EXCHANGES.field(name) for name in columns])
        for file in self.exchange_files():
            parquet = pq.ParquetFile(file)
            there = [name for name in columns if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(batch_size=rows, columns=there):
                table = conform(pa.Table.from_batches([batch]), schema)
                yield from table.combine_chunks().to_batches()

    def accounts(self) -> pa.Table:
        """Return the accounts table, in the contract's columns; empty when there is none.

        Raises :class:`DatasetError` when the file is not readable Parquet or breaks the contract.

        >>> Dataset(Path("no-such-folder")).accounts().schema == ACCOUNTS
        True
        """
        return self._small("accounts")

    def launches(self) -> pa.Table:
        """Return the model launches; empty when there are none. Raises as :meth:`accounts` does.

        >>> Dataset(Path("no-such-folder")).launches().column_names
        ['model', 'released_at']
        """
        return self._small("launches")

    def labels(self) -> tuple[pa.Table, pa.Table]:
        """Return the truth (accounts, exchanges); only ``evaluate``, erasure, tests and benchmarks may call this.

        >>> [len(table) for table in Dataset(Path("no-such-folder")).labels()]
        [0, 0]
        """
        return self._small("label_accounts"), self._small("label_exchanges")

    def _small(self, name: str) -> pa.Table:
        file, schema = _SMALL[name]
        path = self.path / file
        if not path.exists():
            return schema.empty_table()
        try:
            table = pq.ParquetFile(path).read()
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(f"{path} is not a readable Parquet file: {error}") from error
        return conform(table.select([n for n in table.column_names if n in schema.names]), schema)


@dataclass
class _Part:
    """A file of exchanges of one day that is being written."""

    file: Path
    writer: pq.ParquetWriter
    rows: int = 0


class DatasetWriter:
    """Extend a dataset; nothing is seen before :meth:`commit`, and leaving the ``with`` block early drops all.

    >>> import tempfile
    >>> from datetime import datetime, timezone
    >>> row = {"exchange_id": "e1", "account_id": "a", "ts": datetime(2026, 1, 2, tzinfo=timezone.utc), "model": "m"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with DatasetWriter(folder) as writer:
    ...         writer.add_exchanges(pa.Table.from_pylist([row]))
    ...         writer.commit()
    ...     Dataset.open(folder).days()
    ['2026-01-02']
    """

    def __init__(self, path: str | Path) -> None:
        """Open the folder for writing, making it when needed; one writer at a time."""
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        recover(self.path)
        if is_locked(self.path):
            raise DatasetError(f"{self.path} is being written by another run")
        self._staging = self.path / STAGING
        self._staging.mkdir()
        (self._staging / "pid").write_text(str(os.getpid()))
        self._steps: list[Step] = []
        self._open: dict[str, _Part] = {}
        self._parts = 0
        self._done = False

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._done:
            self.abandon()

    def add_exchanges(self, table: pa.Table) -> None:
        """Stage rows, split by the UTC day of ``ts``; a day's rows are kept in the order they come, file by file.

        Duplicate ids are the caller's matter: the writer stores what it is given.

        Raises :class:`DatasetError` as :func:`conform` does.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, DatasetWriter(folder) as writer:
        ...     writer.add_exchanges(pa.table({"exchange_id": ["e"]}))
        Traceback (most recent call last):
        stillwatch.errors.DatasetError: column 'account_id' is required and missing
        """
        table = conform(table, EXCHANGES)
        days = pc.floor_temporal(table.column("ts"), unit="day")
        found = pc.unique(days).sort()
        for moment, day in zip(found, pc.strftime(found, format="%Y-%m-%d").to_pylist(), strict=True):
            part = table.filter(pc.equal(days, moment)) if len(found) > 1 else table
            if day not in self._open:
                file = self._staging / f"{day}-{self._parts}.parquet"
                writer = pq.ParquetWriter(file, EXCHANGES, compression="zstd", compression_level=3)
                self._open[day] = _Part(file, writer)
                self._parts += 1
            self._open[day].writer.write_table(part, row_group_size=ROWS_PER_GROUP)
            self._open[day].rows += part.num_rows
            if self._open[day].rows >= ROWS_PER_FILE:
                self._close(day)

    def set_accounts(self, table: pa.Table) -> None:
        """Replace the accounts table; raises :class:`DatasetError` as :func:`conform` does.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with DatasetWriter(folder) as writer:
        ...         writer.set_accounts(pa.table({"account_id": ["a"], "created_at": [0]}))
        ...         writer.commit()
        ...     Dataset.open(folder).accounts()["account_id"].to_pylist()
        ['a']
        """
        self._set("accounts", table)

    def set_launches(self, table: pa.Table) -> None:
        """Replace the launches table; raises :class:`DatasetError` as :func:`conform` does.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, DatasetWriter(folder) as writer:
        ...     writer.set_launches(pa.table({"model": ["m"]}))
        Traceback (most recent call last):
        stillwatch.errors.DatasetError: column 'released_at' is required and missing
        """
        self._set("launches", table)

    def set_labels(self, accounts: pa.Table, exchanges: pa.Table | pa.RecordBatchReader) -> None:
        """Replace the truth; only ``simulate`` and benchmarks may call this. Raises as :func:`conform` does.

        A reader is written batch by batch, each as a row group, so that the whole is never in memory.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, DatasetWriter(folder) as writer:
        ...     writer.set_labels(pa.table({"account_id": ["a"]}), LABELS_EXCHANGES.empty_table())
        Traceback (most recent call last):
        stillwatch.errors.DatasetError: column 'population' is required and missing
        """
        self._set("label_accounts", accounts)
        self._set("label_exchanges", exchanges)

    def add_file(self, target: str, content: bytes) -> None:
        """Stage any other file of the dataset (rejects, coverage), named by its path inside the folder.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with DatasetWriter(folder) as writer:
        ...         writer.add_file("rejects/a.ndjson", b"")
        ...         writer.commit()
        ...     [file.name for file in Path(folder).glob("rejects/*")]
        ['a.ndjson']
        """
        staged = self._staging / target.replace("/", "__")
        staged.write_bytes(content)
        self._rename(staged, target)

    def remove(self, target: str) -> None:
        """Stage the removal of a file of the dataset, named by its path inside the folder.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "old").touch()
        ...     with DatasetWriter(folder) as writer:
        ...         writer.remove("old")
        ...         writer.commit()
        ...     list(Path(folder).iterdir())
        []
        """
        self._steps.append((None, target))

    def commit(self) -> None:
        """Make everything staged visible, all or nothing; the writer is done after it."""
        for day in sorted(self._open):
            self._close(day)
        publish(self.path, self._steps)
        self._done = True
        (self._staging / "pid").unlink()
        recover(self.path)

    def abandon(self) -> None:
        """Drop everything staged; the dataset stays as it was.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     DatasetWriter(folder).abandon()
        ...     list(Path(folder).iterdir())
        []
        """
        for part in self._open.values():
            part.writer.close()
        shutil.rmtree(self._staging, ignore_errors=True)
        self._done = True

    def _set(self, name: str, table: pa.Table | pa.RecordBatchReader) -> None:
        target, schema = _SMALL[name]
        staged = self._staging / f"{name}.parquet"
        parts = [table] if isinstance(table, pa.Table) else (pa.Table.from_batches([batch]) for batch in table)
        with pq.ParquetWriter(staged, schema, compression="zstd", compression_level=3) as writer:
            for part in parts:
                writer.write_table(conform(part, schema))
        self._rename(staged, target)

    def _close(self, day: str) -> None:
        part = self._open.pop(day)
        part.writer.close()
        self._rename(part.file, f"exchanges/day={day}/part-{_digest(part.file)}.parquet")

    def _rename(self, staged: Path, target: str) -> None:
        self._steps = [step for step in self._steps if step[1] != target]
        self._steps.append((str(staged.relative_to(self.path)), target))


def _digest(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]
