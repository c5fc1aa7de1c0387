"""`stillwatch simulate`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.app import app
from stillwatch.cli.progress import progress_bar
from stillwatch.simulate import load_world, simulate, worlds


@app.command("simulate")
def simulate_command(
    world: Annotated[str, typer.Argument(help="A named world (see --list) or a path to a world file (.toml).")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="The dataset folder to write.")] = None,
    seed: Annotated[int, typer.Option(help="Same world and seed: same bytes.")] = 0,
    scale: Annotated[float, typer.Option(help="Multiply the number of accounts.", min=0.001)] = 1.0,
    settings: Annotated[list[str] | None, typer.Option("--set", help="campaign.NAME.KEY=VALUE or world.KEY=VALUE.")] = None,
    list_worlds: Annotated[bool, typer.Option("--list", help="List the named worlds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    quiet: Annotated[bool, typer.Option(help="No progress on stderr.")] = False,
) -> None:
    """Write a labelled world to measure against.

    Example: `stillwatch simulate tiny --seed 1 --out worlds/tiny`
    """
    if list_worlds or not world or out is None:
        sys.stdout.write("".join(f"{name:12} {about}\n" for name, about in worlds().items()))
        return
    with progress_bar(quiet=quiet) as progress:
        summary = simulate(load_world(world, scale=scale, settings=settings or []), out, seed=seed, progress=progress)
    if as_json:
        sys.stdout.write(json.dumps(asdict(summary), sort_keys=True) + "\n")
        return
    sys.stdout.write(f"{summary.world}, seed {summary.seed}: {sum(summary.accounts.values()):,} accounts, {sum(summary.exchanges.values()):,} exchanges in {out}\n")
