"""Bundles: traits held by nearly the same accounts become one, against exact Jaccard components."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.linkage.bundles import Bundles, _overlap, bundle
from stillwatch.signals.traits import Incidence, incidence

N = 30
_holders = st.lists(st.sets(st.integers(0, N - 1), min_size=1, max_size=12), min_size=1, max_size=14)


def traits(holders: list[set[int]]) -> Incidence:
    """Return the incidence of traits given as sets of accounts."""
    pairs = [(a, t) for t, accounts in enumerate(holders) for a in accounts]
    account = np.array([a for a, _ in pairs], np.int32)
    return incidence(account, np.array([t for _, t in pairs], np.int64), N)


def jaccard(a: set[int], b: set[int]) -> float:
    """Return the Jaccard similarity of two sets."""
    return len(a & b) / len(a | b)


def parts(made: Bundles) -> set[frozenset[int]]:
    """Return the bundles as sets of traits."""
    return {frozenset(np.flatnonzero(made.of == b).tolist()) for b in np.unique(made.of)}


def components(holders: list[set[int]], bar: float) -> set[frozenset[int]]:
    """Return the components of the graph of traits with at least this similarity, by comparing all pairs."""
    graph = nx.Graph()
    graph.add_nodes_from(range(len(holders)))
    graph.add_edges_from(
        (i, j) for i, a in enumerate(holders) for j, b in enumerate(holders[:i]) if jaccard(a, b) >= bar
    )
    return {frozenset(part) for part in nx.connected_components(graph)}


@settings(max_examples=60, deadline=None)
@given(_holders)
def test_bundles_never_join_what_exact_similarity_keeps_apart(holders: list[set[int]]) -> None:
    """Every bundle lies inside one component of the exact graph at the bar."""
    whole = components(holders, 0.5)
    assert all(any(part <= component for component in whole) for part in parts(bundle(traits(holders))))


@settings(max_examples=60, deadline=None)
@given(_holders, st.integers(2, 6))
def test_identical_traits_are_always_one_bundle(holders: list[set[int]], copies: int) -> None:
    """Hashing cannot miss equal sets of holders, however many there are."""
    made = bundle(traits([*holders, *[holders[0]] * copies]))
    assert len({int(made.of[0]), *made.of[len(holders) :].tolist()}) == 1


def test_nearly_equal_traits_are_seldom_missed() -> None:
    """Of random pairs with similarity 0.8 or more, at least nineteen in twenty are joined (hashing may miss some)."""
    rng = np.random.default_rng(7)
    joined = 0
    for _ in range(100):
        base = set(rng.choice(N, 18, replace=False).tolist())
        other = base - {min(base), max(base)}
        assert jaccard(base, other) >= 0.8
        joined += len(parts(bundle(traits([base, other])))) == 1
    assert joined >= 95


def test_a_popular_trait_does_not_swallow_a_rare_one() -> None:
    """A subset of a popular trait stays apart: sharing it is evidence of its own."""
    assert len(parts(bundle(traits([set(range(N)), {1, 2, 3, 4}])))) == 2


@settings(max_examples=60, deadline=None)
@given(_holders.filter(lambda holders: len(holders) >= 2))
def test_overlap_is_the_jaccard_similarity(holders: list[set[int]]) -> None:
    """The intersection of sorted lists against Python's sets, for every pair."""
    pairs = traits(holders)
    order = np.lexsort((pairs.account, pairs.value))
    starts = np.searchsorted(pairs.value[order], np.arange(pairs.n_values + 1)).astype(np.int64)
    left, right = (axis.astype(np.int64) for axis in np.triu_indices(len(holders), 1))
    got = _overlap(pairs.account[order], starts, left, right)
    wanted = [jaccard(holders[i], holders[j]) for i, j in zip(left, right, strict=True)]
    assert got.tolist() == pytest.approx(wanted)


@settings(max_examples=40, deadline=None)
@given(_holders)
def test_an_account_holds_a_bundle_with_a_third_of_its_traits(holders: list[set[int]]) -> None:
    """Holders of every bundle against counting."""
    made = bundle(traits(holders))
    got = set(zip(made.held.account.tolist(), made.held.value.tolist(), strict=True))
    wanted = {
        (account, b)
        for b in range(len(made.size))
        for account in range(N)
        if (mine := sum(account in holders[t] for t in np.flatnonzero(made.of == b))) and mine * 3 >= made.size[b]
    }
    assert got == wanted
    assert made.held.n_values == len(made.size)
    assert made.size.sum() == len(holders)


def test_no_traits_give_no_bundles() -> None:
    """Data without text or tools has nothing to bundle."""
    made = bundle(incidence(np.zeros(0, np.int32), np.zeros(0, np.int64), 5))
    assert len(made.size) == 0
    assert len(made.held.account) == 0
