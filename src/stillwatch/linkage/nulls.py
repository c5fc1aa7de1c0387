"""What chance alone would give: stratified draws of other accounts, tail probabilities, and their correction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt
from scipy import stats

from stillwatch.signals.frame import Codes, Ints

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Strata:
    """``of[a]`` is the stratum of account a; one with fewer than ``least`` accounts was joined to a coarser one.

    >>> strata([np.array([7, 5, 7], np.int32)], least=1).members[1].tolist()
    [0, 2]
    """

    of: Codes
    members: tuple[Ints, ...]


def strata(columns: list[Codes], *, least: int = 30) -> Strata:
    """Cross the columns, most important first, dropping the last wherever a cell has fewer than ``least`` accounts.

    >>> strata([np.array([0, 0, 1, 1], np.int32), np.array([0, 1, 0, 0], np.int32)], least=2).of.tolist()
    [1, 1, 0, 0]
    """
    n = len(columns[0])
    of = np.zeros(n, np.int64)
    settled = np.zeros(n, bool)
    next_id = 0
    for depth in range(len(columns), -1, -1):
        key = np.stack([np.zeros(n, np.int64), *(c.astype(np.int64) for c in columns[:depth])], axis=1)[~settled]
        if not len(key):
            break
        _, inverse, counts = np.unique(key, axis=0, return_inverse=True, return_counts=True)
        inverse = inverse.reshape(-1)
        big = (counts[inverse] >= least) | (depth == 0)
        index = np.flatnonzero(~settled)
        _, dense = np.unique(inverse[big], return_inverse=True)
        of[index[big]] = next_id + dense
        next_id += int(dense.max()) + 1 if len(dense) else 0
        settled[index[big]] = True
    _, of = np.unique(of, return_inverse=True)
    order = np.argsort(of, kind="stable")
    bounds = np.searchsorted(of[order], np.arange(int(of.max()) + 2 if n else 1))
    return Strata(of.astype(np.int32), tuple(order[a:b] for a, b in pairwise(bounds)))


@dataclass(frozen=True)
class Owners:
    """Units of common ownership of two or more accounts, sorted by size; ``unit[a]`` is the unit of account a.

    ``flat[bounds[i]:bounds[i + 1]]`` are the accounts of the i-th such unit.

    >>> Owners.of(np.array([0, 1, 0], np.int32)).flat.tolist()
    [0, 2]
    """

    unit: Codes
    flat: Ints
    bounds: Ints

    @classmethod
    def of(cls, unit: Codes) -> Owners:
        """Gather the units.

        >>> Owners.of(np.array([0, 0, 1, 2, 2, 2], np.int32)).bounds.tolist()
        [0, 2, 5]
        """
        order = np.argsort(unit, kind="stable")
        _, first, sizes = np.unique(unit[order], return_index=True, return_counts=True)
        many = np.flatnonzero(sizes >= 2)
        many = many[np.argsort(sizes[many], kind="stable")]
        parts = [order[first[i] : first[i] + sizes[i]] for i in many]
        bounds = np.concatenate(([0], np.cumsum(sizes[many]))).astype(np.int64)
        return cls(unit, np.concatenate(parts) if parts else np.zeros(0, np.int64), bounds)

    def outside(self, inside: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
        """Return members and bounds of the units that have no account ``inside`` (a mask over accounts).

        >>> owners = Owners.of(np.array([0, 0, 1, 1], np.int32))
        >>> [part.tolist() for part in owners.outside(np.array([True, False, False, False]))]
        [[2, 3], [0, 2]]
        """
        sizes = np.diff(self.bounds)
        touched = np.add.reduceat(inside[self.flat], self.bounds[:-1]) > 0 if len(sizes) else np.zeros(0, bool)
        flat = self.flat[np.repeat(~touched, sizes)]
        return flat, np.concatenate(([0], np.cumsum(sizes[~touched]))).astype(np.int64)


def unit_draws(
    group: Ints, barred: npt.NDArray[np.bool_], space: Strata, owners: Owners, rng: np.random.Generator, count: int
) -> list[Ints]:
    """Draw ``count`` groups of as many single accounts as this one has owners: there an owner is one unit.

    >>> everyone = strata([np.zeros(50, np.int32)])
    >>> owners = Owners.of(np.array([0, 0, *range(1, 49)], np.int32))
    >>> drawn = unit_draws(np.arange(4), np.zeros(50, bool), everyone, owners, np.random.default_rng(0), 5)
    >>> [len(group) for group in drawn]
    [3, 3, 3, 3, 3]
    """
    inside = barred.copy()
    inside[group] = True
    _, first = np.unique(owners.unit[group], return_index=True)
    return [np.unique(row) for row in _singles(group[np.sort(first)], inside, space, rng, count)]


def draws(
    group: Ints, barred: npt.NDArray[np.bool_], space: Strata, owners: Owners, rng: np.random.Generator, count: int
) -> list[Ints]:
    """Draw ``count`` groups like this one from the accounts outside it that are not ``barred``, each sorted.

    Colleagues choose the same tools, so chance does not break them up: where the group holds s accounts of one owner, a
    draw holds s accounts of one other owner of s to 2s accounts. Single accounts come from their stratum, without
    replacement; where fewer than ten of a stratum are outside the group they come from everyone outside.

    ``group`` are account codes, ``barred`` a mask over accounts. Draws come from ``rng`` alone.

    >>> alone = Owners.of(np.arange(50, dtype=np.int32))
    >>> everyone = strata([np.zeros(50, np.int32)])
    >>> drawn = draws(np.arange(4), np.zeros(50, bool), everyone, alone, np.random.default_rng(0), 5)
    >>> [len(group) for group in drawn], bool(min(group.min() for group in drawn) >= 4)
    ([4, 4, 4, 4, 4], True)
    """
    inside = barred.copy()
    inside[group] = True
    _, unit, sizes = np.unique(owners.unit[group], return_inverse=True, return_counts=True)
    single = group[sizes[unit] == 1]
    together = np.sort(sizes[sizes >= 2])
    flat, bounds = owners.outside(inside)
    if len(bounds) < 4:
        single, together = group, together[:0]
    alone = _singles(single, inside, space, rng, count)
    joint = _colleagues(together, flat, bounds, count, int(rng.integers(2**62)))
    return [np.unique(np.concatenate((a, j))) for a, j in zip(alone, joint, strict=True)]


def _singles(single: Ints, inside: npt.NDArray[np.bool_], space: Strata, rng: np.random.Generator, count: int) -> Ints:
    others = np.flatnonzero(~inside)
    pools, bounds, needs = [], [0], []
    spare = 0
    for stratum, need in zip(*np.unique(space.of[single], return_counts=True), strict=True):
        pool = space.members[stratum]
        pool = pool[~inside[pool]]
        if len(pool) < max(10, need):
            spare += int(need)
            continue
        pools.append(pool)
        bounds.append(bounds[-1] + len(pool))
        needs.append(int(need))
    if spare and len(others):
        pools.append(others)
        bounds.append(bounds[-1] + len(others))
        needs.append(min(spare, len(others)))
    if not pools:
        return np.zeros((count, 0), np.int64)
    return _pick(np.concatenate(pools), np.array(bounds), np.array(needs), count, int(rng.integers(2**62)))


@numba.njit(cache=True, nogil=True)
def _next(state: np.uint64) -> np.uint64:
    """Return the splitmix64 output of a state (Steele et al. 2014)."""
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) >> np.uint64(33)


@numba.njit(cache=True, nogil=True)
def _colleagues(sizes: Ints, flat: Ints, bounds: Ints, count: int, seed: int) -> Ints:
    """Pick for each size s an owner of s to 2s accounts; where there are fewer than three, one of the three nearest."""
    step = np.uint64(0x9E3779B97F4A7C15)
    state = np.uint64(seed) + step
    n = len(bounds) - 1
    held = bounds[1:] - bounds[:-1]
    out = np.empty((count, sizes.sum()), np.int64)
    for c in range(count):
        place = 0
        for s in sizes:
            low = min(np.searchsorted(held, s), max(0, n - 3))
            high = max(np.searchsorted(held, 2 * s + 1), min(n, low + 3))
            state += step
            chosen = low + np.int64(_next(state) % np.uint64(high - low))
            state += step
            turn = np.int64(_next(state) % np.uint64(held[chosen]))
            for k in range(s):
                out[c, place] = flat[bounds[chosen] + (turn + k) % held[chosen]]
                place += 1
    return out


@numba.njit(cache=True, nogil=True)
def _pick(pool: Ints, bounds: Ints, needs: Ints, count: int, seed: int) -> Ints:
    """Pick from each pool by a partial Fisher–Yates shuffle (Durstenfeld 1964), ``count`` times over."""
    step = np.uint64(0x9E3779B97F4A7C15)
    state = np.uint64(seed) + step
    out = np.empty((count, needs.sum()), np.int64)
    for c in range(count):
        place = 0
        for s in range(len(needs)):
            low, high = bounds[s], bounds[s + 1]
            for k in range(needs[s]):
                state += step
                j = low + k + np.int64(_next(state) % np.uint64(high - low - k))
                pool[low + k], pool[j] = pool[j], pool[low + k]
                out[c, place] = pool[low + k]
                place += 1
    return out


def tail(observed: float, null: Floats) -> float:
    """Return P(null ≥ observed): by rank when the null reaches it, else by a gamma (Pearson III) fit to the null.

    Three moments of the draws give the tail past the draws (Winkler et al. 2016, doi:10.1016/j.neuroimage.2016.05.068);
    never below 1e-12, and never better than what rank allows by more than the fit says.

    >>> tail(0.0, np.ones(50)) > 0.9
    True
    """
    reached = int((null >= observed).sum())
    rank = (reached + 1) / (len(null) + 1)
    spread = float(null.std())
    if reached >= 5 or spread < 1e-12:
        return rank if spread >= 1e-12 or reached else min(rank, 1 / (len(null) + 1))
    skew = max(float(stats.skew(null)), 0.05)
    fitted = float(stats.pearson3.sf((observed - null.mean()) / spread, skew))
    return min(1.0, max(fitted, 1e-12))


def benjamini_hochberg(p: Floats) -> Floats:
    """Return q-values (Benjamini & Hochberg 1995).

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    if not len(p):
        return p
    order = np.argsort(p)
    raw = p[order] * len(p) / np.arange(1, len(p) + 1)
    out = np.empty(len(p))
    out[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
    return out


def partial_conjunction(p: Floats, need: int = 2) -> float:
    """Return the p-value of "at least ``need`` of the views are real" (Benjamini & Heller 2008): Bonferroni form.

    >>> round(partial_conjunction(np.array([0.001, 0.01, 0.5, 0.9])), 3)
    0.03
    """
    known = np.sort(p[np.isfinite(p)])
    if len(known) < need:
        return 1.0
    return float(min(1.0, (len(known) - need + 1) * known[need - 1]))


def sample(statistic: Callable[[Ints], float], drawn: list[Ints]) -> Floats:
    """Return the statistic on every draw (one float a draw).

    >>> sample(np.mean, [np.array([1, 3]), np.array([5])]).tolist()
    [2.0, 5.0]
    """
    return np.array([statistic(group) for group in drawn])
