"""Groups -> campaigns: keep what is worth harvesting, expand it, let campaigns compete for accounts, split exchanges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwatch.campaigns.profile import Profile, fit_profile
from stillwatch.campaigns.split import Split, split_exchanges
from stillwatch.linkage.groups import LEAST_EFFECT, LEAST_MEMBERS, Candidate, Group, ViewResult, view_result
from stillwatch.linkage.space import WHO, Space
from stillwatch.signals.frame import Ints
from stillwatch.signals.worth import group_worth
from stillwatch.types import Progress, silent

Floats = npt.NDArray[np.float64]
MEMBER_BAR = 0.5
_MOST_SEEDS = 80


@dataclass(frozen=True)
class Found:
    """A coordinated group with its members: what the attribution stage judges.

    ``members`` are account codes with ``probability``; ``profile`` the fitted terms for all accounts; ``views`` the four
    WHO views and STACK and TASK measured again on the members; ``worth`` and its ``worth_parts`` on the campaign's
    exchanges only; ``floor`` what benign groups of this data reach.
    """

    seed: Group
    members: Ints
    probability: Floats
    profile: Profile
    views: dict[str, ViewResult]
    split: Split
    worth: float
    worth_parts: dict[str, float]
    floor: float

    @property
    def coordinated(self) -> int:
        """Return how many of the four WHO views stand out."""
        return sum(stands_out(self.views[name]) for name in WHO)


def stands_out(view: ViewResult) -> bool:
    """Say whether a view of the members is beyond chance in size and in probability."""
    return view.p_value < 0.01 and view.excess >= LEAST_EFFECT


def worth_floor(proposed: list[Candidate], groups: list[Group]) -> float:
    """Return the worth that 90 % of this data's benign groups stay under: groups whose WHO views are ordinary.

    Groups too poor to be tested count among them; half the scale at least, 0.6 when there are fewer than ten to learn from.
    """
    suspect = {g.candidate.members.tobytes() for g in groups if g.p_value <= 0.2}
    values = [c.worth for c in proposed if np.isfinite(c.worth) and c.members.tobytes() not in suspect]
    return float(max(0.5, np.quantile(values, 0.9))) if len(values) >= 10 else 0.6


def discover(
    space: Space, proposed: list[Candidate], groups: list[Group], *, q: float = 0.1, seed: int = 0, progress: Progress = silent
) -> list[Found]:
    """Turn tested groups into coordinated networks with members and exchanges, strongest first.

    Seeds are taken from the least p-value on; one whose accounts already belong to a network is skipped. ``q`` bounds the
    expected share of false groups among the seeds.
    """
    floor = worth_floor(proposed, groups)
    seeds = sorted((g for g in groups if g.q_value <= q), key=lambda g: (g.p_value, -len(g.candidate.members)))
    taken: list[tuple[Group, Profile]] = []
    for number, group in enumerate(seeds[:_MOST_SEEDS]):
        progress("expand groups", number + 1, min(len(seeds), _MOST_SEEDS), "groups")
        if _known(group.candidate.members, [p.members() for _, p in taken]):
            continue
        profile = fit_profile(space, group.candidate.members)
        members = profile.members(MEMBER_BAR)
        if len(members) >= LEAST_MEMBERS and not _known(members, [p.members() for _, p in taken]):
            taken.append((group, profile))
    return [_measured(space, *pair, floor, seed) for pair in _compete(taken)]


def _known(members: Ints, others: list[Ints]) -> bool:
    """Say whether half of a group already belongs to one other."""
    return any(len(np.intersect1d(members, other)) * 2 >= len(members) for other in others)


def _compete(taken: list[tuple[Group, Profile]]) -> list[tuple[Group, Profile]]:
    """Give each account to the network that explains it best; others lose it."""
    if len(taken) < 2:
        return taken
    scores = np.stack([profile.probability for _, profile in taken])
    logits = np.stack([sum(p.terms.values()) + p.prior for _, p in taken])
    best = np.where(scores >= MEMBER_BAR, logits, -np.inf).argmax(axis=0)
    kept = []
    for number, (group, profile) in enumerate(taken):
        probability = np.where(best == number, profile.probability, 0.0)
        if (probability >= MEMBER_BAR).sum() >= LEAST_MEMBERS:
            kept.append((group, Profile(probability, profile.terms, profile.prior)))
    return kept


def _measured(space: Space, group: Group, profile: Profile, floor: float, seed: int) -> Found:
    members = profile.members(MEMBER_BAR)
    probability = profile.probability[members]
    rng = np.random.default_rng([seed, len(members)])
    views = {name: view_result(space, name, members, rng, 100) for name in (*WHO, "STACK", "TASK")}
    split = split_exchanges(space, members, probability)
    rows = np.zeros(space.frame.n_exchanges, bool)
    rows[split.rows[split.probability >= 0.5]] = True
    worth, parts = group_worth(space.frame, space.labels, space.worth, rows) if rows.any() else (0.0, {})
    return Found(group, members, probability, profile, views, split, worth, parts, floor)
