"""Candidate groups from graphs: neighbours against brute force, communities the same every time."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from stillwatch.linkage.communities import communities, nearest, shared_values
from stillwatch.signals.traits import incidence


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 25), st.integers(1, 7))
def test_nearest_is_brute_force(seed: int, n: int, k: int) -> None:
    """The k most alike of each, by comparing all with all; zero vectors have no neighbours."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[rng.random(n) < 0.2] = 0.0
    cosine = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    wanted = np.zeros((n, n))
    there = np.abs(vectors).sum(axis=1) > 0
    for i in np.flatnonzero(there):
        others = [j for j in np.flatnonzero(there) if j != i]
        for j in sorted(others, key=lambda j: -cosine[i, j])[:k]:
            if cosine[i, j] >= 0.25:
                wanted[i, j] = wanted[j, i] = cosine[i, j]
    assert nearest(vectors, k=k).toarray() == pytest.approx(wanted, abs=1e-5)


def kinds_of_work(n: int, kinds: int, seed: int) -> np.ndarray:
    """Return unit vectors of accounts who do one of some kinds of work, each a little in its own way."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal((kinds, 16))
    vectors = centre[rng.integers(0, kinds, n)] + 0.5 * rng.standard_normal((n, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_in_cells_are_nearly_all_those_of_brute_force(seed: int) -> None:
    """Nine in ten are the very same; what replaces the others is no less alike to speak of; the same every time."""
    vectors = kinds_of_work(1_500, 12, seed)
    exact, cells = nearest(vectors), nearest(vectors, whole=100, cell=64)
    assert cells.multiply(exact > 0).nnz >= 0.9 * exact.nnz
    assert cells.sum() / cells.nnz >= 0.99 * exact.sum() / exact.nnz
    assert (cells != nearest(vectors, whole=100, cell=64)).nnz == 0


def test_a_crowd_that_asks_one_thing_still_has_neighbours() -> None:
    """Accounts that cannot be told apart fill one cell, which is cut in pieces: everyone keeps twelve equals."""
    same = np.tile(np.eye(1, 8, dtype=np.float32), (3_000, 1))
    graph = nearest(same, whole=100, cell=64)
    assert (np.diff(graph.indptr) >= 12).all()
    assert graph.data == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 6)), max_size=40))
def test_shared_values_adds_the_nats_of_what_two_share(drawn: list[tuple[int, int]]) -> None:
    """Weights of pairs against a double loop; values of one holder or of too many link nobody."""
    held = {v: {a for a, w in drawn if w == v} for _, v in drawn}
    wanted = np.zeros((12, 12))
    for accounts in held.values():
        if 2 <= len(accounts) <= 5:
            nats = max(0.0, np.log(0.5 * 13 / (len(accounts) + 0.5)))
            for a in accounts:
                for b in accounts - {a}:
                    wanted[a, b] += nats
    family = incidence(np.array([a for a, _ in drawn], np.int32), np.array([v for _, v in drawn], np.int64), 12)
    assert shared_values([family], 12, most=5).toarray() == pytest.approx(wanted)


def test_a_popular_value_links_its_holders_in_few_pairs_and_as_strongly() -> None:
    """Beyond the allowance holders form overlapping circles: connected, of the same weight in all, and much fewer."""
    account = np.concatenate([np.arange(180), np.arange(200, 204)]).astype(np.int32)
    pool = incidence(account, np.repeat([0, 1], [180, 4]), 2_000)
    every, few = shared_values([pool], 2_000), shared_values([pool], 2_000, each=2)
    assert few.nnz < 0.35 * every.nnz
    assert few.sum() == pytest.approx(every.sum(), rel=0.15)
    assert len(np.unique(connected_components(few[:180, :180], directed=False)[1])) == 1
    assert few[200:204, 200:204].toarray() == pytest.approx(every[200:204, 200:204].toarray())


def two_cliques(bridge: bool = False) -> sp.csr_matrix:
    """Return two cliques of ten, with or without a weak edge between."""
    graph = np.zeros((25, 25))
    graph[:10, :10] = graph[10:20, 10:20] = 1.0
    if bridge:
        graph[0, 10] = graph[10, 0] = 0.1
    np.fill_diagonal(graph, 0)
    return sp.csr_matrix(graph)


def test_communities_find_cliques_and_leave_the_lonely_out() -> None:
    """Two cliques come out whole, also across a weak bridge; accounts without edges are in none."""
    for bridge in (False, True):
        found = communities(two_cliques(bridge), (1.0, 5.0), least=5)
        assert sorted(group.tolist() for group in found)[:2] == [list(range(10)), list(range(10, 20))]


def test_communities_are_the_same_every_time() -> None:
    """The same random graph and seed give the same groups, and groups are distinct and sorted."""
    rng = np.random.default_rng(9)
    dense = rng.random((80, 80)) * (rng.random((80, 80)) < 0.08)
    graph = sp.csr_matrix(np.triu(dense, 1) + np.triu(dense, 1).T)
    one, two = (communities(graph, (0.5, 1.0, 4.0), least=4, seed=3) for _ in range(2))
    assert [g.tolist() for g in one] == [g.tolist() for g in two]
    assert len({g.tobytes() for g in one}) == len(one)
    assert all((np.diff(g) > 0).all() and len(g) >= 4 for g in one)


def test_an_empty_graph_has_no_communities() -> None:
    """No edges, no groups; no accounts, no neighbours."""
    assert communities(sp.csr_matrix((5, 5)), (1.0,), least=1) == []
    assert nearest(np.zeros((0, 4), np.float32)).shape == (0, 0)
    assert shared_values([], 4).nnz == 0
