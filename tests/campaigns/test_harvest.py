"""What a campaign took: counts at one half, intervals that hold the truth, nothing from an account's own traffic."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.campaigns.harvest import harvest, interval
from stillwatch.campaigns.split import Split
from stillwatch.signals.frame import Frame

START = 1_780_000_000_000_000


def found(rows: list[int], probability: list[float]) -> Any:
    """Return what harvest reads of a group of two accounts."""
    split = Split(np.array(rows, np.int64), np.array(probability), np.ones(2))
    probability_of = np.array([0.9, 0.6])
    profile = SimpleNamespace(probability=probability_of)
    return SimpleNamespace(split=split, members=np.array([0, 1]), probability=probability_of, profile=profile)


def test_counts_are_of_the_campaigns_exchanges(frame_of: Callable[..., Frame]) -> None:
    """Exchanges below one half are the accounts' own: not counted, not in the span, not among the models."""
    rows = [
        {"account_id": "a", "ts": START, "model": "own", "input_tokens": 1, "output_tokens": 1},
        {"account_id": "a", "ts": START + 1, "model": "m1", "input_tokens": 10, "output_tokens": 5, "surface": "api"},
        {"account_id": "b", "ts": START + 2, "model": "m1", "input_tokens": 10, "output_tokens": None},
        {"account_id": "b", "ts": START + 3, "model": "m2", "input_tokens": 20, "output_tokens": 1, "surface": "batch"},
    ]
    taken = harvest(frame_of(rows), found([0, 1, 2, 3], [0.1, 1.0, 1.0, 0.9]))
    assert (taken.accounts, taken.exchanges, taken.tokens) == (2, 3, 46)
    assert (taken.first_seen, taken.last_seen) == (START + 1, START + 3)
    assert taken.models == {"m1": 2, "m2": 1}
    assert taken.surfaces == {"api": 1, "batch": 1}
    assert taken.exchanges_interval[0] <= 3 <= taken.exchanges_interval[1]


def test_a_group_without_exchanges_took_nothing(frame_of: Callable[..., Frame]) -> None:
    """Empty counts, no division by nothing."""
    taken = harvest(frame_of([{"account_id": "a"}, {"account_id": "b"}]), found([0, 1], [0.1, 0.2]))
    assert (taken.exchanges, taken.tokens, taken.first_seen) == (0, 0, 0)
    assert taken.capability_shares == {}


def test_shares_of_capabilities_are_of_the_exchanges(frame_of: Callable[..., Frame]) -> None:
    """Named, largest first, adding up to no more than one."""
    texts = [
        "grade this essay by the rubric and give a score from 1 to 10",
        "write a python function that sorts a list",
    ]
    rows = [{"account_id": "a", "ts": START + i, "prompt_text": f"{texts[i % 3 == 0]} {i}"} for i in range(9)]
    shares = harvest(frame_of(rows), found(list(range(9)), [1.0] * 9)).capability_shares
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert 0 < sum(shares.values()) <= 1.001
    assert "none" not in shares


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1e5)), min_size=1, max_size=40))
def test_an_interval_holds_its_mean_and_its_count(drawn: list[tuple[float, float]]) -> None:
    """Around the expected sum, never below zero, widened to what is reported; certain memberships have no width."""
    probability, size = (np.array(column) for column in zip(*drawn, strict=True))
    mean = float((probability * size).sum())
    count = int(size[probability >= 0.5].sum())
    low, high = interval(probability, size, count)
    assert 0 <= low <= mean + 1e-3
    assert high >= mean - 1e-3
    assert low <= count <= high
    sure = int((np.round(probability) * np.round(size)).sum())
    assert interval(np.round(probability), np.round(size), sure) == (sure, sure)


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Two thousand draws of fifty memberships: nineteen in twenty sums lie inside."""
    rng = np.random.default_rng(1)
    probability, size = rng.random(50), rng.integers(1, 20, 50).astype(float)
    low, high = interval(probability, size, round(float(probability @ size)))
    sums = ((rng.random((2_000, 50)) < probability) * size).sum(axis=1)
    assert np.mean((sums >= low) & (sums <= high)) == pytest.approx(0.95, abs=0.03)
