"""`stillwatch replay`: what a policy would have done on days that are past."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pyarrow as pa
import typer

from stillwatch.cases.folder import ScanOutput
from stillwatch.cli.acting import Json, PolicyFile, TrustedKey, show
from stillwatch.cli.app import app
from stillwatch.cli.progress import progress_bar
from stillwatch.response.ladder import Rung
from stillwatch.response.plan import Circumstances, Plan, propose
from stillwatch.response.policy import Policy
from stillwatch.response.standing import Standing
from stillwatch.tables import Dataset
from stillwatch.types import Progress

if TYPE_CHECKING:
    from stillwatch.signals.frame import Frame


@dataclass(frozen=True)
class Known:
    """A scan and the moment from which its findings are taken to be known."""

    scan: ScanOutput
    at: datetime


@app.command()
def replay(
    dataset: Annotated[Path, typer.Argument(help="The dataset: the days to replay.")],
    scan: Annotated[Path, typer.Argument(help="A scan of all of it: whose exchanges count as a campaign's.")],
    policy_path: PolicyFile,
    rescan: Annotated[
        float, typer.Option(min=0.0, help="Scan anew every so many days, each time only what was known (0: never).")
    ] = 0.0,
    found_after: Annotated[
        float, typer.Option(min=0.0, help="Without --rescan: hours from a campaign's first exchange to its finding.")
    ] = 72.0,
    approved_after: Annotated[
        float, typer.Option(min=0.0, help="Hours until the persons have agreed to what needs them.")
    ] = 12.0,
    labels: Annotated[
        bool, typer.Option("--labels", help="Count by the dataset's labels (simulated worlds): evaluation only.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the waiting times.")] = 0,
    trusted_key: TrustedKey = None,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Show what a policy would have stopped, whom it would have hit, what that costs, and what leaked before it acted.

    Shadow or not, measures count as if they were felt. Without --rescan the scan's hindsight is used: whole membership,
    known --found-after hours after each campaign began. With it, only what could be known then.

    Example: `stillwatch replay data out --policy examples/policy.toml --rescan 2`
    """
    from stillwatch.response.policy_file import load_policy
    from stillwatch.signals.frame import read_frame

    opened, whole, wanted = Dataset.open(dataset), ScanOutput.open(scan), load_policy(policy_path, trusted_key)
    with progress_bar(quiet=quiet) as progress, tempfile.TemporaryDirectory() as work:
        known = list(_rescans(opened, rescan, Path(work), progress)) if rescan else _hindsight(whole, found_after)
        standings = _standings(known, opened, wanted, timedelta(hours=approved_after), random.Random(seed))
        frame = read_frame(opened, progress=progress)
    result = _outcome(frame, standings, *_yardstick(opened, whole, labels=labels))
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(result)))
        return
    known_when = f"scanned anew every {rescan:g} days" if rescan else f"hindsight, known after {found_after:g} h"
    _print(result, wanted, f"{known_when}, agreed to after {approved_after:g} h", labels=labels)


def _outcome(
    frame: Frame, standings: list[Standing], asked: dict[str, Any], group_of: dict[str, str]
) -> dict[str, list[Any]]:
    from stillwatch.response.replay import bystanders, effect, leaks

    found = effect(frame, standings)
    ours = pa.concat_arrays([pa.array([], pa.string()), *asked.values()])
    return {
        "leaks": leaks(frame, found, asked, standings),
        "bystanders": bystanders(frame, found, ours, group_of),
    }


def _hindsight(whole: ScanOutput, hours: float) -> list[Known]:
    """Return the scan once for each campaign, known some hours after it began."""
    begun = [datetime.fromisoformat(campaign.first_seen) for campaign in whole.campaigns if campaign.first_seen]
    single = [ScanOutput(whole.path, [campaign], [], whole.run) for campaign in whole.campaigns if campaign.first_seen]
    return [Known(one, first + timedelta(hours=hours)) for one, first in zip(single, begun, strict=True)]


def _rescans(dataset: Dataset, days: float, work: Path, progress: Progress) -> Iterator[Known]:
    """Yield a scan of every growing prefix of the dataset, ids handed on from one to the next."""
    from stillwatch.cases.scan import ScanSettings
    from stillwatch.cases.scan import scan as run_scan
    from stillwatch.evaluate.daily import moments, prefix

    cuts = moments(dataset, days * 24)
    previous: Path | None = None
    for number, cut in enumerate(cuts):
        progress("rescan", number, len(cuts), "scans")
        known = prefix(dataset, cut, work / f"known-{number}")
        out = work / f"out-{number}"
        yield Known(run_scan(known, out, ScanSettings(previous=previous)), datetime.fromtimestamp(cut / 1e6, UTC))
        previous = out


def _standings(
    known: list[Known], dataset: Dataset, wanted: Policy, approval: timedelta, chance: random.Random
) -> list[Standing]:
    """Return what the plans of all scans bring into force, each from when it was known and agreed to."""
    from stillwatch.response.customers import read_customers

    members = {one for item in known for one in item.scan.table("members")["account_id"].to_pylist()}
    customers = read_customers(dataset, members)
    begun: list[Standing] = []
    for item in sorted(known, key=lambda one: one.at):
        in_force = {(one.account_id, one.campaign_id): one.rung for one in begun if one.expires_at > item.at}
        plan = propose(item.scan, wanted, Circumstances(customers, in_force), now=item.at, chance=chance)
        begun += _begin(plan, item.at, approval)
    return begun


def _begin(plan: Plan, at: datetime, approval: timedelta) -> list[Standing]:
    return [
        action.standing(plan.plan_id, at if action.automatic else at + approval, shadow=False)
        for action in plan.actions
        if action.rung > Rung.OBSERVE
    ]


def _yardstick(dataset: Dataset, whole: ScanOutput, *, labels: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Return each campaign's exchanges and each account's group: by the scan and plans, or by the labels."""
    from stillwatch.response.replay import by_campaign

    if labels:
        truth, exchanges = dataset.labels()
        groups = zip(truth["account_id"].to_pylist(), truth["population"].to_pylist(), strict=True)
        return by_campaign(exchanges), dict(groups)
    accounts = dataset.accounts()
    plans = zip(accounts["account_id"].to_pylist(), accounts["plan"].to_pylist(), strict=True)
    return by_campaign(whole.table("campaign_exchanges")), dict(plans)


def _print(result: dict[str, list[Any]], policy: Policy, assumed: str, *, labels: bool) -> None:
    typer.echo(f"policy {policy.name} {policy.digest[:12]}; campaigns by {'the labels' if labels else 'the scan'}")
    typer.echo(f"assumed: {assumed}; customers go on as they did")
    shares = frozenset({"exchanges", "leaked before", "after", "stopped"})
    show([_leak_row(one) for one in result["leaks"]], right=shares)
    typer.echo("traffic that is no campaign's:")
    numbers = frozenset({"accounts", "touched", "exchanges", "stopped", "waited s"})
    show([_bystander_row(one, labels=labels) for one in result["bystanders"]], right=numbers)
    ours, theirs = result["leaks"], result["bystanders"]
    saved = sum(one.tokens_stopped for one in ours)
    lost = sum(one.stopped_tokens for one in theirs)
    price = policy.price_per_million_tokens / 1e6
    typer.echo(
        f"tokens kept from campaigns: {saved:,} ({saved * price:,.2f} not earned from them); "
        f"tokens refused to others: {lost:,} ({lost * price:,.2f})"
    )


def _leak_row(one: Any) -> dict[str, str]:
    acted = "never" if one.acted_at is None else f"{datetime.fromtimestamp(one.acted_at / 1e6, UTC):%d %b %H:%M}"
    share = one.exchanges or 1
    return {
        "campaign": one.campaign,
        "exchanges": f"{one.exchanges:,}",
        "acted (UTC)": acted,
        "leaked before": f"{one.before / share:.0%}",
        "after": f"{one.after / share:.0%}",
        "stopped": f"{one.stopped / share:.0%}",
    }


def _bystander_row(one: Any, *, labels: bool) -> dict[str, str]:
    return {
        "population" if labels else "plan": one.group,
        "accounts": f"{one.accounts:,}",
        "touched": f"{one.accounts_touched:,}",
        "exchanges": f"{one.exchanges:,}",
        "stopped": f"{one.stopped:,}",
        "waited s": f"{one.delay_s:,.0f}",
    }
