"""`stillwatch case`: what a person says about which reports are one case."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cases.continuity import choose_case
from stillwatch.cli.acting import DEFAULT_STATE, StateUrl, Who, Why, login
from stillwatch.cli.app import app
from stillwatch.errors import ConfigError


class Step(enum.StrEnum):
    """What can be done about a campaign's case."""

    JOIN = "join"
    PART = "part"


@app.command()
def case(
    step: Annotated[Step, typer.Argument(help="join: a part of another's case; part: a case of its own.")],
    scan: Annotated[Path, typer.Argument(help="Folder that `stillwatch scan --out` wrote.", metavar="DIR")],
    campaign: Annotated[str, typer.Argument(help="The campaign that is laid to another case.")],
    other: Annotated[str | None, typer.Argument(help="join: a campaign of the case it belongs to.")] = None,
    why: Why = "",
    who: Who = "",
    state_url: StateUrl = DEFAULT_STATE,
) -> None:
    """Say that a reported campaign is, or is not, part of another one's case. Later scans keep to it.

    Example: `stillwatch case join out SW-183d042edb SW-fd29c1d38d --why "same queue of prompts"`
    """
    from stillwatch.response.store import State

    if (other is None) == (step is Step.JOIN):
        raise ConfigError("case join DIR CAMPAIGN OTHER --why REASON, or: case part DIR CAMPAIGN --why REASON")
    chosen = campaign if other is None else other
    state = State.open(state_url)
    with state.changing(who or login(), f"case {step} {campaign}{f' {other}' if other else ''}", why):
        choose_case(scan, campaign, chosen)
    typer.echo(f"{campaign} is a case of its own" if other is None else f"{campaign} is part of the case of {other}")
