"""`stillwatch simulate`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from stillwatch.cli.app import app
from stillwatch.cli.progress import progress_bar
from stillwatch.errors import ConfigError
from stillwatch.simulate import (
    Space,
    Summary,
    World,
    amount,
    cost,
    load_world,
    make_world,
    read_corpus,
    space,
    worlds,
    write_dataset,
    write_logs,
)


@app.command("simulate")
def simulate_command(
    world: Annotated[str, typer.Argument(help="A named world (see --list) or a path to a world file (.toml).")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="The folder to write.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same world and seed: same bytes.")] = 0,
    scale: Annotated[float, typer.Option(help="Multiply accounts, and exchanges where declared.", min=0.0001)] = 1.0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="campaign.NAME.KEY, campaigns.KEY or world.KEY =VALUE; may be repeated."),
    ] = None,
    form: Annotated[str, typer.Option("--as", help="Raw logs: litellm, otel, openai, anthropic, ndjson, csv.")] = "",
    corpus: Annotated[Path | None, typer.Option(help="Folder of real prompts (Parquet).", show_default=False)] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put the world in the place of an earlier one.")] = False,
    costs: Annotated[bool, typer.Option("--costs", help="Print what each campaign costs its operator.")] = False,
    list_worlds: Annotated[bool, typer.Option("--list", help="List the named worlds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
) -> None:
    """Write a labelled world to measure against.

    Example: `stillwatch simulate tiny --seed 1 --out worlds/tiny`

    Raw logs: `stillwatch simulate tiny --seed 1 --as litellm --out worlds/raw`, then
    `stillwatch ingest worlds/raw/logs --accounts worlds/raw/accounts.ndjson
    --launches worlds/raw/launches.ndjson --into worlds/ingested`
    """
    if list_worlds:
        _print_worlds(as_json)
        return
    if not world or (out is None and not costs):
        raise ConfigError("name a world and a folder: stillwatch simulate tiny --out FOLDER (worlds: --list)")
    plan = load_world(world, scale=scale, settings=settings or [])
    if costs:
        _print_costs(plan, seed, as_json)
    if out is None:
        return
    with progress_bar(quiet=quiet) as progress:
        made = make_world(plan, seed=seed, corpus=read_corpus(corpus) if corpus else None, progress=progress)
    room = space(made, out, form)
    if not quiet:
        sys.stderr.write(_said(plan.name, room, out))
    write = partial(write_logs, form=form) if form else write_dataset
    with progress_bar(quiet=quiet) as progress:
        summary = write(made, out, replace=replace, progress=progress)
    _print_summary(summary, room, out, as_json)


def _said(name: str, room: Space, out: Path) -> str:
    return (
        f"{name}: about {room.exchanges:,} exchanges of {room.accounts:,} accounts, "
        f"{amount(room.needed)} in {out} ({amount(room.free)} free)\n"
    )


def _print_worlds(as_json: bool) -> None:
    found = worlds()
    text = json.dumps(found) if as_json else "\n".join(f"{name:24} {about}" for name, about in found.items())
    sys.stdout.write(text + "\n")


def _print_costs(plan: World, seed: int, as_json: bool) -> None:
    rows = cost(plan, seed=seed).to_pylist()
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    heads = ("campaign", "accounts", "cards", "nets", "clients", "cover", "$ each", "delay", "lost")
    table = Table(
        *heads,
        title=f"{plan.name}, seed {seed}: what it costs the evader",
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        counts = [f"{row[name]:,}" for name in ("accounts", "payment_instruments", "networks", "clients")]
        cover, money = f"{row['cover_tokens'] / 1e6:,.1f}M", f"{row['money_per_account']:,.2f}"
        table.add_row(
            row["campaign_id"], *counts, cover, money, f"{row['delay_s']:,.0f}s", f"{row['lost_throughput']:.0%}"
        )
    Console(file=sys.stdout).print(table)


def _print_summary(summary: Summary, room: Space, out: Path, as_json: bool) -> None:
    if as_json:
        disk = {"needed": room.needed, "free": room.free}
        sys.stdout.write(json.dumps({**asdict(summary), "out": str(out), "disk": disk}, sort_keys=True) + "\n")
        return
    title = f"{summary.world}, seed {summary.seed}, in {out}"
    table = Table("population", "accounts", "exchanges", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in sorted(summary.accounts):
        table.add_row(name, f"{summary.accounts[name]:,}", f"{summary.exchanges.get(name, 0):,}")
    for name, count in sorted(summary.campaign_exchanges.items()):
        table.add_row(f"  exchanges of {name}", "", f"{count:,}")
    table.add_section()
    table.add_row("all", f"{sum(summary.accounts.values()):,}", f"{sum(summary.exchanges.values()):,}")
    Console(file=sys.stdout).print(table)
