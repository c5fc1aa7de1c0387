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
_FEATURES = 6
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
    constructed = _constructed(space, members)
    place = np.searchsorted(members, frame.account[rows])
    each = 1.0 / np.maximum(frame.volume(), 1)
    even = each[frame.account[rows]]
    background = _background(space, constructed, np.where(inside, 0.0, each))
    mine = _features(space, constructed, rows)
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


def _start(constructed: Ints) -> Floats:
    """Return where to start: by construction where the campaign has one (in a third of exchanges), else 0.8."""
    if (constructed >= 1).mean() < 1 / 3:
        return np.full(len(constructed), 0.8)
    return np.array([0.2, 0.6, 0.9, 0.95])[constructed]


def _features(space: Space, constructed: Levels, rows: Ints | slice) -> list[Ints]:
    """Return categorical features of some exchanges: task, form, session, and construction last.

    Client and network are left out: they belong to the account, so they cannot tell its exchanges apart.
    """
    labels = space.labels
    alone = np.nan_to_num(space.worth.exchange[rows, 1], nan=2.0)
    columns = [column[rows] for column in (space.frame.capability, labels.topic, labels.form, labels.elicits)]
    return [column.astype(np.int64) for column in (*columns, alone, constructed[rows])]


def _constructed(space: Space, members: Ints) -> Levels:
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
    return (hits >= 1).astype(np.uint8) + (hits >= 3) + (hits >= 8)


def _background(space: Space, constructed: Levels, importance: Floats) -> list[Floats]:
    """Return the shares of each feature's values, accounts counting by their importance, no value at zero."""
    account = space.frame.account
    totals = [np.zeros(0)] * _FEATURES
    for block in blocks(account):
        weight = importance[account[block]]
        for k, value in enumerate(_features(space, constructed, block)):
            more = max(0, int(value.max(initial=-1)) + 1 - len(totals[k]))
            totals[k] = np.concatenate([totals[k], np.zeros(more)])
            np.add.at(totals[k], value, weight)
    floors = [max(counts.sum(), 1e-9) * 1e-3 / len(counts) for counts in totals]
    return [(counts + floor) / (counts + floor).sum() for counts, floor in zip(totals, floors, strict=True)]


def _shares(value: Ints, importance: Floats, background: Floats, pull: float) -> Floats:
    """Return shares of each value, drawn towards the background with ``pull`` times the weight of the rows."""
    counts = np.bincount(value, weights=importance, minlength=len(background))
    total = max(counts.sum(), 1e-9)
    return np.asarray((counts + pull * total * background) / ((1.0 + pull) * total), np.float64)
