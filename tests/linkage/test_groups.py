"""Candidate groups and their tests: planted groups survive, groups without a cause do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stillwatch.linkage import groups
from stillwatch.linkage.groups import LEAST_MEMBERS, Candidate, candidates, view_result
from stillwatch.linkage.space import WHO, Space


@pytest.fixture(scope="module")
def proposed(tiny_space: Space) -> list[Candidate]:
    """Return the proposed groups of the tiny world."""
    return candidates(tiny_space)


def test_candidates_are_distinct_groups_of_a_fair_size(tiny_space: Space, proposed: list[Candidate]) -> None:
    """Sorted accounts, eight at least and half of everybody at most, no two of a route nearly the same."""
    for candidate in proposed:
        assert (np.diff(candidate.members) > 0).all()
        assert LEAST_MEMBERS <= len(candidate.members) <= tiny_space.frame.n_accounts / 2
        assert candidate.route in {"A", "B"}
    for route in ("A", "B"):
        mine = [set(c.members.tolist()) for c in proposed if c.route == route]
        same = [len(a & b) / len(a | b) for i, a in enumerate(mine) for b in mine[:i]]
        assert max(same, default=0) < 1.0
        assert np.mean(np.array(same) >= 0.8) < 0.02


def test_candidates_are_the_same_every_time(tiny_space: Space, proposed: list[Candidate]) -> None:
    """Same space, same seed, same groups in the same order."""
    again = candidates(tiny_space)
    assert [c.what for c in again] == [c.what for c in proposed]
    assert all(np.array_equal(a.members, b.members) for a, b in zip(again, proposed, strict=True))


def test_each_planted_campaign_is_among_the_candidates(
    proposed: list[Candidate], planted: dict[str, np.ndarray]
) -> None:
    """Some candidate is mostly of the campaign and holds a fifth of it: enough to grow from."""
    for name in ("reasoning", "low_and_slow", "reseller_fleet"):
        hits = [(len(np.intersect1d(c.members, planted[name])), len(c.members)) for c in proposed]
        assert any(hit >= 0.5 * size and hit >= 0.2 * len(planted[name]) for hit, size in hits), name


def test_a_planted_group_is_significant_and_random_groups_are_not(
    tiny_space: Space, planted: dict[str, np.ndarray]
) -> None:
    """The campaign survives the correction; twenty random groups of its size do not (the twin)."""
    rng = np.random.default_rng(4)
    truth = Candidate("B", "planted", planted["reasoning"], worth=0.9)
    crowd = planted["ordinary"]
    noise = [Candidate("B", "random", np.sort(rng.choice(crowd, 30, replace=False)), worth=0.9) for _ in range(20)]
    first, *others = groups.examine(tiny_space, [truth, *noise])
    assert first.q_value <= 0.1
    assert sum(group.q_value <= 0.1 for group in others) <= 1


def test_a_popular_framework_is_not_coordinated(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """Unrelated accounts that share only a construction do not pass the tests of WHO."""
    (group,) = groups.examine(tiny_space, [Candidate("B", "framework", planted["framework"], worth=0.9)])
    assert group.q_value > 0.05


def test_groups_of_little_worth_are_not_tested(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """No trainer wants them, so they cost the others no power."""
    assert groups.examine(tiny_space, [Candidate("B", "cheap", planted["reasoning"], worth=0.2)]) == []


def test_the_same_seed_gives_the_same_p_values(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """Threads do not change the draws: each candidate has a stream of its own."""
    some = [Candidate("B", name, planted[name], worth=0.9) for name in ("reasoning", "class", "office", "support")]
    one, two = groups.examine(tiny_space, some, seed=7), groups.examine(tiny_space, some, seed=7)
    assert [g.p_value for g in one] == [g.p_value for g in two]


def test_a_view_without_data_has_no_p_value(tiny_space: Space) -> None:
    """Absent evidence is NaN, never "ordinary"."""
    blind = replace(tiny_space.views["LIFE"], created=np.full(tiny_space.frame.n_accounts, -1))  # type: ignore[type-var]
    space = replace(tiny_space, views={**tiny_space.views, "LIFE": blind})
    result = view_result(space, "LIFE", np.arange(20), np.random.default_rng(0), 10)
    assert np.isnan(result.p_value)
    assert result.excess == 0.0


def test_p_values_of_random_groups_are_not_too_small(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """Random ordinary accounts, forty groups: in each view of WHO few come out below 0.02."""
    rng = np.random.default_rng(5)
    drawn = [np.sort(rng.choice(planted["ordinary"], 25, replace=False)) for _ in range(40)]
    for name in WHO:
        p = np.array([view_result(tiny_space, name, g, rng, 60).p_value for g in drawn])
        assert (p < 0.02).mean() <= 0.15, name
