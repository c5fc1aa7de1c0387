"""From accounts to exchanges: a mixed account's own traffic stays out of the case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stillwatch.campaigns.split import Split, _constructed, _floored, _shares, split_exchanges
from stillwatch.linkage import space as linking
from stillwatch.linkage.space import Space
from stillwatch.signals.columns import blocks
from stillwatch.tables import Dataset

CAMPAIGNS = ("reasoning", "low_and_slow", "reseller_fleet")


@pytest.fixture(scope="module")
def truth(tiny: Dataset, tiny_space: Space) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return each campaign's accounts, and the campaign of every exchange ("" when its own)."""
    ids = {name: number for number, name in enumerate(tiny_space.frame.account_ids.to_pylist())}
    accounts, exchanges = (table.to_pylist() for table in tiny.labels())
    of = {row["exchange_id"]: row["campaign_id"] or "" for row in exchanges}
    members = {
        c: np.sort(np.array([ids[row["account_id"]] for row in accounts if row["campaign_id"] == c])) for c in CAMPAIGNS
    }
    return members, np.array([of[name] for name in tiny_space.frame.exchange_ids.to_pylist()])


def split(space: Space, members: np.ndarray) -> Split:
    """Split the exchanges of certain members."""
    return split_exchanges(space, members, np.ones(len(members)))


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_most_of_a_campaigns_exchanges_are_found_and_own_traffic_stays_out(
    tiny_space: Space, truth: tuple[dict[str, np.ndarray], np.ndarray], campaign: str
) -> None:
    """Of the members' exchanges most of the campaign's are taken, and most of what is taken is the campaign's."""
    members, of = truth
    made = split(tiny_space, members[campaign])
    taken = made.probability >= 0.5
    real = of[made.rows] == campaign
    assert (taken & real).sum() >= 0.7 * real.sum()
    assert (taken & real).sum() >= 0.9 * taken.sum()


def test_own_traffic_of_a_mixed_account_is_left_alone(
    tiny_space: Space, truth: tuple[dict[str, np.ndarray], np.ndarray]
) -> None:
    """Accounts that carry both: a campaign's exchange is far likelier taken than one of their own."""
    members, of = truth
    made = split(tiny_space, members["reseller_fleet"])
    real = of[made.rows] == "reseller_fleet"
    owners = tiny_space.frame.account[made.rows]
    mixed = [a for a in members["reseller_fleet"] if real[owners == a].any() and (~real[owners == a]).sum() >= 5]
    assert mixed
    both = np.isin(owners, mixed)
    assert made.probability[both & real].mean() > made.probability[both & ~real].mean() + 0.4


def test_only_members_exchanges_are_split(tiny_space: Space, truth: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    """Rows are those of the members and no other; one share a member; probabilities are probabilities."""
    members = truth[0]["reasoning"]
    made = split(tiny_space, members)
    assert set(tiny_space.frame.account[made.rows].tolist()) <= set(members.tolist())
    assert len(made.rows) == tiny_space.frame.volume()[members].sum()
    assert made.share.shape == (len(members),)
    assert ((made.probability >= 0) & (made.probability <= 1)).all()


def test_the_same_members_give_the_same_split(
    tiny_space: Space, truth: tuple[dict[str, np.ndarray], np.ndarray]
) -> None:
    """Nothing is drawn at random."""
    members = truth[0]["low_and_slow"]
    assert np.array_equal(split(tiny_space, members).probability, split(tiny_space, members).probability)


def test_the_split_does_not_depend_on_how_exchanges_are_taken_in_blocks(
    tiny_space: Space, truth: tuple[dict[str, np.ndarray], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everyone else's traffic, seen a thousand exchanges at a time, has the very shares of all of it at once."""
    members = truth[0]["reseller_fleet"]
    whole = split(tiny_space, members)
    monkeypatch.setattr(linking, "blocks", lambda account: blocks(account, rows=1_000))
    parts = split(replace(tiny_space), members)
    assert parts.probability == pytest.approx(whole.probability, abs=1e-9)
    assert parts.share == pytest.approx(whole.share, abs=1e-9)


def one_by_one(space: Space, members: np.ndarray) -> np.ndarray:
    """Return the probability of each exchange, fitted on the exchanges one by one."""
    rows = np.concatenate([np.arange(*space.frame.start[a : a + 2]) for a in members])
    place = np.searchsorted(members, space.frame.account[rows])
    others = np.flatnonzero(~np.isin(space.frame.account, members))
    each = 1.0 / np.maximum(space.frame.volume(), 1)[space.frame.account]
    level = _constructed(space, members)
    mine, rest = ([*space.kinds(some), level[some]] for some in (rows, others))
    background = []
    for own, other in zip(mine, rest, strict=True):
        size = int(max(own.max(), other.max())) + 1
        background.append(_floored(np.bincount(other, weights=each[others], minlength=size)))
    built = (mine[-1] > 0).mean() >= 1 / 3
    probability = np.array([0.2, 0.6, 0.9, 0.95])[mine[-1]] if built else np.full(len(rows), 0.8)
    share = np.full(len(members), 0.8)
    for _ in range(20):
        theirs, own = probability * each[rows] ** 0.5, (1 - probability) * each[rows] ** 0.5
        score = np.zeros(len(rows))
        for value, base in zip(mine, background, strict=True):
            other = _shares(value, own, base, (theirs.sum() + own.sum()) / own.sum())
            score += np.clip(np.log(_shares(value, theirs, base, 0.002) / other)[value], -7, 7)
        odds = share[place] * np.exp(np.clip(score, -14, 14))
        before, probability = probability, odds / (odds + 1 - share[place])
        share = (np.bincount(place, weights=probability) + 0.8) / (np.bincount(place) + 1)
        if np.abs(probability - before).mean() < 1e-4:
            break
    return probability


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_exchanges_that_are_alike_are_split_as_one_by_one(
    tiny_space: Space, truth: tuple[dict[str, np.ndarray], np.ndarray], campaign: str
) -> None:
    """Alike exchanges of a member, taken together, have the probabilities that each has by itself."""
    members = truth[0][campaign]
    assert split(tiny_space, members).probability == pytest.approx(one_by_one(tiny_space, members), abs=1e-6)


def test_members_without_exchanges_have_an_empty_split(tiny_space: Space) -> None:
    """An account that never asked took nothing."""
    silent = np.flatnonzero(tiny_space.frame.volume() == 0)[:3]
    made = split(tiny_space, silent)
    assert len(made.rows) == len(made.probability) == 0
    assert len(made.share) == len(silent)
