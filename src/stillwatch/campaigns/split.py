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
    >>> quiet = SimpleNamespace(frame=SimpleNamespace(n_accounts=3, account=np.array([0, 1])))
    >>> split_exchanges(quiet, np.array([2]), np.ones(1)).share.tolist()
    [0.0]
    """
    frame = space.frame
    inside = np.zeros(frame.n_accounts, bool)
    inside[members] = True
    rows = np.flatnonzero(inside[frame.account])
    if not len(rows):
        return Split(rows, np.zeros(0), np.zeros(len(members)))
    features = _features(space, members)
    place = np.searchsorted(members, frame.account[rows])
    even = (1.0 / np.maximum(frame.volume(), 1))[frame.account]
    outside = ~inside[frame.account]
    background = [_background(f, even * outside) for f in features]
    mine = [f[rows] for f in features]
    probability = _start(features[-1][rows])
    share = np.full(len(members), 0.8)
    for _ in range(rounds):
        theirs = probability * (even[rows] ** 0.5) * weight[place]
        own = (1.0 - probability) * (even[rows] ** 0.5)
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


def _start(constructed: npt.NDArray[np.int64]) -> Floats:
    """Return where to start: by construction where the campaign has one (in a third of exchanges), else 0.8."""
    if (constructed >= 1).mean() < 1 / 3:
        return np.full(len(constructed), 0.8)
    return np.array([0.2, 0.6, 0.9, 0.95])[constructed]


def _features(space: Space, members: Ints) -> list[npt.NDArray[np.int64]]:
    """Return categorical features of every exchange: construction, task, form, session.

    Client and network are left out: they belong to the account, so they cannot tell its exchanges apart.
    """
    frame, labels = space.frame, space.labels
    columns: list[npt.NDArray[np.int64]] = [
        frame.capability.astype(np.int64),
        labels.topic.astype(np.int64),
        labels.form.astype(np.int64),
        labels.elicits.astype(np.int64),
        np.nan_to_num(space.worth.exchange[:, 1], nan=2.0).astype(np.int64),
        _constructed(space, members),
    ]
    return columns


def _constructed(space: Space, members: Ints) -> npt.NDArray[np.int64]:
    """Return, by exchange, how much campaign construction it carries: 0 none, 1 a little, 2 some, 3 most.

    The bundles are those that members hold far more often than others.
    """
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
    hits = np.zeros(space.frame.n_exchanges, np.uint16)
    np.add.at(hits, carried.indices, carried.data)
    return np.digitize(hits, [1, 3, 8]).astype(np.int64)


def _background(value: npt.NDArray[np.int64], importance: Floats) -> Floats:
    """Return the shares of each value among everyone else, no value at zero."""
    counts = np.bincount(value, weights=importance)
    floor = max(counts.sum(), 1e-9) * 1e-3 / len(counts)
    return np.asarray((counts + floor) / (counts + floor).sum(), np.float64)


def _shares(value: npt.NDArray[np.int64], importance: Floats, background: Floats, pull: float) -> Floats:
    """Return shares of each value, drawn towards the background with ``pull`` times the weight of the rows."""
    counts = np.bincount(value, weights=importance, minlength=len(background))
    total = max(counts.sum(), 1e-9)
    return np.asarray((counts + pull * total * background) / ((1.0 + pull) * total), np.float64)
