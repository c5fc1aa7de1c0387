"""Why a campaign was reported, how sure that is, and what would change the conclusion, in plain sentences.

The bar restated here is the verdict's: WHAT and WORTH must hold, and at least two of the WHO views (NET, ID, LIFE,
TIME) must stand out, each by p under 0.001 and at least 0.25 nats a member beyond chance. "Without" answers for the
campaign as it was found; a scan without the column, which may also find other members, is the exact answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from stillwatch.campaigns.discover import LEAST_P
from stillwatch.cases.folder import AXES, WHO_AXES, Axis, Campaign
from stillwatch.cases.wording import (
    AXIS_TITLES,
    day,
    interval,
    listing,
    p_text,
    plural,
    share,
    short,
    sureness,
)

LEAST_EFFECT = 0.25
VIEW_P, VIEWS_NEEDED = 0.001, 2
_MOST_SAID = 3


@dataclass(frozen=True, slots=True)
class Removal:
    """What is left of a conclusion without one kind of evidence."""

    axis: str
    falls: bool
    why: str


def views(campaign: Campaign) -> list[Axis]:
    """Return the WHO views that had data, strongest (smallest p-value) first.

    >>> axes = [Axis("NET", p_value=0.2), Axis("ID", p_value=0.01), Axis("TIME", missing=True)]
    >>> [axis.axis for axis in views(Campaign(campaign_id="c", verdict="campaign", axes=axes))]
    ['ID', 'NET']
    """
    there = [axis for axis in campaign.axes if axis.axis in WHO_AXES and not axis.missing and axis.p_value is not None]
    return sorted(there, key=lambda axis: (axis.p_value or 0.0, -(axis.effect or 0.0), axis.axis))


def stands_out(axis: Axis) -> bool:
    """Say whether a view of who asks is beyond chance, in probability and in size.

    >>> stands_out(Axis("NET", effect=2.0, p_value=1e-4)), stands_out(Axis("NET", effect=0.1, p_value=1e-4))
    (True, False)
    """
    p_value = 1.0 if axis.p_value is None else axis.p_value
    return not axis.missing and p_value < VIEW_P and (axis.effect or 0.0) >= LEAST_EFFECT


def removals(campaign: Campaign) -> list[Removal]:
    """Say for every kind of evidence that had data whether the campaign would still be reported without it.

    >>> axes = [Axis("WHAT"), Axis("ID", 2.0, 1e-4), Axis("NET", 2.0, 1e-4), Axis("WORTH")]
    >>> case = Campaign(campaign_id="c", verdict="campaign", q_value=0.01, axes=axes)
    >>> [(removal.axis, removal.falls) for removal in removals(case)]
    [('WHAT', True), ('NET', True), ('ID', True), ('WORTH', True)]
    """
    out = []
    for name in AXES:
        if campaign.axis(name).missing:
            continue
        if is_fleet(campaign):
            out.append(_FLEET_WITHOUT.get(name) or Removal(name, False, f"stands: {_NOT_ON_THIS}"))
        elif name in WHO_AXES:
            out.append(_without(campaign, name))
        else:
            what = (
                "no group is reported that does not ask alike" if name == "WHAT" else "no group is reported without it"
            )
            out.append(Removal(name, True, f"falls: {what}"))
    return out


_NOT_ON_THIS = "it rests on the one owner and what the accounts ask for"
_FLEET_WITHOUT = {
    name: Removal(name, True, f"falls: {said}")
    for name, said in (
        ("WHAT", "nobody would know what they ask for"),
        ("ID", "payments, devices and telephones show the one owner"),
        ("WORTH", "no group is reported without it"),
    )
}


def is_fleet(campaign: Campaign) -> bool:
    """Say whether a group is one owner's fleet, which no test of chance brought up: its q-value is one.

    >>> is_fleet(Campaign(campaign_id="c", verdict="needs_person", q_value=1.0))
    True
    """
    return campaign.verdict != "campaign" and campaign.q_value is not None and campaign.q_value >= 1.0


def _without(campaign: Campaign, name: str) -> Removal:
    left = [axis.axis for axis in views(campaign) if axis.axis != name and stands_out(axis)]
    if len(left) < VIEWS_NEEDED:
        remaining = f"only {left[0]} would stand out" if left else "no view of who asks would stand out"
        return Removal(name, True, f"falls: {remaining}, {VIEWS_NEEDED} are needed")
    return Removal(name, False, f"stands: {listing(left)} still stand out")


def strongest(campaign: Campaign) -> Axis | None:
    """Return the kind of evidence about who asks that weighs most, in nats a member; None when there is none.

    One that stands out before one that may be chance.

    >>> axes = [Axis("WHAT", 9.0, 1e-6), Axis("NET", 1.0, 1e-6), Axis("ID", 3.0, 1e-6), Axis("TIME", 8.0, 0.02)]
    >>> strongest(Campaign(campaign_id="c", verdict="campaign", axes=axes)).axis
    'ID'
    """
    there = [axis for axis in campaign.axes if axis.axis in WHO_AXES and not axis.missing]

    def weight(axis: Axis) -> tuple[bool, float, float, str]:
        sure = axis.p_value is not None and axis.p_value < LEAST_P
        return sure, axis.effect or 0.0, axis.strength or 0.0, axis.axis

    return max(there, key=weight, default=None)


def headline(campaign: Campaign) -> str:
    """Say in one sentence what happened.

    >>> headline(Campaign(campaign_id="c", verdict="campaign", accounts=2, exchanges=9, models=["m"]))
    '2 accounts sent 9 exchanges between — and —, to m.'
    """
    parts = [
        f"{plural(campaign.accounts, 'account')}{_likely(campaign.accounts_interval)}",
        f"sent {plural(campaign.exchanges, 'exchange')}{_likely(campaign.exchanges_interval)}",
    ]
    if campaign.tokens is not None:
        parts.append(f"of {short(campaign.tokens)} tokens{_likely(campaign.tokens_interval, brief=True)}")
    when = f"between {day(campaign.first_seen)} and {day(campaign.last_seen)}"
    models = f", to {listing(campaign.models[:4])}{' and others' if len(campaign.models) > 4 else ''}"
    return " ".join([*parts, when]) + (models if campaign.models else "") + "."


def _likely(bounds: list[float] | None, *, brief: bool = False) -> str:
    if not bounds or len(bounds) != 2:
        return ""
    shown = f"{short(bounds[0])}–{short(bounds[1])}" if brief else interval(bounds)
    return f" (likely {shown})"


def sought(campaign: Campaign, most: int = 4) -> str:
    """Name the capabilities sought with their shares, most sought first.

    >>> sought(Campaign(campaign_id="c", verdict="campaign", capabilities=["code"], capability_shares={"code": 0.4}))
    'code (40 %)'
    """
    shares = campaign.capability_shares
    names = [f"{name} ({share(shares[name])})" if name in shares else name for name in campaign.capabilities[:most]]
    return listing(names)


def history(campaign: Campaign) -> list[str]:
    """Say which earlier campaigns this one is taken for, and what that rests on; nothing of a new one.

    >>> from stillwatch.cases.folder import Lineage
    >>> line = Lineage("continued", ["SW-1"], "SW-1", ["9 of its 12 accounts were in reports of SW-1 before"])
    >>> history(Campaign(campaign_id="SW-1", verdict="campaign", lineage=line))
    ['Continues SW-1: 9 of its 12 accounts were in reports of SW-1 before.']
    """
    line = campaign.lineage
    others = listing(name for name in line.previous if name != campaign.campaign_id)
    events = {
        "continued": f"Continues {campaign.campaign_id}",
        "merged": f"Continues {campaign.campaign_id} and takes in {others}",
        "split": f"Comes from {others}, whose id another report has",
    }
    sentences = []
    if line.because:
        said = events.get(line.event, "New, and like one that is known")
        sentences.append(f"{said}: {'; '.join(line.because[:_MOST_SAID])}.")
    if line.case not in ("", campaign.campaign_id):
        sentences.append(f"It counts as part of case {line.case}.")
    return sentences


def why(campaign: Campaign) -> list[str]:
    """Say in sentences what happened, why it was reported and how sure that is.

    >>> why(Campaign(campaign_id="c", verdict="campaign", q_value=0.01))[-1]
    'Sure that they act together: of reports this sure or surer, about 1 in 100 is expected to be wrong (q = 0.01).'
    """
    who = [axis for axis in views(campaign) if stands_out(axis)]
    names = listing(AXIS_TITLES[axis.axis] for axis in who)
    sentences = [headline(campaign)]
    if campaign.capabilities:
        sentences.append(f"Most sought: {sought(campaign)}.")
    if is_fleet(campaign):
        sentences.append("The accounts openly belong together, so that they share networks or hours says nothing.")
    elif who:
        sentences.append(
            f"They ask in the same way, and coincide in {plural(len(who), 'independent view')} of who asks ({names}), "
            "more than unrelated accounts of the same kind do."
        )
    else:
        sentences.append("They ask in the same way; no view of who asks is beyond chance by itself.")
    if campaign.verdict != "campaign":
        reason = (campaign.person_reason or "the data cannot decide it").rstrip(".")
        named = f" ({campaign.decided_by})" if campaign.decided_by else ""
        sentences.append(f"This is not an accusation. A person must decide{named}: {reason}.")
    stolen = [e for e in campaign.innocent_explanations if e.name == "stolen keys" and e.outcome == "possible"]
    if stolen and campaign.verdict == "campaign":
        sentences.append(
            f"The accounts may be stolen or lent: {(stolen[0].reason or 'their owners were there first').rstrip('.')}."
        )
    missing = [axis.axis for axis in campaign.axes if axis.missing]
    if missing:
        sentences.append(f"Not judged, because the data lacks it: {listing(AXIS_TITLES.get(a, a) for a in missing)}.")
    sentences += history(campaign)
    sure = sureness(campaign.q_value)
    measured = "" if is_fleet(campaign) else f" (q = {p_text(campaign.q_value)})"
    sentences.append(f"{sure[0].upper()}{sure[1:]}{measured}.")
    return sentences


def would_change(campaign: Campaign) -> list[str]:
    """Say in sentences what would change the conclusion.

    >>> would_change(Campaign(campaign_id="c", verdict="campaign"))
    ['No kind of evidence can be taken away: the scan recorded none apart.']
    """
    tested = [removal for removal in removals(campaign) if removal.axis in WHO_AXES]
    if is_fleet(campaign):
        sentences = [f"No view of who asks carries this: {_NOT_ON_THIS}. Ask the owner; a contract settles it."]
    elif not tested:
        sentences = ["No kind of evidence can be taken away: the scan recorded none apart."]
    else:
        fatal = [AXIS_TITLES[removal.axis] for removal in tested if removal.falls]
        spare = [AXIS_TITLES[removal.axis] for removal in tested if not removal.falls]
        sentences = []
        if fatal:
            sentences.append(f"Without {listing(fatal, 'or')} it would no longer be reported.")
        if spare:
            sentences.append(f"It would still be reported without {listing(spare, 'or')}, one at a time.")
        sentences.append("It also needs what is asked and worth to a trainer: without either it would not be reported.")
    open_ = [e.name for e in campaign.innocent_explanations if e.outcome in ("possible", "no data")]
    if open_:
        sentences.append(f"Still open: {listing(open_)}. Proof of such an innocent explanation would change it.")
    return sentences
