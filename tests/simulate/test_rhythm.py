"""Rhythm of programs: fitted parameters give the published spread, and the draws do what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.simulate.chance import Floats, mix
from stillwatch.simulate.rhythm import batches, evenness, follow, rhythms, swings, unseen

DAYS = 14


@pytest.fixture(scope="module")
def hourly() -> Floats:
    """Return requests by hour of 800 clients over 14 days, at 600 a client in the mean."""
    rng = np.random.default_rng(3)
    key = mix(np.arange(800), "client")
    found = np.zeros((key.size, DAYS * 24))
    for day in range(DAYS):
        who, second = batches(key, 600 / DAYS / 24 * swings(key, 100 + day), rng)
        np.add.at(found, (who, day * 24 + np.minimum(second // 3600, 23).astype(int)), 1)
    return np.asarray(found[found.sum(axis=1) >= 100])


def test_clients_are_as_uneven_as_published_ones(hourly: Floats) -> None:
    """Variation of hours from below 1 to above 6, before users' hours are added (docs/simulate.md)."""
    low, middle, high = np.quantile(hourly.std(axis=1) / hourly.mean(axis=1), (0.1, 0.5, 0.9))
    assert low < 1 < middle < 3.5
    assert high > 6


def test_some_clients_rest_on_most_days_and_half_on_none(hourly: Floats) -> None:
    """A quarter is silent on more than half of the days; the middle one on few."""
    silent = (hourly.reshape(len(hourly), DAYS, 24).sum(axis=2) == 0).mean(axis=1)
    assert np.quantile(silent, 0.5) < 0.35
    assert np.quantile(silent, 0.8) > 0.5


def test_a_busy_hour_is_followed_by_a_busy_hour(hourly: Floats) -> None:
    """Noise holds for hours: neighbouring hours are alike in the middle client, hours a week apart are not."""
    centred = hourly - hourly.mean(axis=1, keepdims=True)
    power = np.square(centred).mean(axis=1)
    near, far = ((centred[:, :-lag] * centred[:, lag:]).mean(axis=1) / power for lag in (1, 150))
    assert np.median(near) > 0.2
    assert abs(np.median(far)) < 0.1


def test_a_day_is_the_same_however_it_is_asked_for() -> None:
    """Factors depend on account and day alone, so that days can be made one at a time."""
    key = mix(np.arange(50))
    assert np.array_equal(swings(key, 9)[7:9], swings(key[7:9], 9))
    assert not np.array_equal(swings(key, 9), swings(key, 10))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 86_400), st.integers(1, 8)), max_size=20), st.integers(0, 99))
def test_followers_stay_behind_their_start(starts: list[tuple[int, float, int]], seed: int) -> None:
    """Against a plain loop: every start as often as its size, times rising from the start on."""
    who, begin, size = (np.array([start[part] for start in starts]) for part in range(3))
    found, second = follow(who.astype(int), begin.astype(float), size.astype(int), 3.0, np.random.default_rng(seed))
    at = 0
    for owner, first, count in starts:
        times = second[at : at + count]
        assert found[at : at + count].tolist() == [owner] * count
        assert times[0] == pytest.approx(first)
        assert (np.diff(times) >= -1e-6).all()
        at += count
    assert at == second.size


def test_code_agents_send_several_at_once_and_people_do_not() -> None:
    """The fitted fan-out is that of a code service; other rhythms have none."""
    assert rhythms()["code"].fan > 4
    assert rhythms()["client"].fan == 1


def test_lengths_are_habits_of_an_account() -> None:
    """One account's context and answers lie close together, two accounts' far apart; people have neither habit."""
    key = np.repeat(mix(np.arange(300)), 40)
    context, factor = unseen("client", key, mix(np.arange(key.size)))
    rows = np.log(context[context > 0]).reshape(-1, 40)
    assert rows.std(axis=1).mean() < rows.mean(axis=1).std() / 2
    assert np.ptp(factor.reshape(-1, 40), axis=1).max() < 1e-9
    assert factor.max() > 50 * factor.min()
    assert unseen("human", key, key)[0].max() == 0
    assert set(evenness("human", key, "prompt").tolist()) == {1.0}
