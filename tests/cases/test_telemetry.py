"""Telemetry: spikes over many new accounts are seen at a glance, ordinary weeks are left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.cases import baseline
from stillwatch.cases.dashboard import episodes
from stillwatch.cases.telemetry import Telemetry, measure
from stillwatch.tables import Dataset, DatasetWriter
from stillwatch.tables.engines import connect

from .conftest import DAY, START, Shape, World


def measured(dataset: Dataset, **options: Any) -> Telemetry:
    """Measure on a connection of one thread."""
    return measure(dataset, connect(threads=1), **options)


def ordinary_days(seed: int, days: int = 42, mean: float = 400.0) -> Any:
    """Make counts with a weekend dip and noise twice Poisson's."""
    rng = np.random.default_rng(seed)
    weekly = np.array([1.0, 1.05, 1.0, 1.0, 0.95, 0.6, 0.55])[np.arange(days) % 7]
    return rng.negative_binomial(mean, 0.5, days) * weekly


def test_every_series_adds_up_to_the_log(world: World) -> None:
    """Each dimension's exchanges and the daily accounts equal a plain recount of the rows."""
    found = measured(world.dataset)
    rows = [row for batch in world.dataset.batches(["account_id", "ts"]) for row in batch.to_pylist()]
    days: dict[str, set[str]] = {}
    for row in rows:
        days.setdefault(row["ts"].strftime("%Y-%m-%d"), set()).add(row["account_id"])
    assert found.total is not None
    assert found.total.exchanges.sum() == len(rows)
    assert found.total.accounts.tolist() == [len(days[day]) for day in found.days]
    for dimension in found.dimensions:
        assert sum(series.exchanges.sum() for series in dimension.series) == len(rows)


def test_a_burst_of_new_accounts_on_one_programme_is_marked(make_world: Callable[[Shape], World]) -> None:
    """Sixty accounts that sign up together mark the sign-ups, their programme and their first 24 hours' time."""
    found = measured(make_world(Shape(accounts=300, days=30, campaigns=[60])).dataset)
    told = episodes(found)
    assert told[0].direction == "more"
    whole = " ".join([told[0].headline, *told[0].seen_in])
    assert "programme research" in whole
    assert "sign-ups" in whole
    assert "60 of them under a week old" in told[0].headline


def test_the_same_world_without_the_burst_is_left_alone(make_world: Callable[[Shape], World]) -> None:
    """The innocent twin: the same traffic, weekends and all, marks nothing."""
    assert episodes(measured(make_world(Shape(accounts=300, days=30, campaigns=[])).dataset)) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_spike_is_marked_on_its_day_only(seed: int) -> None:
    """Three times the usual on one day is one departure of one day."""
    counts = ordinary_days(seed)
    counts[30] *= 3
    found = baseline.departures(counts, baseline.expect_from_past(counts), baseline.LEAST_Z)
    assert [(d.first, d.last, d.direction) for d in found] == [(30, 30, "more")]


def test_ordinary_weeks_are_almost_never_marked() -> None:
    """The innocent twin: of 200 ordinary series of six weeks at most one is marked anywhere."""
    marked = 0
    for seed in range(200):
        counts = ordinary_days(seed)
        marked += bool(baseline.departures(counts, baseline.expect_from_past(counts), baseline.LEAST_Z))
    assert marked <= 1


def test_the_second_weekend_of_a_short_log_is_no_outage() -> None:
    """Two weeks are too few to learn weekdays from; a weekend like the last one is not marked, a lower one is."""
    counts = np.array([1_000.0] * 5 + [550.0] * 2 + [1_000.0] * 5 + [540.0, 560.0])
    assert baseline.departures(counts, baseline.expect_from_past(counts), baseline.LEAST_Z) == []
    counts[12] = 90.0
    found = baseline.departures(counts, baseline.expect_from_past(counts), baseline.LEAST_Z)
    assert [(d.first, d.direction) for d in found] == [(12, "fewer")]


def test_an_outage_is_marked_as_fewer() -> None:
    """A day at a tenth of the usual departs downwards."""
    counts = ordinary_days(3)
    counts[33] /= 10
    found = baseline.departures(counts, baseline.expect_from_past(counts), baseline.LEAST_Z)
    assert [(d.first, d.direction) for d in found] == [(33, "fewer")]


def test_a_log_that_ends_at_noon_is_not_an_outage(tmp_path: Path) -> None:
    """The last day is covered in part, so too little on it says nothing."""
    at = np.concatenate([np.arange(0, 20 * DAY, DAY // 200), 20 * DAY + np.arange(0, DAY // 100, DAY // 200)]) + START
    names = [f"e{i}" for i in range(len(at))]
    table = pa.table({"exchange_id": names, "account_id": ["a"] * len(at), "ts": at, "model": ["m"] * len(at)})
    with DatasetWriter(tmp_path) as writer:
        writer.add_exchanges(table)
        writer.commit()
    assert measured(Dataset.open(tmp_path)).marked == []


def test_adoption_tells_campaign_accounts_from_others(world: World) -> None:
    """Accounts that all move to a launched model on its day draw a step; others do not."""
    members = frozenset(f"acct-{i:05d}" for i in range(120, 145))
    adoption = measured(world.dataset, members=members).adoption[0]
    assert adoption.model == "lumen-2"
    assert adoption.shares["accounts in campaigns"][3] > 0.95
    assert adoption.shares["other accounts"][3] < 0.5


def test_a_dimension_with_many_values_pools_the_small_ones(tmp_path: Path) -> None:
    """Twelve models: eight series and one that pools the rest, with each account counted once."""
    rows = [
        {"exchange_id": f"e{m}-{i}", "account_id": "a", "ts": START + i, "model": f"m{m:02d}"}
        for m in range(12)
        for i in range(20 - m)
    ]
    with DatasetWriter(tmp_path) as writer:
        writer.add_exchanges(pa.Table.from_pylist(rows))
        writer.commit()
    models = next(d for d in measured(Dataset.open(tmp_path)).dimensions if d.name == "model")
    assert [series.value for series in models.series] == [f"m{m:02d}" for m in range(8)] + ["all others"]
    assert models.series[-1].accounts.tolist() == [1.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2_000), min_size=1, max_size=60))
def test_the_band_holds_the_expected_value_and_nothing_is_negative(counts: list[int]) -> None:
    """Whatever the counts: 0 ≤ low ≤ expected ≤ high, and a week of history before the first expectation."""
    past = baseline.expect_from_past(np.array(counts, dtype=np.float64))
    there = np.isfinite(past.expected)
    assert not there[: baseline.WARM_UP_DAYS].any()
    assert (past.low[there] >= 0).all()
    assert (past.low[there] <= past.expected[there] + 1e-9).all()
    assert (past.expected[there] <= past.high[there] + 1e-9).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=8, max_size=20))
def test_the_level_is_the_plain_median_of_the_days_before(counts: list[int]) -> None:
    """Under three weeks there is no weekday effect, so the expected count is the median's own (the oracle)."""
    past = baseline.expect_from_past(np.array(counts, dtype=np.float64))
    scaled = 2 * np.sqrt(np.array(counts) + 0.375)
    oracle = [(np.median(scaled[:i]) / 2) ** 2 - 0.375 for i in range(7, len(counts))]
    np.testing.assert_allclose(past.expected[7:], np.maximum(oracle, 0), atol=1e-6)
