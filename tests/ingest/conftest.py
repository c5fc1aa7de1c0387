"""Logs, a key and a clock for the ingest tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stillwatch.ingest import IngestReport, Key, Options
from stillwatch.ingest import ingest as run_ingest
from stillwatch.tables import EXCHANGES, Dataset

NOW = datetime(2026, 2, 1, tzinfo=UTC)
EXAMPLES = Path(__file__).parents[2] / "examples" / "ingest"


@pytest.fixture
def key() -> Key:
    """Return a fixed key."""
    return Key(b"0123456789abcdef")


@pytest.fixture
def examples() -> Path:
    """Return the folder of example logs."""
    return EXAMPLES


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """Return a maker of good canonical rows, with changes."""

    def make(number: int = 0, **changes: Any) -> dict[str, Any]:
        good = {"exchange_id": f"e{number}", "account_id": "a", "ts": "2026-01-02T03:04:05Z", "model": "m"}
        return {**good, **changes}

    return make


@pytest.fixture
def log(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of files: rows as JSON lines, text or bytes as they are."""

    def write(content: Iterable[Any] | str | bytes, name: str = "log.jsonl") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            path.write_text("".join(json.dumps(value) + "\n" for value in content), encoding="utf-8")
        return path

    return write


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """Return where the dataset goes."""
    return tmp_path / "data"


@pytest.fixture
def ingest(into: Path, key: Key) -> Callable[..., IngestReport]:
    """Return ingest with the fixed key and clock; keywords are options, save ``fingerprint``."""

    def run(*sources: Path | str, fingerprint: Any = None, **options: Any) -> IngestReport:
        return run_ingest(sources, into, Options(**options), key=key, now=NOW, fingerprint=fingerprint)

    return run


@pytest.fixture
def stored(into: Path) -> Callable[[], list[dict[str, Any]]]:
    """Return a reader of the stored exchanges: filled columns only, by exchange id."""

    def read() -> list[dict[str, Any]]:
        batches = list(Dataset.open(into).batches(EXCHANGES.names))
        table = pa.Table.from_batches(batches, schema=EXCHANGES) if batches else EXCHANGES.empty_table()
        micros = table.column("ts").cast(pa.int64())
        table = table.set_column(table.column_names.index("ts"), "ts", micros)
        rows = [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]
        return sorted(rows, key=lambda row: row["exchange_id"])

    return read


@pytest.fixture
def rejects(into: Path) -> Callable[[], list[dict[str, Any]]]:
    """Return a reader of the stored rejects."""

    def read() -> list[dict[str, Any]]:
        files = sorted((into / "rejects").glob("*.ndjson"))
        return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]

    return read


@pytest.fixture
def snapshot(into: Path) -> Callable[[], dict[str, bytes]]:
    """Return a reader of every file of the dataset, byte for byte."""

    def read() -> dict[str, bytes]:
        if not into.exists():
            return {}
        return {str(file.relative_to(into)): file.read_bytes() for file in into.rglob("*") if file.is_file()}

    return read
