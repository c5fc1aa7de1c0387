"""`stillwatch audit`: read the journal, test it, and sign where it stands."""

from __future__ import annotations

import enum
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from stillwatch.cli.acting import DEFAULT_STATE, Json, StateUrl, show
from stillwatch.cli.app import app
from stillwatch.errors import ConfigError, TamperedWith

if TYPE_CHECKING:
    from stillwatch.response.store import State


class Task(enum.StrEnum):
    """What can be done with the journal."""

    SHOW = "show"
    VERIFY = "verify"
    CHECKPOINT = "checkpoint"


@app.command()
def audit(
    task: Annotated[Task, typer.Argument(help="show, verify, or checkpoint.")],
    state_url: StateUrl = DEFAULT_STATE,
    checkpoint: Annotated[
        Path | None, typer.Option(help="checkpoint: file to write; verify: an earlier one, kept elsewhere.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="checkpoint: Ed25519 private key (PEM); verify: the public key.")
    ] = None,
    subject: Annotated[str, typer.Option(help="show: only lines about this (an account, campaign or plan id).")] = "",
    last: Annotated[int, typer.Option(min=1, help="show: at most so many lines, the newest.")] = 50,
    json: Json = False,
) -> None:
    """Show the journal (who, when, why, before, after), verify that nobody tampered with it, or sign where it stands.

    Exit code 4 when something was tampered with. Without a checkpoint kept elsewhere, a cut at the end cannot be seen.

    Example: `stillwatch audit verify`
    """
    from stillwatch.response.journal import read_checkpoint
    from stillwatch.response.store import State

    state = State.open(state_url, make=False)
    if task is Task.SHOW:
        _show(deque((one for one in state.entries() if subject in one.subject), last), json=json)
        return
    if (checkpoint is None) != (key is None) or (task is Task.CHECKPOINT and checkpoint is None):
        raise ConfigError("a checkpoint needs --checkpoint FILE and --key KEY")
    if task is Task.CHECKPOINT and checkpoint and key:
        _sign(state, checkpoint, key)
        return
    seen = read_checkpoint(checkpoint, key) if checkpoint and key else None
    found = state.audit(seen)
    if json:
        typer.echo(msgspec.json.encode({"lines": state.revision(), "faults": found}))
    if found:
        raise TamperedWith("; ".join(found[:5]) + (f"; and {len(found) - 5:,} more" if len(found) > 5 else ""))
    if not state.revision():
        raise ConfigError(f"the journal of {state.name} is empty: there is nothing to verify; is it the right --state?")
    if not json:
        since = f", and agree with the checkpoint at line {seen.seq:,}" if seen else "; no checkpoint was given"
        typer.echo(f"{state.revision():,} lines follow from one another, and every row is as they say{since}")


def _sign(state: State, file: Path, key: Path) -> None:
    from stillwatch.response.journal import write_checkpoint
    from stillwatch.response.store import micros

    end = state.entry(state.revision())
    if end is None:
        raise ConfigError("the journal is empty: there is nothing to sign")
    made = write_checkpoint(file, end, micros(state.clock()), key)
    typer.echo(f"line {made.seq:,} signed in {file}; keep it where the database's owner cannot write")


def _show(entries: deque[object], *, json: bool) -> None:
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(list(entries))))
        return
    rows = [msgspec.structs.asdict(entry) for entry in entries]  # type: ignore[arg-type]
    show(
        [
            {
                "line": row["seq"],
                "when (UTC)": f"{datetime.fromtimestamp(row['at'] / 1e6, UTC):%Y-%m-%d %H:%M:%S}",
                "who": row["who"],
                "did": row["action"],
                "to": row["subject"],
                "why": row["why"],
            }
            for row in rows
        ],
        right=frozenset({"line"}),
    )
