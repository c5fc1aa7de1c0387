"""`stillwatch scan`: find campaigns in a dataset."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.app import app
from stillwatch.cli.progress import progress_bar
from stillwatch.cli.tables import print_summary
from stillwatch.errors import ConfigError


class Engine(StrEnum):
    """Who reads the text and folds the rows."""

    DUCKDB = "duckdb"
    SPARK = "spark"


@app.command()
def scan(
    dataset: Annotated[
        str, typer.Argument(help="Dataset folder (from `ingest` or `simulate`), or s3://BUCKET/PREFIX.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for campaigns.json, tables and report.html.")],
    q: Annotated[float, typer.Option(help="Bound on the expected share of false groups.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws; same input, same seed: same bytes.")] = 0,
    previous: Annotated[
        Path | None, typer.Option(help="Earlier scan whose campaign ids go on (default: --out).")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Leave out exchanges before this day (UTC).")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Keep partial results here: the next scan reads the text of new files only.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="Who reads the text: this machine, or a Spark cluster.")
    ] = Engine.DUCKDB,
    master: Annotated[str, typer.Option(help="Spark's master: local[2], spark://HOST:7077, yarn …")] = "local[*]",
    report: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    show_text: Annotated[bool, typer.Option(help="Show customers' prompt text in the report.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print campaigns.json instead of tables.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")] = False,
) -> None:
    """Find campaigns in a dataset, with evidence and with the innocent look-alikes left alone.

    Exit code 0 whether or not campaigns are found.

    Example: `stillwatch scan data --out out`

    Every hour, the last weeks: `stillwatch scan data --out out --keep kept --since 2026-09-01`
    """
    from stillwatch.cases.report import write_report
    from stillwatch.cases.scan import ScanSettings
    from stillwatch.cases.scan import scan as run_scan
    from stillwatch.cases.source import source
    from stillwatch.tables.objects import is_object

    if show_text and is_object(dataset):
        raise ConfigError("--show-text is not for s3://…: the report reads text from folders only")
    cluster = master if engine is Engine.SPARK else None
    day = since.date() if since else None
    with (
        progress_bar(quiet=quiet) as progress,
        source(dataset, since=day, master=cluster, keep=keep, progress=progress) as found,
    ):
        settings = ScanSettings(q=q, seed=seed, previous=previous, keep=found.keep)
        run_scan(found.dataset, out, settings, cluster=found.cluster, progress=progress)
        page = (
            write_report(found.dataset, out, show_text=show_text, cluster=found.cluster, progress=progress)
            if report
            else None
        )
    if json:
        typer.echo((out / "campaigns.json").read_text(encoding="utf-8"), nl=False)
    elif not quiet:
        print_summary(out)
        if page:
            typer.echo(f"report: {page}")
