"""What accounts hold in common, gathered once, against plain loops over accounts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.linkage.cells import HOUR_US, Cells, Holders, Moments
from stillwatch.signals.traits import incidence

N = 12
_pairs = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, 5)), min_size=1, max_size=40)
_weights = st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=N, max_size=N)
_strata = st.lists(st.integers(0, 2), min_size=N, max_size=N)


@settings(max_examples=60, deadline=None)
@given(_pairs, _weights, _strata)
def test_ratios_are_shares_of_members_against_the_rest(
    pairs: list[tuple[int, int]], weights: list[float], strata: list[int]
) -> None:
    """For each account its best value: others' share of members who hold it, over the background's, in its stratum."""
    held = {v: {a for a, w in pairs if w == v} for _, v in pairs}
    weight, members = np.array(weights), sum(weights)
    best, shares, close = np.zeros(N), np.zeros(N, bool), np.zeros(N, bool)
    for holders in held.values():
        for a in holders:
            here = [b for b in range(N) if strata[b] == strata[a]]
            inside, everywhere = (sum(weight[b] for b in holders & set(some)) - weight[a] for some in (here, range(N)))
            outside, all_outside = (sum(1 - weight[b] for b in holders & set(some)) for some in (here, range(N)))
            size_in, size_out = sum(weight[b] for b in here), sum(1 - weight[b] for b in here)
            share_in = (inside + 5 * everywhere / max(members, 1)) / (max(size_in - weight[a], 0) + 5)
            share_out = (outside + 5 * (all_outside + 0.5) / (N - members + 1)) / (size_out + 5)
            best[a] = max(best[a], share_in / share_out)
            shares[a] |= everywhere >= 0.9 and share_in / share_out > 3
            close[a] |= min(abs(everywhere - 0.9), abs(share_in / share_out - 3)) < 1e-9  # rounding may decide
    family = incidence(np.array([a for a, _ in pairs], np.int32), np.array([v for _, v in pairs], np.int64), N)
    cells = Cells.of([family], np.array(strata, np.int32))
    ratio, linked = cells.ratios(weight, 5.0)
    assert ratio == pytest.approx(best, abs=1e-9)
    assert np.array_equal(linked[~close], shares[~close])
    assert set(np.flatnonzero(cells.known)) == {a for a, _ in pairs}


_times = st.lists(st.sampled_from([-1, *range(0, 400, 7)]), min_size=N, max_size=N)


@settings(max_examples=40, deadline=None)
@given(_times, _times)
def test_moments_are_who_signed_up_or_was_closed_near_each(created: list[int], closed: list[int]) -> None:
    """Every window of hours against loops over the accounts, in the order of their times."""
    hours = [np.array([-1 if t < 0 else t * HOUR_US for t in times]) for times in (created, closed)]
    moments = Moments.of(*hours)
    assert moments.account.tolist() == sorted((a for a in range(N) if created[a] >= 0), key=lambda a: created[a])
    assert moments.closed.tolist() == sorted((a for a in range(N) if closed[a] >= 0), key=lambda a: closed[a])
    for k, a in enumerate(moments.account):
        for (low, high), width in zip(moments.around, (6, 72), strict=True):
            near = {b for b in range(N) if created[b] >= 0 and abs(created[b] - created[a]) <= width}
            assert set(moments.account[low[k] : high[k]]) == near
        day = {b for b in range(N) if created[b] >= 0 and 0 <= created[a] - created[b] <= 24}
        gone = {b for b in range(N) if closed[b] >= 0 and 0 <= created[a] - closed[b] <= 24}
        assert set(moments.account[moments.day[0][k] : moments.day[1][k]]) == day
        assert set(moments.closed[moments.gone[0][k] : moments.gone[1][k]]) == gone


@settings(max_examples=40, deadline=None)
@given(_pairs, _weights)
def test_holders_both_ways(pairs: list[tuple[int, int]], weights: list[float]) -> None:
    """Who holds a value, ascending, and the sum of their weights."""
    family = incidence(np.array([a for a, _ in pairs], np.int32), np.array([v for _, v in pairs], np.int64), N)
    holders = Holders.of(family)
    for value in range(family.n_values):
        mine = sorted({a for a, v in pairs if v == value})
        assert holders.account[holders.start[value] : holders.start[value + 1]].tolist() == mine
        assert holders.inside(np.array(weights))[value] == pytest.approx(sum(weights[a] for a in mine))
