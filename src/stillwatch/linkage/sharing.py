"""The kernel behind shared values: what a group's members hold, counted unit by unit, and the best value of each."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from stillwatch.signals.compiled import lean
from stillwatch.signals.frame import Codes, Ints

Floats = npt.NDArray[np.float64]


@lean
def count_held(start: Ints, value: Codes, number: Codes, count: Ints) -> None:
    """Add to ``count[a + 1]`` how many of account a's values have a number (0 and more).

    >>> count = np.zeros(3, np.int64)
    >>> count_held(np.array([0, 1, 3]), np.array([0, 0, 1], np.int32), np.array([-1, 0], np.int32), count)
    >>> count.tolist()
    [0, 0, 1]
    """
    for account in range(len(start) - 1):
        for pair in range(start[account], start[account + 1]):
            if number[value[pair]] >= 0:
                count[account + 1] += 1


@lean
def lay_held(start: Ints, value: Codes, number: Codes, cursor: Ints, held: Codes) -> None:
    """Write the numbers of what each account holds from ``cursor[account]`` on, which moves with them.

    >>> cursor, held = np.array([0, 0]), np.empty(1, np.int32)
    >>> lay_held(np.array([0, 1, 3]), np.array([0, 0, 1], np.int32), np.array([-1, 7], np.int32), cursor, held)
    >>> cursor.tolist(), held.tolist()
    ([0, 1], [7])
    """
    for account in range(len(start) - 1):
        for pair in range(start[account], start[account + 1]):
            if number[value[pair]] >= 0:
                held[cursor[account]] = number[value[pair]]
                cursor[account] += 1


@numba.njit(cache=True, nogil=True)
def _slot(held: npt.NDArray[np.int32], value: np.int32, bits: int) -> np.int64:
    """Return where a value is in an open hash table (see :func:`_counted`), or the empty slot where it belongs."""
    at = np.int64((np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits))
    while held[at, 1] > 0 and held[at, 0] != value:
        at = (at + 1) & (len(held) - 1)
    return at


@numba.njit(cache=True, nogil=True)
def _counted(group: Ints, start: Ints, value: Codes, entity: Codes, n_values: int) -> tuple[Codes, Codes, int]:
    """Count what a group's members hold: a number a pair, (value, members, units, last unit) by number, and the units.

    Members come sorted by entity. Values are numbered by a hash table of the group's own size, so that the work follows
    what its members hold; by themselves where there are no more values than that.
    """
    pairs = 0
    for a in group:
        pairs += start[a + 1] - start[a]
    bits = 4
    while (1 << bits) < 2 * pairs + 16:
        bits += 1
    plain = n_values <= 1 << bits
    number = np.empty(pairs, np.int32)
    held = np.zeros((n_values if plain else 1 << bits, 4), np.int32)
    n_units, previous, pair = 0, -2, 0
    for a in group:
        if entity[a] != previous:
            n_units += 1
            previous = entity[a]
        for j in range(start[a], start[a + 1]):
            at = np.int64(value[j]) if plain else _slot(held, value[j], bits)
            number[pair] = at
            pair += 1
            held[at, 0] = value[j]
            held[at, 1] += 1
            if held[at, 3] != n_units:
                held[at, 2] += 1
                held[at, 3] = n_units
    return number, held, n_units


@numba.njit(cache=True, nogil=True)
def _spread(group: Ints, start: Ints, entity: Codes, number: Codes, wanted: npt.NDArray[np.bool_]) -> Floats:
    """Return for each wanted value the shares of the units' members with it, added up but for the largest of them."""
    total, most, here = np.zeros(len(wanted)), np.zeros(len(wanted)), np.zeros(len(wanted))
    unit = np.full(len(wanted), -1, np.int64)
    first, size, pair = 0, 0, 0
    for i in range(len(group)):
        if i == first + size:
            first, size = i, 1
            while first + size < len(group) and entity[group[first + size]] == entity[group[first]]:
                size += 1
        for _ in range(start[group[i]], start[group[i] + 1]):
            at = number[pair]
            pair += 1
            if wanted[at]:
                here[at] = 1.0 / size + (here[at] if unit[at] == first else 0.0)
                unit[at] = first
                total[at] += 1.0 / size
                most[at] = max(most[at], here[at])
    return total - most


@numba.njit(cache=True, nogil=True)
def best_shared(group: Ints, start: Ints, value: Codes, holders: Ints, entity: Codes, link: float) -> Floats:
    """Score the members of a group, which come sorted by entity, by the best value they share with other entities.

    ``start``, ``value``: what each account holds; ``holders`` of each value; ``entity`` of each account; nats below
    ``link`` are none. What a score is: :meth:`stillwatch.linkage.views.Sharing.scores`.

    >>> start, value = np.array([0, 1, 2, 2]), np.array([0, 0], np.int32)
    >>> best_shared(np.array([0, 1]), start, value, np.array([2]), np.arange(3, dtype=np.int32), 1.0).round(2).tolist()
    [1.39, 1.39]
    """
    number, held, n_units = _counted(group, start, value, entity, len(holders))
    outside = len(start) - 1 - len(group) + 1
    out = np.zeros(len(group))
    if n_units < 2:
        return out
    score, pair, linking = np.zeros(len(held)), 0, np.zeros(len(held), np.bool_)
    for at in range(len(held)):  # what follows costs more than all else, and hardly any value of a draw needs it
        often = (held[at, 2] - 1) / (n_units - 1) * outside
        linking[at] = held[at, 2] >= 2 and often > 2.7 * (holders[held[at, 0]] - held[at, 1] + 0.5)
    alone = n_units == len(group)
    others = held[:, 2] - 1.0 if alone else _spread(group, start, entity, number, linking)
    for at in range(len(held)):
        if linking[at]:
            background = (holders[held[at, 0]] - held[at, 1] + 0.5) / outside
            nats = np.log(others[at] / (n_units - 1) / background)
            score[at] = nats if nats >= link else 0.0
    for i in range(len(group)):
        for _ in range(start[group[i]], start[group[i] + 1]):
            out[i] = max(out[i], score[number[pair]])
            pair += 1
    return out
