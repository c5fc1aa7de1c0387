"""How alike two ways of grouping the same items are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Score(NamedTuple):
    """Precision and recall with their harmonic mean, each 0 to 1."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Return the harmonic mean, 0 when both are 0.

        >>> Score(1.0, 0.5).f1
        0.6666666666666666
        """
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def b_cubed(truth: Ints, found: Ints) -> Score:
    """Return B-cubed precision and recall (Bagga and Baldwin 1998), the mean over items; 1 when there are none.

    ``truth`` and ``found`` are one group code an item; a code below 0 means that the item stands alone.

    >>> b_cubed(np.array([0, 0, 1, -1]), np.array([5, 5, 5, -1]))
    Score(precision=0.6666666666666666, recall=1.0)
    """
    if not len(truth):
        return Score(1.0, 1.0)
    true_size, found_size, both = _sizes(_alone(truth), _alone(found))
    return Score(float((both / found_size).mean()), float((both / true_size).mean()))


def _alone(codes: Ints) -> Ints:
    """Give each item that stands alone a group of its own."""
    return np.where(codes < 0, -1 - np.arange(len(codes)), codes)


def _sizes(truth: Ints, found: Ints) -> tuple[Ints, Ints, Ints]:
    """Return for each item how many share its true group, its found group, and both."""
    pair = np.stack([truth, found])
    return _counts(truth), _counts(found), _counts(pair)


def _counts(values: Ints) -> Ints:
    axis = 1 if values.ndim == 2 else None
    _, place, count = np.unique(values, axis=axis, return_inverse=True, return_counts=True)
    return count[np.ravel(place)]


def shared_pairs(truth: Ints, found: Ints) -> tuple[int, int, int]:
    """Return pairs of items together in both, in ``found`` alone and in ``truth`` alone (codes below 0: with nobody).

    >>> shared_pairs(np.array([0, 0, 1, -1]), np.array([5, 5, 5, 5]))
    (1, 5, 0)
    """
    in_both = _pairs(np.stack([truth, found])[:, (truth >= 0) & (found >= 0)])
    return in_both, _pairs(found[found >= 0]) - in_both, _pairs(truth[truth >= 0]) - in_both


def _pairs(values: Ints) -> int:
    if not values.size:
        return 0
    _, count = np.unique(values, axis=1 if values.ndim == 2 else None, return_counts=True)
    return int((count * (count - 1) // 2).sum())
