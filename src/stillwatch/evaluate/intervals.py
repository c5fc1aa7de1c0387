"""Intervals for what was counted: shares, and ratios of counts pooled over worlds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import binomtest

Interval = tuple[float, float]


def wilson(hits: int, of: int) -> Interval:
    """Return the 95 % interval of Wilson (1927) for a share; the whole range when nothing was counted.

    >>> [round(bound, 3) for bound in wilson(0, 100)]
    [0.0, 0.037]
    """
    return _share(hits, of, "wilson")


def clopper(hits: int, of: int) -> Interval:
    """Return the exact 95 % interval of Clopper and Pearson (1934), which errs on the wide side.

    >>> [round(bound, 3) for bound in clopper(1, 20)]
    [0.001, 0.249]
    """
    return _share(hits, of, "exact")


def _share(hits: int, of: int, method: str) -> Interval:
    if not of:
        return 0.0, 1.0
    found = binomtest(hits, of).proportion_ci(method=method)  # type: ignore[arg-type]
    return float(found.low), float(found.high)


def resampled(
    worlds: Sequence[Sequence[float]], ratio: Callable[[Sequence[float]], float], *, draws: int = 1000, seed: int = 0
) -> Interval | None:
    """Return the 95 % interval of a ratio of sums when worlds are drawn with replacement (percentile bootstrap).

    ``worlds`` holds a row of counts a world, ``ratio`` maps the sums of the drawn rows to a figure. Worlds are the
    unit: accounts of one world are found or missed together. None for fewer than two worlds: one says nothing of how
    much another differs.

    >>> resampled([[1, 2], [1, 2]], lambda sums: sums[0] / sums[1])
    (0.5, 0.5)
    """
    rows = np.asarray(worlds, float)
    if len(rows) < 2:
        return None
    picks = np.random.default_rng(seed).integers(0, len(rows), (draws, len(rows)))
    values = [ratio(sums) for sums in rows[picks].sum(axis=1)]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
