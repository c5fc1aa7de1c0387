"""What chance alone gives: draws like the group, tails that are uniform without a cause, corrected p-values."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stillwatch.linkage.nulls import (
    Owners,
    Strangers,
    benjamini_hochberg,
    draws,
    partial_conjunction,
    sample,
    strata,
    tail,
)

_column = st.lists(st.integers(-1, 3), min_size=60, max_size=60)
_p_values = st.lists(st.floats(1e-12, 1.0), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(_column, _column, st.integers(1, 15))
def test_strata_are_large_enough_and_as_fine_as_they_may(one: list[int], two: list[int], least: int) -> None:
    """Every account is in one stratum; cells that are large enough are never coarsened."""
    columns = [np.array(one, np.int32), np.array(two, np.int32)]
    made = strata(columns, least=least)
    assert sorted(np.concatenate(made.members).tolist()) == list(range(60))
    for number, members in enumerate(made.members):
        assert (made.of[members] == number).all()
    cells: dict[tuple[int, int], list[int]] = {}
    for a, key in enumerate(zip(one, two, strict=True)):
        cells.setdefault(key, []).append(a)
    for members in cells.values():
        if len(members) >= least:
            assert set(made.members[made.of[members[0]]].tolist()) == set(members)


def test_small_cells_are_joined_by_the_less_important_column_first() -> None:
    """A cell below the bar falls back to its first column, not to the second."""
    first, second = np.repeat([0, 1], 40).astype(np.int32), np.tile([0] * 35 + [1] * 5, 2).astype(np.int32)
    made = strata([first, second], least=5)
    assert len(made.members) == 4
    made = strata([first, second], least=10)
    rest = made.of[second == 1]
    assert len(made.members) in {3, 4}
    assert set(rest.tolist()).isdisjoint(made.of[second == 0].tolist())


def world(seed: int) -> tuple[np.ndarray, np.ndarray, Owners]:
    """Return strata, a barred mask and owners of 300 accounts: fleets of 2 to 6 and singles."""
    rng = np.random.default_rng(seed)
    unit = np.arange(300, dtype=np.int32)
    begin = 0
    for size in rng.integers(2, 7, 25):
        unit[begin : begin + size] = begin
        begin += size
    place = rng.permutation(300)
    return rng.integers(0, 3, 300).astype(np.int32), rng.random(300) < 0.1, Owners.of(unit[place].astype(np.int32))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1_000), st.integers(3, 40))
def test_draws_are_other_accounts_of_the_same_size(seed: int, size: int) -> None:
    """Never a member, never a barred account, no account twice, about as many as the group."""
    stratum, barred, owners = world(seed)
    rng = np.random.default_rng(seed)
    group = np.sort(rng.choice(300, size, replace=False))
    drawn = draws(group, Strangers.of_all(barred, strata([stratum]), owners), rng, 20)
    assert len(drawn) == 20
    for one in drawn:
        assert not set(one.tolist()) & set(group.tolist())
        assert not barred[one].any()
        assert (np.diff(one) > 0).all()
        assert 0.5 * size <= len(one) <= size


def test_single_accounts_are_drawn_from_their_own_strata() -> None:
    """A group of one stratum is compared with that stratum, when it has accounts to spare."""
    stratum = np.repeat([0, 1, 2], 100).astype(np.int32)
    owners = Owners.of(np.arange(300, dtype=np.int32))
    rng = np.random.default_rng(1)
    others = Strangers.of_all(np.zeros(300, bool), strata([stratum]), owners)
    for one in draws(np.arange(100, 130), others, rng, 30):
        assert len(one) == 30
        assert (stratum[one] == 1).all()


def test_colleagues_stay_together_in_a_draw() -> None:
    """A group that holds all five of one owner is compared with groups that hold five of one owner."""
    unit = np.repeat(np.arange(40), 5).astype(np.int32)
    owners = Owners.of(unit)
    rng = np.random.default_rng(2)
    others = Strangers.of_all(np.zeros(200, bool), strata([np.zeros(200, np.int32)]), owners)
    for one in draws(np.arange(15), others, rng, 30):
        _, together = np.unique(unit[one], return_counts=True)
        assert set(together.tolist()) == {5}


def test_the_same_few_owners_are_no_chance() -> None:
    """A group on five payers where others have four such is compared with single accounts; no two draws are alike."""
    unit = np.concatenate((np.repeat(np.arange(9), 18), np.arange(9, 409))).astype(np.int32)
    space, owners = strata([np.zeros(len(unit), np.int32)]), Owners.of(unit)
    everyone = Strangers.of_all(np.zeros(len(unit), bool), space, owners)
    drawn = draws(np.arange(90), everyone, np.random.default_rng(3), 30)
    assert all(len(one) == 90 for one in drawn)
    assert min(len(np.unique(unit[one])) for one in drawn) > 60
    assert len({one.tobytes() for one in drawn}) == 30


def test_unrelated_accounts_are_not_drawn_as_colleagues() -> None:
    """The twin: a group of singles among fleets draws accounts one by one."""
    unit = np.concatenate((np.arange(100), np.repeat(np.arange(100, 120), 5))).astype(np.int32)
    rng = np.random.default_rng(3)
    space, owners = strata([np.zeros(200, np.int32)]), Owners.of(unit)
    drawn = draws(np.arange(20), Strangers.of_all(np.zeros(200, bool), space, owners), rng, 30)
    alone = [len(np.unique(unit[one])) / len(one) for one in drawn]
    assert np.mean(alone) > 0.7


def test_the_same_stream_gives_the_same_draws() -> None:
    """Draws come from the generator alone."""
    stratum, barred, owners = world(4)
    others = Strangers.of_all(barred, strata([stratum]), owners)
    one, two = (draws(np.arange(30), others, np.random.default_rng(5), 10) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_draws_with_nobody_outside_are_empty() -> None:
    """A group of everyone has nothing to be compared with, and nothing fails."""
    owners = Owners.of(np.arange(5, dtype=np.int32))
    others = Strangers.of_all(np.zeros(5, bool), strata([np.zeros(5, np.int32)]), owners)
    drawn = draws(np.arange(5), others, np.random.default_rng(0), 3)
    assert [one.tolist() for one in drawn] == [[], [], []]


@pytest.mark.parametrize("law", ["normal", "gamma", "integers"])
def test_p_values_are_uniform_without_a_cause(law: str) -> None:
    """Observations from the null itself: one in ten below 0.1, one in a hundred below 0.01, loosely."""
    rng = np.random.default_rng(6)
    draw = {
        "normal": lambda n: rng.normal(3, 2, n),
        "gamma": lambda n: rng.gamma(2, 1, n),
        "integers": lambda n: rng.poisson(4, n).astype(float),
    }[law]
    p = np.array([tail(float(draw(1)[0]), draw(60)) for _ in range(1_500)])
    assert ((p > 0) & (p <= 1)).all()
    assert (p <= 0.1).mean() < 0.14
    assert (p <= 0.01).mean() < 0.025
    assert (p <= 0.001).mean() < 0.008


def test_p_values_fall_as_the_observation_grows() -> None:
    """Further out is never likelier, within the fit and beyond it."""
    null = np.random.default_rng(8).normal(0, 1, 200)
    p = [tail(x, null) for x in np.linspace(3, 30, 40)]
    assert all(a >= b for a, b in pairwise(p))
    assert p[-1] >= 1e-12


def test_a_null_without_spread_gives_no_tiny_p_value() -> None:
    """When every draw says the same, nothing is known of the tail: the rank is all there is."""
    assert tail(5.0, np.zeros(40)) == pytest.approx(1 / 41)
    assert tail(0.0, np.zeros(40)) == 1.0


@settings(max_examples=60, deadline=None)
@given(_p_values)
def test_q_values_are_those_of_scipy(p: list[float]) -> None:
    """Benjamini–Hochberg against the library, in any order, ties included."""
    assert benjamini_hochberg(np.array(p)) == pytest.approx(stats.false_discovery_control(p, method="bh"))


def test_no_tests_give_no_q_values() -> None:
    """An empty family stays empty."""
    assert len(benjamini_hochberg(np.zeros(0))) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-9, 1.0), min_size=2, max_size=6), st.floats(1e-9, 1.0))
def test_partial_conjunction_never_believes_one_view(p: list[float], other: float) -> None:
    """The result is at least the second smallest, and making the smallest smaller does not help."""
    got = partial_conjunction(np.array(p))
    assert got >= sorted(p)[1] or got == 1.0
    smaller = sorted(p)
    smaller[0] = min(smaller[0], other)
    assert partial_conjunction(np.array(smaller)) == pytest.approx(got)


def test_partial_conjunction_needs_two_views_with_data() -> None:
    """Views without data count as nothing: one view alone is never enough."""
    assert partial_conjunction(np.array([1e-9, np.nan, np.nan, np.nan])) == 1.0
    assert partial_conjunction(np.array([1e-9, 1e-4, np.nan, np.nan])) == pytest.approx(1e-4)


def test_partial_conjunction_is_valid_when_only_one_view_is_real() -> None:
    """With one certain view and three of noise, no more than the stated share passes (loosely)."""
    rng = np.random.default_rng(10)
    p = [partial_conjunction(np.array([1e-9, *rng.random(3)])) for _ in range(4_000)]
    assert np.mean(np.array(p) <= 0.05) < 0.06


def test_sample_is_the_statistic_of_every_draw() -> None:
    """One number a draw, in order."""
    assert sample(lambda group: float(len(group)), [np.arange(2), np.arange(5)]).tolist() == [2.0, 5.0]
