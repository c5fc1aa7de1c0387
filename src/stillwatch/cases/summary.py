"""What a scan prints: campaigns, what a person must decide, what was looked at and cleared.

Everything is a Rich renderable made of plain :class:`rich.text.Text`, so that nothing a sender wrote into a log field
is read as markup or as a terminal escape.
"""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stillwatch.cases.folder import LEAST_ACCOUNTS, Campaign, Cleared, ScanOutput
from stillwatch.cases.reasons import sought, strongest
from stillwatch.cases.wording import AXIS_TITLES, clean, count, p_text, plural, share, short, sureness, window

MOST_CLEARED = 8
VERDICTS = {"campaign": ("campaign", "bold red"), "needs_person": ("needs a person", "bold yellow")}


def summarise(scan: ScanOutput, width: int) -> RenderableType:
    """Return what a scan prints, laid out for a terminal of so many columns.

    >>> from pathlib import Path
    >>> from rich.console import Console
    >>> from stillwatch.cases.folder import Run
    >>> Console(width=80).print(summarise(ScanOutput(Path("."), [], [], Run()), 80))
    No campaign found.
    """
    parts: list[RenderableType] = [Text(verdict_line(scan), style="bold")]
    if scan.campaigns:
        parts += [campaign_table(scan.campaigns, width), *[_details(campaign) for campaign in scan.campaigns]]
    if scan.considered:
        parts.append(cleared_table(scan.considered, width))
    if scan.run.missing_evidence:
        missing = ", ".join(clean(name, 60) for name in scan.run.missing_evidence)
        parts.append(Text(f"Not in this data, so not judged: {missing}", style="dim"))
    return Group(*parts)


def verdict_line(scan: ScanOutput) -> str:
    """Say in one line what the scan found.

    >>> from pathlib import Path
    >>> from stillwatch.cases.folder import Run
    >>> verdict_line(ScanOutput(Path("."), [], [], Run(rows={"exchanges": 5, "accounts": 2})))
    'No campaign found in 5 exchanges of 2 accounts; not searched, because fewer than 30 accounts cannot be compared.'
    """
    rows = scan.run.rows
    where = ""
    if rows.get("exchanges") is not None:
        where = (
            f" in {plural(int(rows['exchanges']), 'exchange')} of {plural(int(rows.get('accounts') or 0), 'account')}"
        )
    found = plural(len(scan.reported), "campaign") if scan.reported else "No campaign"
    more = []
    if scan.undecided:
        verb = "needs" if len(scan.undecided) == 1 else "need"
        more.append(f"{plural(len(scan.undecided), 'group')} {verb} a person")
    if "accounts" in rows and (rows["accounts"] or 0) < LEAST_ACCOUNTS:
        more.append(f"not searched, because fewer than {LEAST_ACCOUNTS} accounts cannot be compared")
    if scan.considered:
        more.append(f"{plural(len(scan.considered), 'group')} looked at and cleared")
    return f"{found} found{where}{''.join(f'; {text}' for text in more)}."


def campaign_table(campaigns: list[Campaign], width: int) -> Table:
    """Return the table of campaigns; under 110 columns, models and tokens give way.

    >>> campaign_table([Campaign(campaign_id="c", verdict="campaign")], 80).row_count
    1
    """
    wide = width >= 110
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for name, justify in (("campaign", "left"), ("verdict", "left"), ("accounts", "right"), ("exchanges", "right")):
        table.add_column(name, justify=justify, no_wrap=name in ("campaign", "accounts"), overflow="fold")  # type: ignore[arg-type]
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("window", overflow="fold")
    table.add_column("q", justify="right", no_wrap=True)
    if wide:
        table.add_column("sought", overflow="fold")
    for campaign in campaigns:
        name, style = VERDICTS.get(campaign.verdict, (campaign.verdict, ""))
        cells = [
            Text(clean(campaign.campaign_id, 60), style="bold"),
            Text(clean(name, 40), style=style),
            Text(count(campaign.accounts)),
            Text(count(campaign.exchanges)),
            Text(short(campaign.tokens)),
            Text(window(campaign.first_seen, campaign.last_seen)),
            Text(p_text(campaign.q_value)),
        ]
        table.add_row(*cells, *([Text(clean(sought(campaign, 3), 200))] if wide else []))
    return table


def _details(campaign: Campaign) -> RenderableType:
    """Return the lines under the table: what is sought, the strongest evidence, the innocent explanation considered."""
    axis = strongest(campaign)
    lines = [("sought", sought(campaign) if campaign.capabilities else "not recorded")]
    if campaign.about:
        lines.append(("its accounts", "; ".join(campaign.about)))
    if axis is not None:
        effect = "" if axis.effect is None else f" {axis.effect:.1f} nats a member"
        lines.append(("strongest axis", f"{axis.axis} ({AXIS_TITLES.get(axis.axis, '')}){effect}"))
    if campaign.evidence:
        lines.append(("strongest evidence", campaign.evidence[0]))
    considered = closest_innocent(campaign)
    if considered:
        lines.append(("innocent explanation", considered))
    if campaign.person_reason:
        lines.append(("a person must decide", ": ".join(filter(None, (campaign.decided_by, campaign.person_reason)))))
    lines.append(("how sure", sureness(campaign.q_value)))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, said in lines:
        grid.add_row(Text(label), Text(clean(said, 400)))
    return Group(Text(clean(campaign.campaign_id, 60), style="bold"), Padding(grid, (0, 0, 1, 2)))


def closest_innocent(campaign: Campaign) -> str:
    """Name the innocent explanation that comes closest: one that explains, else one possible, else one excluded.

    Stolen keys before its like: then the accounts' owners are victims.

    >>> from stillwatch.cases.folder import InnocentExplanation
    >>> both = [InnocentExplanation("office", "excluded", "3 owners"), InnocentExplanation("class", "possible", "term")]
    >>> closest_innocent(Campaign(campaign_id="c", verdict="campaign", innocent_explanations=both))
    'class: possible (term); 1 other excluded'
    """
    order = {"explains": 0, "possible": 1, "no data": 2, "excluded": 3}
    ranked = sorted(
        campaign.innocent_explanations, key=lambda item: (order.get(item.outcome, 4), item.name != "stolen keys")
    )
    if not ranked:
        return ""
    first = ranked[0]
    others = sum(item.outcome == "excluded" for item in ranked[1:])
    reason = f" ({first.reason})" if first.reason else ""
    return f"{first.name}: {first.outcome}{reason}" + (f"; {others} other excluded" if others else "")


def cleared_table(considered: list[Cleared], width: int) -> RenderableType:
    """Return the table of groups looked at and cleared, the largest few.

    >>> cleared_table([Cleared("g", accounts=3)], 80).renderables[1].row_count
    1
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("group", overflow="fold", max_width=18)
    table.add_column("accounts", justify="right", no_wrap=True)
    table.add_column("worth", justify="right", no_wrap=True)
    if width >= 110:
        table.add_column("what", overflow="fold", ratio=1)
    table.add_column("cleared because", overflow="fold", ratio=1)
    ranked = sorted(considered, key=lambda group: (-group.accounts, group.group_id))
    for group in ranked[:MOST_CLEARED]:
        why = ": ".join(clean(part, 200) for part in (group.cleared_by, group.reason) if part)
        row = [Text(clean(group.group_id, 60)), Text(count(group.accounts)), Text(share(group.worth))]
        table.add_row(*row, *([Text(clean(group.what or "", 200))] if width >= 110 else []), Text(why))
    more = len(ranked) - MOST_CLEARED
    parts: list[RenderableType] = [Text("Looked at and cleared", style="bold"), table]
    if more > 0:
        parts.append(Text(f"and {more:,} more in considered.json", style="dim"))
    return Group(*parts)
