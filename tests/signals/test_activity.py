"""Rhythm: the same random hours of the same days look alike; a shared daily habit does not."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np

from stillwatch.signals.activity import HOUR_US, hourly, rhythm
from stillwatch.signals.frame import Frame

DAYS = 14
FIRST = 20_600 * 24  # hours since 1970, a midnight


def frame(hours: list[np.ndarray], launches: dict[str, int] | None = None) -> Frame:
    """Return a frame of accounts that are active in these hours (since FIRST), once an hour listed."""
    account = np.repeat(np.arange(len(hours)), [len(h) for h in hours]).astype(np.int32)
    ts = (np.concatenate(hours).astype(np.int64) + FIRST) * HOUR_US
    bare: Any = SimpleNamespace(account=account, ts=ts, n_accounts=len(hours), launches=launches or {})
    return bare


def crowd(rng: np.random.Generator, n: int) -> list[np.ndarray]:
    """Return strangers with habits of their own: each prefers a few hours of the day, on days of its choice."""
    people = []
    for _ in range(n):
        favourite = rng.integers(0, 24, 4)
        days = np.flatnonzero(rng.random(DAYS) < 0.7)
        people.append(np.concatenate([d * 24 + favourite[rng.random(4) < 0.6] for d in days] or [np.array([0])]))
    return people


def cosine(vectors: np.ndarray, a: int, b: int) -> float:
    """Return the cosine of two unit vectors."""
    return float(vectors[a] @ vectors[b])


def test_the_same_random_hours_are_a_common_rhythm() -> None:
    """Two accounts driven by one schedule of random hours score far above any pair of strangers."""
    rng = np.random.default_rng(11)
    schedule = rng.choice(DAYS * 24, 60, replace=False)
    people = [schedule, rng.permutation(schedule)[:50], *crowd(rng, 150)]
    vectors = rhythm(frame(people), np.zeros(len(people), np.int32))
    strangers = vectors[2:] @ vectors[2:].T
    assert cosine(vectors, 0, 1) > 0.6
    assert cosine(vectors, 0, 1) > np.quantile(strangers[np.triu_indices(150, 1)], 0.99)


def test_a_shared_daily_habit_is_no_rhythm() -> None:
    """The innocent twin: accounts busy at the same hours, each on days of its own, score as strangers."""
    rng = np.random.default_rng(12)

    def clerk() -> np.ndarray:
        days = np.flatnonzero(rng.random(DAYS) < 0.6)
        return np.concatenate([d * 24 + np.array([9, 10, 14, 15]) for d in days])

    people = [clerk() for _ in range(30)] + crowd(rng, 150)
    vectors = rhythm(frame(people), np.zeros(len(people), np.int32))
    clerks = (vectors[:30] @ vectors[:30].T)[np.triu_indices(30, 1)]
    assert abs(clerks.mean()) < 0.15


def test_a_nightly_job_is_no_rhythm() -> None:
    """Accounts that run at three o'clock every night are not one network by their clock alone."""
    rng = np.random.default_rng(13)
    people = [np.arange(DAYS) * 24 + 3 for _ in range(20)] + crowd(rng, 150)
    vectors = rhythm(frame(people), np.zeros(len(people), np.int32))
    nightly = (vectors[:20] @ vectors[:20].T)[np.triu_indices(20, 1)]
    assert nightly.mean() < 0.3


def test_vectors_are_at_most_unit_and_quiet_accounts_are_zero() -> None:
    """Length one where activity is irregular, never more; zero where there are fewer than five active hours."""
    rng = np.random.default_rng(14)
    people = [np.array([1, 2, 3, 200]), *crowd(rng, 60)]
    vectors = rhythm(frame(people), np.zeros(len(people), np.int32))
    norms = np.linalg.norm(vectors, axis=1)
    assert norms[0] == 0
    assert norms.max() <= 1 + 1e-5
    assert np.median(norms[1:]) > 0.99


def test_the_same_seed_gives_the_same_vectors() -> None:
    """Projection is drawn from the seed alone."""
    people = crowd(np.random.default_rng(15), 40)
    region = np.zeros(40, np.int32)
    assert np.array_equal(rhythm(frame(people), region, seed=4), rhythm(frame(people), region, seed=4))


def test_hourly_counts_are_counts() -> None:
    """Account by hour, against counting."""
    rng = np.random.default_rng(16)
    people = [rng.integers(0, 50, 30) for _ in range(5)]
    counts, hours = hourly(frame(people))
    for account, mine in enumerate(people):
        for hour, n in Counter((mine + FIRST).tolist()).items():
            assert counts[account, hours.tolist().index(hour)] == n
    assert counts.sum() == 150


def test_the_days_after_a_launch_are_left_out() -> None:
    """A release draws unrelated people at once, so its 48 hours tell nothing."""
    people = [np.array([0, 10, 57, 58, 70]), np.array([9, 100])]
    counts, hours = hourly(frame(people, {"new": (FIRST + 10) * HOUR_US}))
    seen = [(int(account), int(hours[place] - FIRST)) for account, place in zip(*counts.nonzero(), strict=True)]
    assert sorted(seen) == [(0, 0), (0, 58), (0, 70), (1, 9), (1, 100)]


def test_a_stray_date_costs_a_day_and_not_a_century() -> None:
    """One exchange in 1970 or 2200 adds its day; the hours between, in which nobody asked, are not there."""
    people = [np.array([0, 30]), np.array([-FIRST]), np.array([175 * 365 * 24])]
    counts, hours = hourly(frame(people))
    assert counts.shape == (3, 4 * 24)
    assert hours[0] == 0
    assert counts.sum() == 4


def test_no_exchanges_at_all_give_zero_vectors() -> None:
    """Accounts without traffic have no rhythm, and nothing fails."""
    bare: Any = SimpleNamespace(account=np.zeros(0, np.int32), ts=np.zeros(0, np.int64), n_accounts=3, launches={})
    assert not rhythm(bare, np.full(3, -1, np.int32)).any()
