"""Parts and generations of one campaign fit each other; other campaigns and innocents of the same days do not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillwatch.campaigns.kinship import Kinship, kinship, kinship_of_members, replacing
from stillwatch.campaigns.profile import profile_of
from stillwatch.linkage.space import Space

DAY_US = 86_400_000_000


def between(space: Space, one: np.ndarray, other: np.ndarray) -> Kinship:
    """Measure two groups of accounts against each other."""
    return kinship(space.frame, (profile_of(space, one), one), (profile_of(space, other), other))


def test_two_halves_of_a_campaign_are_one(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """Accounts drawn apart from one campaign fit each other in construction, work and hours."""
    for name in ("reasoning", "reseller_fleet"):
        halves = between(tiny_space, planted[name][::2], planted[name][1::2])
        assert halves.alike, (name, halves)


def test_different_campaigns_and_innocents_are_not_one(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """The twin: no two populations of the world are one, campaigns or innocents."""
    names = sorted(name for name, accounts in planted.items() if len(accounts) >= 8)
    groups = [(profile_of(tiny_space, planted[name]), planted[name]) for name in names]
    one = [
        (names[i], names[j])
        for i in range(len(names))
        for j in range(i)
        if kinship(tiny_space.frame, groups[i], groups[j]).one
    ]
    assert one == []


def test_a_few_accounts_say_nothing(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """Fewer than the least network has are no profile: the data cannot say."""
    members = planted["reasoning"]
    profile = profile_of(tiny_space, members)
    assert kinship_of_members(tiny_space, profile, members, members[:3]) is None
    assert kinship_of_members(tiny_space, profile, members, planted["ordinary"]).one is False  # type: ignore[union-attr]


def frame_of(first: list[int], closed: list[int]) -> Any:
    """Return a frame of accounts with one exchange each on a given day, closed on a given day (-1: open)."""
    ends = np.array([day * DAY_US if day >= 0 else -1 for day in closed])
    return SimpleNamespace(
        ts=np.array(first) * DAY_US, start=np.arange(len(first) + 1), n_accounts=len(first), closed=ends
    )


@pytest.mark.parametrize(
    ("others", "wanted"),
    [([0, 0, 0, 0], 1.0), ([9, 9, 9, 9], 0.0)],
)
def test_to_begin_when_everybody_begins_replaces_nobody(others: list[int], wanted: float) -> None:
    """Accounts that begin the day after a ban come in its place, unless that is when the rest begin as well."""
    frame = frame_of([0, 0, 0, 9, 9, 9, *others], [8, 8, 8, *[-1] * 7])
    assert replacing(frame, np.arange(3, 6), np.arange(3)) == wanted


def test_two_closures_are_no_round_of_bans() -> None:
    """Single accounts are closed every day: what follows on two of them is chance."""
    frame = frame_of([0, 0, 0, 9, 9, 9, 0, 0], [8, 8, -1, -1, -1, -1, -1, -1])
    assert replacing(frame, np.arange(3, 6), np.arange(3)) == 0.0
