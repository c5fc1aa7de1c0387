"""Every view of the space keeps the promises of ``stillwatch.linkage.checks``, on the tiny world."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stillwatch.linkage.checks import CHECKS, PromiseBroken, check_view
from stillwatch.linkage.space import CAPS, WHO, Space

VIEWS = (*WHO, "STACK", "TASK")


def test_every_view_is_under_contract(tiny_space: Space) -> None:
    """No view of the space goes unchecked, and each has its cap."""
    assert set(tiny_space.views) == set(VIEWS) == set(CAPS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", VIEWS)
def test_view_keeps_its_promises(tiny_space: Space, name: str, check: Any) -> None:
    """Each view is deterministic, blind to order, leaves input alone, stays finite and capped, shrugs at strangers."""
    check(tiny_space.views[name], tiny_space.frame.n_accounts, np.random.default_rng(20))


class Modest:
    """A view that keeps every promise: it has seen nothing."""

    cap = 1.0

    def scores(self, group: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return nothing for anyone."""
        return np.zeros(len(group))

    def effect(self, group: npt.NDArray[np.int64]) -> float:
        """Return the mean score."""
        return float(self.scores(group).sum() / max(1, len(group)))

    def known(self, group: npt.NDArray[np.int64]) -> float:
        """Return that all are known."""
        return 1.0


class Moody(Modest):
    """Gives another number each time."""

    def __init__(self) -> None:
        """Begin in a good mood."""
        self.mood = 0.0

    def effect(self, group: npt.NDArray[np.int64]) -> float:
        """Return the mood of the moment."""
        self.mood += 1.0
        return self.mood


class Leading(Modest):
    """Believes the member that comes first."""

    def effect(self, group: npt.NDArray[np.int64]) -> float:
        """Return the first member."""
        return float(group[0]) if len(group) else 0.0


class Sorting(Modest):
    """Reverses the group it is given."""

    def scores(self, group: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Change the input."""
        group[:] = group[::-1].copy()
        return np.zeros(len(group))


class Dividing(Modest):
    """Divides by the number of other members."""

    def effect(self, group: npt.NDArray[np.int64]) -> float:
        """Divide by zero when there is one member."""
        return 1.0 / (len(group) - 1)


class Boastful(Modest):
    """Scores beyond its cap."""

    def scores(self, group: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return nine nats for everyone."""
        return np.full(len(group), 9.0)


def test_a_view_that_keeps_its_promises_passes() -> None:
    """A stranger's plain view is accepted."""
    check_view(Modest(), 100, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("view", "promise"),
    [
        (Moody(), "two runs differ"),
        (Leading(), "order of the members"),
        (Sorting(), "changed by measuring|order of the members"),
        (Dividing(), "group of 1 raises"),
        (Boastful(), "outside 0"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_view_that_breaks_a_promise_is_caught(view: Modest, promise: str) -> None:
    """The checks do fail, and name the view and the promise."""
    with pytest.raises(PromiseBroken, match=promise) as caught:
        check_view(view, 100, np.random.default_rng(2))
    assert type(view).__name__ in str(caught.value)
