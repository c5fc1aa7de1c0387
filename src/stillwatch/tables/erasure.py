"""Take accounts, or all exchanges before a day, out of a dataset: all or nothing, and only the files that hold them.

Two steps: :func:`find` reads and says what would go, :func:`erase` writes. Between them whoever keeps copies
(scans, state) can remove theirs, so that an interrupted run can be repeated: the dataset, which alone knows which
exchanges an account had, goes last.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.tables.probes import Probes
from stillwatch.tables.schema import EXCHANGES, TEXT_COLUMNS
from stillwatch.tables.store import ROWS_PER_GROUP, Dataset, DatasetWriter, conform

_ROWS = 8_192
_MOST_TEXTS = 20_000
_LABELS = ("labels/accounts.parquet", "labels/exchanges.parquet")
_NAMES = ("api_key_id", "end_user_id", "session_id")  # columns in which a row may name another account
_LIGHT = ("exchange_id", "account_id", "ts", *_NAMES)


@dataclass(frozen=True)
class Wanted:
    """Whom to forget: account ids as the dataset may hold them, and the day (UTC) before which all goes."""

    accounts: frozenset[str] = frozenset()
    before: date | None = None

    def rows(self, batch: pa.RecordBatch) -> pa.Array:
        """Return which rows of a batch with ``account_id`` and ``ts`` go.

        >>> batch = pa.record_batch({"account_id": ["a", "b"], "ts": pa.array([0, 0], pa.timestamp("us", tz="UTC"))})
        >>> Wanted(frozenset("a")).rows(batch).to_pylist(), Wanted(before=date(1970, 1, 2)).rows(batch).to_pylist()
        ([True, False], [True, True])
        """
        gone = pc.is_in(batch.column("account_id"), value_set=pa.array(sorted(self.accounts), pa.string()))
        if self.before is not None:
            start = datetime(self.before.year, self.before.month, self.before.day, tzinfo=UTC)
            gone = pc.or_(gone, pc.less(batch.column("ts"), pa.scalar(start, EXCHANGES.field("ts").type)))
        return gone


@dataclass
class Found:
    """What goes: rows by file of the dataset, exchange ids, texts to search for, and how many texts there are."""

    rows: dict[str, int] = field(default_factory=dict)
    exchange_ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    texts_in_all: int = 0

    def is_empty(self) -> bool:
        """Say whether the dataset holds nothing of it.

        >>> Found().is_empty()
        True
        """
        return not self.rows

    def probes(self, wanted: Wanted) -> Probes:
        """Return what to search for afterwards.

        >>> sorted(Found(exchange_ids=["e-1"]).probes(Wanted(frozenset("a"))).within(b"e-1, a"))
        [b'a', b'e-1']
        """
        return Probes([*wanted.accounts, *self.exchange_ids], self.texts)


def find(dataset: Dataset, wanted: Wanted) -> Found:
    """Say what :func:`erase` would take out; reads the ids of every file, and the text of those where rows go.

    At most 20,000 texts are kept to search for (``texts_in_all`` counts all).

    >>> find(Dataset(Path("no-such-folder")), Wanted(frozenset("a"))).is_empty()
    True
    """
    found = Found()
    for file in dataset.exchange_files():
        count = sum(pc.sum(_touched(batch, wanted)).as_py() or 0 for batch in _batches(file, _LIGHT))
        for batch in _batches(file, (*_LIGHT, *TEXT_COLUMNS)) if count else ():
            _collect(batch.filter(wanted.rows(batch)), found)
        _note(found, dataset, file, count)
    found.rows |= {name: count for name, (_, count) in _small_tables(dataset, wanted, found).items() if count}
    probes = found.probes(wanted)
    for file in sorted((dataset.path / "rejects").rglob("*.ndjson")):
        lines = file.read_bytes().splitlines()
        _note(found, dataset, file, sum(_mentions(line, probes) for line in lines))
    return found


def erase(dataset: Dataset, wanted: Wanted, found: Found) -> None:
    """Take out what :func:`find` found, in one commit; another writer at the same time is a :class:`DatasetError`.

    Cells of rows that stay and name a forgotten account become null.

    >>> import tempfile
    >>> row = {"exchange_id": "e1", "account_id": "a", "ts": 0, "model": "m"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with DatasetWriter(folder) as writer:
    ...         writer.add_exchanges(pa.Table.from_pylist([row, row | {"exchange_id": "e2", "account_id": "b"}]))
    ...         writer.commit()
    ...     data = Dataset.open(folder)
    ...     erase(data, Wanted(frozenset("a")), find(data, Wanted(frozenset("a"))))
    ...     [batch.to_pylist() for batch in data.batches(["exchange_id"])]
    [[{'exchange_id': 'e2'}]]
    """
    probes = found.probes(wanted)
    with DatasetWriter(dataset.path) as writer:
        for name in found.rows:
            if name.startswith("exchanges/"):
                _keep_rest(writer, dataset.path / name, wanted)
            if name.startswith(("exchanges/", "rejects/")):
                writer.remove(name)
            if name.startswith("rejects/") and (rest := _keep_lines(dataset.path / name, probes)):
                writer.add_file(name, rest)
        tables = _small_tables(dataset, wanted, found)
        if "accounts.parquet" in found.rows:
            writer.set_accounts(tables["accounts.parquet"][0])
        if not found.rows.keys().isdisjoint(_LABELS):
            writer.set_labels(*(tables[name][0] for name in _LABELS))
        writer.commit()


def _batches(file: Path, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    parquet = pq.ParquetFile(file)
    there = [name for name in columns if name in parquet.schema_arrow.names]
    yield from parquet.iter_batches(batch_size=_ROWS, columns=there)


def _touched(batch: pa.RecordBatch, wanted: Wanted) -> pa.Array:
    """Return which rows go, or name in another column somebody who goes."""
    touched = wanted.rows(batch)
    for name in set(_NAMES) & set(batch.schema.names):
        touched = pc.or_(touched, _named(batch.column(name), wanted))
    return touched


def _collect(going: pa.RecordBatch, found: Found) -> None:
    """Keep the ids and texts of rows that go."""
    found.exchange_ids += going.column("exchange_id").to_pylist()
    for name in [name for name in TEXT_COLUMNS if name in going.schema.names]:
        texts = pc.unique(pc.drop_null(going.column(name)))
        found.texts_in_all += len(texts)
        found.texts += texts[: max(0, _MOST_TEXTS - len(found.texts))].to_pylist()


def _named(column: pa.Array | pa.ChunkedArray, wanted: Wanted) -> pa.Array:
    return pc.is_in(column, value_set=pa.array(sorted(wanted.accounts), pa.string()), skip_nulls=True)


def _note(found: Found, dataset: Dataset, file: Path, count: int) -> None:
    if count:
        found.rows[file.relative_to(dataset.path).as_posix()] = count


def _small_tables(dataset: Dataset, wanted: Wanted, found: Found) -> dict[str, tuple[pa.Table, int]]:
    """Return the small tables as they will be, by file, each with how many of its rows go or change."""
    accounts, exchanges = dataset.labels()
    ids = pa.array(found.exchange_ids, pa.string())
    return {
        "accounts.parquet": _cleaned(dataset.accounts(), wanted),
        "labels/accounts.parquet": _cleaned(accounts, wanted),
        "labels/exchanges.parquet": _without(exchanges, pc.is_in(exchanges["exchange_id"], value_set=ids)),
    }


def _without(table: pa.Table, gone: pa.ChunkedArray) -> tuple[pa.Table, int]:
    rest = table.filter(pc.invert(gone))
    return rest, table.num_rows - rest.num_rows


def _cleaned(table: pa.Table, wanted: Wanted) -> tuple[pa.Table, int]:
    """Drop the rows of forgotten accounts, and their names from other rows."""
    rest, dropped = _without(table, _named(table["account_id"], wanted))
    rest, changed = _blanked(rest, [f.name for f in rest.schema if f.nullable and pa.types.is_string(f.type)], wanted)
    return rest, dropped + changed


def _blanked(table: pa.Table, names: list[str], wanted: Wanted) -> tuple[pa.Table, int]:
    """Make cells null that name a forgotten account; return how many there were, too."""
    count = 0
    for name in names:
        hit = _named(table[name], wanted)
        if pc.any(hit).as_py():
            count += pc.sum(hit).as_py()
            cells = pc.if_else(hit, pa.scalar(None, table[name].type), table[name])
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), cells)
    return table, count


def _keep_rest(writer: DatasetWriter, file: Path, wanted: Wanted) -> None:
    for batch in pq.ParquetFile(file).iter_batches(batch_size=ROWS_PER_GROUP):
        rest = batch.filter(pc.invert(wanted.rows(batch)))
        if rest.num_rows:
            writer.add_exchanges(_blanked(conform(pa.Table.from_batches([rest]), EXCHANGES), list(_NAMES), wanted)[0])


def _keep_lines(file: Path, probes: Probes) -> bytes:
    return b"".join(line for line in file.read_bytes().splitlines(keepends=True) if not _mentions(line, probes))


def _mentions(line: bytes, probes: Probes) -> bool:
    """Say whether a reject holds a forgotten value, in base64 too."""
    if probes.within(line):
        return True
    try:
        reject = json.loads(line)
        raw = base64.b64decode(reject.get("raw_base64", "") if isinstance(reject, dict) else "")
    except (ValueError, TypeError, binascii.Error):
        return False
    decoded = str(reject.get("raw", "")) if isinstance(reject, dict) else ""
    return bool(probes.within(raw) or probes.within(decoded.encode("utf-8", "surrogatepass")))
