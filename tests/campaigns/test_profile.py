"""From a seed to its members: planted members are recovered, those who share only the framework stay out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillwatch.campaigns.profile import BLOCKS, Profile, _stack, _typical, fit_profile, with_strangers
from stillwatch.linkage.cells import Holders
from stillwatch.linkage.space import CAPS, Space
from stillwatch.signals.traits import incidence


@pytest.fixture(scope="module")
def fitted(tiny_space: Space, planted: dict[str, np.ndarray]) -> Profile:
    """Fit a profile from half of the reasoning campaign."""
    return fit_profile(tiny_space, planted["reasoning"][::2])


def test_the_other_half_of_a_campaign_is_recovered(fitted: Profile, planted: dict[str, np.ndarray]) -> None:
    """Of the members that were not in the seed most are found, and hardly anybody else."""
    members = fitted.members()
    hidden = planted["reasoning"][1::2]
    assert len(np.intersect1d(members, hidden)) >= 0.7 * len(hidden)
    assert len(np.setdiff1d(members, planted["reasoning"])) <= 0.1 * len(members)


def test_no_innocent_population_is_pulled_in(fitted: Profile, planted: dict[str, np.ndarray]) -> None:
    """The twin: frameworks, classes and offices share one thing with the campaign and stay out."""
    for name in ("framework", "class", "office", "evaluation", "ordinary"):
        assert len(np.intersect1d(fitted.members(), planted[name])) <= 1, name


def test_stray_accounts_in_the_seed_are_dropped(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """A seed with a few bystanders ends without most of them."""
    strays = planted["ordinary"][:5]
    profile = fit_profile(tiny_space, np.sort(np.concatenate((planted["reasoning"], strays))))
    assert len(np.intersect1d(profile.members(), strays)) <= 1
    assert len(np.intersect1d(profile.members(), planted["reasoning"])) >= 0.7 * len(planted["reasoning"])


def test_a_seed_of_strangers_does_not_become_a_campaign(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """Ordinary accounts have no profile to grow by: the members hold next to no evidence of WHO."""
    rng = np.random.default_rng(2)
    profile = fit_profile(tiny_space, np.sort(rng.choice(planted["ordinary"], 25, replace=False)))
    members = profile.members()
    assert len(members) < 25 or profile.total(("NET", "ID", "LIFE", "TIME"))[members].mean() < 6.0


def test_every_block_has_a_term_for_every_account(fitted: Profile, tiny_space: Space) -> None:
    """Finite nats for all, within the caps; probabilities between 0 and 1."""
    assert set(fitted.terms) == set(BLOCKS)
    for name, term in fitted.terms.items():
        assert term.shape == (tiny_space.frame.n_accounts,)
        assert np.isfinite(term).all()
        assert np.abs(term).max() <= CAPS.get(name, 9.0) + 1e-9
    assert ((fitted.probability >= 0) & (fitted.probability <= 1)).all()


def test_nobody_who_shows_other_work_is_a_member_by_who_alone(fitted: Profile, tiny_space: Space) -> None:
    """Without anything in common in WHAT is asked, an account on the same network is no member."""
    busy = tiny_space.frame.volume() >= 5
    nothing = busy & (fitted.total(("STACK", "TASK")) <= 0)
    assert nothing.any()
    assert not fitted.probability[nothing].any()


def test_silence_is_no_evidence() -> None:
    """An account without exchanges lacks nothing; one as busy as members that never shows their construction does."""
    volume = np.array([*[50] * 12, *[50] * 100, 0, 3])
    held = incidence(np.repeat(np.arange(12, dtype=np.int32), 15), np.zeros(180, np.int64), len(volume))
    frame = SimpleNamespace(volume=lambda: volume)
    space: Any = SimpleNamespace(frame=frame, bundles=SimpleNamespace(held=held), built=[Holders.of(held)])
    nats = _stack(space, np.repeat([1.0, 0.0], [12, 102]))
    member, stranger, silent, rare = nats[0], nats[20], nats[112], nats[113]
    assert silent == 0.0
    assert stranger < rare < silent < member


def plain_stack(space: Any, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return nats, expected nats and their variance by account: value by value, each account's own loop."""
    volume = space.frame.volume()
    asked, size = np.minimum(volume, 200), weight.sum()
    nats, usual, doubt = np.zeros(len(weight)), np.zeros(len(weight)), np.ones(len(weight))
    for holders in space.built:
        pairs = holders.pairs
        for value in range(pairs.n_values):
            who, count = pairs.account[pairs.value == value], pairs.count[pairs.value == value]
            inside = weight[who].sum()
            rare = (len(who) - inside + 0.5) / (len(weight) - size + 1)
            share = (inside + rare) / (size + 1)
            if share < 0.5 or np.log(share / rare) < 1.5:
                continue
            rate = (weight[who] * np.minimum(1, count / np.maximum(volume[who], 1))).sum() / inside
            for account in range(len(weight)):
                n, own = int(asked[account]), weight[account]
                never = (1 - rate) ** n + (n * rate * (1 - rate) ** (n - 1) if n > 4 else 0)
                seen = 1 - never if pairs is space.bundles.held else float(n > 0)
                missing = np.log((1 - share * seen + 1e-3) / (1 - rare * seen + 1e-3))
                swing = np.log(share / rare) - missing
                usual[account] += share * seen * swing + missing
                doubt[account] += share * seen * (1 - share * seen) * swing**2
                held = np.log((max(inside - own, 0) + rare) / (size - own + 1) / rare)
                nats[account] += held if account in who else missing
    return nats, usual, doubt


@pytest.mark.parametrize("seed", range(4))
def test_construction_is_weighed_value_by_value(seed: int) -> None:
    """What all values say together is what each says, added up: held or lacking, a habit or not."""
    rng = np.random.default_rng(seed)
    n = 60
    volume = rng.choice([0, 1, 3, 5, 9, 400], n)
    weight = np.where(np.arange(n) < 9, rng.choice([1.0, 0.7], n), rng.choice([0.0, 0.0, 0.0, 0.01], n))

    def pairs(values: int, likely: float) -> Any:
        mine = rng.random((n, values)) < np.where(np.arange(n) < 9, likely, 0.06)[:, None]
        account, value = np.nonzero(mine)
        times = rng.integers(1, 9, len(account))
        return incidence(np.repeat(account, times).astype(np.int32), np.repeat(value, times), n)

    held, client = pairs(5, 0.9), pairs(3, 0.8)
    frame = SimpleNamespace(volume=lambda: volume)
    built = [Holders.of(held), Holders.of(client)]
    space: Any = SimpleNamespace(frame=frame, bundles=SimpleNamespace(held=held), built=built)
    nats, usual, doubt = plain_stack(space, weight)
    expected = _typical(np.clip(nats, -6, 6), nats - usual, weight, 6.0, doubt)
    assert np.abs(expected).max() > 1
    assert _stack(space, weight) == pytest.approx(expected, abs=1e-9)


def test_a_quiet_stranger_is_no_member(fitted: Profile, tiny_space: Space) -> None:
    """Who asked next to nothing is a member by strong ties of network and identity, or not at all."""
    quiet = tiny_space.frame.volume() < 5
    assert quiet.any()
    assert (fitted.total(("NET", "ID"))[quiet & (fitted.probability > 0)] >= 5.0).all()


def test_the_same_seed_group_gives_the_same_profile(
    fitted: Profile, tiny_space: Space, planted: dict[str, np.ndarray]
) -> None:
    """Nothing is drawn at random."""
    again = fit_profile(tiny_space, planted["reasoning"][::2])
    assert np.array_equal(again.probability, fitted.probability)


def test_the_total_is_the_sum_of_the_blocks(fitted: Profile) -> None:
    """Two blocks add up, account by account."""
    assert np.allclose(fitted.total(("NET", "ID")), fitted.terms["NET"] + fitted.terms["ID"])


def test_one_member_in_ten_may_share_nothing_with_the_rest(fitted: Profile, tiny_space: Space) -> None:
    """Lacking a network and lacking an identity is one lack, counted once; who shares either is judged as before."""
    eased = with_strangers(tiny_space, fitted)
    alone = (fitted.terms["NET"] < 0) & (fitted.terms["ID"] < 0)
    lack, before = eased.total(("NET", "ID")), fitted.total(("NET", "ID"))
    assert np.isclose(lack[~alone], before[~alone]).all()
    assert (lack[alone] >= before[alone] - 1e-9).all()
    assert (lack[alone] >= np.log(0.1) - 1e-9).all()
    assert set(fitted.members()) <= set(eased.members())


def test_a_stranger_who_asks_otherwise_stays_one(
    fitted: Profile, planted: dict[str, np.ndarray], tiny_space: Space
) -> None:
    """The twin: no innocent comes in because lacks count less."""
    eased = with_strangers(tiny_space, fitted)
    fresh = np.setdiff1d(eased.members(), fitted.members())
    assert set(fresh) <= set(planted["reasoning"])
