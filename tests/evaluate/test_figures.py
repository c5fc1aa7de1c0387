"""Figures agree with plain oracles on random input: intervals, grouping, ranking, calibration, pooling."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from stillwatch.evaluate.calibration import Bin, calibration_error, false_share, masses, reliability
from stillwatch.evaluate.figures import Figure, daily_figures, f1, figures, precision, recall
from stillwatch.evaluate.intervals import clopper, resampled, wilson
from stillwatch.evaluate.partition import b_cubed, shared_pairs
from stillwatch.evaluate.ranking import area, average_precision, precision_within, recall_at

codes = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), max_size=30)
scored = st.lists(st.tuples(st.sampled_from([-math.inf, 0.0, 0.5, 1.0, 2.0]), st.booleans()), min_size=1, max_size=30)
pools = st.lists(
    st.tuples(st.floats(0, 1), st.integers(1, 9)).map(lambda pair: (pair[0], pair[1], pair[1] // 2)), max_size=30
)


@settings(deadline=None)
@given(st.integers(1, 200), st.data())
def test_wilson_is_the_printed_formula(of: int, data: st.DataObject) -> None:
    """Wilson's interval is the one that the paper's formula gives."""
    hits, z = data.draw(st.integers(0, of)), 1.959963984540054
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    assert wilson(hits, of) == pytest.approx((max(middle - half, 0), min(middle + half, 1)), abs=1e-9)


@settings(deadline=None)
@given(st.integers(1, 100), st.data())
def test_the_exact_interval_holds_the_share(of: int, data: st.DataObject) -> None:
    """The exact interval holds the observed share, and nothing counted leaves the whole range."""
    hits = data.draw(st.integers(0, of))
    low, high = clopper(hits, of)
    assert low <= hits / of <= high
    assert clopper(0, 0) == wilson(0, 0) == (0.0, 1.0)


def test_one_world_has_no_interval() -> None:
    """What one world shows says nothing of another; two that differ leave room."""
    assert resampled([[1, 2]], lambda sums: sums[0] / sums[1]) is None
    low, high = resampled([[0, 2], [2, 2]], lambda sums: sums[0] / sums[1]) or (1, 0)
    assert (low, high) == (0.0, 1.0)


def alone(labels: list[int]) -> list[object]:
    """Return group names in which an item below 0 is a group of its own."""
    return [("alone", i) if label < 0 else label for i, label in enumerate(labels)]


@settings(deadline=None)
@given(codes)
def test_b_cubed_is_the_mean_over_items(pairs: list[tuple[int, int]]) -> None:
    """B-cubed agrees with the definition item by item."""
    truth, found = ([pair[i] for pair in pairs] for i in (0, 1))
    t, f = alone(truth), alone(found)
    precisions, recalls = [], []
    for i in range(len(pairs)):
        mine = [j for j in range(len(pairs)) if f[j] == f[i]]
        theirs = [j for j in range(len(pairs)) if t[j] == t[i]]
        both = len(set(mine) & set(theirs))
        precisions.append(both / len(mine))
        recalls.append(both / len(theirs))
    score = b_cubed(np.array(truth, int), np.array(found, int))
    expected = (np.mean(precisions), np.mean(recalls)) if pairs else (1.0, 1.0)
    assert tuple(score) == pytest.approx(expected)


@settings(deadline=None)
@given(codes)
def test_shared_pairs_are_counted_pair_by_pair(pairs: list[tuple[int, int]]) -> None:
    """Pairs together in both, in one and in the other agree with a count of all pairs."""
    truth, found = ([pair[i] for pair in pairs] for i in (0, 1))

    def together(labels: list[int]) -> set[tuple[int, int]]:
        every = itertools.combinations(range(len(labels)), 2)
        return {(i, j) for i, j in every if labels[i] >= 0 and labels[i] == labels[j]}

    t, f = together(truth), together(found)
    assert shared_pairs(np.array(truth, int), np.array(found, int)) == (len(t & f), len(f - t), len(t - f))


@settings(deadline=None)
@given(scored)
def test_ranking_is_that_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    """Areas under both curves agree with scikit-learn, ties included; one kind alone has none."""
    score, positive = np.array([s for s, _ in rows]), np.array([p for _, p in rows])
    finite = np.where(np.isinf(score), -9.0, score)
    if positive.all() or not positive.any():
        assert area(score, positive) is None
    else:
        assert area(score, positive) == pytest.approx(roc_auc_score(positive, finite))
    if positive.any():
        assert average_precision(score, positive) == pytest.approx(average_precision_score(positive, finite))
    else:
        assert average_precision(score, positive) is None


@settings(deadline=None)
@given(scored, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_recall_at_a_rate_is_the_best_threshold(rows: list[tuple[float, bool]], rate: float) -> None:
    """Recall at a false-alarm rate is the best over all thresholds that keep to it."""
    score, positive = np.array([s for s, _ in rows]), np.array([p for _, p in rows])
    if positive.all() or not positive.any():
        assert recall_at(score, positive, rate) is None
        return
    fits = [score >= cut for cut in [*score, math.inf] if (score >= cut)[~positive].mean() <= rate]
    assert recall_at(score, positive, rate) == pytest.approx(max(taken[positive].mean() for taken in fits))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.booleans()), min_size=1, max_size=6), st.integers(1, 7))
def test_precision_in_a_budget_is_the_mean_over_orders_of_ties(rows: list[tuple[float, bool]], budget: int) -> None:
    """Precision within a budget is the mean over every order that the scores allow."""
    size = min(budget, len(rows))
    orders = [order for order in itertools.permutations(rows) if list(order) == sorted(order, key=lambda row: -row[0])]
    expected = np.mean([sum(p for _, p in order[:size]) / size for order in orders])
    found = precision_within(np.array([s for s, _ in rows]), np.array([p for _, p in rows]), budget)
    assert found == pytest.approx(expected)


@settings(deadline=None)
@given(pools, st.integers(1, 10))
def test_a_reliability_curve_keeps_every_statement(pool: list[tuple[float, int, int]], bins: int) -> None:
    """No statement is lost, bins go up, there are no more than asked for, and each but the last holds its share."""
    curve = reliability(pool, bins)
    assert sum(one.of for one in curve) == sum(n for _, n, _ in pool)
    assert sum(one.true for one in curve) == sum(k for _, _, k in pool)
    assert len(curve) <= bins
    assert all(one.of * bins >= sum(n for _, n, _ in pool) for one in curve[:-1])
    assert all(one.stated <= other.stated + 1e-9 for one, other in itertools.pairwise(curve))


def test_equal_probabilities_of_several_worlds_share_a_bin() -> None:
    """What two worlds state alike is one statement of both, never two bins of one probability."""
    assert reliability([(1.0, 5, 5), (0.9, 2, 2), (1.0, 5, 3)]) == [Bin(0.9, 2, 2), Bin(1.0, 10, 8)]


def test_well_calibrated_statements_have_no_error() -> None:
    """What comes true as often as it says has error 0; what says 0.9 and comes true half the time has 0.4."""
    assert calibration_error([Bin(0.25, 4, 1), Bin(0.5, 2, 1)]) == 0.0
    assert calibration_error(reliability(masses(np.full(10, 0.9), np.arange(10) < 5))) == pytest.approx(0.4)
    assert calibration_error([]) is None


def test_false_groups_count_up_to_the_level() -> None:
    """A group counts when its q-value is at most the level."""
    assert [false_share([(0.05, True), (0.01, False)], level) for level in (0.001, 0.01, 0.05)] == [
        (0, 0),
        (0, 1),
        (1, 2),
    ]


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 50)] * 3))
def test_f1_is_the_harmonic_mean(counts: tuple[int, int, int]) -> None:
    """F1 from counts is the harmonic mean of precision and recall, where both say something."""
    hit, wrong, missed = counts
    if hit:
        p, r = precision(counts), recall(counts)
        assert f1(counts) == pytest.approx(2 * p * r / (p + r))
    elif not wrong and not missed:
        assert f1(counts) == precision(counts) == recall(counts) == 1.0


def test_worlds_are_pooled_by_counts() -> None:
    """Two worlds count as one of their joint size: a small bad one does not weigh as much as a large good one."""
    good, bad = ({"hit": hit, "wrong": 0, "missed": missed} for hit, missed in ((98, 2), (0, 2)))
    pooled = figures([measured(good), measured(bad)])["account recall"]
    assert pooled.value == pytest.approx(98 / 102)
    assert pooled.interval is not None


def measured(counts: dict[str, int]) -> dict[str, object]:
    """Return a world's measures with the same counts everywhere."""
    return {
        "campaigns": [{"found": counts["hit"] > 0}],
        "groups": [],
        "accounts": counts,
        "swept": {"ordinary": (0, 10)},
        "exchanges": {"all": counts, "mixed": counts},
        "alike": {"items": 10, "precision": 10.0, "recall": 5.0, "pairs": counts},
        "ranking": dict.fromkeys(
            ["auc", "auprc", "recall_0.001", "recall_0.01", "precision_50", "precision_200", "precision_1000"]
        ),
        "membership": [],
    }


def test_what_no_world_allows_is_left_out() -> None:
    """A measure that no world could give is no figure, rather than a figure of 0."""
    made = figures([measured({"hit": 1, "wrong": 0, "missed": 0})])
    assert "AUC" not in made
    assert "membership error" not in made
    assert "false reports" not in made


def test_a_campaign_never_reported_leaks_all() -> None:
    """Leak is averaged over campaigns, and one that is never reported counts in full."""
    lives = [
        {"days": 2.0, "leaked": 0.2, "unstopped": 0.3, "lasting": True, "one_case": True},
        {"days": None, "leaked": 1.0, "unstopped": 1.0, "lasting": False, "one_case": False},
    ]
    made = daily_figures([{"lives": lives}])
    assert made["leaked"].value == pytest.approx(0.6)
    assert (made["reported"].hits, made["same id"].of) == (1, 1)
    assert isinstance(made["leaked"], Figure)
