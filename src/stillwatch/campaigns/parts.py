"""A network that is several: its parts ask alike, while nothing of who their accounts are reaches across.

A class and a campaign may both take the prompt that a well-known guide advises. Each shares networks, sign-ups and
hours among its own, so every view of the two together stands out, though nobody runs both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stillwatch.campaigns.kinship import kinship
from stillwatch.campaigns.profile import WHO_BLOCKS, Mask, Profile, linked, profile_of
from stillwatch.linkage.communities import communities, shared_values
from stillwatch.linkage.groups import LEAST_MEMBERS
from stillwatch.linkage.space import Space
from stillwatch.signals.frame import Ints
from stillwatch.signals.traits import Incidence

_RARER = 3.0  # times rarer among the others: a value that links members
_TIED = 0.1  # of a part are tied to the rest by chance
_GRAINS = (0.05, 0.3, 1.0)
_MOST_TRIED = 12


def parts(space: Space, members: Ints) -> list[Ints]:
    """Return the parts of a network that who its accounts are tells apart: the rest, then each part cut out of it.

    A part is a circle of at least eight members who share networks or identities. It is another's when with the rest as
    the network WHO speaks for less than a tenth of it, and less than a tenth shares a network or an identity; the same
    holds the other way round; and they are not kin (:mod:`~stillwatch.campaigns.kinship`): they do not ask alike at the
    same hours, as the pools of one campaign do, and one is not in the other's place after its end.

    >>> [len(part) for part in parts(example_space(), example_found().members)] == [len(example_found().members)]
    True
    """
    whole, apart = members, list[Ints]()
    while (circle := _other(space, whole)) is not None:
        apart.append(circle)
        whole = np.setdiff1d(whole, circle)
    return [whole, *apart]


def _other(space: Space, members: Ints) -> Ints | None:
    """Return a circle of the members that is another network than the rest, or None."""
    for circle in _circles(space, members) if len(members) >= 2 * LEAST_MEMBERS else ():
        rest = np.setdiff1d(members, circle)
        if len(rest) >= LEAST_MEMBERS and _strange(space, circle, rest):
            return circle
    return None


def _strange(space: Space, one: Ints, other: Ints) -> bool:
    """Say whether nothing ties two groups: not who they are, nor alike work at the same hours."""
    shared = linked(space, other)[one], linked(space, one)[other]
    if max(float(mask.mean()) for mask in shared) >= _TIED:
        return False
    by_other, by_one = profile_of(space, other), profile_of(space, one)
    if max(_tied(by_other, one, shared[0]), _tied(by_one, other, shared[1])) >= _TIED:
        return False
    return not kinship(space.frame, (by_one, one), (by_other, other)).one


def _tied(profile: Profile, some: Ints, shared: Mask) -> float:
    """Return the share of some accounts that WHO speaks for, or that share (a mask of them) with the network.

    Generations of one campaign sign up and work at other times, on other networks, and yet with cards of one range.
    """
    return float((shared | (profile.total(WHO_BLOCKS)[some] > 0)).mean())


def _circles(space: Space, members: Ints) -> Iterator[Ints]:
    """Yield who among the members share networks and identities that are rare elsewhere, largest circles first."""
    families = [*space.net.values(), *space.identity.values()]
    graph = shared_values([_linking(pairs, members) for pairs in families], space.frame.n_accounts, most=len(members))
    found = communities(graph[members][:, members], _GRAINS, least=LEAST_MEMBERS)
    for circle in sorted(found, key=len, reverse=True)[:_MOST_TRIED]:
        yield members[circle]


def _linking(pairs: Incidence, members: Ints) -> Incidence:
    """Keep what members hold, of values that are rarer among the others."""
    inside: npt.NDArray[np.bool_] = np.zeros(len(pairs.start) - 1, bool)
    inside[members] = True
    count = pairs.among(members)
    rest = (pairs.holders() - count + 0.5) / max(1, len(inside) - len(members))
    return pairs.keep(inside[pairs.account], count / len(members) > _RARER * rest)
