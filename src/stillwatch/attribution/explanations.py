"""Named innocent explanations of a coordinated group, each a test whose outcome is printed with the group.

Outcomes: ``explains`` (the data fit the innocent reading better: never an accusation), ``possible`` (the data cannot
tell the two apart: a person must), ``excluded`` (they speak against it), ``no data``. Shares are of members.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stillwatch.campaigns.discover import Found, stands_out
from stillwatch.linkage.groups import LEAST_EFFECT, view_result
from stillwatch.linkage.space import WHO, Space
from stillwatch.signals.frame import Codes, Ints

Outcome = Literal["explains", "possible", "excluded", "no data"]
_MOST = 0.75
_FLEET = 1_000  # accounts: more than one customer, class or event has
_LEAST_COLLEAGUES = 3
_DRAWS = 100
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Explanation:
    """One innocent reading of a group, its outcome and the reason in a sentence.

    >>> Explanation("evaluation harness", "excluded", "98% of prompts occur once; a benchmark repeats").outcome
    'excluded'
    """

    name: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Facts:
    """What the tests read: dominant shares (NaN without data) and a few sizes of the group."""

    organisation: float
    payer: float
    payers: int
    domain: float
    domain_held: float
    site: float
    campus: float
    education: float
    reseller: float
    verified: float
    referral: float
    novelty: float
    cells: float
    same_hour: float
    span_days: float
    signup_days: float
    mixed: float
    outside_holders: float
    before_share: float
    colleagues: int
    strangers_coordinated: int


def facts(space: Space, found: Found) -> Facts:
    """Measure a group once for all tests.

    Shares are 0 to 1 of members (``novelty`` and ``same_hour``: of campaign exchanges), spans are days, ``cells`` is an
    effective number of kinds of task, and ``outside_holders`` and ``domain_held`` are outside accounts a member.
    ``colleagues`` are members beyond the first of an owner, an invitation or the commonest network;
    ``strangers_coordinated`` is how many WHO views stand out without them.

    >>> 0.0 <= facts(example_space(), example_found()).mixed <= 1.0
    True
    """
    frame, members = space.frame, found.members
    rows = found.split.rows[found.split.probability >= 0.5]
    hour = (frame.ts[rows] // 3_600_000_000) % 24
    cell = space.labels.cell[rows]
    created = frame.created[members]
    created = created[created >= 0]
    strangers = _strangers(space, members)
    return Facts(
        organisation=_dominant(frame.attribute["org_id"], members, of_all=True),
        payer=_dominant(frame.attribute["payment_hash"], members),
        payers=_different(frame.attribute["payment_hash"], members),
        domain=_dominant(frame.attribute["email_domain"], members),
        domain_held=_held_outside(frame.attribute["email_domain"], members),
        site=_dominant(space.main["ip_prefix"], members),
        campus=_named(space, space.main["network_kind"], members, "network_kind", ("education", "business")),
        education=_named(space, frame.attribute["programme"], members, "account.programme", ("education",)),
        reseller=_dominant(frame.attribute["reseller_id"], members, of_all=True),
        verified=_named(space, frame.attribute["verification"], members, "account.verification", ("organisation",)),
        referral=_dominant(frame.attribute["referral"], members, of_all=True),
        novelty=_once(space, rows),
        cells=_effective(cell),
        same_hour=float(np.bincount(hour, minlength=24).max() / max(1, len(hour))),
        span_days=float(np.ptp(frame.ts[rows]) / _DAY_US) if len(rows) else 0.0,
        signup_days=float(np.subtract(*np.quantile(created, [0.9, 0.1])) / _DAY_US) if len(created) else float("nan"),
        mixed=float((found.split.share < 0.8).mean()),
        outside_holders=_outside_holders(space, members),
        before_share=_before(space, found),
        colleagues=len(members) - len(strangers),
        strangers_coordinated=_coordinated(space, strangers),
    )


def _dominant(code: Codes, members: Ints, *, of_all: bool = False) -> float:
    """Return the share of the commonest value among members; NaN when under a tenth of them have one."""
    values = code[members]
    known = values[values >= 0]
    if len(known) < 0.1 * len(members):
        return 0.0 if of_all else float("nan")
    return float(np.bincount(known).max() / (len(members) if of_all else len(known)))


def _different(code: Codes, members: Ints) -> int:
    """Return how many different values the members have; without data, none."""
    values = code[members]
    return len(np.unique(values[values >= 0]))


def _held_outside(code: Codes, members: Ints) -> float:
    """Return how many outside accounts hold the members' commonest value, for each member that holds it."""
    values = code[members]
    known = values[values >= 0]
    if not len(known):
        return float("nan")
    top = int(np.bincount(known).argmax())
    inside = int((known == top).sum())
    return float(((code == top).sum() - inside) / inside)


def _named(space: Space, code: Codes, members: Ints, column: str, wanted: tuple[str, ...]) -> float:
    names = space.frame.names[column]
    numbers = [i for i, name in enumerate(names) if name in wanted]
    known = code[members] >= 0
    return float(np.isin(code[members], numbers)[known].mean()) if known.sum() >= 0.1 * len(members) else float("nan")


def _once(space: Space, rows: Ints) -> float:
    """Return the mean of 1 / (times the whole prompt occurs in all the data); NaN without prompts."""
    counts = space.repeats[rows]
    known = counts[counts > 0]
    return float((1.0 / known).mean()) if len(known) else float("nan")


def _effective(cell: Codes) -> float:
    """Return the effective number of task cells, exp of Shannon entropy (Hill 1973)."""
    share = np.bincount(cell) / max(1, len(cell)) if len(cell) else np.ones(1)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def _outside_holders(space: Space, members: Ints) -> float:
    """Return, over the constructions that most members hold, the least number of outside holders a member."""
    held = space.bundles.held
    count_in = held.among(members)
    common = count_in >= 0.5 * len(members)
    if not common.any():
        return float("nan")
    return float(((held.holders() - count_in)[common] / count_in[common]).min())


def _before(space: Space, found: Found) -> float:
    """Return the share of members that were there first: signed up a week, and asked of their own a day, before.

    Before their first exchange of the campaign, that is; their own are two exchanges or more that are not the
    campaign's. Where the sign-up is not known, their first exchange counts as it.
    """
    frame, split = space.frame, found.split
    first = np.full(frame.n_accounts, np.iinfo(np.int64).max)
    theirs = split.probability >= 0.5
    np.minimum.at(first, frame.account[split.rows[theirs]], frame.ts[split.rows[theirs]])
    own = split.rows[~theirs]
    early = own[frame.ts[own] <= first[frame.account[own]] - _DAY_US]
    asked = np.bincount(frame.account[early], minlength=frame.n_accounts)[found.members] >= 2
    begun = np.array([frame.ts[frame.start[a]] if frame.start[a] < frame.start[a + 1] else 0 for a in found.members])
    begun = np.where(frame.created[found.members] >= 0, np.minimum(frame.created[found.members], begun), begun)
    there = first[found.members] - begun >= 7 * _DAY_US
    return float((asked & there & (first[found.members] < np.iinfo(np.int64).max)).mean()) if len(begun) else 0.0


def _strangers(space: Space, members: Ints) -> Ints:
    """Return the members with all but the first left out of each declared owner, invitation and the commonest network.

    An event, a company or a campus inside a group of people who do alike work would lend the whole its coordination.
    """
    frame = space.frame
    drop = np.zeros(len(members), bool)
    site = space.main["ip_prefix"][members]
    known = site[site >= 0]
    commonest = np.where(site == np.bincount(known).argmax(), 0, -1) if len(known) else site
    for code in (frame.attribute["org_id"][members], frame.attribute["referral"][members], commonest):
        _, first, inverse, counts = np.unique(code, return_index=True, return_inverse=True, return_counts=True)
        inverse = inverse.reshape(-1)
        together = (code >= 0) & (counts[inverse] >= _LEAST_COLLEAGUES)
        drop |= together & (first[inverse] != np.arange(len(members)))
    return members[~drop]


def _coordinated(space: Space, members: Ints) -> int:
    """Return how many WHO views of some accounts are beyond chance; fewer accounts need not show it as plainly."""
    rng = np.random.default_rng(len(members))
    views = [view_result(space, name, members, rng, _DRAWS) for name in WHO]
    return sum(view.p_value < 0.01 and view.excess >= LEAST_EFFECT for view in views)


def _framework(f: Facts, found: Found) -> Explanation:
    name = "popular framework or prompt library"
    views = [v for v in ("NET", "ID", "LIFE", "TIME") if stands_out(found.views[v])]
    if not stands_out(found.views["STACK"]) or not np.isfinite(f.outside_holders):
        return Explanation(name, "excluded", "the members share no one construction that others could have published")
    if f.outside_holders > 1.0 and len(views) < 2:
        return Explanation(name, "explains", "most accounts with this construction are outside the group")
    reason = f"{f.outside_holders:.1f} outside accounts a member use it"
    return Explanation(name, "excluded", f"{reason}, yet members also share {' and '.join(views)}" if views else reason)


def _organisation(f: Facts, found: Found) -> Explanation:
    name = "one declared organisation"
    if f.organisation >= _MOST:
        reason = f"{f.organisation:.0%} of members declare the same owner, which anybody can; ask the owner"
        return Explanation(name, "possible", reason)
    return Explanation(name, "excluded", f"at most {f.organisation:.0%} of members declare a common owner")


def _customer(f: Facts, found: Found) -> Explanation:
    name = "one customer's own fleet"
    own_domain = f.domain >= _MOST and f.domain_held < 0.25
    if f.payer >= _MOST or own_domain:
        what = f"one payment instrument ({f.payer:.0%})" if f.payer >= _MOST else f"one domain ({f.domain:.0%})"
        return Explanation(name, "possible", f"the members do not hide that they belong together: {what}")
    if not np.isfinite(f.payer) and not np.isfinite(f.domain):
        reason = (
            f"neither payments nor e-mail domains are known, and {len(found.members)} accounts can be one customer's"
        )
        return Explanation(name, "possible" if len(found.members) < _FLEET else "no data", reason)
    if not np.isfinite(f.payer):
        reason = f"payments are not known; the commonest e-mail domain has {f.domain:.0%} of members"
        return Explanation(name, "excluded", reason if f.domain < _MOST else f"{reason}, and outsiders have it too")
    return Explanation(
        name, "excluded", f"{f.payers} payment instrument{'' if f.payers == 1 else 's'}, the commonest at {f.payer:.0%}"
    )


def _place(f: Facts, found: Found) -> Explanation:
    name = "office, campus or class"
    together = f.site >= 0.6 or (f.domain >= 0.6 and f.domain_held < 0.25)
    if together and (f.education >= 0.6 or f.campus >= 0.6):
        outcome: Outcome = "possible" if f.novelty >= 0.8 and found.worth > found.floor else "explains"
        return Explanation(name, outcome, "one place or school, and people there know the same tasks and hours")
    if not np.isfinite(f.site) and not np.isfinite(f.domain):
        return Explanation(name, "no data", "neither networks nor e-mail domains are known")
    if not np.isfinite(f.site):
        reason = f"networks are not known; the commonest e-mail domain has {f.domain:.0%} of members"
        return Explanation(name, "excluded", reason)
    return Explanation(name, "excluded", f"the commonest network has {f.site:.0%} of members")


def _reseller(f: Facts, found: Found) -> Explanation:
    name = "reseller or gateway with its own customers"
    if f.reseller < _MOST:
        return Explanation(name, "excluded", f"at most {f.reseller:.0%} of members come through one reseller")
    alike = stands_out(found.views["STACK"]) or stands_out(found.views["TASK"])
    if not alike:
        return Explanation(name, "explains", "one reseller, and its customers' work has nothing in common")
    return Explanation(
        name, "excluded", "one reseller, but unrelated customers would not ask for the same work together"
    )


def _evaluation(f: Facts, found: Found) -> Explanation:
    name = "evaluation harness"
    if not np.isfinite(f.novelty):
        return Explanation(name, "no data", "no prompts or sketches to see repeated items in")
    owned = [v for v in ("NET", "ID", "LIFE") if stands_out(found.views[v])]
    if len(owned) == 2 and f.novelty < 0.5 and not stands_out(found.views["TIME"]):
        reason = f"only {f.novelty:.0%} of prompts are new, as in benchmarks and coursework, yet members share more"
        return Explanation(name, "possible", reason)
    if len(owned) >= 2:
        reason = f"{f.novelty:.0%} of prompts are new, and unrelated labs would not share {' and '.join(owned)}"
        return Explanation(name, "excluded", reason)
    if f.novelty < 0.5:
        return Explanation(
            name, "explains", f"items repeat: only {f.novelty:.0%} of prompts are new, as public benchmarks do"
        )
    if f.novelty < 0.7:
        return Explanation(name, "possible", f"many items repeat: {f.novelty:.0%} of prompts are new")
    return Explanation(name, "excluded", f"{f.novelty:.0%} of prompts occur once; a benchmark repeats")


def _nightly(f: Facts, found: Found) -> Explanation:
    name = "nightly or scheduled job"
    if f.same_hour >= 0.6 and f.cells <= 3:
        return Explanation(name, "explains", f"{f.same_hour:.0%} of exchanges in one hour of the day, one task")
    return Explanation(
        name, "excluded", f"the busiest hour of the day has {f.same_hour:.0%}; {f.cells:.0f} kinds of task"
    )


def _hackathon(f: Facts, found: Found) -> Explanation:
    name = "hackathon or event"
    if f.signup_days <= 4 and f.span_days <= 5 and (f.site >= 0.5 or f.referral >= 0.5):
        reason = "sign-ups and use fall in a few days at one venue or by one invitation: an event's, or a burst's"
        return Explanation(name, "possible", reason)
    if not np.isfinite(f.signup_days):
        reason = f"sign-up times are not known; use spreads over {f.span_days:.0f} days"
        return Explanation(name, "excluded" if f.span_days > 5 else "no data", reason)
    return Explanation(name, "excluded", f"sign-ups spread over {f.signup_days:.0f} days, use over {f.span_days:.0f}")


def _within(f: Facts, found: Found) -> Explanation:
    name = "event, company or campus within"
    if f.colleagues < _LEAST_COLLEAGUES or f.colleagues < 0.25 * len(found.members):
        return Explanation(name, "excluded", "few members have an owner, an invitation or a network together")
    views = f"{f.strangers_coordinated} of the four views of who is asking are beyond chance"
    if f.strangers_coordinated < 2:
        reason = f"without {f.colleagues} members of one owner, invitation or network only {views}"
        return Explanation(name, "possible", reason)
    reason = f"also without {f.colleagues} members of one owner, invitation or network {views}"
    return Explanation(name, "excluded", reason)


def _permitted(f: Facts, found: Found) -> Explanation:
    name = "permitted synthetic-data, evaluation or distillation work"
    if f.verified >= _MOST:
        return Explanation(
            name, "possible", f"{f.verified:.0%} of members are verified organisations; look for a contract"
        )
    if not np.isfinite(f.verified):
        return Explanation(name, "no data", "verification status is not in the data; check the contracts")
    return Explanation(name, "excluded", f"{f.verified:.0%} of members are verified organisations")


def _stolen(f: Facts, found: Found) -> Explanation:
    name = "stolen keys"
    if f.before_share >= 0.5:
        return Explanation(
            name,
            "possible",
            f"{f.before_share:.0%} of members had their own traffic first: their owners may be victims",
        )
    return Explanation(name, "excluded", f"{f.before_share:.0%} of members had earlier traffic of their own")


TESTS: tuple[Callable[[Facts, Found], Explanation], ...] = (
    _framework, _organisation, _customer, _place, _reseller, _evaluation,
    _nightly, _hackathon, _within, _permitted, _stolen,
)  # fmt: skip


def explanations(space: Space, found: Found) -> list[Explanation]:
    """Run every named test on a group; one outcome a test, in the order of ``TESTS``.

    >>> sorted({one.outcome for one in explanations(example_space(), example_found())})
    ['excluded']
    """
    measured = facts(space, found)
    return [test(measured, found) for test in TESTS]
