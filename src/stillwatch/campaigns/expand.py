"""Significant groups -> networks: each seed is expanded to its profile, and the group leads whose members tie most."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stillwatch.campaigns.memberships import Memberships
from stillwatch.campaigns.parts import parts
from stillwatch.campaigns.profile import MEMBER_BAR, WHO_BLOCKS, Profile, fit_profile
from stillwatch.linkage.groups import LEAST_MEMBERS, SCREEN_DRAWS, Candidate, Group, combined, view_result
from stillwatch.linkage.space import WHO, Space
from stillwatch.signals.frame import Ints
from stillwatch.types import Progress

_MOST_SEEDS = 80
_MOST_NESTED = 12
_MORE = 0.5  # nats a member
_SURE, _STRONG, _MANY = 0.001, 3.0, 20  # probability, nats a member, accounts: what makes a part a group


def expanded(
    space: Space, groups: list[Group], taken: list[tuple[Group, Profile]], q: float, progress: Progress
) -> list[tuple[Group, Profile]]:
    """Expand the significant groups, from the least p-value on.

    A group that is made of several networks is skipped, and so is one that already belongs to a network. There are two
    exceptions. The next group that covers half of a network is tried in its stead, because the group of the least
    p-value may have led astray. And one that shares a construction which most of the network does not may be a second
    campaign that the first one's profile drew in: the two compete for its accounts.

    ``groups`` are tested candidates, ``taken`` the networks found before, ``q`` the q-value up to which a group counts.

    >>> expanded(example_space(), [], [], 0.1, lambda *step: None)
    []
    """
    significant = [g for g in groups if g.q_value <= q]
    members_of = Memberships.of([g.candidate.members for g in significant], space.frame.n_accounts)
    seeds = _ordered(significant, members_of)
    fresh: list[tuple[Group, Profile]] = []
    known = [p.members(MEMBER_BAR) for _, p in taken]
    nested, rivals = 0, set[int]()
    for number, group in enumerate(seeds):
        progress("expand groups", number + 1, len(seeds), "groups")
        container = _known(group.candidate.members, known)
        if container is None and _mostly(group.candidate.members, known):
            continue
        place = -1 if container is None else _place(container, known) - len(taken)
        if place >= 0 and place not in rivals and _covers(group.candidate.members, container):
            rivals.add(place)
            fresh[place] = _better(space, group, fresh[place], _but(known, len(taken) + place), members_of)
            known[len(taken) + place] = fresh[place][1].members(MEMBER_BAR)
            continue
        if container is not None and (nested >= _MOST_NESTED or not _apart(space, group.candidate, container)):
            continue
        nested += container is not None
        for profile in _fitted(space, group.candidate.members, _elsewhere(known, group.candidate.members, members_of)):
            members = profile.members(MEMBER_BAR)
            again = _known(members, known)
            if again is None:
                own = not _mostly(members, known)
            else:
                own = container is not None and len(members) < 0.5 * len(again)
            if len(members) >= LEAST_MEMBERS and own:
                fresh.append((group, profile))
                known.append(members)
    return fresh


def _fitted(space: Space, seed: Ints, others: npt.NDArray[np.bool_], depth: int = 3) -> list[Profile]:
    """Fit a profile from a seed; where the network is several, one from each part that learns nothing from the rest."""
    profile = fit_profile(space, seed, others)
    several = parts(space, profile.members(MEMBER_BAR)) if depth else []
    if len(several) < 2:
        return [profile]
    standing = [part for place, part in enumerate(several) if _stands(space, part, chosen=place > 0)]
    out = []
    for part in sorted(standing, key=len, reverse=True):
        apart = others.copy()
        apart[np.concatenate([other for other in several if other is not part])] = True
        out += _fitted(space, part, apart, depth - 1)
    return out


def _stands(space: Space, part: Ints, *, chosen: bool) -> bool:
    """Say whether a part is a group: one that was ``chosen``, by more than what it was chosen for.

    A circle that was cut out was chosen for the networks and identities that it shares, so these say little: as with
    groups that sharing proposed, what is asked and sign-ups or rhythm must say so, or both of those strongly in twenty
    accounts. What is left was not chosen so: any two kinds of evidence on who is asking will do.
    """
    rng = np.random.default_rng(len(part))
    views = {name: view_result(space, name, part, rng, SCREEN_DRAWS) for name in ("STACK", "TASK", *WHO)}
    if combined("A", views) < _SURE or (not chosen and combined("B", views) < _SURE):
        return True
    return len(part) >= _MANY and min(views[name].excess for name in ("NET", "ID")) >= _STRONG


def _ordered(seeds: list[Group], members_of: Memberships) -> list[Group]:
    """Return the first eighty significant groups by p-value, those made of several others last.

    Made of several: two apart lie inside it, each with more in common than the whole. Parts of one network have less in
    common than the whole, because what its members share reaches across them.
    """
    order = sorted(range(len(seeds)), key=lambda i: (seeds[i].p_value, -len(seeds[i].candidate.members)))
    place = np.argsort(order)
    common = np.array([sum(max(0.0, g.views[name].excess) for name in WHO if name in g.views) for g in seeds])
    route = np.array([g.candidate.route for g in seeds])
    sizes = members_of.sizes

    def made_of_several(whole: int) -> bool:
        inside = members_of.shared(seeds[whole].candidate.members) >= 0.5 * sizes
        part = inside & (route == route[whole]) & (sizes <= 0.7 * sizes[whole])
        parts = np.flatnonzero(part & (common > common[whole] + _MORE))
        if len(parts) < 2:
            return False
        first = parts[np.argmin(place[parts])]
        return bool((members_of.shared(seeds[first].candidate.members)[parts] < 0.1 * sizes[parts]).any())

    plain: list[Group] = []
    several: list[Group] = []
    for number in order:
        (several if made_of_several(number) else plain).append(seeds[number])
        if len(plain) == _MOST_SEEDS:
            break
    return [*plain, *several][:_MOST_SEEDS]


def _elsewhere(known: list[Ints], own: Ints, seeds: Memberships) -> npt.NDArray[np.bool_]:
    """Return which accounts belong to networks known so far, or to a seed apart from this one, and not to this one."""
    others = seeds.of_those(seeds.shared(own) < 0.1 * np.minimum(seeds.sizes, len(own)))
    for members in known:
        others[members] = True
    others[own] = False
    return others


def _apart(space: Space, candidate: Candidate, container: Ints) -> bool:
    """Say whether a group's shared construction is held by less than half of the network it lies in."""
    held = space.bundles.held
    if candidate.bundle < 0 or len(candidate.members) >= 0.5 * len(container):
        return False
    holders = held.account[held.value == candidate.bundle]
    return len(np.intersect1d(holders, container)) < 0.5 * len(container)


def _place(container: Ints, known: list[Ints]) -> int:
    return next(place for place, members in enumerate(known) if members is container)


def _covers(members: Ints, container: Ints | None) -> bool:
    return container is not None and len(np.intersect1d(members, container)) * 2 >= len(container)


def _but(known: list[Ints], place: int) -> list[Ints]:
    return [*known[:place], *known[place + 1 :]]


def _better(
    space: Space, group: Group, taken: tuple[Group, Profile], known: list[Ints], seeds: Memberships
) -> tuple[Group, Profile]:
    """Return what a second group of the same accounts leads to, or what was taken.

    The rival wins when WHO ties its members the more, in sum and on average, and they are one network: one that only
    grows draws others in.
    """
    rival = fit_profile(space, group.candidate.members, _elsewhere(known, group.candidate.members, seeds))
    ties = [one.total(WHO_BLOCKS)[one.members(MEMBER_BAR)] for one in (rival, taken[1])]
    wins = len(ties[0]) and ties[0].sum() > ties[1].sum() and ties[0].mean() > ties[1].mean()
    return (group, rival) if wins and len(parts(space, rival.members(MEMBER_BAR))) == 1 else taken


def _known(members: Ints, others: list[Ints]) -> Ints | None:
    """Return the smallest other group that half of a group already belongs to."""
    homes = [other for other in others if len(np.intersect1d(members, other)) * 2 >= len(members)]
    return min(homes, key=len, default=None)


def _mostly(members: Ints, others: list[Ints]) -> bool:
    """Say whether half of a group belongs to other groups taken together: what many campaigns share names none."""
    return bool(others) and np.isin(members, np.concatenate(others)).mean() >= 0.5
