"""What a peer measured, before anything is accused: scores, links or blocks, which one cut turns into groups.

The slow part of a method does not depend on its threshold, so it runs once and every cut is tried on its result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from stillwatch.evaluate.peers.roster import Roster
from stillwatch.signals.frame import Ints

Floats = npt.NDArray[np.float64]
MOST_CUTS = 200


class Evidence(Protocol):
    """What a method measured of the accounts of ``who``.

    ``score`` has an entry an account, higher is more suspicious. ``cuts`` are thresholds worth trying, strictest
    first. ``groups`` returns a group number an account (-1: none), dropping groups of fewer than ``least``.
    """

    @property
    def who(self) -> Roster:
        """Return whom it measured."""

    @property
    def score(self) -> Floats:
        """Return the score of each account."""

    def cuts(self) -> Floats:
        """Return the thresholds worth trying, strictest first."""

    def groups(self, cut: float, least: int) -> Ints:
        """Return the group of each account at a threshold, -1 for none."""


@dataclass(frozen=True)
class Scores:
    """One score an account: those at or above the cut are accused together, since the method tells no groups apart.

    ``probable`` says that the score is a probability of guilt.

    >>> from stillwatch.evaluate.peers.roster import Roster
    >>> Scores(Roster([1, 2, 3], None, None), np.array([0.9, 0.1, 0.5])).groups(0.5, 1).tolist()
    [0, -1, 0]
    """

    who: Roster
    score: Floats
    probable: bool = False

    def cuts(self) -> Floats:
        """Return the distinct scores (at most ``MOST_CUTS``), strictest first."""
        return _spread(self.score)

    def groups(self, cut: float, least: int) -> Ints:
        """Return 0 for accounts that score at least ``cut``, -1 for others; none when fewer than ``least`` do."""
        flagged = self.score >= cut
        return np.where(flagged & (flagged.sum() >= least), 0, -1)


@dataclass(frozen=True)
class Links:
    """Weighted pairs of accounts: those linked at or above the cut, through others or not, are a group.

    ``one``, ``two`` are account positions, ``weight`` the strength of each pair. An account's score is the sum of its
    weights.

    >>> from stillwatch.evaluate.peers.roster import Roster
    >>> links = Links(Roster([1, 2, 3], None, None), np.array([0, 1]), np.array([1, 2]), np.array([0.9, 0.2]))
    >>> links.groups(0.5, 2).tolist(), links.groups(0.1, 3).tolist()
    ([0, 0, -1], [0, 0, 0])
    """

    who: Roster
    one: Ints
    two: Ints
    weight: Floats

    @property
    def score(self) -> Floats:
        """Return the weighted degree of each account."""
        n = len(self.who)
        return np.asarray(np.bincount(self.one, self.weight, n) + np.bincount(self.two, self.weight, n), np.float64)

    def cuts(self) -> Floats:
        """Return the distinct weights (at most ``MOST_CUTS``), strictest first."""
        return _spread(self.weight)

    def groups(self, cut: float, least: int) -> Ints:
        """Return the connected component of each account over links of at least ``cut``."""
        keep, n = self.weight >= cut, len(self.who)
        graph = sp.csr_matrix((np.ones(keep.sum(), np.int8), (self.one[keep], self.two[keep])), shape=(n, n))
        _, component = connected_components(graph, directed=False)
        return _numbered(component.astype(np.int64), np.bincount(component) >= max(2, least))


@dataclass(frozen=True)
class Blocks:
    """Groups that the method found itself, each with a worth: those at or above the cut are reported.

    ``block`` is the block of each account (-1: none), ``worth`` has an entry a block, above 0. An account's score is
    the worth of its block, 0 outside.

    >>> from stillwatch.evaluate.peers.roster import Roster
    >>> blocks = Blocks(Roster([1, 2, 3], None, None), np.array([0, 1, -1]), np.array([5.0, 2.0]))
    >>> blocks.groups(3.0, 1).tolist(), blocks.score.tolist()
    ([0, -1, -1], [5.0, 2.0, 0.0])
    """

    who: Roster
    block: Ints
    worth: Floats

    @property
    def score(self) -> Floats:
        """Return the worth of each account's block, 0 outside."""
        return np.append(self.worth, 0.0)[self.block]

    def cuts(self) -> Floats:
        """Return the worths of the blocks, strictest first."""
        return _spread(self.worth)

    def groups(self, cut: float, least: int) -> Ints:
        """Return the block of each account, of those worth ``cut`` and of ``least`` accounts at least."""
        large = np.bincount(self.block[self.block >= 0], minlength=len(self.worth)) >= least
        return _numbered(self.block, large & (self.worth >= cut))


def _spread(values: Floats) -> Floats:
    """Return the distinct values, or so many of their quantiles, greatest first."""
    distinct = np.unique(values[np.isfinite(values)])
    if len(distinct) > MOST_CUTS:
        distinct = distinct[np.linspace(0, len(distinct) - 1, MOST_CUTS).round().astype(int)]
    return distinct[::-1].astype(np.float64)


def _numbered(part: Ints, keep: npt.NDArray[np.bool_]) -> Ints:
    """Return the parts numbered from 0 over those kept; all else is -1."""
    number = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1)
    return np.asarray(number[part], np.int64)
