"""`stillwatch appeal` and `stillwatch verify-account`: the ways back for an account."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cases.wording import plural
from stillwatch.cli.acting import DEFAULT_STATE, StateUrl, Who, Why, login, show
from stillwatch.cli.app import app
from stillwatch.errors import ConfigError


class Step(enum.StrEnum):
    """What can be done about an appeal."""

    OPEN = "open"
    GRANT = "grant"
    REFUSE = "refuse"
    LIST = "list"


class Proof(enum.StrEnum):
    """What an account can prove."""

    EMAIL = "email"
    PHONE = "phone"
    IDENTITY = "identity"
    ORGANISATION = "organisation"
    KEY_ROTATED = "key-rotated"


@app.command()
def appeal(
    step: Annotated[Step, typer.Argument(help="open (again, too), grant, refuse, or list the open ones.")],
    account: Annotated[str | None, typer.Argument(help="The account.")] = None,
    why: Annotated[str, typer.Option("--why", help="What the customer says, or the reason of the answer.")] = "",
    who: Who = "",
    state_url: StateUrl = DEFAULT_STATE,
) -> None:
    """Open or answer an appeal. Granting ends all that is in force for the account; refusing needs another person
    than the one who approved the plan.

    Example: `stillwatch appeal open acct_17 --why "our nightly benchmark"`
    """
    from stillwatch.response import appeals
    from stillwatch.response.store import State

    state = State.open(state_url, make=False)
    if step is Step.LIST:
        rows = [
            {
                "appeal": one.appeal_id,
                "opened": f"{datetime.fromtimestamp(one.opened_at / 1e6, UTC):%d %b %Y %H:%M}",
                "reason": one.reason,
            }
            for one in appeals.appeals(state, "open")
        ]
        show(rows)
        typer.echo(f"{len(rows):,} open")
        return
    if account is None:
        raise ConfigError("name the account: stillwatch appeal STEP ACCOUNT --why REASON")
    if step is Step.OPEN:
        typer.echo(f"appeal {appeals.open_appeal(state, account, who=who or login(), why=why)} is open")
        return
    answer: appeals.Answer = "granted" if step is Step.GRANT else "refused"
    ended = appeals.answer_appeal(state, account, answer, who=who or login(), why=why)
    typer.echo(f"appeal of {account} {answer}; {plural(ended, 'measure')} ended")


@app.command("verify-account")
def verify_account(
    account: Annotated[str, typer.Argument(help="The account.")],
    proof: Annotated[Proof, typer.Argument(help="What was proved: email, phone, identity, organisation, key-rotated.")],
    why: Why,
    failed: Annotated[bool, typer.Option("--failed", help="The verification failed: recorded, nothing ends.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Write what was proved into this dataset, for the next scan.")
    ] = None,
    who: Who = "",
    state_url: StateUrl = DEFAULT_STATE,
) -> None:
    """Record a verification. One that succeeds ends all that is in force for the account.

    Example: `stillwatch verify-account acct_17 organisation --why "contract seen" --data data`
    """
    from stillwatch.response import appeals
    from stillwatch.response.store import State
    from stillwatch.tables import Dataset

    state = State.open(state_url)
    ended = appeals.verify(state, account, proof.value, succeeded=not failed, who=who or login(), why=why)
    typer.echo(f"{proof.value} of {account} {'failed' if failed else 'proved'}; {plural(ended, 'measure')} ended")
    if data is not None:
        changed = appeals.feed_back(state, Dataset.open(data))
        typer.echo(f"{plural(changed, 'account')} of {data} now verified better than before")
