"""The independent views of a group: how far its members share networks, identities, sign-up times, rhythm and work.

Each view turns a group (account codes) into one number that is near zero for strangers. A view never counts what
another view already explains: networks are compared between people who do not share a payer, payments between people
who do not share a network, so that an office or a household is one unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numba
import numpy as np
import numpy.typing as npt

from stillwatch.linkage.sharing import best_shared, count_held, lay_held
from stillwatch.signals.activity import Vectors
from stillwatch.signals.columns import room
from stillwatch.signals.frame import Codes, Ints
from stillwatch.signals.traits import Incidence

Floats = npt.NDArray[np.float64]
HOUR_US = 3_600_000_000
LINK = 1.0  # nats: what is not e times commoner in the group than outside ties nobody (a public mail provider)
_WIDTHS = (6 * HOUR_US, 72 * HOUR_US)


class View(Protocol):
    """What a view offers: a score for each member, one number for the group, and who has any evidence at all.

    >>> view: View = Signups(np.full(3, -1), np.zeros(0, np.int64), np.arange(3, dtype=np.int32))
    >>> view.scores(np.arange(3)).tolist(), view.effect(np.arange(3)), view.known(np.arange(3))
    ([0.0, 0.0, 0.0], 0.0, 0.0)
    """

    def scores(self, group: Ints) -> Floats:
        """Return nats for each member of the group (account codes), in the group's order."""

    def effect(self, group: Ints) -> float:
        """Return nats a member for the group."""

    def known(self, group: Ints) -> float:
        """Return the share of the group for which the view has evidence."""


@dataclass(frozen=True)
class Sharing:
    """Shared values of one or more families, capped in nats a member.

    ``entity[a]`` is the unit of account a in the *other* view; members of one unit count once for a value.

    >>> from stillwatch.signals.traits import incidence
    >>> card = incidence(np.array([0, 1, 2], np.int32), np.array([0, 0, 1]), 100)
    >>> cards = Sharing((card,), 9.0, np.arange(100, dtype=np.int32))
    >>> cards.scores(np.array([0, 1, 2])).round(2).tolist(), cards.known(np.array([0, 99]))
    ([4.58, 4.58, 0.0], 0.5)
    """

    families: tuple[Incidence, ...]
    cap: float
    entity: Codes

    def scores(self, group: Ints) -> Floats:
        """Return log(share of the other units' members with the member's best value / its share outside the group).

        Members of a unit are a share of one: what one of a hundred holds is a hundredth. Of all units that hold a value
        the one with the largest share counts as the member's own. The background is smoothed by half an account. Nats
        from 1 to ``cap``, or 0: below one nat a value is no link, and a group of one unit has none.

        >>> from stillwatch.signals.traits import incidence
        >>> card = incidence(np.array([0, 1], np.int32), np.array([0, 0]), 100)
        >>> Sharing((card,), 9.0, np.zeros(100, np.int32)).scores(np.array([0, 1])).tolist()
        [0.0, 0.0]
        """
        place = np.argsort(self.entity[group], kind="stable")
        order = group[place]
        out = np.empty(len(order))
        out[place] = np.minimum(best_shared(order, *self._held, self.entity, LINK), self.cap)
        return out

    @cached_property
    def _held(self) -> tuple[Ints, Codes, Ints]:
        """Return what accounts hold of all families (start, value, holders); values of one holder are nobody's link."""
        start, holders, numbers = np.zeros(len(self.entity) + 1, np.int64), [np.zeros(0, np.int64)], list[Codes]()
        offset = 0
        for family in self.families:
            common = family.holders() >= 2
            numbers.append(np.where(common, np.cumsum(common) - 1 + offset, -1).astype(np.int32))
            holders.append(family.holders()[common])
            offset += len(holders[-1])
            count_held(family.start, family.value, numbers[-1], start)
        np.cumsum(start, out=start)
        held, cursor = room(int(start[-1]), np.int32), start[:-1].copy()
        for family, number in zip(self.families, numbers, strict=True):
            lay_held(family.start, family.value, number, cursor, held)
        return start, held, np.concatenate(holders)

    def effect(self, group: Ints) -> float:
        """Return the mean score (nats a member), 0 for an empty group.

        >>> from stillwatch.signals.traits import incidence
        >>> card = incidence(np.array([0, 1], np.int32), np.array([0, 0]), 100)
        >>> Sharing((card,), 2.0, np.arange(100, dtype=np.int32)).effect(np.array([0, 1, 7, 8]))
        1.0
        """
        return float(self.scores(group).mean()) if len(group) else 0.0

    def known(self, group: Ints) -> float:
        """Return the share of members with any value, 0 for an empty group.

        >>> from stillwatch.signals.traits import incidence
        >>> card = incidence(np.array([0], np.int32), np.array([0]), 4)
        >>> Sharing((card,), 2.0, np.arange(4, dtype=np.int32)).known(np.arange(4))
        0.25
        """
        has = np.zeros(len(group), bool)
        for family in self.families:
            has |= family.start[group + 1] > family.start[group]
        return float(has.mean()) if len(group) else 0.0


@dataclass(frozen=True)
class Signups:
    """Sign-ups that come together: local density in the group against everyone else's (6 hours and 3 days).

    ``created`` is microseconds by account (-1 unknown), ``moments`` all known ones sorted.

    >>> created = np.array([0, 60, 120, 10**13, 2 * 10**13, -1])
    >>> signups = Signups(created, np.sort(created[created >= 0]), np.arange(6, dtype=np.int32))
    >>> signups.scores(np.array([0, 1, 2, 5])).round(2).tolist(), signups.known(np.array([0, 1, 2, 5]))
    ([0.81, 0.81, 0.81, 0.0], 0.75)
    """

    created: Ints
    moments: Ints
    entity: Codes
    cap: float = 4.0

    def scores(self, group: Ints) -> Floats:
        """Return log((others near + 1) / (expected near + 1)) for each member, the better of two widths.

        0 for a member without a sign-up time, and for all when fewer than three have one.

        >>> created = np.array([0, 60, -1])
        >>> Signups(created, created[:2], np.arange(3, dtype=np.int32)).scores(np.arange(3)).tolist()
        [0.0, 0.0, 0.0]
        """
        known = self.created[group] >= 0
        out = np.zeros(len(group))
        if known.sum() < 3:
            return out
        members = group[known]
        crowds = tuple(everybody[members] for everybody in self._crowds)
        best = _together(self.created[members], self.entity[members], crowds, _WIDTHS, len(self.moments))
        out[known] = np.clip(best, 0.0, self.cap)
        return out

    @cached_property
    def _crowds(self) -> tuple[Ints, ...]:
        """Count the sign-ups near each account's own by width, once for all groups."""
        return tuple(_near(self.moments, self.created, width) for width in _WIDTHS)

    def effect(self, group: Ints) -> float:
        """Return the mean score (nats a member), 0 for an empty group.

        >>> created = np.array([0, 60, -1])
        >>> Signups(created, created[:2], np.arange(3, dtype=np.int32)).effect(np.arange(3))
        0.0
        """
        return float(self.scores(group).mean()) if len(group) else 0.0

    def known(self, group: Ints) -> float:
        """Return the share of members with a sign-up time, 0 for an empty group.

        >>> created = np.array([0, 60, -1, -1])
        >>> Signups(created, created[:2], np.arange(4, dtype=np.int32)).known(np.arange(4))
        0.5
        """
        return float((self.created[group] >= 0).mean()) if len(group) else 0.0


@dataclass(frozen=True)
class Likeness:
    """Mean cosine between members' vectors (rhythm or kind of work); ``nats`` turns a cosine into nats a member.

    ``vectors`` are accounts × dimensions, of length 1 at most, zero without evidence.

    >>> alike = Likeness(np.eye(4, dtype=np.float32)[[0, 0, 0, 1]], np.arange(4, dtype=np.int32), 8.0, 5.0)
    >>> alike.effect(np.array([0, 1, 2])), alike.scores(np.array([0, 3])).tolist(), alike.known(np.array([0, 3]))
    (8.0, [0.0, 0.0], 1.0)
    """

    vectors: Vectors
    entity: Codes
    nats: float
    cap: float

    def scores(self, group: Ints) -> Floats:
        """Return the cosine of each member with the mean of the other members, in nats from 0 to ``cap``.

        >>> same = np.ones((3, 1), np.float32)
        >>> Likeness(same, np.arange(3, dtype=np.int32), 8.0, 5.0).scores(np.arange(3)).tolist()
        [5.0, 5.0, 5.0]
        """
        units = self.vectors[group]
        total = units.sum(axis=0)
        others = (total - units) / max(1, len(group) - 1)
        nats = self.nats * np.einsum("ij,ij->i", units, others)
        return np.asarray(np.clip(nats, 0.0, self.cap), np.float64)

    def effect(self, group: Ints) -> float:
        """Return the mean cosine over pairs of different units, in nats; an entity counts as one unit.

        0 when fewer than three units have a vector.

        >>> same = np.ones((3, 1), np.float32)
        >>> Likeness(same, np.array([0, 1, 2], np.int32), 8.0, 5.0).effect(np.arange(3))
        8.0
        >>> Likeness(same, np.array([0, 0, 1], np.int32), 8.0, 5.0).effect(np.arange(3))
        0.0
        """
        order = group[np.argsort(self.entity[group], kind="stable")]
        total, own = _pooled(self.vectors, self._own, order, self.entity[order])
        active = int((own > 0).sum())
        if active < 3:
            return 0.0
        cosine = (float(total @ total) - float(own.sum())) / (active * (active - 1))
        return self.nats * cosine

    def known(self, group: Ints) -> float:
        """Return the share of members with a vector, 0 for an empty group.

        >>> vectors = np.array([[1.0], [0.0]], np.float32)
        >>> Likeness(vectors, np.arange(2, dtype=np.int32), 8.0, 5.0).known(np.arange(2))
        0.5
        """
        return float((self._own[group] > 0).mean()) if len(group) else 0.0

    def nearness(self, weight: Floats) -> Floats:
        """Return each account's cosine with the mean member, itself left out; NaN without a vector.

        ``weight`` is each account's membership.

        >>> same = Likeness(np.array([[1.0], [1.0], [0.0]], np.float32), np.arange(3, dtype=np.int32), 8.0, 5.0)
        >>> same.nearness(np.array([1.0, 1.0, 0.0])).tolist()
        [1.0, 1.0, nan]
        """
        members = np.flatnonzero(weight)
        total = (self.vectors[members] * weight[members, None]).sum(axis=0)
        cosine = (_products(self.vectors, total) - weight * self._own) / np.maximum(weight.sum() - weight, 1.0)
        return np.where(self._own > 0, cosine, np.nan)

    @cached_property
    def _own(self) -> Vectors:
        """Return the squared length of each account's vector, once for all groups."""
        return np.asarray(np.einsum("ij,ij->i", self.vectors, self.vectors), np.float32)


def _near(times: Ints, at: Ints, width: int) -> Ints:
    """Count the times within ``width`` of each moment."""
    return np.searchsorted(times, at + width, "right") - np.searchsorted(times, at - width, "left")


@numba.njit(cache=True, nogil=True)
def _together(
    created: Ints, entity: Codes, crowds: tuple[Ints, ...], widths: tuple[int, ...], everybody: int
) -> Floats:
    """Return log((other units near + 1) / (expected near + 1)) by member, best width; ``crowds`` are all near it."""
    first = np.argsort(entity, kind="mergesort")
    units = np.empty(len(first), np.int64)
    n_units = 0
    for i in range(len(first)):
        if i == 0 or entity[first[i]] != entity[first[i - 1]]:
            units[n_units] = created[first[i]]
            n_units += 1
    units = np.sort(units[:n_units])
    order = np.argsort(created)
    own = created[order]
    rest = everybody - len(own) + 1
    best = np.zeros(len(own))
    for k in range(len(widths)):
        own_from, own_to, unit_from, unit_to = 0, 0, 0, 0
        for i in range(len(own)):
            low, high = own[i] - widths[k], own[i] + widths[k]
            own_from, own_to = _window(own, low, high, own_from, own_to)
            unit_from, unit_to = _window(units, low, high, unit_from, unit_to)
            expected = (crowds[k][order[i]] - (own_to - own_from) + 0.5) / rest * (n_units - 1)
            near = max(0, unit_to - unit_from - 1)
            best[order[i]] = max(best[order[i]], np.log((near + 1) / (expected + 1)))
    return best


@numba.njit(cache=True, nogil=True)
def _window(times: Ints, low: int, high: int, begin: int, end: int) -> tuple[int, int]:
    """Move a window on sorted times on to ``low`` … ``high``, both ends included."""
    while begin < len(times) and times[begin] < low:
        begin += 1
    while end < len(times) and times[end] <= high:
        end += 1
    return begin, end


@numba.njit(cache=True, nogil=True)
def _products(vectors: Vectors, total: Floats) -> Floats:
    """Return the product of each row with ``total``, in double precision but without a double copy of the rows.

    Each is added up from the first to the last, so that every machine rounds alike; four rows at a time, because each
    addition waits for the one before.
    """
    n = len(vectors)
    out = np.empty(n)
    for i in range(0, n - n % 4, 4):
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for j in range(len(total)):
            a += vectors[i, j] * total[j]
            b += vectors[i + 1, j] * total[j]
            c += vectors[i + 2, j] * total[j]
            d += vectors[i + 3, j] * total[j]
        out[i], out[i + 1], out[i + 2], out[i + 3] = a, b, c, d
    for i in range(n - n % 4, n):
        a = 0.0
        for j in range(len(total)):
            a += vectors[i, j] * total[j]
        out[i] = a
    return out


@numba.njit(cache=True, nogil=True)
def _pooled(vectors: Vectors, own: Vectors, order: Ints, entity: Codes) -> tuple[Vectors, Vectors]:
    """Return the sum of the units' mean vectors and each one's squared length; accounts come sorted by unit."""
    width = vectors.shape[1]
    total, mean = np.zeros(width, np.float32), np.zeros(width, np.float32)
    lengths = np.zeros(len(order), np.float32)
    units, begin = 0, 0
    while begin < len(order):
        end = begin + 1
        while end < len(order) and entity[end] == entity[begin]:
            end += 1
        if end - begin == 1:
            total += vectors[order[begin]]
            lengths[units] = own[order[begin]]
        else:
            mean[:] = 0.0
            for i in range(begin, end):
                mean += vectors[order[i]]
            mean /= np.float32(end - begin)
            total += mean
            lengths[units] = (mean * mean).sum()
        units += 1
        begin = end
    return total, lengths[:units]
