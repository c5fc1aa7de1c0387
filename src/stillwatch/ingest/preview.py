"""The first rows as they would be mapped; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stillwatch.ingest.accounts import finish_account, finish_launch
from stillwatch.ingest.cells import Desk, finish_exchange
from stillwatch.ingest.coverage import Coverage
from stillwatch.ingest.privacy import Key
from stillwatch.ingest.reader import Mapped, Rejected, RowError, Table
from stillwatch.ingest.reading import Options, Reading, find_inputs
from stillwatch.ingest.rejects import reject_line
from stillwatch.tables.schema import TEXT_COLUMNS

_RECORDS_A_FILE = 1000
_CUT = 80


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows, the first rejects, and the coverage of the first records of each file.

    ``rows`` and ``rejects`` are plain data; texts are cut to 80 characters and absent columns left out.
    """

    formats: dict[str, str]
    rows: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    coverage: dict[str, Any]
    records: int
    rejected: int
    notes: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return plain data, as ``--dry-run --json`` prints it."""
        return {name: getattr(self, name) for name in self.__slots__}


def preview(
    sources: Iterable[str | Path], options: Options | None = None, *, key: Key, now: datetime, rows: int = 5
) -> Preview:
    """Map the first thousand records of each file and show the first ``rows`` rows and rejects.

    Raises what :func:`stillwatch.ingest.run.ingest` raises for files that cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = Path(folder, "log.jsonl")
    ...     _ = log.write_text('{"account_id": "a", "ts": "2026-01-02T03:04:05Z", "model": "m"}')
    ...     preview([log], key=Key(b"0123456789abcdef"), now=datetime(2026, 2, 1, tzinfo=UTC)).rows
    [{'account_id': 'a', 'ts': '2026-01-02T03:04:05Z', 'model': 'm', 'source': 'log.jsonl', 'source_line': 1}]
    """
    options = options or Options()
    inputs = find_inputs(sources, options)
    desk, coverage = Desk(key, int(now.timestamp() * 1_000_000), options.networks), Coverage()
    shown: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    for table, outcome in Reading(inputs, options).outcomes(limit=_RECORDS_A_FILE):
        counts["records"] += 1
        rejected = outcome if isinstance(outcome, Rejected) else None
        if isinstance(outcome, Mapped):
            try:
                row = _finished(table, outcome, desk, coverage)
                if len(shown) < rows:
                    shown.append(_shown(row, content_free=options.content_free))
            except RowError as error:
                rejected = Rejected(outcome.record, str(error))
        if rejected is not None:
            counts["rejected"] += 1
            if len(rejects) < rows:
                rejects.append(reject_line(rejected, key, content_free=options.content_free or table == "accounts"))
    formats = {one.file.name: one.reader.name if one.reader else "empty" for one in inputs}
    notes = dict(sorted(desk.notes.items()))
    return Preview(formats, shown, rejects, coverage.as_json(), counts["records"], counts["rejected"], notes)


def _finished(table: Table, mapped: Mapped, desk: Desk, coverage: Coverage) -> dict[str, Any]:
    """Finish a row as the run would. Raises :class:`RowError`."""
    if table == "exchanges":
        done = finish_exchange(mapped.cells, desk)
        coverage.count(done)
        row: dict[str, Any] = {column: value for column, (value, _) in done.items()}
    else:
        row = (finish_account if table == "accounts" else finish_launch)(mapped.cells, desk)
    return {**row, "source": mapped.record.source, "source_line": mapped.record.line}


def _shown(row: dict[str, Any], *, content_free: bool) -> dict[str, Any]:
    shown = {}
    for column, value in row.items():
        if content_free and column in TEXT_COLUMNS:
            continue
        if isinstance(value, int) and column in ("ts", "created_at", "closed_at", "released_at"):
            value = datetime.fromtimestamp(value / 1e6, UTC).isoformat().replace("+00:00", "Z")
        shown[column] = f"{value[:_CUT]}…" if isinstance(value, str) and len(value) > _CUT else value
    return shown
