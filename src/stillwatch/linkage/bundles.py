"""Traits held by (nearly) the same accounts are one piece of evidence: sixty shingles of a template are one bundle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numba
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from stillwatch.signals.columns import rested, room
from stillwatch.signals.frame import Codes, Ints
from stillwatch.signals.traits import Counts, Incidence
from stillwatch.tables.threads import mapped

_BANDS, _ROWS = 8, 2


@dataclass(frozen=True)
class Bundles:
    """``of[t]`` is the bundle of trait t, ``size`` the traits of each bundle, ``held`` the accounts of each bundle.

    An account holds a bundle when it holds at least a third of its traits. ``held.count`` says in how many exchanges
    the account's most used trait of the bundle occurs.

    >>> from stillwatch.signals.traits import incidence
    >>> traits = incidence(np.array([0, 1, 0, 1], np.int32), np.array([0, 0, 1, 1]), 3)
    >>> bundles = bundle(traits)
    >>> bundles.size.tolist(), bundles.held.account.tolist()
    ([2], [0, 1])
    """

    of: Codes
    size: Ints
    held: Incidence


def bundle(traits: Incidence, *, jaccard: float = 0.5) -> Bundles:
    """Join traits whose sets of holders overlap by at least ``jaccard``.

    Candidate pairs come from locality-sensitive hashing (MinHash, Broder 1997; 8 bands of 2) and each is checked
    exactly against the first trait of its bucket, so the work is linear in the pairs held, however popular a trait is.

    >>> from stillwatch.signals.traits import incidence
    >>> account = np.array([0, 1, 2, 0, 1, 2, 3, 4], np.int32)
    >>> value = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    >>> bundle(incidence(account, value, 5)).of.tolist()
    [0, 0, 1]
    """
    starts = np.concatenate(([0], np.cumsum(traits.holders()))).astype(np.int64)
    owner = np.empty(len(traits.account), np.int32)
    _by_value(traits.account, traits.value, starts[:-1].copy(), owner)
    left, right = [], []
    for key in mapped(range(_BANDS), partial(_band, owner, starts)):
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        leader = first[inverse.reshape(-1)]
        other = np.flatnonzero(leader != np.arange(traits.n_values))
        close = _overlap(owner, starts, leader[other], other) >= jaccard
        left.append(leader[other][close])
        right.append(other[close])
    rows, columns = np.concatenate(left), np.concatenate(right)
    graph = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(traits.n_values, traits.n_values))
    count, of = connected_components(graph, directed=False)
    size = np.bincount(of, minlength=count)
    del owner, graph
    return Bundles(of.astype(np.int32), size, _held(traits, of.astype(np.int32), size))


def _held(traits: Incidence, of: Codes, size: Ints) -> Incidence:
    start = np.zeros(len(traits.start), np.int64)
    value, most = room(len(traits.value), np.int32), room(len(traits.value), np.int32)
    _grouped((traits.start, traits.value, traits.count), of, size, (start, value, most))
    owner = rested(np.repeat(np.arange(len(start) - 1, dtype=np.int32), np.diff(start)))
    return Incidence(owner, value[: start[-1]], most[: start[-1]], start, len(size))


@numba.njit(cache=True, nogil=True)
def _by_value(account: Codes, value: Codes, cursor: Ints, owner: Codes) -> None:
    """Write the accounts of pairs value by value, in the order they come; ``cursor`` is where each value starts."""
    for i in range(len(account)):
        owner[cursor[value[i]]] = account[i]
        cursor[value[i]] += 1


@numba.njit(cache=True, nogil=True)
def _grouped(held: tuple[Ints, Codes, Counts], of: Codes, size: Ints, to: tuple[Ints, Codes, Codes]) -> None:
    """Write account by account the bundles of which it holds a third, and how often it uses the most used trait."""
    first, value, count = held
    start, found, most = to
    times, often = np.zeros(len(size), np.int32), np.zeros(len(size), np.int32)
    for account in range(len(first) - 1):
        begin = end = start[account]
        for j in range(first[account], first[account + 1]):
            group = of[value[j]]
            if times[group] == 0:
                found[end] = group
                end += 1
            times[group] += 1
            often[group] = max(often[group], count[j])
        found[begin:end].sort()
        kept = begin
        for k in range(begin, end):
            group = found[k]
            if 3 * times[group] >= size[group]:
                found[kept], most[kept] = group, often[group]
                kept += 1
            times[group], often[group] = 0, 0
        start[account + 1] = kept


@numba.njit(cache=True, nogil=True)
def _mix(x: np.uint64) -> np.uint64:
    """Scramble 64 bits (splitmix64 finaliser, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _band(owner: Codes, starts: Ints, band: int) -> npt.NDArray[np.uint64]:
    """Return a key of each trait's holders from one band of rows: equal where the least hash in every row is."""
    out = np.zeros(len(starts) - 1, np.uint64)
    for trait in range(len(starts) - 1):
        for k in range(band * _ROWS, (band + 1) * _ROWS):
            least = np.uint64(0xFFFFFFFFFFFFFFFF)
            for i in range(starts[trait], starts[trait + 1]):
                base = _mix(np.uint64(owner[i]) + np.uint64(0x9E3779B97F4A7C15))
                least = min(least, _mix(base + np.uint64(k) * np.uint64(0xD1B54A32D192ED03)))
            out[trait] = out[trait] * np.uint64(0x9E3779B97F4A7C15) + least
    return out


@numba.njit(cache=True, nogil=True)
def _overlap(owner: Codes, starts: Ints, left: Ints, right: Ints) -> npt.NDArray[np.float64]:
    """Return the Jaccard similarity of the holders of trait pairs (sorted-list intersection)."""
    out = np.zeros(len(left))
    for p in range(len(left)):
        i, j = starts[left[p]], starts[right[p]]
        end_i, end_j = starts[left[p] + 1], starts[right[p] + 1]
        both, union = 0, (end_i - i) + (end_j - j)
        while i < end_i and j < end_j:
            if owner[i] == owner[j]:
                both += 1
                i += 1
                j += 1
            elif owner[i] < owner[j]:
                i += 1
            else:
                j += 1
        out[p] = both / (union - both) if union > both else 0.0
    return out
