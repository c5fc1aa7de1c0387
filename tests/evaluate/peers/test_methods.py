"""The methods' cores against plain forms on random input."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from stillwatch.evaluate.peers.actions import Actions
from stillwatch.evaluate.peers.copycatch import CopyCatch
from stillwatch.evaluate.peers.evidence import MOST_CUTS, Blocks, Links, Scores
from stillwatch.evaluate.peers.fraudar import densest, densest_blocks
from stillwatch.evaluate.peers.indicators import chains
from stillwatch.evaluate.peers.mmd import discrepancy
from stillwatch.evaluate.peers.packages import MOST_PAIRS, thinned
from stillwatch.evaluate.peers.roster import Roster
from stillwatch.evaluate.peers.similarity import alike, tfidf
from stillwatch.evaluate.peers.synchrotrap import HOUR, SynchroTrap
from stillwatch.signals.traits import incidence

pairs = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 8)), min_size=1, max_size=50, unique=True)


def people(n: int) -> Roster:
    """Return a roster of ``n``."""
    return Roster(pa.array([f"a{i}" for i in range(n)]), np.zeros(n, np.int64), np.zeros(n, np.int64))


@settings(max_examples=50, deadline=None)
@given(pairs)
def test_peeling_is_the_plain_greedy(drawn: list[tuple[int, int]]) -> None:
    """The density found is that of removing the weakest node, one after another, by hand."""
    edges = [(a, 12 + v, 1.0 + (a * 7 + v * 3) % 5) for a, v in drawn]
    one, two, weight = (np.array(column) for column in zip(*edges, strict=True))
    inside, density = densest(one.astype(np.int64), two.astype(np.int64), weight.astype(float), 21)
    alive, best = set(range(21)), 0.0
    while alive:
        left = {n: sum(w for a, v, w in edges if n in (a, v) and {a, v} <= alive) for n in alive}
        best = max(best, sum(left.values()) / 2 / len(alive))
        alive.remove(min(alive, key=lambda n: (left[n], n)))
    assert density == pytest.approx(best)
    held = sum(w for a, v, w in edges if inside[a] and inside[v])
    assert held / inside.sum() == pytest.approx(density)


def test_blocks_come_one_after_another() -> None:
    """Two dense blocks in sparse noise come out apart, the denser first."""
    rng = np.random.default_rng(3)
    one = [(a, v) for a in range(10) for v in range(12)]
    two = [(a, v) for a in range(10, 30) for v in range(12, 18)]
    noise = list(zip(rng.integers(30, 80, 60).tolist(), rng.integers(18, 80, 60).tolist(), strict=True))
    account, value = (np.array(column) for column in zip(*sorted({*one, *two, *noise}), strict=True))
    block, worth = densest_blocks(incidence(account.astype(np.int32), value.astype(np.int64), 80), 2)
    assert np.flatnonzero(block == 0).tolist() == list(range(10))
    assert np.flatnonzero(block == 1).tolist() == list(range(10, 30))
    assert worth[0] > worth[1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 60)), max_size=60))
def test_coincidence_is_jaccard_over_days(drawn: list[tuple[int, int, int]]) -> None:
    """Likeness is the greatest Jaccard of (what, hour) sets in any window of two days, with enough in common."""
    account, value, hour = (np.array([row[i] for row in drawn], np.int64) for i in range(3))
    one, two, weight = SynchroTrap(days=2, common=2).pairs(Actions(account, value, hour * HOUR + 7), 6)
    wanted = {}
    first, last = (min(h // 24 for *_, h in drawn), max(h // 24 for *_, h in drawn)) if drawn else (0, -1)
    for begin in range(first, max(first, last - 1) + 1):
        sets = [{(v, h) for a, v, h in drawn if a == who and begin <= h // 24 < begin + 2} for who in range(6)]
        for a in range(6):
            for b in range(a + 1, 6):
                if len(sets[a] & sets[b]) >= 2:
                    jaccard = len(sets[a] & sets[b]) / len(sets[a] | sets[b])
                    wanted[a, b] = max(wanted.get((a, b), 0.0), jaccard)
    assert dict(zip(zip(one.tolist(), two.tolist(), strict=True), weight.tolist(), strict=True)) == pytest.approx(
        wanted
    )


@settings(max_examples=50, deadline=None)
@given(pairs)
def test_similarity_is_the_cosine_of_all_pairs(drawn: list[tuple[int, int]]) -> None:
    """With room for every neighbour, the links are all pairs that share a trace, at their cosine."""
    rows = tfidf(incidence(np.array([a for a, _ in drawn], np.int32), np.array([v for _, v in drawn], np.int64), 12))
    one, two, cosine, below = alike(rows, 11, block=5)
    dense = rows.toarray() @ rows.toarray().T
    wanted = {(i, j): dense[i, j] for i in range(12) for j in range(i + 1, 12) if dense[i, j] > 0}
    assert dict(zip(zip(one.tolist(), two.tolist(), strict=True), cosine.tolist(), strict=True)) == pytest.approx(
        wanted
    )
    assert (np.diff(below) >= 0).all()
    assert below[0] == 0


@settings(max_examples=50, deadline=None)
@given(pairs, st.integers(2, 5))
def test_chains_connect_as_all_pairs_would(drawn: list[tuple[int, int]], cap: int) -> None:
    """Under a cap on holders, chains give the components that linking every two holders gives."""
    held = incidence(np.array([a for a, _ in drawn], np.int32), np.array([v for _, v in drawn], np.int64), 12)
    links = Links(people(12), *chains(held))
    small = held.holders() <= cap
    graph = sp.csr_matrix((np.ones(len(held.value)), (held.account, held.value)), shape=(12, held.n_values))[:, small]
    _, wanted = connected_components(graph @ graph.T, directed=False)
    found = links.groups(1 / cap, 2)
    for a in range(12):
        for b in range(a):
            assert (found[a] == found[b] >= 0) == (wanted[a] == wanted[b])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9))
def test_discrepancy_is_the_mean_over_pairs(seed: int, size: int) -> None:
    """The unbiased MMD² from sums is that from the kernel of every two prompts."""
    rng = np.random.default_rng(seed)
    points, mean = rng.standard_normal((size, 4)), rng.standard_normal(4)
    kernel = points @ points.T
    within = (kernel.sum() - np.trace(kernel)) / (size * (size - 1))
    wanted = within - 2 * (points @ mean).mean() + mean @ mean
    total, own = points.sum(axis=0)[None], np.array([(points**2).sum()])
    assert discrepancy(total, own, np.array([size]), mean)[0] == pytest.approx(wanted)


def test_lockstep_needs_both_the_things_and_the_time() -> None:
    """Twelve accounts in step are one group; spread over days, or on one thing only, they are none."""
    who, what = np.repeat(np.arange(12), 4), np.tile(np.arange(4), 12)
    search = CopyCatch(hours=2)
    together = Actions(who, what, what * 24 * HOUR + who * HOUR // 12)
    apart = Actions(who, what, what * 24 * HOUR + who * 9 * HOUR)
    single = Actions(np.arange(12), np.zeros(12, np.int64), np.zeros(12, np.int64))
    assert [group.tolist() for group in search.lockstep(together, 12)] == [list(range(12))]
    assert search.lockstep(apart, 12) == []
    assert search.lockstep(single, 12) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=600))
def test_a_stricter_cut_never_accuses_more(values: list[float]) -> None:
    """Cuts come strictest first, are few, and the accused only grow along them."""
    scores = Scores(people(len(values)), np.array(values))
    cuts = scores.cuts()
    assert len(cuts) <= MOST_CUTS
    accused = [(scores.groups(cut, 1) >= 0).sum() for cut in cuts]
    assert accused == sorted(accused)


def test_small_groups_are_dropped() -> None:
    """A pair is no group of five, whether by links, blocks or scores."""
    pair = np.array([0.0, 0.9, 0.9])
    assert Scores(people(3), pair).groups(0.5, 5).tolist() == [-1, -1, -1]
    assert Links(people(3), np.array([0]), np.array([1]), np.array([1.0])).groups(0.5, 5).tolist() == [-1, -1, -1]
    assert Blocks(people(3), np.array([-1, 0, 0]), np.array([1.0])).groups(0.5, 5).tolist() == [-1, -1, -1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50_000_000), min_size=1, max_size=3_000), st.integers(1, 600))
def test_thinning_keeps_the_toolkit_within_its_pairs(times: list[int], seconds: int) -> None:
    """What is kept has about as many near pairs as the bound, or everything is kept."""
    ts = np.sort(np.array(times, np.int64))
    near = int((np.abs(ts[:, None] - ts[None]) <= seconds * 1_000_000).sum())
    share = thinned(ts, seconds)
    assert share == pytest.approx(min(1.0, (MOST_PAIRS / near) ** 0.5))
