"""From groups to campaigns: planted ones found whole, accounts in one only, floors learnt from benign groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillwatch.campaigns.discover import (
    MEMBER_BAR,
    Found,
    _apart_in_all,
    brief,
    common_construction,
    discover,
    stands_out,
    worth_floor,
)
from stillwatch.campaigns.profile import Profile
from stillwatch.campaigns.split import Split
from stillwatch.linkage.cells import Cells
from stillwatch.linkage.groups import LEAST_MEMBERS, Candidate, Group, ViewResult, candidates
from stillwatch.linkage.space import Space, build_space
from stillwatch.linkage.views import HOUR_US
from stillwatch.signals.frame import read_frame
from stillwatch.signals.traits import incidence
from stillwatch.simulate import load_world, simulate
from stillwatch.tables import Dataset


@pytest.fixture(scope="module")
def found(tiny_space: Space) -> list[Found]:
    """Return the coordinated groups of the tiny world."""
    return discover(tiny_space, candidates(tiny_space))


@pytest.fixture(scope="module")
def truth(tiny: Dataset, tiny_space: Space) -> np.ndarray:
    """Return the campaign of every account ("" when innocent)."""
    of = {row["account_id"]: row["campaign_id"] or "" for row in tiny.labels()[0].to_pylist()}
    return np.array([of[name] for name in tiny_space.frame.account_ids.to_pylist()])


def test_planted_campaigns_are_found_nearly_whole_and_pure(found: list[Found], truth: np.ndarray) -> None:
    """At least half of each campaign's accounts in one group that is mostly the campaign's."""
    for campaign in ("reasoning", "low_and_slow", "reseller_fleet"):
        best = max(found, key=lambda one: (truth[one.members] == campaign).sum())
        hits = (truth[best.members] == campaign).sum()
        assert hits >= 0.5 * (truth == campaign).sum(), campaign
        assert hits >= 0.5 * len(best.members), campaign


def test_campaigns_side_by_side_are_not_run_together(once: Callable[..., Path]) -> None:
    """Five playbooks of a like trade in one world: each group is one operator's, and most operators have theirs."""
    world = Dataset.open(once("playbooks", lambda folder: simulate(load_world("tiny-playbooks"), folder, seed=2)))
    of = {row["account_id"]: row["campaign_id"] or "" for row in world.labels()[0].to_pylist()}
    space = build_space(read_frame(world))
    owner = np.array([of[name] for name in space.frame.account_ids.to_pylist()])
    whole = set()
    for one in discover(space, candidates(space)):
        inside = Counter(owner[one.members][owner[one.members] != ""].tolist())
        if sum(inside.values()) >= 0.5 * len(one.members):
            campaign, hits = inside.most_common(1)[0]
            assert hits >= 0.7 * len(one.members), inside
            whole |= {campaign} if hits >= 0.5 * (owner == campaign).sum() else set()
    assert len(whole) >= 4


def test_an_account_belongs_to_one_group(found: list[Found]) -> None:
    """Groups compete for accounts: none is in two."""
    everyone = np.concatenate([one.members for one in found])
    assert len(np.unique(everyone)) == len(everyone)


def test_members_are_those_above_the_bar(found: list[Found]) -> None:
    """Probabilities belong to the members, in their order, and every group has its least size."""
    for one in found:
        assert len(one.members) >= LEAST_MEMBERS
        assert (one.probability >= MEMBER_BAR).all()
        assert np.array_equal(one.profile.probability[one.members], one.probability)
        assert set(one.views) == {"NET", "ID", "LIFE", "TIME", "STACK", "TASK"}


def test_the_same_seed_finds_the_same_groups(found: list[Found], tiny_space: Space) -> None:
    """Members, views and splits repeat exactly."""
    again = discover(tiny_space, candidates(tiny_space))
    for one, two in zip(found, again, strict=True):
        assert np.array_equal(one.members, two.members)
        assert one.views == two.views
        assert np.array_equal(one.split.probability, two.split.probability)


def test_nothing_proposed_is_nothing_found(tiny_space: Space) -> None:
    """No candidates, no groups, no error."""
    assert discover(tiny_space, []) == []


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        (ViewResult(3.0, 0.1, 1e-6, 1.0), True),
        (ViewResult(3.0, 0.1, 0.05, 1.0), False),
        (ViewResult(0.3, 0.1, 1e-6, 1.0), False),
        (ViewResult(3.0, 2.9, 1e-6, 1.0), False),
        (ViewResult(0.0, 0.0, float("nan"), 0.0), False),
    ],
)
def test_a_view_stands_out_by_size_and_probability_together(result: ViewResult, wanted: bool) -> None:
    """A certain trifle, a large accident and absent data do not count."""
    assert stands_out(result) is wanted


def test_the_floor_is_learnt_from_benign_groups_only(tiny_space: Space) -> None:
    """Suspect groups of high worth do not raise the bar; benign ones do; too few benign ones leave the default."""
    benign = [Candidate("B", "benign", np.arange(i * 10, i * 10 + 10), worth=0.3 + 0.03 * i) for i in range(10)]
    rich = Candidate("B", "suspect", np.arange(500, 540), worth=0.99)
    guilty = Group(rich, {}, 1e-9, 1e-8)
    floor = worth_floor(tiny_space, [*benign, *[rich] * 10], [guilty], 0.1)
    assert 0.5 <= floor <= max(one.worth for one in benign)
    richer = [replace(one, worth=one.worth + 0.3) for one in benign]
    assert worth_floor(tiny_space, [*richer, rich], [guilty], 0.1) > floor
    assert worth_floor(tiny_space, [*benign[:3], rich], [guilty], 0.1) == worth_floor(tiny_space, [], [], 0.1)


def test_who_asks_and_never_for_the_campaign_is_no_member() -> None:
    """An evaluation laboratory tied to itself is let go; of the silent, only whom two strong views tie to askers stay.

    A reserve shares the askers' network and card. Bystanders share one asker's office and card, or the network alone.
    """
    asked = np.array([6] * 10 + [6, 1, 2, 1, *[3] * 90])
    asker, laboratory, reserve, colleague, neighbour = range(5), 10, 11, 12, 13
    exits, office = np.zeros(9, np.int64), np.ones(2, np.int64)
    net = incidence(np.array([*range(7), reserve, neighbour, 9, colleague], np.int32), np.r_[exits, office], len(asked))
    card = incidence(np.array([*asker, reserve, 9, colleague], np.int32), np.array([0] * 6 + [1] * 2), len(asked))
    strata = np.zeros(len(asked), np.int32)
    shared = {"NET": Cells.of([net], strata), "ID": Cells.of([card], strata)}
    account = np.repeat(np.arange(len(asked)), asked)
    space: Any = SimpleNamespace(
        frame=SimpleNamespace(account=account, volume=lambda: asked, n_accounts=len(asked)), shared=shared
    )
    members, rows = np.arange(14), np.flatnonzero(account < 14)
    split = Split(rows, np.where(account[rows] < 10, 0.9, 0.1), np.zeros(14))
    none = np.zeros(len(asked))
    profile = Profile(np.repeat([1.0, 0.0], [14, 90]), {"LIFE": none, "TIME": none}, 0.0)
    assert members[_apart_in_all(space, members, split, profile)].tolist() == [laboratory, colleague, neighbour]


def test_parts_of_a_campaign_do_not_make_its_construction_common() -> None:
    """A fleet found in pieces holds one construction of its own; what outsiders hold as well is a framework."""
    held = incidence(np.arange(60, dtype=np.int32), np.zeros(60, np.int64), 500)
    assert common_construction(held, np.arange(30), np.arange(60)) == 1.0
    assert common_construction(held, np.arange(30), np.arange(30)) == 0.0


def test_an_episode_is_brief_and_a_habit_is_not() -> None:
    """Three nights of deadlines hold all of what is asked; the same exchanges over three weeks do not."""
    account = np.repeat(np.arange(10), 24)
    night = np.tile(np.arange(24) % 8 + 24 * 7 * (np.arange(24) // 8), 10) * HOUR_US
    weeks = np.tile(np.arange(24) * 21, 10) * HOUR_US
    assert brief(account, night) == 1.0
    assert brief(np.repeat(np.arange(20), 24), np.r_[weeks, weeks + 10 * HOUR_US]) <= 0.5


def test_no_member_has_asked_for_other_things_only(found: list[Found], tiny_space: Space) -> None:
    """Whoever is accused either asked for the campaign or has asked fewer than five times."""
    for one in found:
        claimed = np.unique(tiny_space.frame.account[one.split.rows[one.split.probability >= 0.5]])
        silent = np.setdiff1d(one.members, claimed)
        assert (tiny_space.frame.volume()[silent] < 5).all() or not len(claimed)
