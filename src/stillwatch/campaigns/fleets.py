"""Fleets of one owner whose work is a harvest's: nothing hides that they belong together, so a person must ask.

Chance says nothing about such a group: colleagues share cards, networks and hours, and count as one
(docs/decisions/0003). A careless campaign that pays for all its accounts with one card looks just like it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from stillwatch.campaigns.discover import Found, measured, worth_floor
from stillwatch.campaigns.profile import BLOCKS, Profile
from stillwatch.campaigns.split import rows_of
from stillwatch.linkage.groups import Candidate, Group
from stillwatch.linkage.space import Space
from stillwatch.signals.frame import Ints
from stillwatch.signals.worth import group_worth

LEAST_FLEET = 20
FLEET = "one owner's accounts"
FLEET_ROUTE = "C"


def own_fleets(space: Space, proposed: list[Candidate], found: list[Found], *, q: float = 0.1) -> list[Found]:
    """Return the fleets of at least twenty accounts of one undeclared owner that ask for what a trainer wants.

    Their worth reaches the floor of benign groups, over all their exchanges and over those found to be the fleet's,
    and their share of high-value capabilities that of the middle account: without content nobody knows what they ask
    for, and none is returned. Fleets mostly inside a network already found are left out, and so are the accounts of
    any. No test was passed: the q-value is 1.

    >>> fleets = own_fleets(example_space(), [], [example_found()])
    >>> all(len(fleet.members) >= LEAST_FLEET and fleet.seed.q_value == 1.0 for fleet in fleets)
    True
    """
    floor = found[0].floor if found else worth_floor(space, proposed, [], q)
    known = np.zeros(space.frame.n_accounts, bool)
    for one in found:
        known[one.members] = True
    flat, bounds = space.owners.flat, space.owners.bounds
    units = [np.sort(flat[a:b]) for a, b in pairwise(bounds.tolist())]
    units = [unit[~known[unit]] for unit in units if known[unit].mean() < 0.5]
    wanted = [unit for unit in units if len(unit) >= LEAST_FLEET and not _declared(space, unit)]
    fleets = [_fleet(space, unit, floor) for unit in wanted if _harvests(space, unit, floor)]
    return [fleet for fleet in fleets if fleet.worth >= floor]


def _declared(space: Space, members: Ints) -> bool:
    """Say whether at least half of the accounts declare an owner: then the contract says what they may do."""
    return bool((space.frame.attribute["org_id"][members] >= 0).mean() >= 0.5)


def _harvests(space: Space, members: Ints, floor: float) -> bool:
    """Say whether a trainer wants what the accounts ask for; no when the data do not tell what any account asks for.

    Without content every account has the same share of high-value capabilities, and each would be the middle one.
    """
    if not _told_apart(space):
        return False
    rows, _ = rows_of(space.frame.start, members)
    if not len(rows):
        return False
    worth, parts = group_worth(space.frame, space.labels, space.worth, rows)
    return worth >= floor and parts.get("high-value capability", 0.0) >= 0.5


def _told_apart(space: Space) -> bool:
    """Say whether accounts differ in their share of high-value capabilities: without content they cannot."""
    scale = dict(zip(space.worth.names, space.worth.scale, strict=True))["high-value capability"]
    return bool(len(scale) and scale[0] < scale[-1])


def _fleet(space: Space, members: Ints, floor: float) -> Found:
    probability = np.zeros(space.frame.n_accounts)
    probability[members] = 1.0
    none = {name: np.zeros(space.frame.n_accounts) for name in BLOCKS}
    group = Group(Candidate(FLEET_ROUTE, FLEET, members), {}, 1.0, 1.0)
    return measured(space, group, Profile(probability, none, 0.0), floor, 0)
