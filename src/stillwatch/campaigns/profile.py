"""From a seed group to its members: a profile of the campaign against the background, fitted by turns.

Each round estimates, from the current members and from everybody else, how likely each trait is in the campaign and
outside it; each account then gets a log-likelihood ratio by block, its own contribution left out, capped; the sum with
the prior odds is its membership probability (an EM of a two-component mixture with the background held to
non-members, McLachlan & Peel 2000, §2.8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numba
import numpy as np
import numpy.typing as npt

from stillwatch.linkage.cells import Cells, Moments
from stillwatch.linkage.space import CAPS, Space
from stillwatch.linkage.views import LINK, Likeness
from stillwatch.signals.frame import Codes, Ints
from stillwatch.signals.traits import Counts

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
BLOCKS = ("STACK", "TASK", "NET", "ID", "LIFE", "TIME", "WORTH")
WHAT_BLOCKS, WHO_BLOCKS = ("STACK", "TASK"), ("NET", "ID", "LIFE", "TIME")
MEMBER_BAR = 0.5
_GROWTH = 1.3
_PSEUDO = 30.0
_SHOWN = 200  # exchanges after which an account has shown its habits
_QUIET = 5  # exchanges below which an account has shown nothing yet
_KNOWN = 5.0  # nats of shared networks and identities that make a quiet account a member
_STRONG = 3.0  # nats: a view that alone is twenty to one
_TWO = 1.8  # members by weight: two that are as good as sure
_STRANGE = 0.1  # of a campaign's accounts share nothing with the rest, or signed up and work at other times
_AGAINST = -3.0  # nats: shared construction does not outweigh who and worth that speak against an account


@dataclass(frozen=True)
class Profile:
    """A fitted campaign: ``probability`` and ``terms[block]`` (nats) for every account; ``prior`` in nats.

    >>> profile = Profile(np.array([0.9, 0.2]), {"NET": np.array([3.0, 0.5]), "ID": np.array([2.0, -1.0])}, -3.0)
    >>> profile.members().tolist(), profile.total(("NET", "ID")).tolist()
    ([0], [5.0, -0.5])
    """

    probability: Floats
    terms: dict[str, Floats]
    prior: float

    def members(self, bar: float = MEMBER_BAR) -> Ints:
        """Return the accounts (codes, ascending) with probability of at least ``bar``.

        >>> Profile(np.array([0.9, 0.2, 0.6]), {}, -3.0).members(0.6).tolist()
        [0, 2]
        """
        return np.flatnonzero(self.probability >= bar)

    def total(self, blocks: tuple[str, ...]) -> Floats:
        """Return the sum of some blocks' terms for every account, in nats; KeyError for a block that is not there.

        >>> Profile(np.ones(2), {"NET": np.array([3.0, 0.5]), "ID": np.ones(2)}, -3.0).total(("NET", "ID")).tolist()
        [4.0, 1.5]
        """
        return np.asarray(np.sum([self.terms[name] for name in blocks], axis=0), np.float64)

    def odds(self) -> Floats:
        """Return every account's log odds of being a member, in nats: all terms and the prior, before any rule.

        >>> Profile(np.ones(2), {"NET": np.array([3.0, 0.5]), "ID": np.ones(2)}, -3.0).odds().tolist()
        [1.0, -1.5]
        """
        return self.total(tuple(self.terms)) + self.prior


def fit_profile(space: Space, seed: Ints, others: Mask | None = None, *, rounds: int = 40) -> Profile:
    """Fit a profile from a seed group (account codes); deterministic, at most ``rounds`` rounds.

    WHAT draws accounts in, so it cannot say when to stop: of all rounds the one is returned whose members hold the most
    WHO evidence in sum, and the search ends when that has fallen for three rounds. The next round learns only from
    accounts that WHO ties to the members so far, and never from ``others``, a mask of accounts of other networks: what
    is merely like a campaign may belong to it, but must not lead on to its own kind.

    >>> seed = example_found().members[:12]
    >>> len(fit_profile(example_space(), seed).members()) >= 8
    True
    """
    n = space.frame.n_accounts
    weight = np.zeros(n)
    weight[seed] = 1.0
    free = np.ones(n, bool) if others is None else ~others
    best, best_evidence, since = Profile(weight, {name: np.zeros(n) for name in BLOCKS}, 0.0), -np.inf, 0
    for _ in range(rounds):
        profile = _round(space, weight)
        who = profile.total(WHO_BLOCKS)
        fresh = _grown(np.where((who > 0) & free, profile.probability, 0.0), weight)
        members = profile.members()
        members = members[free[members]]
        evidence = float(who[members].sum())
        best, best_evidence, since = (
            (profile, evidence, 0) if evidence > best_evidence else (best, best_evidence, since + 1)
        )
        if since >= 3 or len(members) < 3 or np.abs(fresh - weight).sum() < 0.002 * weight.sum():
            break
        weight = fresh
    return best


def profile_of(space: Space, members: Ints) -> Profile:
    """Return the profile of given accounts (codes) as they are, without a search for more.

    >>> bool(len(profile_of(example_space(), example_found().members).members()) >= 8)
    True
    """
    weight = np.zeros(space.frame.n_accounts)
    weight[members] = 1.0
    return _round(space, weight)


def linked(space: Space, members: Ints) -> Mask:
    """Say which accounts share networks or identities with given ones (codes) by a nat and more: part of their profile.

    >>> members = example_found().members
    >>> bool(linked(example_space(), members)[members].mean() > 0.5)
    True
    """
    weight = np.zeros(space.frame.n_accounts)
    weight[members] = 1.0
    terms = [_shared(space.shared[name], weight, CAPS[name]) for name in ("NET", "ID") if name not in space.without]
    return np.asarray(np.any([term >= LINK for term in terms], axis=0), np.bool_) if terms else weight < 0


def with_strangers(space: Space, profile: Profile) -> Profile:
    """Return a profile in which members may lack both a common network and a common identity: one careful part.

    The two lacks count together as often as members lack both, one in ten at least, not as if independent. Only
    for a search that has ended: what shares neither network nor identity with a campaign must not lead it on.

    >>> profile = example_found().profile
    >>> bool(set(profile.members()) <= set(with_strangers(example_space(), profile).members()))
    True
    """
    weight, terms = profile.probability, profile.terms
    alone = (terms["NET"] < 0) & (terms["ID"] < 0)
    share = max(_STRANGE, float(weight[alone].sum() + 0.5) / float(weight.sum() + 1.0))
    both = np.minimum(terms["NET"] + terms["ID"], -1e-9)
    ease = np.where(alone, np.minimum(1.0, np.log(share) / both), 1.0)
    return _scored(space, terms | {name: terms[name] * ease for name in ("NET", "ID")}, weight)


def _round(space: Space, weight: Floats) -> Profile:
    terms = {
        "STACK": _stack(space, weight),
        "NET": _shared(space.shared["NET"], weight, CAPS["NET"]),
        "ID": _shared(space.shared["ID"], weight, CAPS["ID"]),
        "LIFE": _loosely(_contrast(_signup_scores(space, weight), weight, CAPS["LIFE"])),
        "TASK": _contrast(_likeness(space, "TASK", weight), weight, CAPS["TASK"]),
        "TIME": _loosely(_contrast(_likeness(space, "TIME", weight), weight, CAPS["TIME"])),
        "WORTH": _contrast(space.worth.account, weight, 3.0),
    }
    return _scored(space, terms | {name: np.zeros(len(weight)) for name in space.without & terms.keys()}, weight)


def _scored(space: Space, terms: dict[str, Floats], weight: Floats) -> Profile:
    size = weight.sum()
    prior = float(np.log(max(size, 1.0) / max(len(weight) - size, 1.0)))
    what = np.sum([terms[name] for name in WHAT_BLOCKS], axis=0)
    against = np.sum([terms[name] for name in WHO_BLOCKS], axis=0) + np.minimum(terms["WORTH"], 0.0)
    score = prior + np.sum(list(terms.values()), axis=0)
    probability = 1.0 / (1.0 + np.exp(-np.clip(score, -30, 30)))
    tied = terms["NET"] + terms["ID"] >= _KNOWN
    unlike = np.where(_quiet(space, weight), (what < -0.5) | ~tied, what <= 0)
    probability[unlike | (against < _AGAINST)] = 0.0
    return Profile(probability, terms, prior)


def _quiet(space: Space, weight: Floats) -> Mask:
    """Say which accounts asked too little to show what they are: a few exchanges, where members asked many more."""
    volume = space.frame.volume()
    inside = volume[weight >= 0.5]
    usual = float(np.median(inside)) if len(inside) else 0.0
    return np.asarray(volume < max(1.0, min(_QUIET, usual / 4)), np.bool_)


def _grown(probability: Floats, weight: Floats) -> Floats:
    """Let the expected size grow by at most 1.3 a round: the likeliest accounts first."""
    limit = _GROWTH * max(weight.sum(), 5.0)
    if probability.sum() <= limit:
        return probability.copy()
    order = np.argsort(-probability, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(probability[order]), limit)) + 1]
    fresh = np.zeros(len(weight))
    fresh[kept] = probability[kept]
    return fresh


def _stack(space: Space, weight: Floats) -> Floats:
    """Prompt construction and client: held and missing traits that tell the campaign from the background.

    What an account lacks counts by how surely a member of its volume would have shown it: silence is no evidence.
    """
    volume = space.frame.volume()
    place = np.minimum(volume, _SHOWN)
    total, by_volume = np.zeros(len(weight)), np.zeros((3, _SHOWN + 1))
    by_volume[2] = 1.0
    size, rest = weight.sum(), len(weight) - weight.sum()
    for holders in space.built:
        inside = holders.inside(weight)
        background = (holders.pairs.holders() - inside + 0.5) / (rest + 1.0)
        share = (inside + background) / (size + 1.0)
        values = np.flatnonzero((share >= 0.5) & (np.log(share / background) >= 1.5))
        shares = share[values], background[values], inside[values]
        pairs = holders.account, holders.count, holders.start
        _weigh(values, shares, pairs, (weight, size), volume, holders.pairs is space.bundles.held, total, by_volume)
    lacked, usual, doubt = by_volume
    total += lacked[place]
    return _typical(np.clip(total, -6.0, 6.0), total - usual[place], weight, 6.0, doubt[place])


@numba.njit(cache=True, nogil=True)
def _weigh(
    values: Ints, shares: tuple[Floats, Floats, Floats], pairs: tuple[Codes, Counts, Ints],
    members: tuple[Floats, float], volume: Ints, habit: bool, total: Floats, by_volume: Floats,
) -> None:  # fmt: skip
    """Add what each value says: to ``total`` for those who hold it, to ``by_volume`` for all by what they asked.

    ``shares`` of members, of the rest, and members by weight, an entry a value; ``by_volume`` is what lacking all says,
    what members are expected to score, and the variance of that. A ``habit`` is shown by asking often enough, anything
    else by asking at all.
    """
    (account, count, start), (weight, size) = pairs, members
    lacked, usual, doubt = by_volume
    missing = np.empty(by_volume.shape[1])
    for number in range(len(values)):
        share, rare, inside = shares[0][number], shares[1][number], shares[2][number]
        first, last = start[values[number]], start[values[number] + 1]
        rate, held_by = 0.0, 0.0
        for i in range(first, last):
            own = weight[account[i]]
            if own > 0:
                rate += own * min(1.0, count[i] / max(volume[account[i]], 1))
                held_by += own
        rate /= max(held_by, 1e-9)
        for asked in range(len(missing)):
            seen = _seen(rate, asked) if habit else min(1.0, asked)
            missing[asked] = np.log((1 - share * seen + 1e-3) / (1 - rare * seen + 1e-3))
            lacked[asked] += missing[asked]
            shown, swing = share * seen, np.log(share / rare) - missing[asked]
            usual[asked] += shown * swing + missing[asked]
            doubt[asked] += shown * (1.0 - shown) * swing**2
        strange = np.log((inside + rare) / (size + 1.0) / rare)
        for i in range(first, last):
            own = weight[account[i]]
            held = np.log((max(inside - own, 0.0) + rare) / (size - own + 1.0) / rare) if own > 0 else strange
            total[account[i]] += held - missing[min(volume[account[i]], len(missing) - 1)]


@numba.njit(cache=True, nogil=True)
def _seen(rate: float, asked: int) -> float:
    """Return how likely it is that who uses a bundle at this rate has shown it as a habit in so many exchanges.

    That is in two of them, or in one where there are no more than four.
    """
    never = (1.0 - rate) ** asked
    once = asked * rate * (1.0 - rate) ** (asked - 1) if asked > 4 else 0.0
    return 1.0 - never - once


def tied(space: Space, profile: Profile, members: Ints) -> Mask:
    """Say which accounts are ``members``' by who they are alone, for those of whom nobody knows what they ask for.

    They hold networks or identities that two members do and few others, and two views speak for them, each strongly:
    one view is a common exit, and one that is weak besides a common card range or a coincidence. Colleagues of one
    member are not tied, nor those who share with each other only.

    >>> found, space = example_found(), example_space()
    >>> bool(tied(space, found.profile, found.members[:0]).any())
    False
    """
    weight = np.zeros(space.frame.n_accounts)
    weight[members] = profile.probability[members]
    shared = [_shared(space.shared[name], weight, CAPS[name], least=_TWO) for name in ("NET", "ID")]
    views = [*shared, profile.terms["LIFE"], profile.terms["TIME"]]
    strong = np.sum([view >= _STRONG for view in views], axis=0)
    return np.asarray((shared[0] + shared[1] >= _KNOWN) & (strong >= 2), np.bool_)


def _shared(cells: Cells, weight: Floats, cap: float, *, least: float = 0.9) -> Floats:
    """Networks or identities: log of (1 − λ) + the best value's ratio of member share to background share.

    λ is the share of members who share any value with another member, so that a member without a shared value costs
    only log(1 − λ). Shares are within the account's stratum, shrunk to the global share with 30 pseudo-accounts.
    """
    best, linked = cells.ratios(weight, _PSEUDO, least=least)
    has = cells.known
    members = weight * has
    if members.sum() < 1:
        return np.zeros(len(weight))
    pooled = min(0.95, float((members * linked).sum() / members.sum()))
    ratio = np.log((1.0 - pooled) + np.where(linked, best, 0.0))
    return np.where(has, np.clip(ratio, -3.0, cap), 0.0)


def _signup_scores(space: Space, weight: Floats) -> Floats:
    """Return each account's log ratio of sign-up density among members (itself left out) to that among the rest."""
    moments = space.moments
    out = np.full(len(weight), np.nan)
    inside = weight[moments.account]
    if len(inside) < 10 or inside.sum() < 3:
        return out
    running_in = np.concatenate(([0.0], np.cumsum(inside)))
    running_out = np.concatenate(([0.0], np.cumsum(1.0 - inside)))
    best = np.full(len(inside), -np.inf)
    for low, high in moments.around:
        near_in = running_in[high] - running_in[low] - inside
        share_out = (running_out[high] - running_out[low] + 0.5) / (running_out[-1] + 1.0)
        np.maximum(best, np.log((near_in + 1.0) / (share_out * running_in[-1] + 1.0)), out=best)
    np.maximum(best, _succession(moments, weight, running_out), out=best)
    out[moments.account] = best
    return out


def _succession(moments: Moments, weight: Floats, running_out: Floats) -> Floats:
    """Return the same ratio for sign-ups in the day after members' accounts were closed: replacements."""
    lost = np.concatenate(([0.0], np.cumsum(weight[moments.closed])))
    (low, high), (first, last) = moments.gone, moments.day
    share_out = (running_out[last] - running_out[first] + 0.5) / (running_out[-1] + 1.0)
    return np.asarray(np.log((lost[high] - lost[low] + 1.0) / (share_out * lost[-1] + 1.0)), np.float64)


def _likeness(space: Space, name: str, weight: Floats) -> Floats:
    """Return each account's cosine with the mean member, itself left out; NaN without a vector."""
    return cast("Likeness", space.views[name]).nearness(weight)


def _contrast(score: Floats, weight: Floats, cap: float) -> Floats:
    """Turn a continuous score into nats: a normal for members against one for the rest, never beyond either mean.

    Zero when members do not score above the rest, and for accounts without a score.
    """
    known = np.isfinite(score)
    inside, outside = weight[known], 1.0 - weight[known]
    if inside.sum() < 3 or outside.sum() < 10:
        return np.zeros(len(score))
    values = score[known]
    mean_in, mean_out = np.average(values, weights=inside), np.average(values, weights=outside)
    sd_out = float(np.sqrt(np.average((values - mean_out) ** 2, weights=outside))) + 1e-9
    spread = np.average((values - mean_in) ** 2, weights=inside) * inside.sum() + 5.0 * sd_out**2
    sd_in = float(np.sqrt(spread / (inside.sum() + 5.0)))
    if mean_in - mean_out < 0.2 * sd_out:
        return np.zeros(len(score))
    at = np.clip(values, mean_out, mean_in)
    nats = 0.5 * ((at - mean_out) / sd_out) ** 2 - 0.5 * ((at - mean_in) / sd_in) ** 2 + np.log(sd_out / sd_in)
    out = np.zeros(len(score))
    out[known] = np.clip(nats, -cap, cap)
    return _typical(out, np.where(known, score, mean_in), weight, cap)


def _loosely(nats: Floats) -> Floats:
    """Mix a member's density with a stranger's: one who signed up or works apart is a member in ten, not impossible."""
    return np.asarray(np.log((1.0 - _STRANGE) * np.exp(nats) + _STRANGE), np.float64)


def _typical(nats: Floats, score: Floats, weight: Floats, cap: float, doubt: Floats | float = 0.0) -> Floats:
    """Hold evidence down by how far a score lies below a member's: unlike strangers is not yet like members.

    Another campaign is as far from the background as this one is; ``cap`` less half the squared distance to the mean
    member, in their standard deviations, is what can be said for an account at most; ``doubt`` is variance of its own.
    """
    members = np.flatnonzero(weight)
    own, mine = weight[members], score[members]
    size = max(float(own.sum()), 1e-9)
    mean = float((own * mine).sum()) / size
    spread = np.sqrt(float((own * (mine - mean) ** 2).sum()) / size + doubt) + 1e-9
    below = np.maximum(0.0, (mean - score) / spread)
    return np.asarray(np.maximum(np.minimum(nats, cap - 0.5 * below**2), -cap), np.float64)
