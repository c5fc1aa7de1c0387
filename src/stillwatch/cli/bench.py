"""`stillwatch bench`: measure detection on labelled worlds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stillwatch.cli.app import app
from stillwatch.cli.progress import progress_bar
from stillwatch.errors import ConfigError, StillwatchError

if TYPE_CHECKING:
    from stillwatch.evaluate.bench import Scorecard
    from stillwatch.evaluate.plan import Wish


class GotWorse(StillwatchError):  # noqa: N818 - named after what happened
    """Detection is worse than the baseline beyond chance, or a cell did not finish.

    >>> GotWorse("2 figures are worse than the baseline").exit_code
    4
    """

    exit_code = 4


@app.command()
def bench(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for scorecard.json, .md and .html.")],
    preset: Annotated[str, typer.Option("--plan", help="quick, standard or full: what is measured by default.")] = "",
    worlds: Annotated[str | None, typer.Option(help="NAME:SEED or NAME:FIRST-LAST, several with commas.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="campaign.NAME.KEY=VALUE for --worlds; may be repeated.")
    ] = None,
    detectors: Annotated[str | None, typer.Option(help="Names with commas, or all.")] = None,
    null_worlds: Annotated[int | None, typer.Option(min=0, help="Worlds without a campaign.")] = None,
    null_world: Annotated[str | None, typer.Option(help="Which world without a campaign.")] = None,
    sweep: Annotated[
        str | None, typer.Option(help="Knobs with commas; all moves all at once, each: every one.")
    ] = None,
    sweep_world: Annotated[str | None, typer.Option(help="World and seeds of sweeps and ablations.")] = None,
    ablations: Annotated[bool | None, typer.Option(help="Leave out each part of the method in turn.")] = None,
    day_by_day: Annotated[str | None, typer.Option(help="Worlds to scan as they grow.")] = None,
    hours: Annotated[float | None, typer.Option(min=1, help="Between two scans day by day.")] = None,
    reseed: Annotated[str | None, typer.Option(help="Worlds to scan with other seeds.")] = None,
    calibrate_on: Annotated[str | None, typer.Option(help="WORLD:SEED that peers are tuned on.")] = None,
    scale: Annotated[float | None, typer.Option(min=0.001, help="Multiply accounts of every world.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes at a time.")] = 2,
    baseline: Annotated[Path | None, typer.Option(exists=True, help="An earlier scorecard.json.")] = None,
    write_docs: Annotated[Path | None, typer.Option(exists=True, help="Fill the marked block of this page.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the simulated worlds.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Measure detection on labelled worlds and write one scorecard.

    A run that was interrupted goes on where it was. Exit code 4: something is worse than the baseline beyond chance, or
    a measurement did not finish.

    Example: `stillwatch bench --plan quick --out bench`
    """
    from stillwatch.evaluate import pages
    from stillwatch.evaluate.bench import bench as run

    wish = _wish(
        preset,
        worlds=worlds,
        settings=tuple(settings) if settings else None,
        detectors=detectors,
        nulls=null_worlds,
        null_world=null_world,
        sweep=sweep,
        sweep_world=sweep_world,
        ablate=ablations,
        daily=day_by_day,
        hours=hours,
        reseed=reseed,
        calibrate_on=calibrate_on,
        scale=scale,
    )
    earlier = pages.load(baseline) if baseline else None
    with progress_bar(quiet=quiet) as progress:
        card = run(wish, out, now=datetime.now(UTC), jobs=jobs, keep=keep, progress=progress)
    written = pages.write_pages(card, out)
    if write_docs:
        pages.write_docs(card, write_docs)
    if not quiet:
        typer.echo("\n".join([pages.headline(card), *(str(path) for path in written)]))
    _judge(card, earlier, quiet=quiet)


def _wish(preset: str, *, detectors: str | None, sweep: str | None, **asked: Any) -> Wish:
    """Return the preset with what was asked for in its place."""
    from stillwatch.evaluate.detectors import DETECTORS
    from stillwatch.evaluate.plan import ALL, KNOBS, PLANS, Wish, plan

    if preset and preset not in PLANS:
        raise ConfigError(f"--plan {preset}: known are {', '.join(PLANS)}")
    asked["detectors"] = tuple(DETECTORS if detectors == "all" else detectors.split(",")) if detectors else None
    asked["sweep"] = tuple([*KNOBS, ALL] if sweep == "each" else sweep.split(",")) if sweep else None
    wish = replace(PLANS[preset] if preset else Wish(), **{k: v for k, v in asked.items() if v is not None})
    if not plan(wish):
        raise ConfigError("nothing to measure: give --plan quick, or --worlds NAME:SEED")
    return wish


def _judge(card: Scorecard, earlier: Scorecard | None, *, quiet: bool) -> None:
    """Print what changed since the baseline, and end the run with an error when it is worse or incomplete."""
    from stillwatch.evaluate.baseline import changes, compared

    unfinished = [one for one in card.cells if one.result is None]
    if unfinished:
        raise GotWorse(f"{len(unfinished)} of {len(card.cells)} cells did not finish; the first: {unfinished[0].error}")
    if earlier is None:
        return
    if not quiet:
        typer.echo(compared(earlier, card))
    worse = sum(change.worse for change in changes(earlier, card))
    if worse:
        raise GotWorse(f"{worse} figures are worse than the baseline beyond chance")
