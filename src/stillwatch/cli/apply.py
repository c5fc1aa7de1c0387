"""`stillwatch approve`, `apply` and `undo`: a plan comes into force, and is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stillwatch.cases.wording import plural
from stillwatch.cli.acting import DEFAULT_STATE, StateUrl, TrustedKey, Who, Why, login
from stillwatch.cli.app import app

PlanId = Annotated[str, typer.Argument(help="Id of the plan, as `stillwatch plan` printed it.", metavar="PLAN")]


@app.command()
def approve(
    plan: PlanId,
    why: Why,
    who: Who = "",
    key: Annotated[
        Path | None, typer.Option(help="Your Ed25519 private key (PEM), when the policy lists [keys].")
    ] = None,
    state_url: StateUrl = DEFAULT_STATE,
) -> None:
    """Agree to a plan, in the role that its policy gives you; with your key when the policy lists keys.

    Example: `stillwatch approve P-4be1c2aa90 --as anna --key anna.key --why "reviewed ten accounts a campaign"`
    """
    from stillwatch.response import plans
    from stillwatch.response.signing import private_key
    from stillwatch.response.store import State

    mine = private_key(key) if key else None
    left = plans.approve(State.open(state_url, make=False), plan, who=who or login(), why=why, key=mine)
    for need in left:
        typer.echo(f"still needed for {need.rung.label} of {need.accounts:,} accounts: {' and '.join(need.roles)}")
    if not left:
        typer.echo(f"all have agreed; next: stillwatch apply {plan} --why REASON")


@app.command()
def apply(
    plan: PlanId,
    why: Why,
    who: Who = "",
    only_automatic: Annotated[
        bool, typer.Option("--only-automatic", help="Begin only what the policy lets begin without a person.")
    ] = False,
    policy_path: Annotated[
        Path | None, typer.Option("--policy", help="Today's policy: its exemptions and its keys win over the plan's.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Dataset, when the policy exempts organisations.")] = None,
    trusted_key: TrustedKey = None,
    state_url: StateUrl = DEFAULT_STATE,
) -> None:
    """Bring a plan into force, once those who must have approved it.

    Example: `stillwatch apply P-4be1c2aa90 --why "shadow run of September"`
    """
    from stillwatch.response import actions
    from stillwatch.response.customers import UNKNOWN, read_customers
    from stillwatch.response.plans import read_plan
    from stillwatch.response.policy_file import load_policy
    from stillwatch.response.store import State
    from stillwatch.tables import Dataset

    state = State.open(state_url, make=False)
    today = load_policy(policy_path, trusted_key) if policy_path else None
    accounts = {action.account_id for action in read_plan(state, plan).actions}
    customers = read_customers(Dataset.open(data), accounts) if data else UNKNOWN
    done = actions.apply(
        state, plan, who=who or login(), why=why, only_automatic=only_automatic, policy=today, customers=customers
    )
    mode = "in shadow: nobody feels it" if done.shadow else "in force"
    typer.echo(f"{plural(done.begun, 'measure')} {mode}; {done.left_out:,} left out since the plan was made")
    typer.echo(f"take it back: stillwatch undo --plan {plan} --why REASON")


@app.command()
def undo(
    why: Why,
    account: Annotated[str | None, typer.Option(help="Take back all that is in force for this account.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Take back all that is in force for this campaign.")] = None,
    plan: Annotated[str | None, typer.Option(help="Take back what this plan brought into force.")] = None,
    who: Who = "",
    state_url: StateUrl = DEFAULT_STATE,
) -> None:
    """Take back one account, one campaign or one plan, whole; what other plans hold in force stays.

    Example: `stillwatch undo --campaign SW-6b58206c16 --why "a conference, not a campaign"`
    """
    from stillwatch.response import actions
    from stillwatch.response.store import State

    ended = actions.undo(
        State.open(state_url, make=False), who=who or login(), why=why, account=account, campaign=campaign, plan=plan
    )
    typer.echo(f"{plural(ended, 'measure')} ended")


@app.command()
def standings(
    state_url: StateUrl = DEFAULT_STATE,
    json: Annotated[bool, typer.Option("--json", help="Print every measure as JSON.")] = False,
) -> None:
    """Show what is in force or waits to begin, what shadow mode would do, and who has spoken up since.

    Example: `stillwatch standings`
    """
    from stillwatch.cli.acting import show
    from stillwatch.response.actions import standings as in_force
    from stillwatch.response.shadow import overlaps
    from stillwatch.response.store import State

    state = State.open(state_url, make=False)
    found = in_force(state)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)))
        return
    felt, in_shadow = ({one.account_id for one in found if one.shadow is shadow} for shadow in (False, True))
    typer.echo(f"{plural(len(felt), 'account')} under a measure in force or waiting; {len(in_shadow):,} in shadow")
    show(
        [
            {
                "ever applied": "in shadow" if one.shadow else "in force",
                "accounts": f"{one.accounts:,}",
                "felt by": f"{one.would_feel:,}",
                "rungs": ", ".join(f"{rung} {n:,}" for rung, n in one.by_rung.items()) or "none",
                "verified since": one.verified,
                "appeals granted": one.granted,
                "refused": one.refused,
            }
            for one in overlaps(state)
        ],
        right=frozenset({"accounts", "felt by", "verified since", "appeals granted", "refused"}),
    )
