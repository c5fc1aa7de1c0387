"""A network that is several: its parts ask alike, while nothing of who their accounts are reaches across.

A class and a campaign may both take the prompt that a well-known guide advises. Each shares networks, sign-ups and
hours among its own, so every view of the two together stands out, though nobody runs both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stillwatch.campaigns.profile import WHO_BLOCKS, profile_of
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
    """Return the parts of a network that who its accounts are tells apart, largest first; one when nothing does.

    A part is a circle of at least eight members who share networks or identities; it is another's when, with the rest
    as the network, WHO speaks for less than a tenth of it, and with it as the network for less than a tenth of the
    rest. Sign-ups and rhythm count too, so a campaign of several pools stays one while its pools keep the same hours.

    >>> [len(part) for part in parts(example_space(), example_found().members)] == [len(example_found().members)]
    True
    """
    whole, apart = members, list[Ints]()
    while (circle := _other(space, whole)) is not None:
        apart.append(circle)
        whole = np.setdiff1d(whole, circle)
    return sorted([whole, *apart], key=len, reverse=True)


def _other(space: Space, members: Ints) -> Ints | None:
    """Return a circle of the members that is not tied to the rest, or None."""
    for circle in _circles(space, members):
        rest = np.setdiff1d(members, circle)
        if len(rest) >= LEAST_MEMBERS and _tied(space, circle, rest) < _TIED and _tied(space, rest, circle) < _TIED:
            return circle
    return None


def _tied(space: Space, some: Ints, network: Ints) -> float:
    """Return the share of some accounts that WHO speaks for when others are the network."""
    return float((profile_of(space, network).total(WHO_BLOCKS)[some] > 0).mean())


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
