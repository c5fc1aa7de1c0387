"""What several accounts hold in common, in cells of value and stratum: gathered once, asked for every network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import numpy.typing as npt

from stillwatch.signals.columns import rested
from stillwatch.signals.compiled import lean
from stillwatch.signals.frame import Codes, Ints
from stillwatch.signals.traits import Counts, Incidence

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Cells:
    """Account × value pairs of some families whose value has two holders or more; ``known`` accounts hold any value.

    ``cell`` numbers the pairs of value and stratum that occur, ``stratum`` is that of each account.

    >>> from stillwatch.signals.traits import incidence
    >>> card = incidence(np.array([0, 1, 2], np.int32), np.array([0, 0, 1]), 4)
    >>> cells = Cells.of([card], np.zeros(4, np.int32))
    >>> cells.account.tolist(), cells.known.tolist()
    ([0, 1], [True, True, True, False])
    """

    account: Codes
    value: Codes
    cell: Codes
    stratum: Codes
    known: Mask
    n_values: int
    n_cells: int

    @classmethod
    def of(cls, families: Iterable[Incidence], stratum: Codes) -> Cells:
        """Gather the families' pairs; ``stratum`` has an entry an account.

        >>> Cells.of([], np.zeros(2, np.int32)).n_cells
        0
        """
        known = np.zeros(len(stratum), bool)
        account, value, n_values = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], 0
        for family in families:
            known[family.account] = True
            common = family.holders() >= 2
            use = common[family.value]
            account.append(family.account[use])
            value.append((np.cumsum(common) - 1)[family.value[use]] + n_values)
            n_values += int(common.sum())
        who, what = np.concatenate(account), np.concatenate(value)
        key = stratum[who].astype(np.int64) * max(1, n_values) + what
        distinct, cell = np.unique(key, return_inverse=True)
        cell = cell.reshape(-1).astype(np.int32)
        return cls(who, what.astype(np.int32), cell, stratum, known, n_values, len(distinct))

    def ratios(self, weight: Floats, pseudo: float, *, least: float = 0.9) -> tuple[Floats, Mask]:
        """Return each account's best ratio of member share to background share, and who shares with other members.

        ``weight`` is each account's membership, its own left out. Shares are within the account's stratum, shrunk to
        the global share with ``pseudo`` accounts. An account shares when the others who hold a value sum to ``least``
        members and the ratio is beyond 3.

        >>> from stillwatch.signals.traits import incidence
        >>> card = incidence(np.array([0, 1, 2], np.int32), np.array([0, 0, 1]), 99)
        >>> ratio, shares = Cells.of([card], np.zeros(99, np.int32)).ratios(np.eye(99)[0] + np.eye(99)[1], 30.0)
        >>> shares.nonzero()[0].tolist(), bool(ratio[0] > 3)
        ([0, 1], True)
        """
        size_in = np.bincount(self.stratum, weights=weight).astype(np.float64)
        size_out = np.bincount(self.stratum).astype(np.float64) - size_in
        pairs = (self.account, self.value, self.cell)
        inside = np.zeros(self.n_values), np.zeros(self.n_cells)
        sizes, members = (size_in, size_out), float(weight.sum())
        return _ratios(pairs, self._pairs, inside, self.stratum, sizes, weight, members, (pseudo, least))

    @cached_property
    def _pairs(self) -> tuple[Codes, Codes]:
        """Return how many pairs each value has, and each cell."""
        value, cell = np.bincount(self.value, minlength=self.n_values), np.bincount(self.cell, minlength=self.n_cells)
        return value.astype(np.int32), cell.astype(np.int32)


@numba.njit(cache=True, nogil=True)
def _ratios(
    pairs: tuple[Codes, Codes, Codes], holders: tuple[Codes, Codes], inside: tuple[Floats, Floats], stratum: Codes,
    sizes: tuple[Floats, Floats], weight: Floats, members: float, given: tuple[float, float],
) -> tuple[Floats, Mask]:  # fmt: skip
    account, value, cell = pairs
    by_value, by_cell = inside
    pseudo, least = given
    for i in range(len(account)):
        own = weight[account[i]]
        if own > 0:
            by_value[value[i]] += own
            by_cell[cell[i]] += own
    best, shares = np.zeros(len(weight)), np.zeros(len(weight), np.bool_)
    for i in range(len(account)):
        a, v, c = account[i], value[i], cell[i]
        if by_value[v] == 0:  # no member holds it: a ratio of 0
            continue
        own, there = weight[a], stratum[a]
        all_inside = by_value[v] - own
        share_in = (by_cell[c] - own + pseudo * (all_inside / max(members, 1.0))) / (
            max(sizes[0][there] - own, 0.0) + pseudo
        )
        global_out = (holders[0][v] - by_value[v] + 0.5) / (len(weight) - members + 1.0)
        ratio = share_in / ((holders[1][c] - by_cell[c] + pseudo * global_out) / (sizes[1][there] + pseudo))
        best[a] = max(best[a], ratio)
        if all_inside >= least and ratio > 3.0:
            shares[a] = True
    return best, shares


@dataclass(frozen=True)
class Moments:
    """When accounts signed up, and who did so or was closed shortly before: gathered once, asked for every network.

    ``account`` are the accounts whose sign-up is known, by time, and ``around`` the places (from, to) of those within 6
    and 72 hours of each; ``day`` of those in the day before. ``closed`` are accounts by the time they were closed, and
    ``gone`` the places there of those closed in the day before.

    >>> moments = Moments.of(np.array([90, -1, 10]) * HOUR_US, np.array([-1, 80, -1]) * HOUR_US)
    >>> [moments.account.tolist(), *(part.tolist() for part in (*moments.around[1], *moments.gone))]
    [[2, 0], [0, 1], [1, 2], [0, 0], [0, 1]]
    """

    account: Ints
    around: tuple[tuple[Ints, Ints], ...]
    day: tuple[Ints, Ints]
    closed: Ints
    gone: tuple[Ints, Ints]

    @classmethod
    def of(cls, created: Ints, closed: Ints) -> Moments:
        """Gather the times of sign-up and closing by account, in microseconds (-1 unknown).

        >>> Moments.of(np.full(2, -1), np.full(2, -1)).account.tolist()
        []
        """
        order, ended = (np.argsort(times, kind="stable") for times in (created, closed))
        order, ended = order[created[order] >= 0], ended[closed[ended] >= 0]
        times, ends = created[order], closed[ended]
        return cls(
            order,
            tuple(_places(times, times - width, times + width) for width in (6 * HOUR_US, 72 * HOUR_US)),
            _places(times, times - 24 * HOUR_US, times),
            ended,
            _places(ends, times - 24 * HOUR_US, times),
        )


def _places(times: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Return where in ``times`` each span begins and ends, both ends included."""
    return np.searchsorted(times, low, "left"), np.searchsorted(times, high, "right")


@dataclass(frozen=True)
class Holders:
    """Account × value pairs both ways: by account (an :class:`Incidence`) and by value.

    ``account[start[v]:start[v + 1]]`` hold value v, ascending, in ``count`` of their exchanges each.

    >>> from stillwatch.signals.traits import incidence
    >>> holders = Holders.of(incidence(np.array([0, 1, 1], np.int32), np.array([1, 0, 1]), 2))
    >>> holders.account.tolist(), holders.start.tolist()
    ([1, 0, 1], [0, 1, 3])
    """

    pairs: Incidence
    account: Codes
    count: Counts
    start: Ints

    @classmethod
    def of(cls, pairs: Incidence) -> Holders:
        """Sort the pairs by value.

        >>> from stillwatch.signals.traits import incidence
        >>> Holders.of(incidence(np.zeros(0, np.int32), np.zeros(0, int), 2)).start.tolist()
        [0]
        """
        start = np.concatenate(([0], np.cumsum(pairs.holders()))).astype(np.int64)
        account, count = np.empty_like(pairs.account), np.empty(len(pairs.count), pairs.count.dtype)
        _by_value(pairs.value, (pairs.account, pairs.count), start[:-1].copy(), (account, count))
        return cls(pairs, rested(account), rested(count), start)

    def inside(self, weight: Floats) -> Floats:
        """Return by value the sum of the weights of the accounts that hold it.

        >>> from stillwatch.signals.traits import incidence
        >>> Holders.of(incidence(np.array([0, 1], np.int32), np.array([0, 0]), 2)).inside(np.array([0.5, 1.0])).tolist()
        [1.5]
        """
        return _inside(np.flatnonzero(weight), weight, self.pairs.start, self.pairs.value, self.pairs.n_values)


@numba.njit(cache=True, nogil=True)
def _inside(members: Ints, weight: Floats, start: Ints, value: Codes, n_values: int) -> Floats:
    out = np.zeros(n_values)
    for a in members:
        for j in range(start[a], start[a + 1]):
            out[value[j]] += weight[a]
    return out


@lean
def _by_value(value: Codes, pairs: tuple[Codes, Counts], cursor: Ints, to: tuple[Codes, Counts]) -> None:
    """Write pairs value by value, in the order they come; ``cursor`` is where each value starts."""
    (account, count), (accounts, counts) = pairs, to
    for i in range(len(value)):
        at = cursor[value[i]]
        accounts[at], counts[at] = account[i], count[i]
        cursor[value[i]] = at + 1
