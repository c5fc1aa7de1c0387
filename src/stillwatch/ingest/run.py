"""The whole way: files in, a longer dataset out, exactly once, all or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from stillwatch.errors import TooManyRejects
from stillwatch.ingest.accounts import finish_account, finish_launch, merge
from stillwatch.ingest.batches import Batch, Fingerprint, without_content
from stillwatch.ingest.cells import Desk, finish_exchange
from stillwatch.ingest.columns import Column, Columns, finish_columns
from stillwatch.ingest.coverage import Coverage, encoded, total
from stillwatch.ingest.decode import canonical_bytes
from stillwatch.ingest.lanes import Block
from stillwatch.ingest.privacy import Key
from stillwatch.ingest.reader import Cells, Mapped, Outcome, Record, Rejected, RowError, Skipped, Table
from stillwatch.ingest.reading import Input, Options, Reading, find_inputs
from stillwatch.ingest.rejects import RejectLog
from stillwatch.ingest.report import FileReport, IngestReport
from stillwatch.ingest.seen import SeenIds
from stillwatch.tables import ACCOUNTS, LAUNCHES, Dataset, DatasetWriter
from stillwatch.tables.schema import FINGERPRINT_COLUMNS, TEXT_COLUMNS
from stillwatch.types import Progress, silent

_CONTENT = (*TEXT_COLUMNS, *FINGERPRINT_COLUMNS)


def ingest(
    sources: Iterable[str | Path],
    into: str | Path,
    options: Options | None = None,
    *,
    key: Key,
    now: datetime,
    fingerprint: Fingerprint | None = None,
    progress: Progress = silent,
) -> IngestReport:
    """Read logs, accounts and launches into a dataset; rows that are there already are counted and not added.

    ``now`` tells which times lie in the future; ``fingerprint`` fills the fingerprint columns of a table with text.
    Raises :class:`~stillwatch.errors.InputError` for an unreadable file, :class:`~stillwatch.errors.TooManyRejects`
    when more rows are bad than ``options`` allow; the dataset then is as before, apart from ``rejects/``.

    >>> import tempfile
    >>> from datetime import UTC
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = Path(folder, "log.jsonl")
    ...     _ = log.write_text('{"exchange_id": "e", "account_id": "a", "ts": "2026-01-02T03:04:05Z", "model": "m"}')
    ...     into, at = Path(folder, "data"), datetime(2026, 2, 1, tzinfo=UTC)
    ...     reports = [ingest([log], into, key=Key(b"0123456789abcdef"), now=at) for _ in range(2)]
    >>> [(report.added, report.duplicates) for report in reports]
    [(1, 0), (0, 1)]
    """
    options = options or Options()
    inputs, into = find_inputs(sources, options), Path(into)
    is_new = not into.exists()
    desk = Desk(key, int(now.timestamp() * 1_000_000), options.networks)
    try:
        with DatasetWriter(into) as writer, RejectLog(key, content_free=options.content_free) as rejects:
            run = _Run(Dataset(into), writer, rejects, desk, options, fingerprint)
            run.read(inputs, progress)
            if refused := run.over_limit():
                _only_rejects(writer, rejects)
                raise TooManyRejects(refused)
            return run.close(inputs)
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                into.rmdir()  # only when a failed run left it empty


def _only_rejects(abandoned: DatasetWriter, rejects: RejectLog) -> None:
    """Drop everything staged, and keep the rejects."""
    abandoned.abandon()
    into = abandoned.path
    with DatasetWriter(into) as writer:
        rejects.store(writer, into)
        writer.commit()


class _Run:
    """The state of one run between its first record and its commit."""

    def __init__(
        self,
        dataset: Dataset,
        writer: DatasetWriter,
        rejects: RejectLog,
        desk: Desk,
        options: Options,
        fingerprint: Fingerprint | None,
    ) -> None:
        self.dataset, self.writer, self.rejects, self.desk, self.options = dataset, writer, rejects, desk, options
        self.fingerprint = fingerprint
        self.coverage, self.batch = Coverage(), Batch()
        self.seen, self.accounts_seen = SeenIds(), set[str]()
        self.duplicates, self.skips, self.good = 0, Counter[str](), Counter[str]()
        self.accounts: dict[str, dict[str, Any]] = {}
        self.launches: dict[str, dict[str, Any]] = {}
        self.truncated: list[str] = []
        self._left_out = _CONTENT if options.content_free else ()
        self._known_accounts = set(dataset.accounts().column("account_id").to_pylist())
        self._copies: Counter[tuple[str, bytes]] = Counter()
        self._digest = hashlib.sha256()

    def read(self, inputs: list[Input], progress: Progress) -> None:
        """Take every outcome of every file."""
        for known in self.dataset.batches(["exchange_id"]):
            for name in known.column(0).to_pylist():
                self.seen.add(name)
        sizes, done = sum(one.file.path.stat().st_size for one in inputs), 0

        def moved(count: int) -> None:
            nonlocal done
            done += count
            progress("reading", min(done, sizes), sizes, "bytes")

        reading = Reading(inputs, self.options, moved, self.truncated)
        for table, outcome in reading.outcomes():
            if isinstance(outcome, Block):
                self._block(outcome)
            else:
                self._take(table, outcome)
        self._flush()

    def _take(self, table: Table, outcome: Outcome) -> None:
        if isinstance(outcome, Mapped):
            try:
                self._finish(table, outcome.cells, outcome.record)
            except RowError as error:
                self.rejects.add(Rejected(outcome.record, str(error)), table)
        elif isinstance(outcome, Skipped):
            self.skips[outcome.reason] += 1
        else:
            self.rejects.add(outcome, table)

    def _block(self, block: Block) -> None:
        """Take exchanges that come as columns; one by one, when any of them cannot be finished or has no id."""
        columns = block.columns
        try:
            finish_columns(columns, self.desk, required=("exchange_id",))
        except RowError:
            for outcome in block.one_by_one():
                self._take("exchanges", outcome)
            return
        fresh = [at for at, name in enumerate(columns["exchange_id"].values) if self.seen.add(name)]
        if len(fresh) < len(block.lines):
            self.duplicates += len(block.lines) - len(fresh)
            columns = {name: column.taken(fresh) for name, column in columns.items()}
        columns["source"] = Column([block.source] * len(fresh), [])
        columns["source_line"] = Column([block.lines[at] for at in fresh], [])
        if fresh:
            self._extend(columns, len(fresh))

    def _extend(self, columns: Columns, rows: int) -> None:
        self.good["exchanges"] += rows
        self._digest.update("".join(f"{name}\n" for name in columns["exchange_id"].values).encode())
        self.accounts_seen.update(columns["account_id"].values)
        self.coverage.count_columns(
            {name: column.origins for name, column in columns.items() if name not in self._left_out}, rows
        )
        self.batch.extend(columns, rows)
        if self.batch.is_full():
            self._flush()

    def _finish(self, table: Table, cells: Cells, record: Record) -> None:
        if table == "exchanges":
            self._exchange(cells, record)
        elif table == "accounts":
            self._account(finish_account(cells, self.desk))
            self._unread(record)
        else:
            row = finish_launch(cells, self.desk)
            self.launches[row["model"]] = row
            self.good[table] += 1

    def _exchange(self, cells: Cells, record: Record) -> None:
        done = finish_exchange(cells, self.desk)
        if "exchange_id" not in done:
            done["exchange_id"] = (self._made_id(cells, record), "hash of the record")
        name = str(done["exchange_id"][0])
        if not self.seen.add(name):
            self.duplicates += 1
            return
        self.good["exchanges"] += 1
        self._unread(record)
        self._digest.update(name.encode() + b"\n")
        self.accounts_seen.add(str(done["account_id"][0]))
        self.coverage.count(done, leave_out=self._left_out)
        self.batch.add(done, record)
        if self.batch.is_full():
            self._flush()

    def _unread(self, record: Record) -> None:
        """Keep the fields left out of the row finished last, which is added."""
        for said in self.desk.unread:
            self.rejects.add_field(Rejected(record, said))

    def _made_id(self, cells: Cells, record: Record) -> str:
        """Name a row without an id by its content and, for equal rows of one file, by how many came before it."""
        content = canonical_bytes({column: value for column, (value, _) in cells.items()})
        digest = hashlib.sha256(content).digest()[:16]
        copy = self._copies[record.source, digest]
        self._copies[record.source, digest] += 1
        return f"row-{digest.hex()}" + (f"-{copy}" if copy else "")

    def _account(self, row: dict[str, Any]) -> None:
        name = row["account_id"]
        if row.get("created_at") is None and name not in self._known_accounts and name not in self.accounts:
            raise RowError("created_at is missing and the account is not known yet")
        held = self.accounts.setdefault(name, {})
        held.update({column: value for column, value in row.items() if value is not None})
        self.good["accounts"] += 1

    def _flush(self) -> None:
        if self.batch.rows:
            table = self.batch.table()
            if self.options.content_free:
                table = without_content(table, self.fingerprint)
                for name in FINGERPRINT_COLUMNS:
                    filled = table.num_rows - table.column(name).null_count
                    self.coverage.sources[name, "fingerprint of the text"] += filled
            self.writer.add_exchanges(table)
            self.batch = Batch()

    def over_limit(self) -> str | None:
        """Say why the run must end, when a table has too many rejects."""
        for table, bad in self.rejects.counts.items():
            good = self.good[table] + (self.duplicates if table == "exchanges" else 0)
            if bad > self.options.max_reject_share * (bad + good):
                worst, count = self.rejects.reasons.most_common(1)[0]
                return (
                    f"{bad:,} of {bad + good:,} rows for {table} are bad, over the limit of "
                    f"{self.options.max_reject_share:.1%}; nothing was added, see rejects/ "
                    f"(most often, {count:,} times: {worst})"
                )
        return None

    def close(self, inputs: list[Input]) -> IngestReport:
        """Stage accounts, launches, rejects and coverage, and commit when anything changed."""
        reject_files = self.rejects.store(self.writer, self.dataset.path)
        changed = any(not (self.dataset.path / name).exists() for name in reject_files)
        changed = self._store_small() or changed
        if self.coverage.rows:
            self._store_coverage()
            changed = True
        if changed:
            self.writer.commit()
        return self._report(inputs, reject_files)

    def _store_small(self) -> bool:
        """Stage accounts and launches where they differ from what is stored."""
        changed = False
        for known, rows, schema, stage in (
            (self.dataset.accounts(), self.accounts, ACCOUNTS, self.writer.set_accounts),
            (self.dataset.launches(), self.launches, LAUNCHES, self.writer.set_launches),
        ):
            if rows:
                table = merge(known, rows.values(), schema)
                if not table.equals(known):
                    stage(table)
                    changed = True
        return changed

    def _store_coverage(self) -> None:
        """Stage this run's coverage, and the sum over all runs."""
        run = {
            "run": self._digest.hexdigest()[:16],
            **self.coverage.as_json(),
            "notes": dict(sorted(self.desk.notes.items())),
        }
        stored = sorted((self.dataset.path / "coverage").glob("*.json"))
        runs = [json.loads(path.read_text(encoding="utf-8")) for path in stored]
        self.writer.add_file(f"coverage/{run['run']}.json", encoded(run))
        self.writer.add_file("coverage.json", encoded({**total([*runs, run]).as_json(), "runs": len(runs) + 1}))

    def _report(self, inputs: list[Input], reject_files: list[str]) -> IngestReport:
        return IngestReport(
            files=tuple(_file_report(one) for one in inputs),
            added=self.coverage.rows,
            duplicates=self.duplicates,
            rejected=sum(self.rejects.counts.values()),
            skipped=sum(self.skips.values()),
            accounts=len(self.accounts),
            accounts_without_record=len(self.accounts_seen - self._known_accounts - set(self.accounts)),
            launches=len(self.launches),
            reasons=dict(self.rejects.reasons.most_common(20)),
            skips=dict(self.skips.most_common()),
            notes=dict(sorted(self.desk.notes.items())),
            truncated=tuple(self.truncated),
            reject_files=tuple(reject_files),
            coverage=self.coverage.as_json(),
            key_id=self.desk.key.id,
            key_origin=self.desk.key.origin,
        )


def _file_report(one: Input) -> FileReport:
    form = one.reader.name if one.reader else "empty"
    return FileReport(one.file.name, form, one.container, one.file.path.stat().st_size)
