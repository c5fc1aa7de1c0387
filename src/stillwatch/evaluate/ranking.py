"""How well a score ranks campaign accounts above innocent ones; ties count as ties, never as luck."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def area(score: Floats, positive: Bools) -> float | None:
    """Return the area under the ROC curve: the chance that a campaign account outranks an innocent one, ties half.

    None when one of the two kinds is missing (Mann and Whitney 1947).

    >>> area(np.array([3.0, 2.0, 2.0]), np.array([True, True, False]))
    0.75
    """
    yes, no = int(positive.sum()), int((~positive).sum())
    if not yes or not no:
        return None
    return float((rankdata(score)[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def _steps(score: Floats, positive: Bools) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return how many positives and how many items are at or above each distinct score, from the highest down."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(score) else np.array([], np.int64)
    return np.cumsum(positive[order], dtype=np.int64)[last], last + 1


def average_precision(score: Floats, positive: Bools) -> float | None:
    """Return the area under the precision-recall curve, as a sum over distinct scores; None without a positive.

    >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.8333333333333333
    """
    if not positive.any():
        return None
    hits, taken = _steps(score, positive)
    return float((np.diff(hits, prepend=0) * hits / taken).sum() / hits[-1])


def recall_at(score: Floats, positive: Bools, rate: float) -> float | None:
    """Return the recall at the lowest threshold whose share of innocents taken is at most ``rate``; None as above.

    >>> recall_at(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]), 0.0)
    0.5
    """
    if not positive.any() or positive.all():
        return None
    hits, taken = _steps(score, positive)
    fits = np.flatnonzero((taken - hits) <= rate * int((~positive).sum()))
    return float(hits[fits[-1]] / hits[-1]) if len(fits) else 0.0


def precision_within(score: Floats, positive: Bools, budget: int) -> float | None:
    """Return the expected precision when the ``budget`` highest are reviewed, ties drawn at random; None at 0.

    >>> precision_within(np.array([2.0, 1.0, 1.0]), np.array([True, True, False]), 2)
    0.75
    """
    size = min(budget, len(score))
    if size < 1:
        return None
    hits, taken = (np.append(0, steps) for steps in _steps(score, positive))
    return float(np.interp(size, taken, hits) / size)
