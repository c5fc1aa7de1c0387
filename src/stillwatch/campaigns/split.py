"""From member accounts to exchanges: which of an account's exchanges are the campaign's and which its own.

A two-component mixture over exchanges: the campaign's component is learnt from the members; the other starts from
everyone else's traffic (each account counting alike) and learns what the members' own traffic is; every member has a
mixing share of its own. An account that carries
its own users' traffic beside a campaign's keeps the former out of the case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwatch.linkage.space import Space
from stillwatch.signals.columns import blocks
from stillwatch.signals.frame import Ints

Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.uint8]
_MOST_BUNDLES = 60
_CAP = 14.0


@dataclass(frozen=True)
class Split:
    """``rows`` are the members' exchanges, ``probability`` that each is the campaign's, ``share`` by member.

    ``rows`` are row numbers of the frame; ``share`` is the part of each member's exchanges that is the campaign's.

    >>> split = Split(np.array([4, 7]), np.array([0.9, 0.1]), np.array([0.5]))
    >>> split.rows[split.probability >= 0.5].tolist()
    [4]
    """

    rows: Ints
    probability: Floats
    share: Floats


def split_exchanges(space: Space, members: Ints, weight: Floats, *, rounds: int = 20) -> Split:
    """Split the exchanges of ``members`` (account codes), each counting with its membership ``weight``.

    ``members`` are sorted, ``weight`` has an entry a member. At most ``rounds`` rounds of EM (Dempster, Laird & Rubin
    1977), fewer when the probabilities settle; a member without exchanges has share 0 when none has any.

    >>> from types import SimpleNamespace
    >>> quiet = SimpleNamespace(frame=SimpleNamespace(n_accounts=3, start=np.array([0, 1, 2, 2])))
    >>> split_exchanges(quiet, np.array([2]), np.ones(1)).share.tolist()
    [0.0]
    """
    rows, place = _rows_of(space.frame.start, members)
    if not len(rows):
        return Split(rows, np.zeros(0), np.zeros(len(members)))
    carried = _constructed(space, members)
    background = [*space.everyday, _built_everywhere(space, carried)]
    kinds, cell = _alike(place, [*space.kinds(rows), carried.levels(rows)], [len(shares) for shares in background])
    even = 1.0 / np.maximum(np.diff(space.frame.start), 1)[members][kinds.place]
    background = [
        _floored(everywhere - np.bincount(value, weights=kinds.times * even, minlength=len(everywhere)))
        for everywhere, value in zip(background, kinds.values, strict=True)
    ]
    probability, share = _mixed(kinds, background, even**0.5, weight, rounds)
    return Split(rows, probability[cell], share)


@dataclass(frozen=True)
class _Kinds:
    """Exchanges of one member that nothing tells apart, taken together: whose (its place), how many, and what they are.

    ``values`` are small numbers, a list entry for each feature; the last is the level of construction.
    """

    place: Ints
    times: Ints
    values: list[Ints]


def _alike(place: Ints, features: list[npt.NDArray[np.integer]], sizes: list[int]) -> tuple[_Kinds, Ints]:
    """Take together exchanges that are alike, and return which of these each one is; ``place`` ascends."""
    keys: list[Ints] = []
    times: list[Ints] = []
    cell, found = np.empty(len(place), np.int64), 0
    for block in blocks(place):
        key = place[block].copy()
        for feature, size in zip(features, sizes, strict=True):
            key *= size
            key += feature[block]
        distinct, number, counts = np.unique(key, return_inverse=True, return_counts=True)
        cell[block] = number.reshape(-1) + found
        found += len(distinct)
        keys.append(distinct)
        times.append(counts)
    rest, values = np.concatenate(keys), []
    for size in reversed(sizes):
        rest, value = np.divmod(rest, size)
        values.append(value)
    return _Kinds(rest, np.concatenate(times), values[::-1]), cell


def _mixed(kinds: _Kinds, background: list[Floats], even: Floats, weight: Floats, rounds: int) -> tuple[Floats, Floats]:
    """Fit the mixture; return the probability of each kind and each member's share.

    ``even`` is what one exchange of a kind counts, ``background`` the shares of each feature's values elsewhere.
    """
    place, times = kinds.place, kinds.times
    asked = np.bincount(place, weights=times, minlength=len(weight))
    probability, share = _start(kinds), np.full(len(weight), 0.8)
    for _ in range(rounds):
        theirs = probability * even * weight[place] * times
        own = (1.0 - probability) * even * times
        score = np.zeros(len(place))
        for value, base in zip(kinds.values, background, strict=True):
            campaign = _shares(value, theirs, base, 0.002)
            other = _shares(value, own, base, (theirs.sum() + own.sum()) / max(own.sum(), 1e-9))
            score += np.clip(np.log(campaign / other), -7.0, 7.0)[value]
        odds = np.exp(np.clip(score, -_CAP, _CAP))
        fresh = share[place] * odds / (share[place] * odds + 1.0 - share[place])
        share = (np.bincount(place, weights=fresh * times, minlength=len(weight)) + 0.8) / (asked + 1.0)
        moved = float((np.abs(fresh - probability) * times).sum() / times.sum())
        probability = fresh
        if moved < 1e-4:
            break
    return probability, share


def _start(kinds: _Kinds) -> Floats:
    """Return where to start: by construction where the campaign has one (in a third of exchanges), else 0.8."""
    constructed = kinds.values[-1]
    if (constructed >= 1) @ kinds.times < kinds.times.sum() / 3:
        return np.full(len(constructed), 0.8)
    return np.asarray(np.array([0.2, 0.6, 0.9, 0.95])[constructed], np.float64)


def _rows_of(start: Ints, members: Ints) -> tuple[Ints, Ints]:
    """Return the exchanges of some accounts (ascending), and whose each is: its place among ``members``."""
    volume = start[members + 1] - start[members]
    place = np.repeat(np.arange(len(members)), volume)
    first = np.cumsum(volume) - volume
    return np.arange(len(place)) + np.repeat(start[members] - first, volume), place


@dataclass(frozen=True)
class _Carried:
    """How much campaign construction exchanges carry: 1 a little, 2 some, 3 most; those not in ``rows`` none (0)."""

    rows: Ints
    level: Levels

    def levels(self, rows: Ints) -> Levels:
        """Return the levels of some exchanges."""
        out = np.zeros(len(rows), np.uint8)
        if len(self.rows):
            at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
            out = np.where(self.rows[at] == rows, self.level[at], out)
        return out


def _constructed(space: Space, members: Ints) -> _Carried:
    """Return which exchanges carry campaign construction: bundles that members hold far more often than others."""
    held = space.bundles.held
    n = space.frame.n_accounts
    count_in = held.among(members)
    share = (count_in + 0.1) / (len(members) + 1.0)
    background = (held.holders() - count_in + 0.5) / (n - len(members) + 1.0)
    lift = np.log(share / background)
    telling = np.flatnonzero((share >= 0.15) & (lift >= max(1.5, 0.5 * lift[share >= 0.15].max(initial=0.0))))
    telling = telling[np.argsort(-lift[telling], kind="stable")][:_MOST_BUNDLES]
    carried = space.carried.by(telling)
    rows, which = np.unique(carried.indices, return_inverse=True)
    hits = np.bincount(which.reshape(-1), weights=carried.data, minlength=len(rows))
    level = (hits >= 1).astype(np.uint8) + (hits >= 3) + (hits >= 8)
    return _Carried(rows.astype(np.int64), level)


def _built_everywhere(space: Space, carried: _Carried) -> Floats:
    """Return how often each level of construction occurs in all exchanges, accounts counting alike."""
    volume = space.frame.volume()
    weights = (1.0 / np.maximum(volume, 1))[space.frame.account[carried.rows]]
    counts = np.bincount(carried.level, weights=weights, minlength=1).astype(np.float64)
    counts[0] = (volume > 0).sum() - counts.sum()
    return counts


def _floored(counts: Floats) -> Floats:
    """Return shares, no value at zero."""
    counts = np.maximum(counts, 0.0)
    counts = counts + max(counts.sum(), 1e-9) * 1e-3 / len(counts)
    return np.asarray(counts / counts.sum(), np.float64)


def _shares(value: npt.NDArray[np.integer], importance: Floats, background: Floats, pull: float) -> Floats:
    """Return shares of each value, drawn towards the background with ``pull`` times the weight of the rows."""
    counts = np.bincount(value, weights=importance, minlength=len(background))
    total = max(counts.sum(), 1e-9)
    return np.asarray((counts + pull * total * background) / ((1.0 + pull) * total), np.float64)
