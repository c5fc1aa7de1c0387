"""`stillwatch explain`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stillwatch.cases.explanation import AccountCase, explain_account, find_campaign, odds_to_probability
from stillwatch.cases.folder import Campaign, ScanOutput
from stillwatch.cases.reasons import removals, why, would_change
from stillwatch.cases.wording import AXIS_TITLES, clean, count, p_text, probability_text
from stillwatch.cli.app import app


@app.command()
def explain(
    scan: Annotated[Path, typer.Argument(help="Folder that `stillwatch scan --out` wrote.", metavar="DIR")],
    campaign: Annotated[str, typer.Argument(help="Id of a campaign.")],
    account: Annotated[str | None, typer.Argument(help="Id of an account; without it, the campaign.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Say why a campaign was reported, or why an account is in it, and what would change the conclusion.

    Example: `stillwatch explain out SW-6b58206c16`
    """
    opened = ScanOutput.open(scan)
    if account is None:
        found = find_campaign(opened, campaign)
        shown = _campaign_record(found)
        _emit_json(shown) if as_json else _print_campaign(found, opened)
        return
    case = explain_account(opened, campaign, account)
    _emit_json(asdict(case)) if as_json else _print_account(case)


def _emit_json(record: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(record)).decode() + "\n")


def _campaign_record(campaign: Campaign) -> dict[str, Any]:
    return {
        "campaign_id": campaign.campaign_id,
        "verdict": campaign.verdict,
        "q_value": campaign.q_value,
        "lineage": msgspec.structs.asdict(campaign.lineage),
        "why": why(campaign),
        "axes": [msgspec.structs.asdict(axis) for axis in campaign.axes],
        "without": [asdict(removal) for removal in removals(campaign)],
        "would_change": would_change(campaign),
        "innocent_explanations": [msgspec.structs.asdict(item) for item in campaign.innocent_explanations],
    }


def _print_campaign(campaign: Campaign, scan: ScanOutput) -> None:
    screen = Console()
    screen.print(Text(clean(campaign.campaign_id, 80), style="bold"))
    for sentence in why(campaign):
        screen.print(Text(f"  {clean(sentence)}"))
    screen.print(_axis_table(campaign))
    evidence = scan.table("evidence", campaign.campaign_id).to_pylist()
    if evidence:
        screen.print(_evidence_table(evidence))
    if campaign.innocent_explanations:
        screen.print(_innocent_table(campaign))
    screen.print(Text("What would change this", style="bold"))
    for sentence in would_change(campaign):
        screen.print(Text(f"  {clean(sentence)}"))


def _axis_table(campaign: Campaign) -> Table:
    table = _table("axis", "effect", "p", "evidence", "without it", right=(1, 2))
    without = {removal.axis: removal.why for removal in removals(campaign)}
    for axis in campaign.axes:
        effect = "no data" if axis.missing else "—" if axis.effect is None else f"{axis.effect:.2f}"
        said = axis.text or AXIS_TITLES.get(axis.axis, "")
        row = (
            axis.axis,
            effect,
            "—" if axis.missing else p_text(axis.p_value),
            said,
            without.get(axis.axis, "not judged"),
        )
        table.add_row(*(Text(clean(cell, 300)) for cell in row))
    return table


def _evidence_table(rows: list[dict[str, Any]]) -> Table:
    table = _table("axis", "nats", "accounts", "evidence", right=(1, 2))
    for row in sorted(rows, key=lambda row: (-(row["weight_nats"] or 0.0), str(row["name"])))[:12]:
        said = row["text"] or row["name"] or ""
        cells = (row["axis"], f"{row['weight_nats'] or 0.0:.2f}", count(row["accounts"]), said)
        table.add_row(*(Text(clean(cell, 300)) for cell in cells))
    return table


def _innocent_table(campaign: Campaign) -> Table:
    table = _table("innocent explanation", "outcome", "because")
    for item in campaign.innocent_explanations:
        table.add_row(*(Text(clean(cell or "", 300)) for cell in (item.name, item.outcome, item.reason)))
    return table


def _print_account(case: AccountCase) -> None:
    screen = Console()
    for sentence in case.sentences:
        screen.print(Text(clean(sentence)))
    if not case.terms:
        return
    table = _table("axis", "term", "detail", "nats", "running", "probability", right=(3, 4, 5))
    begin = probability_text(odds_to_probability(case.start))
    table.add_row("", "start", "how common, and what competes", "", f"{case.start:+.2f}", begin)
    for term in case.terms:
        chance = probability_text(odds_to_probability(term.running))
        cells = (term.axis, term.term, term.detail, f"{term.nats:+.2f}", f"{term.running:+.2f}", chance)
        table.add_row(*(Text(clean(cell, 300)) for cell in cells))
    screen.print(table)
    for axis, probability in case.without.items():
        screen.print(Text(f"without {clean(axis, 20)}: probability {probability_text(probability)}", style="dim"))


def _table(*names: str, right: tuple[int, ...] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(names):
        table.add_column(name, justify="right" if i in right else "left", no_wrap=i in right, overflow="fold")
    return table
