"""What a daily count should have been, from the days (or the cohorts) before it, and where it was not.

Counts are put on a scale where Poisson noise has standard deviation 1 whatever the level (Anscombe 1948,
``2·sqrt(y + 3/8)``). The expected level is the median of the days before (at most 28), the noise is their median
absolute deviation × 1.4826 (Rousseeuw & Croux 1993), never below the Poisson floor of 1: real traffic is
overdispersed, and the floor keeps a quiet series from crying out. Looking only at the past, and distrusting small
absolute changes, follows outbreak surveillance (Farrington et al. 1996; Noufaily et al. 2013). Weekday effects are
taken out when three whole weeks are there to learn them from; with fewer, a day must also depart from the same
weekday of the week before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Floats = npt.NDArray[np.float64]

WARM_UP_DAYS = 7
HISTORY_DAYS = 28
WEEKDAY_DAYS = 21
PEERS = 3
LEAST_RATIO = 1.5
LEAST_EXCESS = 20.0
LEAST_Z = 4.0


@dataclass(frozen=True, slots=True)
class Expectation:
    """What each day was expected to be: NaN where there was too little history to say.

    ``low`` and ``high`` bound 95 % of days; ``z`` is the distance from the level in robust standard deviations.
    """

    expected: Floats
    low: Floats
    high: Floats
    z: Floats


@dataclass(frozen=True, slots=True)
class Departure:
    """A run of days that all departed from expectation the same way; days are positions in the series."""

    first: int
    last: int
    peak: int
    direction: Literal["more", "fewer"]
    observed: float
    expected: float
    z: float

    @property
    def ratio(self) -> float:
        """Observed over expected, expected taken as at least one."""
        return self.observed / max(self.expected, 1.0)


def anscombe(counts: Floats) -> Floats:
    """Return counts on the scale where Poisson noise has standard deviation 1 (Anscombe 1948).

    >>> anscombe(np.array([0.0, 100.0])).round(2).tolist()
    [1.22, 20.04]
    """
    return np.asarray(2.0 * np.sqrt(np.maximum(counts, 0.0) + 0.375), dtype=np.float64)


def _back(scaled: Floats) -> Floats:
    return np.asarray(np.maximum((np.maximum(scaled, 0.0) / 2.0) ** 2 - 0.375, 0.0), dtype=np.float64)


def _spread(sample: Floats, level: float) -> float:
    """Return the robust standard deviation of a sample, at least the Poisson floor."""
    return max(1.0, 1.4826 * float(np.median(np.abs(sample - level))))


def weekday_effect(scaled: Floats) -> Floats:
    """Return each day's weekday effect: the median distance of its weekday from the centred weekly median.

    Zero everywhere when there are fewer than three weeks.

    >>> weekday_effect(np.zeros(10)).tolist() == [0.0] * 10
    True
    """
    days = len(scaled)
    if days < WEEKDAY_DAYS:
        return np.zeros(days)
    level = np.array([np.median(scaled[max(0, i - 3) : i + 4]) for i in range(days)])
    residual = scaled - level
    by_weekday = np.array([np.median(residual[offset::7]) for offset in range(7)])
    return np.asarray((by_weekday - np.median(by_weekday))[np.arange(days) % 7], dtype=np.float64)


def expect_from_past(counts: Floats, *, start: int = 0) -> Expectation:
    """Say what each day was expected to be from the days before it; days up to ``start`` count as no history.

    >>> steady = np.array([100.0] * 20 + [900.0])
    >>> past = expect_from_past(steady)
    >>> round(float(past.expected[-1])), bool(past.z[-1] > 30), bool(np.isnan(past.z[3]))
    (100, True, True)
    """
    scaled = anscombe(np.asarray(counts, dtype=np.float64))
    effect = weekday_effect(scaled)
    flat = scaled - effect
    level, spread = np.full(len(flat), np.nan), np.full(len(flat), np.nan)
    for i in range(start + WARM_UP_DAYS, len(flat)):
        sample = flat[max(start, i - HISTORY_DAYS) : i]
        level[i] = np.median(sample)
        spread[i] = _spread(sample, level[i])
    found = _expectation(scaled, level + effect, spread)
    return found if len(scaled) >= WEEKDAY_DAYS else _as_last_week(found, scaled, spread)


def _as_last_week(found: Expectation, scaled: Floats, spread: Floats) -> Expectation:
    """Keep of each departure only what also departs from the same weekday a week before, where there is one."""
    change = np.full(len(scaled), np.nan)
    change[7:] = (scaled[7:] - scaled[:-7]) / (np.sqrt(2) * spread[7:])
    smaller = np.where(np.abs(change) < np.abs(found.z), change, found.z)
    agreed = np.where(np.sign(change) == np.sign(found.z), smaller, 0.0)
    return Expectation(found.expected, found.low, found.high, np.where(np.isnan(change), found.z, agreed))


def expect_from_peers(counts: Floats, births: npt.NDArray[np.int64]) -> list[Expectation]:
    """Say what each cohort (row) was expected to do on each day (column) from earlier cohorts at the same age.

    ``births`` are the columns at which cohorts begin, ascending, negative when before the first column. At least
    three earlier cohorts must have been seen at that age.

    >>> births = np.array([0, 7, 14, 21])
    >>> rows = np.zeros((4, 28))
    >>> for row, birth in enumerate(births):
    ...     rows[row, birth:] = 400 if row == 3 else 50
    >>> [round(float(value)) for value in expect_from_peers(rows, births)[3].expected[21:24]]
    [50, 50, 50]
    """
    scaled = anscombe(counts)
    days = scaled.shape[1]
    out = []
    for row, birth in enumerate(births):
        level, spread = np.full(days, np.nan), np.full(days, np.nan)
        for i in range(max(0, int(birth)), days):
            columns = i - int(birth) + births[:row]
            there = (columns >= 0) & (columns < days)
            sample = scaled[:row][there, columns[there]][-8:]
            if len(sample) >= PEERS:
                level[i] = np.median(sample)
                spread[i] = _spread(sample, level[i])
        out.append(_expectation(scaled[row], level, spread))
    return out


def _expectation(scaled: Floats, level: Floats, spread: Floats) -> Expectation:
    low, high = _back(level - 1.96 * spread), _back(level + 1.96 * spread)
    return Expectation(_back(level), low, high, np.asarray((scaled - level) / spread, dtype=np.float64))


def threshold(tests: int) -> float:
    """Return how many standard deviations to ask for when ``tests`` days are looked at: 1 % chance of any, at least 4.

    >>> threshold(10), round(threshold(10_000), 2)
    (4.0, 4.89)
    """
    return max(LEAST_Z, float(norm.isf(0.005 / max(tests, 1))))


def departures(counts: Floats, expectation: Expectation, bar: float) -> list[Departure]:
    """Return the runs of days that departed: beyond ``bar`` deviations, by half as much again and by 20 or more.

    >>> steady = np.array([100.0] * 20 + [900.0, 800.0, 100.0])
    >>> [(d.first, d.last, d.direction, round(d.ratio)) for d in departures(steady, expect_from_past(steady), 4.0)]
    [(20, 21, 'more', 8)]
    """
    expected = np.nan_to_num(expectation.expected)
    z = np.nan_to_num(expectation.z)
    more = (z >= bar) & (counts >= LEAST_RATIO * expected) & (counts - expected >= LEAST_EXCESS)
    fewer = (z <= -bar) & (counts * LEAST_RATIO <= expected) & (expected - counts >= LEAST_EXCESS)
    sign = more.astype(int) - fewer.astype(int)
    out: list[Departure] = []
    edges = [0, *(np.flatnonzero(np.diff(sign)) + 1).tolist(), len(sign)]
    for first, end in pairwise(edges):
        if end > first and sign[first]:
            peak = first + int(np.argmax(np.abs(z[first:end])))
            observed, mean = float(counts[first:end].sum()), float(expected[first:end].sum())
            direction: Literal["more", "fewer"] = "more" if sign[first] > 0 else "fewer"
            out.append(Departure(first, end - 1, peak, direction, observed, mean, float(z[peak])))
    return out
