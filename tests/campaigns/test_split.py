"""From accounts to exchanges: a mixed account's own traffic stays out of the case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stillwatch.campaigns.split import Split, split_exchanges
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


def test_members_without_exchanges_have_an_empty_split(tiny_space: Space) -> None:
    """An account that never asked took nothing."""
    silent = np.flatnonzero(tiny_space.frame.volume() == 0)[:3]
    made = split(tiny_space, silent)
    assert len(made.rows) == len(made.probability) == 0
    assert len(made.share) == len(silent)
