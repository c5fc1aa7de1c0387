"""From a group and its innocent explanations to a verdict: campaign, needs a person, or cleared with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stillwatch.attribution.explanations import Explanation, explanations
from stillwatch.campaigns.discover import Found
from stillwatch.campaigns.fleets import FLEET
from stillwatch.linkage.space import Space

Verdict = Literal["campaign", "needs_person", "cleared"]
LEAST_ACCUSED = 10
# Mean nats a member of networks, identities, sign-ups and rhythm: a group that only WHAT holds together is no network.
LEAST_COHESION = 1.0
# Below this a machine does not accuse: several careful campaigns and the innocents who ask alike look so.
SURE_COHESION = 2.0
# Nats a member of construction and kind of work: with less they do not ask alike.
LEAST_ALIKE = 1.0
# Below this a machine does not accuse: several groups of one time and place have less in common.
LEAST_LIKENESS = 5.0
# ... unless this share of the members hold one construction that hardly anybody else does: then they are one group.
ONE_CONSTRUCTION = 2 / 3
# The bar of worth is known no better than this: the standard error of the ninth decile of some 150 benign groups.
NEAR_BAR = 0.01
# Explanations that, while possible, keep a machine from deciding. A stolen key does not: its owner is a victim of the
# campaign, which is told apart by role, not cleared.
_PERSON = (
    "one declared organisation",
    "one customer's own fleet",
    "hackathon or event",
    "office, campus or class",
    "event, company or campus within",
    "evaluation harness",
    "permitted synthetic-data, evaluation or distillation work",
)


@dataclass(frozen=True)
class Judged:
    """A group with its verdict, the explanation or reason that decided it, and every explanation considered."""

    found: Found
    verdict: Verdict
    reason: str
    decided_by: str
    explanations: list[Explanation]


def worth_bar(found: Found) -> float:
    """Return the worth a group must reach: the floor of benign groups, or half-way from it to the middle account.

    The lower bar holds when all four WHO views stand out: the stronger the coordination, the less the worth has to say.
    Three are not enough: pupils of one school share networks, bills and the week they signed up.

    >>> from types import SimpleNamespace
    >>> worth_bar(SimpleNamespace(floor=0.6, coordinated=3)), worth_bar(SimpleNamespace(floor=0.6, coordinated=4))
    (0.6, 0.55)
    """
    return found.floor if found.coordinated < 4 else (found.floor + 0.5) / 2


def judge(space: Space, found: Found) -> Judged:
    """Weigh a coordinated group.

    Cleared: fewer than two WHO views stand out, WHO ties its members to it too little, they do not ask alike, the worth
    is what benign groups of this data have, or an innocent explanation explains it. Needs a person: an innocent
    explanation stays possible, its worth is too near that of benign groups, its members have little in common in what
    they ask or who they are, only sign-ups and rhythm (an event) or networks and sign-ups (a service) tie them, the
    group is smaller than ten accounts, or it is the fleet of one undeclared owner. Campaign: none of these.

    >>> judge(example_space(), example_found()).verdict
    'campaign'
    """
    tried = [] if "explanations" in space.without else explanations(space, found)
    if found.seed.candidate.what == FLEET:
        reason = (
            f"{len(found.members)} accounts openly of one undeclared owner ask for what a trainer wants; ask the owner"
        )
        return Judged(found, "needs_person", reason, "one customer's own fleet", tried)
    if found.coordinated < 2:
        reason = f"{found.coordinated} of the four independent views of who is asking stand out; two are needed"
        return Judged(found, "cleared", reason, "coordination", tried)
    if found.cohesion < LEAST_COHESION:
        reason = f"its members are tied to it by {found.cohesion:.1f} nats of who they are, on average; one is needed"
        return Judged(found, "cleared", reason, "cohesion", tried)
    if found.likeness < LEAST_ALIKE and found.construction < ONE_CONSTRUCTION:
        reason = f"its members share {found.likeness:.1f} nats of what they ask, on average; one is needed"
        return Judged(found, "cleared", reason, "likeness", tried)
    if found.worth < worth_bar(found) - NEAR_BAR and "WORTH" not in space.without:
        reason = f"worth to a trainer {found.worth:.2f}, below the bar of {worth_bar(found):.2f} set by benign groups"
        return Judged(found, "cleared", reason, "worth", tried)
    for explanation in tried:
        if explanation.outcome == "explains":
            return Judged(found, "cleared", explanation.reason, explanation.name, tried)
    for explanation in tried:
        if explanation.outcome == "possible" and explanation.name in _PERSON:
            return Judged(found, "needs_person", explanation.reason, explanation.name, tried)
    if found.worth < worth_bar(found) + NEAR_BAR and "WORTH" not in space.without:
        reason = (
            f"worth to a trainer {found.worth:.2f}, too near the bar of {worth_bar(found):.2f} set by benign groups"
        )
        return Judged(found, "needs_person", reason, "near the bar", tried)
    if doubt := _doubt(found, told=len(space.hashes) > 0, explained="explanations" not in space.without):
        return Judged(found, "needs_person", *doubt, tried)
    return Judged(found, "campaign", "coordinated, worth harvesting, and no innocent explanation fits", "", tried)


def _doubt(found: Found, *, told: bool, explained: bool) -> tuple[str, str] | None:
    """Return why a machine should not accuse a coordinated group (reason and name), or None; all but size if asked.

    ``told``: the data tell what anybody asks.
    """
    who, what = found.cohesion, found.likeness
    known = f"its members share {what:.1f} nats of what they ask, under {LEAST_LIKENESS:g}"
    doubts = (
        (
            what < LEAST_LIKENESS and found.construction < ONE_CONSTRUCTION,
            f"{known if told else 'prompts are not in the data'}: it may be several groups",
            "several groups",
        ),
        (
            who < SURE_COHESION,
            f"its members are tied to it by {who:.1f} nats of who they are, loosely: {SURE_COHESION:g} are needed",
            "loosely tied",
        ),
        (
            not found.connected,
            "only sign-ups and rhythm tie its members: an event brings strangers at one time",
            "one time",
        ),
        (
            not found.steered,
            "only networks, sign-ups and common hours tie its members: a service, a course or a contest brings "
            "strangers together",
            "one service",
        ),
        (
            found.taken_in,
            "its members signed up together and share networks or cards of one issuer, no other identity: a school, a "
            "contest or a product takes strangers in so",
            "taken in together",
        ),
    )
    for holds, reason, name in doubts:
        if holds and explained:
            return reason, name
    size = len(found.members)
    few = f"only {size} accounts: too few for a verdict without a person"
    return (few, "size") if size < LEAST_ACCUSED else None
