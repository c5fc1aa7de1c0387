"""From member accounts to exchanges: which of an account's exchanges are the campaign's and which its own.

A two-component mixture over exchanges: the campaign's component is learnt from the members; the other starts from
everyone else's traffic (each account counting alike) and learns what the members' own traffic is; every member has a
mixing share of its own. An account that carries
its own users' traffic beside a campaign's keeps the former out of the case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwatch.linkage.space import Space
from stillwatch.signals.characters import U8
from stillwatch.signals.columns import Codes, Ints, blocks, rested

Floats = npt.NDArray[np.float64]
_MOST_BUNDLES = 60
_LEVEL = np.digitize(np.arange(256), [1, 3, 8]).astype(np.uint8)  # of construction, by how many hashes of it
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
    rows, place = rows_of(space.frame.start, members)
    if not len(rows):
        return Split(rows, np.zeros(0), np.zeros(len(members)))
    level = _constructed(space, members)
    background = [*space.everyday, _built_everywhere(space, level)]

    def features(some: slice) -> list[npt.NDArray[np.integer]]:
        return [*space.kinds(rows[some]), level[rows[some]]]

    kinds, cell = _alike(place, features, [len(shares) for shares in background])
    even = 1.0 / np.maximum(np.diff(space.frame.start), 1)[members][kinds.place]
    background = [
        _floored(everywhere - np.bincount(value, weights=kinds.times * even, minlength=len(everywhere)))
        for everywhere, value in zip(background, kinds.values, strict=True)
    ]
    probability, share = _mixed(kinds, background, even**0.5, weight, rounds)
    return Split(rested(rows), rested(probability[cell]), share)


@dataclass(frozen=True)
class _Kinds:
    """Exchanges of one member that nothing tells apart, taken together: whose (its place), how many, and what they are.

    ``values`` are small numbers, a list entry for each feature; the last is the level of construction.
    """

    place: Ints
    times: Ints
    values: list[Ints]


def _alike(
    place: Codes, features: Callable[[slice], list[npt.NDArray[np.integer]]], sizes: list[int]
) -> tuple[_Kinds, Codes]:
    """Take together exchanges that are alike, and return which of these each one is.

    ``place`` ascends; ``features(some)`` are what a slice of the exchanges are, a list entry for each of ``sizes``.
    """
    keys: list[Ints] = []
    times: list[Ints] = []
    cell, found = np.empty(len(place), np.int32), 0
    for block in blocks(place):
        key = place[block].astype(np.int64)
        for feature, size in zip(features(block), sizes, strict=True):
            key *= size
            key += feature
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


def rows_of(start: Ints, members: Ints) -> tuple[Ints, Codes]:
    """Return the exchanges of some accounts (ascending), and whose each is: its place among ``members``.

    ``start`` says where each account's exchanges begin in the frame.

    >>> [part.tolist() for part in rows_of(np.array([0, 2, 3, 5]), np.array([0, 2]))]
    [[0, 1, 3, 4], [0, 0, 1, 1]]
    """
    volume = start[members + 1] - start[members]
    place = np.repeat(np.arange(len(members), dtype=np.int32), volume)
    first = np.cumsum(volume) - volume
    return np.arange(len(place)) + np.repeat(start[members] - first, volume), place


def _constructed(space: Space, members: Ints) -> U8:
    """Return how much campaign construction each exchange carries: 0 none, 1 a little, 2 some, 3 most.

    That is bundles which members hold far more often than others.
    """
    held = space.bundles.held
    n = space.frame.n_accounts
    count_in = held.among(members)
    share = (count_in + 0.1) / (len(members) + 1.0)
    background = (held.holders() - count_in + 0.5) / (n - len(members) + 1.0)
    lift = np.log(share / background)
    telling = np.flatnonzero((share >= 0.15) & (lift >= max(1.5, 0.5 * lift[share >= 0.15].max(initial=0.0))))
    telling = telling[np.argsort(-lift[telling], kind="stable")][:_MOST_BUNDLES]
    return _LEVEL[space.carried.together(telling)]


def _built_everywhere(space: Space, level: U8) -> Floats:
    """Return how often each level of construction occurs in all exchanges, accounts counting alike."""
    volume = space.frame.volume()
    rows = np.flatnonzero(level)
    weights = (1.0 / np.maximum(volume, 1))[space.frame.account[rows]]
    counts = np.bincount(level[rows], weights=weights, minlength=1).astype(np.float64)
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
