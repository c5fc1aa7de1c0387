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
    frame = space.frame
    rows, place = _rows_of(frame.start, members)
    if not len(rows):
        return Split(rows, np.zeros(0), np.zeros(len(members)))
    even = 1.0 / np.maximum(np.diff(frame.start), 1)[members][place]
    carried = _constructed(space, members)
    background = [*_elsewhere(space, rows, even), _built_elsewhere(space, carried, members)]
    mine: list[npt.NDArray[np.integer]] = [*space.kinds(rows), carried.levels(rows)]
    probability = _start(mine[-1])
    share = np.full(len(members), 0.8)
    for _ in range(rounds):
        theirs = probability * (even**0.5) * weight[place]
        own = (1.0 - probability) * (even**0.5)
        score = np.zeros(len(rows))
        for value, base in zip(mine, background, strict=True):
            campaign = _shares(value, theirs, base, 0.002)
            other = _shares(value, own, base, (theirs.sum() + own.sum()) / max(own.sum(), 1e-9))
            score += np.clip(np.log(campaign / other)[value], -7.0, 7.0)
        odds = np.exp(np.clip(score, -_CAP, _CAP))
        fresh = share[place] * odds / (share[place] * odds + 1.0 - share[place])
        share = (np.bincount(place, weights=fresh, minlength=len(members)) + 0.8) / (
            np.bincount(place, minlength=len(members)) + 1.0
        )
        if np.abs(fresh - probability).mean() < 1e-4:
            probability = fresh
            break
        probability = fresh
    return Split(rows, probability, share)


def _start(constructed: npt.NDArray[np.integer]) -> Floats:
    """Return where to start: by construction where the campaign has one (in a third of exchanges), else 0.8."""
    if (constructed >= 1).mean() < 1 / 3:
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
    inside = np.zeros(n)
    inside[members] = 1.0
    count_in = np.bincount(held.value, weights=inside[held.account], minlength=held.n_values)
    share = (count_in + 0.1) / (len(members) + 1.0)
    background = (held.holders() - count_in + 0.5) / (n - len(members) + 1.0)
    lift = np.log(share / background)
    telling = np.flatnonzero((share >= 0.15) & (lift >= max(1.5, 0.5 * lift[share >= 0.15].max(initial=0.0))))
    telling = telling[np.argsort(-lift[telling], kind="stable")][:_MOST_BUNDLES]
    carried = space.carried[telling]
    rows, which = np.unique(carried.indices, return_inverse=True)
    hits = np.bincount(which.reshape(-1), weights=carried.data, minlength=len(rows))
    level = (hits >= 1).astype(np.uint8) + (hits >= 3) + (hits >= 8)
    return _Carried(rows.astype(np.int64), level)


def _elsewhere(space: Space, rows: Ints, importance: Floats) -> list[Floats]:
    """Return the shares of each feature's values in everybody else's exchanges, accounts counting alike."""
    return [
        _floored(everywhere - np.bincount(value, weights=importance, minlength=len(everywhere)))
        for everywhere, value in zip(space.everyday, space.kinds(rows), strict=True)
    ]


def _built_elsewhere(space: Space, carried: _Carried, members: Ints) -> Floats:
    """Return the shares of levels of construction in everybody else's exchanges, accounts counting alike."""
    volume = space.frame.volume()
    importance = 1.0 / np.maximum(volume, 1)
    importance[members] = 0.0
    weights = importance[space.frame.account[carried.rows]]
    counts = np.bincount(carried.level, weights=weights, minlength=1).astype(np.float64)
    counts[0] = float(importance[volume > 0] @ volume[volume > 0]) - counts.sum()
    return _floored(counts)


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
