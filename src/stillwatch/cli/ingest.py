"""`stillwatch ingest`: parse, call :func:`stillwatch.ingest.ingest`, print what happened."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stillwatch import ingest as ingesting
from stillwatch.cli.app import app
from stillwatch.cli.progress import progress_bar
from stillwatch.errors import ConfigError
from stillwatch.ingest import IngestReport, Limits, Options, Preview

_EPILOG = """Example: `stillwatch ingest logs/ --accounts accounts.csv --into data`

Look first: `stillwatch ingest 'logs/*.jsonl.gz' --into data --dry-run`

Any other log: `stillwatch ingest kong.ndjson --map kong.toml --into data`

Exit codes: 0 done; 2 a file, setting or dataset is wrong; 3 too many bad rows (nothing added, see rejects/)."""


@app.command(epilog=_EPILOG)
def ingest(
    sources: Annotated[list[str], typer.Argument(help="Files, folders or globs; plain, gzip or zstd.")],
    into: Annotated[Path, typer.Option(help="The dataset folder, made when it is not there.")],
    form: Annotated[str | None, typer.Option("--format", help=f"One of: {', '.join(ingesting.READERS)}.")] = None,
    field_map: Annotated[
        Path | None, typer.Option("--map", exists=True, help="TOML field map for any CSV, NDJSON, JSON, Parquet.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(exists=True, help="TOML: which attribute is the account, key, end user …")
    ] = None,
    accounts: Annotated[list[Path] | None, typer.Option(exists=True, help="Accounts: CSV, NDJSON, Parquet.")] = None,
    launches: Annotated[list[Path] | None, typer.Option(exists=True, help="Model launches, the same.")] = None,
    networks: Annotated[
        Path | None, typer.Option(exists=True, help="Ranges with asn, kind, country, to fill what logs lack.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="Key for hashing (else STILLWATCH_KEY, else your own).")] = None,
    content_free: Annotated[bool, typer.Option(help="Store fingerprints of texts and no text.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Show the first rows as mapped; write nothing.")] = False,
    max_reject_share: Annotated[float, typer.Option(min=0, max=1, help="More bad rows end the run.")] = 0.05,
    max_line_mb: Annotated[float, typer.Option(min=0.001, help="Longer lines are rejected unread.")] = 32,
    allow_truncated: Annotated[bool, typer.Option(help="Take the rows before the break of a damaged file.")] = False,
    join_window: Annotated[int, typer.Option(min=1, help="Half exchanges kept waiting in memory.")] = 100_000,
    now: Annotated[datetime | None, typer.Option(help="The time to judge future dates by (UTC).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Annotated[bool, typer.Option(help="Print nothing but errors.")] = False,
) -> None:
    """Read logs into a dataset: each exchange once, personal values hashed, bad rows kept aside and counted."""
    options = Options(
        form=form,
        field_map=ingesting.load_field_map(field_map) if field_map else None,
        identity=ingesting.load_identity(identity),
        accounts=tuple(accounts or ()),
        launches=tuple(launches or ()),
        networks=ingesting.load_networks(networks) if networks else None,
        content_free=content_free,
        max_reject_share=max_reject_share,
        allow_truncated=allow_truncated,
        limits=Limits(line_bytes=int(max_line_mb * (1 << 20))),
        join_window=join_window,
    )
    moment = now.replace(tzinfo=now.tzinfo or UTC) if now else datetime.now(UTC)
    key = ingesting.find_key(key_file, os.environ, make=not dry_run)
    if dry_run:
        shown = ingesting.preview(sources, options, key=key, now=moment)
        _print(shown.as_json() if as_json else shown, quiet=quiet)
        return
    gc.set_threshold(100_000, 20, 20)  # records are trees that die young: looking for cycles among them costs 10-20 %
    with progress_bar(quiet=quiet or as_json) as progress:
        report = ingesting.ingest(
            sources, into, options, key=key, now=moment, fingerprint=_fingerprint(content_free), progress=progress
        )
    _print(report.as_json() if as_json else report, quiet=quiet)


def _fingerprint(wanted: bool) -> Any:
    """Bring in the text kernel only when it is needed: it compiles on first use."""
    if not wanted:
        return None
    try:
        from stillwatch.signals.fingerprint import fingerprint
    except ImportError as error:
        raise ConfigError(f"--content-free needs stillwatch.signals.fingerprint: {error}") from error
    return fingerprint


def _print(what: Mapping[str, Any] | IngestReport | Preview, *, quiet: bool) -> None:
    if quiet:
        return
    if isinstance(what, IngestReport):
        _print_report(what)
    elif isinstance(what, Preview):
        _print_preview(what)
    else:
        typer.echo(json.dumps(what, ensure_ascii=False, indent=2, default=str))


def _print_report(report: IngestReport) -> None:
    console = Console(highlight=False)
    for file in report.files:
        console.print(f"{file.name}: {file.format} ({file.container}, {file.bytes:,} bytes)", markup=False)
    console.print(
        f"added {report.added:,} exchanges · {report.duplicates:,} were there already · "
        f"{report.rejected:,} rejected · {report.skipped:,} records are no exchange"
    )
    console.print(
        f"accounts {report.accounts:,} · launches {report.launches:,} · "
        f"accounts seen without a record {report.accounts_without_record:,}"
    )
    _print_counts(console, "rejected because", report.reasons)
    _print_counts(console, "no exchange because", report.skips)
    _print_counts(console, "mended", report.notes)
    for name in report.truncated:
        console.print(f"TRUNCATED {name}", markup=False)
    for name in report.reject_files:
        console.print(f"rejects kept in {name}", markup=False)
    console.print(f"identifiers hashed with key {report.key_id} (from {report.key_origin})", markup=False)
    _print_coverage(console, report.coverage)


def _print_counts(console: Console, title: str, counts: Mapping[str, int]) -> None:
    for name, count in list(counts.items())[:5]:
        console.print(f"  {title} {name}: {count:,}", markup=False)


def _print_coverage(console: Console, coverage: Mapping[str, Any]) -> None:
    rows = coverage["rows"]
    if not rows:
        return
    table = Table("column", "filled", "from", title=f"Field coverage of {rows:,} rows", box=None, pad_edge=False)
    for name, entry in coverage["columns"].items():
        origins = list(entry["from"])
        shown = ", ".join(origins[:3]) + (f" and {len(origins) - 3} more" if len(origins) > 3 else "")
        table.add_row(name, f"{entry['filled'] / rows:.1%}", shown)
    console.print(table)
    console.print(f"absent: {', '.join(coverage['absent'])}", markup=False)


def _print_preview(shown: Preview) -> None:
    console = Console(highlight=False)
    for name, form in shown.formats.items():
        console.print(f"{name}: {form}", markup=False)
    for row in shown.rows:
        table = Table.grid("column", "value", padding=(0, 2))
        for column, value in row.items():
            table.add_row(column, str(value))
        console.print(table)
        console.print()
    for reject in shown.rejects:
        console.print(f"rejected {reject['file']}:{reject['line']}: {reject['reason']}", markup=False)
    _print_counts(console, "mended", shown.notes)
    console.print(f"looked at {shown.records:,} records, {shown.rejected:,} rejected; nothing was written")
    _print_coverage(console, shown.coverage)
