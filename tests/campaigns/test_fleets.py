"""Fleets of one owner: those that harvest are put before a person, others are left alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillwatch.campaigns import fleets
from stillwatch.campaigns.fleets import own_fleets
from stillwatch.linkage.nulls import Owners
from stillwatch.linkage.space import Space
from stillwatch.signals.worth import high_value_ids, worth


def owned(space: Space, members: np.ndarray, *, declared: bool = False) -> Space:
    """Return the space with these accounts on one card, and perhaps of one declared organisation."""
    unit = np.arange(space.frame.n_accounts, dtype=np.int32)
    unit[members] = members[0]
    org = np.full(space.frame.n_accounts, -1, np.int32)
    org[members] = 0 if declared else -1
    frame = replace(space.frame, attribute={**space.frame.attribute, "org_id": org})
    return replace(space, frame=frame, owners=Owners.of(unit))


def test_a_harvest_paid_by_one_card_is_put_before_a_person(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """All of the fleet's accounts, with certainty, and no q-value that was never earned."""
    (fleet,) = own_fleets(owned(tiny_space, planted["reasoning"]), [], [])
    assert fleet.members.tolist() == planted["reasoning"].tolist()
    assert (fleet.probability == 1.0).all()
    assert fleet.seed.q_value == 1.0


@pytest.mark.parametrize("population", ["office", "class", "hackathon"])
def test_colleagues_who_do_their_own_work_are_left_alone(
    tiny_space: Space, planted: dict[str, np.ndarray], population: str
) -> None:
    """The same card for people whose work no trainer wants."""
    assert own_fleets(owned(tiny_space, planted[population]), [], []) == []


def test_without_content_nobody_knows_what_a_fleet_asks_for(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """Where no account is known to ask for more than another, a harvest's card and an office's are left alone alike."""
    card = owned(tiny_space, planted["reasoning"])
    bare = replace(card, frame=replace(card.frame, capability=np.zeros_like(card.frame.capability)))
    blind = replace(bare, worth=worth(bare.frame, bare.labels, high_value=high_value_ids()))
    assert len(own_fleets(card, [], [])) == 1
    assert own_fleets(blind, [], []) == []


def test_a_fleet_whose_own_exchanges_are_worth_little_is_left_alone(
    tiny_space: Space, planted: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is put before a person reaches the floor by the exchanges that the report shows."""
    measured = fleets.measured
    monkeypatch.setattr(fleets, "measured", lambda *of: replace(measured(*of), worth=0.47))
    assert own_fleets(owned(tiny_space, planted["reasoning"]), [], []) == []


def test_a_declared_owner_and_a_small_fleet_are_left_alone(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """A contract says what a declared owner may do; a few accounts on one card are a household or a team."""
    assert own_fleets(owned(tiny_space, planted["reasoning"], declared=True), [], []) == []
    assert own_fleets(owned(tiny_space, planted["reasoning"][:12]), [], []) == []


def test_an_account_of_a_network_is_in_no_fleet(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """One group an account: what a network took is left out of the fleet, most of which must remain."""
    card = planted["reasoning"]
    for taken, left in ((2, len(card) - 2), (len(card) // 2 + 1, 0)):
        network: Any = SimpleNamespace(members=card[:taken], floor=0.5)
        remaining = own_fleets(owned(tiny_space, card), [], [network])
        assert sum(len(fleet.members) for fleet in remaining) == left
