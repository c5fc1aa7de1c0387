"""Whether two networks are one campaign: the same construction and work, in one rhythm or one after the other's end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stillwatch.campaigns.profile import WHAT_BLOCKS, Profile, profile_of
from stillwatch.linkage.groups import LEAST_MEMBERS
from stillwatch.linkage.space import Space
from stillwatch.signals.frame import Frame, Ints

BUILT, WHAT = 3.0, 4.0
SOON_US = 2 * 86_400_000_000  # within two days after a closure
_LEAST_CLOSED = 3
_LIKELIER = 2.0  # times likelier to begin after a closure than others are


@dataclass(frozen=True)
class Kinship:
    """How well two networks fit each other's profile, the lesser of both ways, in nats of the typical member.

    ``built`` is prompt construction and client, ``what`` that and kind of work, ``time`` the rhythm; ``replaced`` is
    the share of the later one's accounts that first asked within two days after one of the other's was closed, 0 when
    that is no more than others do.

    >>> Kinship(built=5.0, what=8.0, time=-2.1, replaced=0.0).one, Kinship(5.0, 8.0, -2.1, replaced=0.9).one
    (False, True)
    """

    built: float
    what: float
    time: float
    replaced: float

    @property
    def alike(self) -> bool:
        """Say whether they ask alike, at the same hours: parts of one network.

        >>> Kinship(4.3, 5.3, 0.4, 0.0).alike, Kinship(4.3, 3.3, 0.4, 0.0).alike
        (True, False)
        """
        return self.built >= BUILT and self.what >= WHAT and self.time > 0

    @property
    def one(self) -> bool:
        """Say whether they are one campaign: alike, or one in place of the other.

        A rhythm is which hours of which days: accounts that begin after the end of others cannot share it. What they
        ask must outweigh that.

        >>> Kinship(4.3, 7.0, -1.9, 0.9).one, Kinship(4.3, 5.3, -1.9, 0.9).one
        (True, False)
        """
        instead = self.replaced > 0 and self.built >= BUILT and self.what + min(self.time, 0.0) >= WHAT
        return self.alike or instead


def kinship(frame: Frame, one: tuple[Profile, Ints], other: tuple[Profile, Ints]) -> Kinship:
    """Measure two networks against each other; each is its profile and its members (account codes).

    >>> found = example_found()
    >>> itself = (found.profile, found.members)
    >>> kinship(example_frame(), itself, itself).one
    True
    """
    there, back = _fit(one[0], other[1]), _fit(other[0], one[1])
    built, what, time = (min(pair) for pair in zip(there, back, strict=True))
    replaced = max(replacing(frame, one[1], other[1]), replacing(frame, other[1], one[1]))
    return Kinship(built, what, time, replaced)


def kinship_of_members(space: Space, profile: Profile, members: Ints, others: Ints) -> Kinship | None:
    """Measure a network against accounts that are known as another's; None when they are fewer than six.

    Their profile is made only when they fit the network's.

    >>> found = example_found()
    >>> kinship_of_members(example_space(), found.profile, found.members[::2], found.members[1::2]).alike
    True
    """
    if len(others) < LEAST_MEMBERS:
        return None
    built, what, time = _fit(profile, others)
    if built < BUILT or what < WHAT:
        return Kinship(built, what, time, 0.0)
    return kinship(space.frame, (profile, members), (profile_of(space, others), others))


def _fit(profile: Profile, members: Ints) -> tuple[float, float, float]:
    what = profile.total(WHAT_BLOCKS)[members]
    terms = profile.terms
    return float(np.median(terms["STACK"][members])), float(np.median(what)), float(np.mean(terms["TIME"][members]))


def replacing(frame: Frame, later: Ints, earlier: Ints) -> float:
    """Return the share of some accounts that first asked within two days after one of the ``earlier`` was closed.

    So accounts that were made beforehand and waited count too. 0 when it is less than half, less than twice the share
    among all other accounts, or fewer than three were closed.

    >>> from types import SimpleNamespace
    >>> day = 86_400_000_000
    >>> first = np.array([0, 0, 0, 9, 9, 9, 0, 3, 20]) * day
    >>> closed = np.array([8 * day] * 3 + [-1] * 6)
    >>> frame = SimpleNamespace(ts=first, start=np.arange(10), n_accounts=9, closed=closed)
    >>> replacing(frame, np.arange(3, 6), np.arange(3)), replacing(frame, np.arange(6, 9), np.arange(3))
    (1.0, 0.0)
    """
    ends = np.sort(frame.closed[earlier][frame.closed[earlier] >= 0])
    if len(ends) < _LEAST_CLOSED or not len(later):
        return 0.0
    first = _first_asked(frame)
    last = np.searchsorted(ends, first, "right") - 1
    soon = (first >= 0) & (last >= 0) & (first - ends[np.maximum(last, 0)] < SOON_US)
    rest = first >= 0
    rest[later] = rest[earlier] = False
    share = float(soon[later].mean())
    usual = float(soon[rest].mean()) if rest.any() else 0.0
    return share if share >= 0.5 and share >= _LIKELIER * usual else 0.0


def _first_asked(frame: Frame) -> Ints:
    """Return the time of each account's first exchange, -1 without one; a frame holds them in order of time."""
    there = np.flatnonzero(np.diff(frame.start))
    first = np.full(frame.n_accounts, -1, np.int64)
    first[there] = frame.ts[frame.start[there]]
    return first
