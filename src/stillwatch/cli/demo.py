"""`stillwatch demo`: the main job on a simulated world, from nothing to a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.app import app
from stillwatch.cli.progress import progress_bar
from stillwatch.cli.tables import print_summary
from stillwatch.simulate import Summary, load_world, simulate
from stillwatch.tables import Dataset


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the world, the scan and report.html.")] = Path(
        "demo"
    ),
    world: Annotated[str, typer.Option(help="Simulated world (see `stillwatch simulate --list`).")] = "small",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the world.")] = 2026,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")] = False,
) -> None:
    """Simulate a world, find its campaigns and write report.html.

    The scan is given the canonical tables only; the labels stay in the world's `labels/` folder, which it never opens.

    Example: `stillwatch demo --world tiny --out demo`
    """
    from stillwatch.cases.report import write_report
    from stillwatch.cases.scan import scan

    data = out / "world"
    with progress_bar(quiet=quiet) as progress:
        summary = simulate(load_world(world), data, seed=seed, replace=True, progress=progress)
    if not quiet:
        typer.echo(f"world {world}, seed {seed}: {_size(summary)} in {data}")
    with progress_bar(quiet=quiet) as progress:
        begun = time.perf_counter()
        scan(Dataset.open(data), out, progress=progress)
        seconds = time.perf_counter() - begun
        page = write_report(Dataset.open(data), out, progress=progress)
    if not quiet:
        print_summary(out)
    typer.echo(f"scan: {seconds:.1f} s · report: {page}")


def _size(summary: Summary) -> str:
    return f"{sum(summary.accounts.values()):,} accounts, {sum(summary.exchanges.values()):,} exchanges"
