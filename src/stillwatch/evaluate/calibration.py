"""Does a stated probability come true as often as it says?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Masses = list[tuple[float, int, int]]


class Bin(NamedTuple):
    """Statements of about one probability: their mean, how many there were and how many came true."""

    stated: float
    of: int
    true: int


def masses(stated: Floats, true: npt.NDArray[np.bool_], digits: int = 4) -> Masses:
    """Return (probability, how many, how many came true) of each distinct probability: what a world adds to a pool.

    >>> masses(np.array([0.9, 0.9, 0.5]), np.array([True, False, True]))
    [(0.5, 1, 1), (0.9, 2, 1)]
    """
    values, place, count = np.unique(np.round(stated, digits), return_inverse=True, return_counts=True)
    hits = np.bincount(place, weights=true, minlength=len(values)).astype(int)
    return [(float(v), int(n), int(k)) for v, n, k in zip(values, count, hits, strict=True)]


def reliability(pool: Sequence[tuple[float, int, int]], bins: int = 10) -> list[Bin]:
    """Return the reliability curve in at most ``bins`` bins of about equal mass; equal probabilities share a bin.

    A bin is closed when it holds its share of all statements (Nguyen and O'Connor 2015), so that a probability that
    most statements carry makes one large bin, and fewer bins; the last holds what is left.

    >>> reliability([(0.5, 10, 4), (0.9, 5, 5), (0.95, 5, 4)], bins=2)
    [Bin(stated=0.5, of=10, true=4), Bin(stated=0.925, of=10, true=9)]
    """
    sums: dict[float, tuple[int, int]] = {}
    for stated, of, true in pool:
        before = sums.get(stated, (0, 0))
        sums[stated] = before[0] + of, before[1] + true
    rows = [(stated, *sums[stated]) for stated in sorted(sums)]
    total = sum(n for _, n, _ in rows)
    made: list[Bin] = []
    open_rows: list[tuple[float, int, int]] = []
    for row in rows:
        open_rows.append(row)
        if sum(n for _, n, _ in open_rows) * bins >= total:
            made.append(_bin(open_rows))
            open_rows = []
    return [*made, _bin(open_rows)] if open_rows else made


def _bin(rows: Sequence[tuple[float, int, int]]) -> Bin:
    of = sum(n for _, n, _ in rows)
    return Bin(sum(p * n for p, n, _ in rows) / of, of, sum(k for _, _, k in rows))


def calibration_error(curve: Sequence[Bin]) -> float | None:
    """Return the expected calibration error: the mean gap between stated and come true, weighted by mass.

    None without a statement.

    >>> calibration_error([Bin(0.5, 10, 4), Bin(0.9, 10, 9)])
    0.05
    """
    total = sum(one.of for one in curve)
    return sum(abs(one.stated * one.of - one.true) for one in curve) / total if total else None


def false_share(groups: Sequence[tuple[float, bool]], level: float) -> tuple[int, int]:
    """Return how many of the groups with a q-value of at most ``level`` are false, and how many there are.

    >>> false_share([(0.01, False), (0.04, True), (0.2, True)], 0.05)
    (1, 2)
    """
    kept = [false for q, false in groups if q <= level]
    return sum(kept), len(kept)
