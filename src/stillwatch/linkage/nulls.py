"""What chance alone would give: stratified draws of other accounts, tail probabilities, and their correction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt
from scipy import special

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


@dataclass(frozen=True)
class Strangers:
    """Whom chance may draw: the accounts that are not ``barred``, and the owners none of whose accounts is.

    ``free`` are the accounts, ``pools[s]`` those of stratum s, both ascending; ``of[a]`` is the stratum of account a.
    ``owners`` are the units; ``place[a]`` says which of them account a belongs to (-1 none).

    >>> everyone, owners = strata([np.zeros(4, np.int32)], least=1), Owners.of(np.array([0, 0, 1, 1], np.int32))
    >>> others = Strangers.of_all(np.array([True, False, False, False]), everyone, owners)
    >>> others.free.tolist(), others.owners.flat.tolist(), others.place.tolist()
    ([1, 2, 3], [2, 3], [-1, -1, 0, 0])
    """

    barred: npt.NDArray[np.bool_]
    free: Ints
    of: Codes
    pools: tuple[Ints, ...]
    owners: Owners
    place: Ints

    @classmethod
    def of_all(cls, barred: npt.NDArray[np.bool_], space: Strata, owners: Owners) -> Strangers:
        """Gather whom chance may draw, once for all groups; ``barred`` is a mask over accounts.

        >>> nobody = Strangers.of_all(np.ones(3, bool), strata([np.zeros(3, np.int32)]), Owners.of(np.arange(3)))
        >>> len(nobody.free)
        0
        """
        sizes = np.diff(owners.bounds)
        touched = np.add.reduceat(barred[owners.flat], owners.bounds[:-1]) > 0 if len(sizes) else np.zeros(0, bool)
        flat, sizes = owners.flat[np.repeat(~touched, sizes)], sizes[~touched]
        place = np.full(len(barred), -1, np.int64)
        place[flat] = np.repeat(np.arange(len(sizes)), sizes)
        units = Owners(owners.unit, flat, np.concatenate(([0], np.cumsum(sizes))).astype(np.int64))
        pools = tuple(pool[~barred[pool]] for pool in space.members)
        return cls(barred, np.flatnonzero(~barred), space.of, pools, units, place)

    def outside(self, group: Ints, stratum: int | None = None) -> Ints:
        """Return the accounts of a stratum (None: of all) without a group's, ascending.

        >>> all_of = Strangers.of_all(np.zeros(4, bool), strata([np.zeros(4, np.int32)]), Owners.of(np.arange(4)))
        >>> all_of.outside(np.array([1, 2]), 0).tolist()
        [0, 3]
        """
        pool = self.free if stratum is None else self.pools[stratum]
        mine = group[~self.barred[group]]
        mine = mine if stratum is None else mine[self.of[mine] == stratum]
        return np.delete(pool, np.searchsorted(pool, mine))


def unit_draws(group: Ints, others: Strangers, rng: np.random.Generator, count: int) -> list[Ints]:
    """Draw ``count`` groups of as many single accounts as this one has owners: there an owner is one unit.

    >>> owners = Owners.of(np.array([0, 0, *range(1, 49)], np.int32))
    >>> others = Strangers.of_all(np.zeros(50, bool), strata([np.zeros(50, np.int32)]), owners)
    >>> [len(group) for group in unit_draws(np.arange(4), others, np.random.default_rng(0), 5)]
    [3, 3, 3, 3, 3]
    """
    _, first = np.unique(others.owners.unit[group], return_index=True)
    return _sorted(_singles(group[np.sort(first)], group, others, rng, count))


def draws(group: Ints, others: Strangers, rng: np.random.Generator, count: int) -> list[Ints]:
    """Draw ``count`` groups like this one from the ``others`` outside it, each sorted.

    Colleagues choose the same tools, so chance does not break them up: where the group holds s accounts of one owner, a
    draw holds s accounts of one other owner of s to 2s accounts, if there are as many of these as the group has. Other
    accounts come one by one from their stratum, without replacement; where fewer than ten of a stratum are outside the
    group they come from everyone outside.

    ``group`` are account codes. Draws come from ``rng`` alone.

    >>> alone = Owners.of(np.arange(50, dtype=np.int32))
    >>> others = Strangers.of_all(np.zeros(50, bool), strata([np.zeros(50, np.int32)]), alone)
    >>> drawn = draws(np.arange(4), others, np.random.default_rng(0), 5)
    >>> [len(group) for group in drawn], bool(min(group.min() for group in drawn) >= 4)
    ([4, 4, 4, 4, 4], True)
    """
    owners = others.owners
    own = np.unique(others.place[group])
    own = own[own >= 0]
    _, unit, sizes = np.unique(owners.unit[group], return_inverse=True, return_counts=True)
    alike = _comparable(sizes, np.delete(np.diff(owners.bounds), own))
    alone = _singles(group[~alike[unit]], group, others, rng, count)
    together = np.sort(sizes[alike])
    joint = _colleagues(together, owners.flat, owners.bounds, own, count, int(rng.integers(2**62)))
    return _sorted(np.concatenate((alone, joint), axis=1))


def _comparable(sizes: Ints, held: Ints) -> npt.NDArray[np.bool_]:
    """Say which units have owners to be compared with: as many others of s to 2s accounts as the group has.

    ``sizes`` are the group's units, ``held`` the other owners' accounts, ascending. Up to three take the three nearest.
    The rest is compared with single accounts: the same few owners again and again would be no chance.
    """
    if len(held) < 3:
        return np.zeros(len(sizes), bool)
    mine = np.sort(sizes)
    needed = np.searchsorted(mine, 2 * sizes, "right") - np.searchsorted(mine, sizes)
    there = np.searchsorted(held, 2 * sizes, "right") - np.searchsorted(held, sizes)
    return np.asarray((sizes >= 2) & (needed <= np.maximum(there, 3)), np.bool_)


def _sorted(drawn: Ints) -> list[Ints]:
    """Return the rows, each sorted and no account twice."""
    drawn = np.sort(drawn, axis=1)
    twice = drawn[:, 1:] == drawn[:, :-1]
    return [np.unique(row) for row in drawn] if twice.any() else list(drawn)


def _singles(single: Ints, group: Ints, others: Strangers, rng: np.random.Generator, count: int) -> Ints:
    pools, bounds, needs = [], [0], []
    spare = 0
    for stratum, need in zip(*np.unique(others.of[single], return_counts=True), strict=True):
        pool = others.outside(group, int(stratum))
        if len(pool) < max(10, need):
            spare += int(need)
            continue
        pools.append(pool)
        bounds.append(bounds[-1] + len(pool))
        needs.append(int(need))
    everyone = others.outside(group) if spare else others.free[:0]
    if len(everyone):
        pools.append(everyone)
        bounds.append(bounds[-1] + len(everyone))
        needs.append(min(spare, len(everyone)))
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
def _colleagues(sizes: Ints, flat: Ints, bounds: Ints, own: Ints, count: int, seed: int) -> Ints:
    """Pick for each size s an owner of s to 2s accounts; where there are fewer than three, one of the three nearest.

    The owners in ``own`` (places, ascending) are the group's: the others are numbered without them.
    """
    step = np.uint64(0x9E3779B97F4A7C15)
    state = np.uint64(seed) + step
    n = len(bounds) - 1 - len(own)
    held = bounds[1:] - bounds[:-1]
    shift = own - np.arange(len(own))
    out = np.empty((count, sizes.sum()), np.int64)
    for c in range(count):
        place = 0
        for s in sizes:
            least, most = np.searchsorted(held, s), np.searchsorted(held, 2 * s + 1)
            low = min(least - np.searchsorted(own, least), max(0, n - 3))
            high = max(most - np.searchsorted(own, most), min(n, low + 3))
            state += step
            chosen = low + np.int64(_next(state) % np.uint64(high - low))
            chosen += np.searchsorted(shift, chosen, side="right")
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
    away = null - null.mean()
    skew = max(float((away**3).mean()) / spread**3, 0.05)
    shape = 4.0 / skew**2
    fitted = float(special.gammaincc(shape, max(0.0, shape + 2.0 / skew * (observed - null.mean()) / spread)))
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
