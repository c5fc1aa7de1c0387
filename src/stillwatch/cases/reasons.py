"""Why a campaign was reported, how sure that is, and what would change the conclusion, in plain sentences.

The bar restated here is the scan's (docs/detection): WHAT and WORTH must hold, and at least two of the WHO views
(NET, ID, LIFE, TIME) must be beyond chance: the second smallest p-value over the views that had data, times one less
than their number (partial conjunction, Benjamini & Heller 2008), must survive the false-discovery limit, with a
second-best effect of at least 0.25 nats a member. "Without" figures carry the campaign's own ratio of q-value to that
p-value over, so they are close, not exact: a scan without the column is the exact answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from stillwatch.cases.folder import AXES, WHO_AXES, Axis, Campaign, Run
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
VIEW_P = 0.05


@dataclass(frozen=True, slots=True)
class Removal:
    """What is left of a conclusion without one kind of evidence."""

    axis: str
    falls: bool
    q_value: float | None
    why: str


def views(campaign: Campaign) -> list[Axis]:
    """Return the WHO views that had data, strongest (smallest p-value) first.

    >>> axes = [Axis("NET", p_value=0.2), Axis("ID", p_value=0.01), Axis("TIME", missing=True)]
    >>> [axis.axis for axis in views(Campaign(campaign_id="c", verdict="campaign", axes=axes))]
    ['ID', 'NET']
    """
    there = [axis for axis in campaign.axes if axis.axis in WHO_AXES and not axis.missing and axis.p_value is not None]
    return sorted(there, key=lambda axis: (axis.p_value or 0.0, -(axis.effect or 0.0), axis.axis))


def partial_conjunction(who: list[Axis]) -> float:
    """Return the p-value of "at least two views are beyond chance" (Benjamini & Heller 2008); 1 with fewer than two.

    >>> partial_conjunction([Axis("ID", p_value=0.001), Axis("NET", p_value=0.01), Axis("LIFE", p_value=0.5)])
    0.02
    """
    ordered = sorted(axis.p_value or 0.0 for axis in who)
    return min(1.0, (len(ordered) - 1) * ordered[1]) if len(ordered) > 1 else 1.0


def removals(campaign: Campaign, run: Run) -> list[Removal]:
    """Say for every kind of evidence that had data whether the campaign would still be reported without it.

    >>> axes = [Axis("WHAT"), Axis("ID", 2.0, 0.001), Axis("NET", 2.0, 0.001), Axis("WORTH")]
    >>> case = Campaign(campaign_id="c", verdict="campaign", q_value=0.01, axes=axes)
    >>> [(removal.axis, removal.falls) for removal in removals(case, Run())]
    [('WHAT', True), ('NET', True), ('ID', True), ('WORTH', True)]
    """
    out = []
    for name in AXES:
        if campaign.axis(name).missing:
            continue
        if name in WHO_AXES:
            out.append(_without(campaign, run, name))
        else:
            what = "groups are chosen by what they ask" if name == "WHAT" else "no group is reported without worth"
            out.append(Removal(name, True, None, f"falls: {what}"))
    return out


def _without(campaign: Campaign, run: Run, name: str) -> Removal:
    who = views(campaign)
    left = [axis for axis in who if axis.axis != name]
    if len(left) < 2:
        remaining = f"{plural(len(left), 'view')} of who asks would be left, two are needed"
        return Removal(name, True, None, f"falls: {remaining}")
    now, then = partial_conjunction(who), partial_conjunction(left)
    inflation = max(1.0, campaign.q_value / now) if campaign.q_value and now > 0 else 1.0
    q_value = min(1.0, then * inflation)
    effect = sorted((axis.effect or 0.0 for axis in left), reverse=True)[1]
    limit, least = run.number("q", 0.1), run.number("least_effect", LEAST_EFFECT)
    if q_value > limit:
        return Removal(name, True, q_value, f"falls: q-value about {p_text(q_value)}, over the limit of {limit:g}")
    if effect < least:
        second = f"the second-best view has {effect:.2f} nats a member, under {least:g}"
        return Removal(name, True, q_value, f"falls: {second}")
    return Removal(name, False, q_value, f"stands: q-value about {p_text(q_value)}")


def strongest(campaign: Campaign) -> Axis | None:
    """Return the kind of evidence about who asks that weighs most, in nats a member; None when there is none.

    >>> axes = [Axis("WHAT", 9.0), Axis("NET", 1.0), Axis("ID", 3.0)]
    >>> strongest(Campaign(campaign_id="c", verdict="campaign", axes=axes)).axis
    'ID'
    """
    there = [axis for axis in campaign.axes if axis.axis in WHO_AXES and not axis.missing]
    return max(there, key=lambda axis: (axis.effect or 0.0, axis.strength or 0.0, axis.axis), default=None)


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


def why(campaign: Campaign, run: Run) -> list[str]:
    """Say in sentences what happened, why it was reported and how sure that is.

    >>> why(Campaign(campaign_id="c", verdict="campaign", q_value=0.01), Run())[-1]
    'Sure: of reports this sure or surer, about 1 in 100 is expected to be wrong (q = 0.01).'
    """
    who = [axis for axis in views(campaign) if (axis.p_value or 0.0) <= VIEW_P]
    names = listing(AXIS_TITLES[axis.axis] for axis in who)
    sentences = [headline(campaign)]
    if campaign.capabilities:
        sentences.append(f"Most sought: {sought(campaign)}.")
    if who:
        sentences.append(
            f"They ask in the same way, and coincide in {plural(len(who), 'independent view')} of who asks ({names}), "
            "more than unrelated accounts of the same kind do."
        )
    else:
        sentences.append("They ask in the same way; no view of who asks is beyond chance by itself.")
    if campaign.verdict != "campaign":
        reason = (campaign.person_reason or "the data cannot decide it").rstrip(".")
        sentences.append(f"This is not an accusation. A person must decide: {reason}.")
    missing = [axis.axis for axis in campaign.axes if axis.missing]
    if missing:
        sentences.append(f"Not judged, because the data lacks it: {listing(AXIS_TITLES.get(a, a) for a in missing)}.")
    sure = sureness(campaign.q_value)
    sentences.append(f"{sure[0].upper()}{sure[1:]} (q = {p_text(campaign.q_value)}).")
    return sentences


def would_change(campaign: Campaign, run: Run) -> list[str]:
    """Say in sentences what would change the conclusion.

    >>> would_change(Campaign(campaign_id="c", verdict="campaign"), Run())
    ['No kind of evidence can be taken away: the scan recorded none apart.']
    """
    tested = [removal for removal in removals(campaign, run) if removal.axis in WHO_AXES]
    if not tested:
        sentences = ["No kind of evidence can be taken away: the scan recorded none apart."]
    else:
        fatal = [AXIS_TITLES[removal.axis] for removal in tested if removal.falls]
        spare = [AXIS_TITLES[removal.axis] for removal in tested if not removal.falls]
        sentences = []
        if fatal:
            sentences.append(f"Without {listing(fatal, 'or')} it would no longer be reported.")
        if spare:
            sentences.append(f"Without {listing(spare, 'or')} alone it would still be reported.")
        sentences.append("It also needs what is asked and worth to a trainer: without either it would not be reported.")
    open_ = [e.name for e in campaign.innocent_explanations if e.outcome in ("possible", "no data")]
    if open_:
        sentences.append(f"Still open: {listing(open_)}. Proof of such an innocent explanation would change it.")
    return sentences
