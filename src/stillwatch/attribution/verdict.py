"""From a group and its innocent explanations to a verdict: campaign, needs a person, or cleared with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stillwatch.attribution.explanations import Explanation, explanations
from stillwatch.campaigns.discover import Found
from stillwatch.linkage.space import Space

Verdict = Literal["campaign", "needs_person", "cleared"]
LEAST_ACCUSED = 10
# Explanations that, while possible, keep a machine from deciding. A stolen key does not: its owner is a victim of the
# campaign, which is told apart by role, not cleared.
_PERSON = (
    "one declared organisation",
    "one customer's own fleet",
    "hackathon or event",
    "office, campus or class",
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


def borderline(found: Found) -> bool:
    """Say whether a strongly coordinated group's worth is in the upper half between the middle account and the floor.

    Three or four WHO views that stand out are too much to clear for a little missing worth, and that worth is too
    little to accuse on: a person decides.

    >>> from types import SimpleNamespace
    >>> borderline(SimpleNamespace(coordinated=3, worth=0.65, floor=0.7))
    True
    >>> borderline(SimpleNamespace(coordinated=2, worth=0.65, floor=0.7))
    False
    """
    return found.coordinated >= 3 and (found.floor + 0.5) / 2 <= found.worth < found.floor


def judge(space: Space, found: Found) -> Judged:
    """Weigh a coordinated group.

    Cleared: fewer than two WHO views stand out, the worth is what benign groups of this data have, or an innocent
    explanation explains it. Needs a person: an innocent explanation stays possible, the worth is borderline, or the
    group is smaller than ten accounts. Campaign: none of these.
    """
    tried = explanations(space, found)
    if found.coordinated < 2:
        reason = f"{found.coordinated} of the four independent views of who is asking stand out; two are needed"
        return Judged(found, "cleared", reason, "coordination", tried)
    worth = f"worth to a trainer {found.worth:.2f}, below the {found.floor:.2f} that benign groups here reach"
    if found.worth < found.floor and not borderline(found):
        return Judged(found, "cleared", worth, "worth", tried)
    for explanation in tried:
        if explanation.outcome == "explains":
            return Judged(found, "cleared", explanation.reason, explanation.name, tried)
    for explanation in tried:
        if explanation.outcome == "possible" and explanation.name in _PERSON:
            return Judged(found, "needs_person", explanation.reason, explanation.name, tried)
    if found.worth < found.floor:
        return Judged(found, "needs_person", f"strongly coordinated, but {worth}", "worth", tried)
    if len(found.members) < LEAST_ACCUSED:
        reason = f"only {len(found.members)} accounts: too few for a verdict without a person"
        return Judged(found, "needs_person", reason, "size", tried)
    return Judged(found, "campaign", "coordinated, worth harvesting, and no innocent explanation fits", "", tried)
