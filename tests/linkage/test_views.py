"""Views of a group against plain Python: what members share, sign-ups that come together, alike vectors."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.linkage.views import HOUR_US, Likeness, Sharing, Signups
from stillwatch.signals.traits import incidence

N = 24
_pairs = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, 8)), max_size=50)
_units = st.lists(st.integers(0, N - 1), min_size=N, max_size=N)
_group = st.sets(st.integers(0, N - 1), min_size=1, max_size=10).map(sorted)


def sharing(drawn: list[tuple[int, int]], units: list[int], cap: float = 8.0) -> Sharing:
    """Return a view of two families: values up to 4, and from 5 on."""
    account, value = np.array([a for a, _ in drawn], np.int32), np.array([v for _, v in drawn], np.int64)
    low, high = (incidence(account[some], value[some], N) for some in (value < 5, value >= 5))
    return Sharing((low, high), cap, np.array(units, np.int32))


def shared_by_hand(drawn: list[tuple[int, int]], units: list[int], group: list[int], cap: float) -> list[float]:
    """Score each member by the definition: the best value shared with another unit, against its share outside."""
    n_units = len({units[a] for a in group})
    scores = []
    for member in group:
        best = 0.0
        for value in {v for a, v in drawn if a == member}:
            holders = {a for a, v in drawn if v == value}
            sharing_units = {units[a] for a in holders if a in group}
            if len(sharing_units) >= 2:
                outside = (len(holders - set(group)) + 0.5) / (N - len(group) + 1)
                sizes = Counter(units[a] for a in group)
                shares = sorted(sum(units[a] == u for a in holders & set(group)) / sizes[u] for u in sharing_units)
                nats = np.log(sum(shares[:-1]) / (n_units - 1) / outside)
                best = max(best, nats) if nats >= 1.0 else best
        scores.append(min(best, cap))
    return scores


@settings(max_examples=120, deadline=None)
@given(_pairs, _units, _group, st.sampled_from([1.0, 8.0]))
def test_sharing_is_its_definition(
    drawn: list[tuple[int, int]], units: list[int], group: list[int], cap: float
) -> None:
    """The compiled kernel against sets and loops, for any traits, units and group."""
    view = sharing(drawn, units, cap)
    members = np.array(group, np.int64)
    wanted = shared_by_hand(drawn, units, group, cap)
    assert view.scores(members).tolist() == pytest.approx(wanted)
    assert view.effect(members) == pytest.approx(np.mean(wanted))
    assert view.known(members) == pytest.approx(np.mean([any(a == m for a, _ in drawn) for m in group]))


@settings(max_examples=40, deadline=None)
@given(_pairs, _units, _group)
def test_values_that_no_member_holds_change_no_score(
    drawn: list[tuple[int, int]], units: list[int], group: list[int]
) -> None:
    """Two accounts with hundreds of values of their own: a group's values are counted by hash, with the same scores."""
    apart = [(a, 100 + v) for a in (N, N + 1) for v in range(600)]
    scores = []
    for pairs in (drawn, [*drawn, *apart]):
        account, value = np.array([a for a, _ in pairs], np.int32), np.array([v for _, v in pairs], np.int64)
        view = Sharing((incidence(account, value, N + 2),), 8.0, np.array([*units, N, N + 1], np.int32))
        scores.append(view.scores(np.array(group, np.int64)).tolist())
    assert scores[0] == scores[1]


def test_a_rare_network_is_evidence_and_a_popular_one_is_not() -> None:
    """Eight accounts on a prefix of their own score; eight on everybody's carrier do not (the twin)."""
    alone = list(range(N))
    rare = [(a, 0) for a in range(8)] + [(a, 1) for a in range(8, N)]
    common = [(a, 0) for a in range(N)]
    group = np.arange(8)
    assert sharing(rare, alone).effect(group) > 3
    assert sharing(common, alone).effect(group) < 0.1


def test_a_public_mail_provider_ties_nobody() -> None:
    """What two thirds of a group and a third of the rest have is no link, however sure; a rare value is."""
    alone = list(range(N))
    provider = [(a, 0) for a in range(8)] + [(a, 0) for a in range(12, 12 + (N - 12) // 3)]
    assert sharing(provider, alone).effect(np.arange(12)) == 0.0
    assert sharing([(a, 0) for a in range(8)], alone).effect(np.arange(12)) > 1.0


def test_large_units_hold_popular_values_by_chance() -> None:
    """Two halls of forty share mail providers that everybody has: no link. A provider of their own is one (twin)."""
    rng = np.random.default_rng(3)
    accounts, units = np.arange(2_000, dtype=np.int32), np.arange(2_000, dtype=np.int32)
    units[:40], units[40:80] = 0, 1
    provider = rng.integers(0, 100, 2_000)
    group = np.arange(80)
    popular = Sharing((incidence(accounts, provider, 2_000),), 9.0, units)
    assert popular.effect(group) < 0.1
    own = Sharing((incidence(accounts, np.where(accounts < 80, 100, provider), 2_000),), 9.0, units)
    assert own.effect(group) > 3.0


def test_a_household_on_one_network_is_one_unit() -> None:
    """Accounts that share a payer explain each other's address: they count once, so they share with nobody."""
    household = [0] * 8 + list(range(8, N))
    assert sharing([(a, 0) for a in range(8)], household).effect(np.arange(8)) == 0.0


class TestSignups:
    """Sign-ups that come together."""

    @staticmethod
    def view(created: list[int], units: list[int] | None = None) -> Signups:
        """Return a view of these sign-up times (-1 unknown)."""
        at = np.array(created, np.int64)
        return Signups(at, np.sort(at[at >= 0]), np.array(units or range(len(created)), np.int32))

    @staticmethod
    def by_hand(created: list[int], units: list[int], group: list[int]) -> list[float]:
        """Score each member by the definition, counting in loops."""
        known = [a for a in group if created[a] >= 0]
        if len(known) < 3:
            return [0.0] * len(group)
        firsts: dict[int, int] = {}
        for a in sorted(known):
            firsts.setdefault(units[a], created[a])
        rest = [t for a, t in enumerate(created) if t >= 0 and a not in known]
        scores = []
        for a in group:
            best = 0.0
            for width in (6 * HOUR_US, 72 * HOUR_US):
                if created[a] < 0:
                    continue
                near = max(0, sum(abs(t - created[a]) <= width for t in firsts.values()) - 1)
                outside = sum(abs(t - created[a]) <= width for t in rest)
                expected = (outside + 0.5) / (len(rest) + 1) * (len(firsts) - 1)
                best = max(best, np.log((near + 1) / (expected + 1)))
            scores.append(min(best, 4.0))
        return scores

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.integers(-1, 400), min_size=N, max_size=N), _units, _group)
    def test_is_its_definition(self, hours: list[int], units: list[int], group: list[int]) -> None:
        """Binary searches against loops; unknown times score nothing."""
        created = [h * HOUR_US if h >= 0 else -1 for h in hours]
        members = np.array(group, np.int64)
        assert self.view(created, units).scores(members).tolist() == pytest.approx(self.by_hand(created, units, group))

    def test_a_burst_among_steady_sign_ups_stands_out(self) -> None:
        """Ten sign-ups of one afternoon among a year of steady ones score; ten spread ones do not (the twin)."""
        rng = np.random.default_rng(1)
        year = (rng.integers(0, 365 * 24, 500) * HOUR_US).tolist()
        burst = (4_000 * HOUR_US + rng.integers(0, 4 * HOUR_US, 10)).tolist()
        view = self.view([*burst, *year])
        assert view.effect(np.arange(10)) > 1.5
        assert view.effect(np.arange(10, 20)) < 0.6

    def test_a_launch_day_when_everybody_signs_up_is_no_burst(self) -> None:
        """Members who came on the day on which half of all accounts came are ordinary."""
        rng = np.random.default_rng(2)
        created = [*rng.integers(0, 24 * HOUR_US, 400), *rng.integers(0, 9_000 * HOUR_US, 100)]
        assert self.view([int(c) for c in created]).effect(np.arange(10)) < 0.6


class TestLikeness:
    """Mean cosine between members of different units."""

    @staticmethod
    def by_hand(vectors: np.ndarray, units: list[int], group: list[int], nats: float) -> float:
        """Average over pairs of units the cosine of their mean vectors; units without a vector are left out."""
        means = [np.mean([vectors[a] for a in group if units[a] == unit], axis=0) for unit in {units[a] for a in group}]
        means = [m for m in means if float(m @ m) > 0]
        if len(means) < 3:
            return 0.0
        pairs = [float(a @ b) for i, a in enumerate(means) for b in means[:i]]
        return nats * float(np.mean(pairs))

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 10_000), _units, _group)
    def test_effect_is_its_definition(self, seed: int, units: list[int], group: list[int]) -> None:
        """Sums of vectors against all pairs, with units of several members and members without a vector."""
        view = self.view(seed, units)
        wanted = self.by_hand(view.vectors.astype(np.float64), units, group, 8.0)
        assert view.effect(np.array(group)) == pytest.approx(wanted, abs=1e-4)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10_000), _group)
    def test_scores_compare_each_member_with_the_others(self, seed: int, group: list[int]) -> None:
        """The cosine with the mean of the others, from zero to the cap."""
        view = self.view(seed, list(range(N)))
        for place, member in enumerate(group):
            others = [view.vectors[a] for a in group if a != member]
            mean = np.sum(others, axis=0) / max(1, len(others)) if others else np.zeros(5)
            wanted = float(np.clip(8.0 * view.vectors[member] @ mean, 0, 5))
            assert view.scores(np.array(group))[place] == pytest.approx(wanted, abs=1e-4)

    @staticmethod
    def view(seed: int, units: list[int]) -> Likeness:
        """Return a view of random unit vectors, some of them zero."""
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((N, 5)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[rng.random(N) < 0.25] = 0.0
        return Likeness(vectors, np.array(units, np.int32), 8.0, 5.0)

    def test_one_person_with_many_accounts_is_no_group(self) -> None:
        """Twenty accounts of one owner with the same vector are one unit, which resembles nobody but itself."""
        vectors = np.tile(np.array([1, 0, 0], np.float32), (N, 1))
        same: Any = Likeness(vectors, np.zeros(N, np.int32), 8.0, 5.0)
        apart: Any = Likeness(vectors, np.arange(N, dtype=np.int32), 8.0, 5.0)
        assert same.effect(np.arange(10)) == 0.0
        assert apart.effect(np.arange(10)) == pytest.approx(8.0)


@pytest.mark.parametrize("n", [1, 4, 7, 50])
def test_nearness_is_the_cosine_with_the_mean_of_the_others(n: int) -> None:
    """Each account against the weighted mean of all others, one by one; who has no vector is near nobody."""
    rng = np.random.default_rng(n)
    vectors = rng.normal(size=(n, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[n // 2] = 0 if n > 1 else vectors[n // 2]
    weight = np.where(rng.random(n) < 0.6, rng.random(n) + 1, 0.0)
    near = Likeness(vectors, np.arange(n, dtype=np.int32), 8.0, 5.0).nearness(weight)
    for account in range(n):
        others = weight * (np.arange(n) != account)
        total = (vectors.astype(float) * others[:, None]).sum(axis=0)
        expected = vectors[account] @ total / max(others.sum(), 1.0)
        assert near[account] == pytest.approx(expected if vectors[account].any() else np.nan, abs=1e-5, nan_ok=True)
