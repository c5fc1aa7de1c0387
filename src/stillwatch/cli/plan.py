"""`stillwatch plan` and `stillwatch policy`: what a policy makes of a scan, before anything is in force."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from stillwatch.cases.folder import ScanOutput
from stillwatch.cli.acting import (
    DEFAULT_STATE,
    Json,
    PolicyFile,
    StateUrl,
    TrustedKey,
    Who,
    login,
    show,
)
from stillwatch.cli.app import app
from stillwatch.response.plan import Plan


@app.command()
def policy(
    file: Annotated[Path, typer.Argument(help="Policy file (TOML).")],
    trusted_key: TrustedKey = None,
    sign: Annotated[Path | None, typer.Option(help="Sign the file with this Ed25519 private key (PEM).")] = None,
    json: Json = False,
) -> None:
    """Check a policy and show its rules in the order in which they are tried; or sign it.

    Example: `stillwatch policy examples/policy.toml`
    """
    from stillwatch.response import policy_file

    if sign is not None:
        typer.echo(f"signature: {policy_file.sign_policy(file, sign)}")
        return
    checked = policy_file.load_policy(file, trusted_key)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(checked)))
        return
    typer.echo(f"{file}: {checked.name}, mode {checked.mode}, digest {checked.digest[:12]}")
    for line in policy_file.outline(checked):
        typer.echo(line)


@app.command()
def plan(
    scan: Annotated[Path, typer.Argument(help="Folder that `stillwatch scan --out` wrote.", metavar="SCAN")],
    policy_path: PolicyFile,
    data: Annotated[
        Path | None, typer.Option(help="The dataset that was scanned: organisations, programmes, paying tokens.")
    ] = None,
    state_url: StateUrl = DEFAULT_STATE,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the whole plan to this file as JSON.")] = None,
    who: Who = "",
    seed: Annotated[int | None, typer.Option(help="Draw the waiting times by a seed (default: unforeseeable).")] = None,
    trusted_key: TrustedKey = None,
    again: Annotated[bool, typer.Option("--again", help="Propose anew what `undo` took back by name.")] = False,
    json: Json = False,
) -> None:
    """Propose what a policy makes of a scan, show whom it would hit, and keep the proposal. Nothing is in force by it.

    Example: `stillwatch plan out --policy examples/policy.toml --data data`
    """
    from stillwatch.response.actions import circumstances
    from stillwatch.response.customers import Customers, read_customers
    from stillwatch.response.plan import propose
    from stillwatch.response.plans import record_plan
    from stillwatch.response.policy_file import load_policy
    from stillwatch.response.store import State
    from stillwatch.tables import Dataset

    wanted, found = load_policy(policy_path, trusted_key), ScanOutput.open(scan)
    members = set(found.table("members")["account_id"].to_pylist())
    total = Customers(int(found.run.rows.get("accounts", 0)))
    customers = read_customers(Dataset.open(data), members) if data else total
    state = State.open(state_url)
    chance = random.SystemRandom() if seed is None else random.Random(seed)
    known = circumstances(state, wanted, customers, again=again)
    made = propose(found, wanted, known, now=state.clock(), chance=chance)
    record_plan(state, made, who=who or login(), why=f"policy {wanted.name} on {scan}")
    state.close()
    text = msgspec.json.format(msgspec.json.encode(made)) + b"\n"
    if out is not None:
        out.write_bytes(text)
    typer.echo(text, nl=False) if json else print_plan(made)


def print_plan(made: Plan) -> None:
    """Print a plan for the one who decides: campaigns and rungs, whom it reaches, who is left alone, what is next."""
    mode = "shadow: computed and recorded, never felt" if made.shadow else "enforce"
    typer.echo(f"plan {made.plan_id} ({mode}), policy {made.policy.name} {made.policy.digest[:12]}")
    show(_campaign_rows(made), right=frozenset({"accounts", "part of traffic", "innocents"}))
    reach = made.reach
    paying = "not known" if reach.paying_tokens_share is None else f"{reach.paying_tokens_share:.1%}"
    verb = "would be felt" if made.shadow else "felt"
    typer.echo(
        f"{verb} by {reach.accounts:,} accounts ({reach.accounts_share:.1%} of all), of them {reach.innocents:.2f} "
        f"innocents expected; paying tokens: {paying} (what is in force already included)"
    )
    for line in reach.over:
        typer.echo(f"over the bound: {line}" + ("" if made.shadow else " (it cannot be applied)"))
    show(_alone_rows(made), right=frozenset({"accounts"}))
    if made.tell_owners:
        typer.echo(
            f"tell {len(made.tell_owners)} owners that their key may be stolen, and rotate it; --json names them"
        )
    if untold := sum(not action.told for action in made.actions):
        typer.echo(f"NOT TOLD to the customer: {untold:,} measures (the policy is signed)")
    for need in made.needs:
        typer.echo(f"needs approval: {need.rung.label} of {need.accounts:,} accounts by {' and '.join(need.roles)}")
    if not made.actions:
        typer.echo("nothing to begin")
        return
    typer.echo(f"next: stillwatch {'approve' if made.needs else 'apply'} {made.plan_id} --why REASON")


def _campaign_rows(made: Plan) -> list[dict[str, Any]]:
    groups = Counter((action.campaign_id, action.rung, action.automatic) for action in made.actions)
    rows: list[dict[str, Any]] = []
    for (campaign, rung, automatic), accounts in sorted(groups.items()):
        inside = [a for a in made.actions if (a.campaign_id, a.rung, a.automatic) == (campaign, rung, automatic)]
        rows.append(
            {
                "campaign": campaign,
                "rung": rung.label,
                "accounts": f"{accounts:,}",
                "part of traffic": f"{sum(not a.scope.whole_account for a in inside):,}",
                "innocents": f"{sum(1 - a.probability for a in inside):.2f}",
                "begins": "by itself" if automatic else "when approved",
                "ends after": f"{max(a.lasts_s for a in inside) / 86_400:g} d",
            }
        )
    return rows


def _alone_rows(made: Plan) -> list[dict[str, Any]]:
    counted = Counter((one.campaign_id, one.why) for one in made.left_alone)
    return [{"campaign": c, "left alone": why, "accounts": f"{n:,}"} for (c, why), n in sorted(counted.items())]
