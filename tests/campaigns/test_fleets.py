"""Fleets of one owner: those that harvest are put before a person, others are left alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillwatch.campaigns.fleets import own_fleets
from stillwatch.linkage.nulls import Owners
from stillwatch.linkage.space import Space


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


def test_a_declared_owner_and_a_small_fleet_are_left_alone(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """A contract says what a declared owner may do; a few accounts on one card are a household or a team."""
    assert own_fleets(owned(tiny_space, planted["reasoning"], declared=True), [], []) == []
    assert own_fleets(owned(tiny_space, planted["reasoning"][:12]), [], []) == []


def test_an_account_of_a_network_is_in_no_fleet(tiny_space: Space, planted: dict[str, np.ndarray]) -> None:
    """One group an account: what a network took is left out of the fleet, most of which must remain."""
    card = planted["reasoning"]
    for taken, left in ((2, len(card) - 2), (len(card) // 2 + 1, 0)):
        network: Any = SimpleNamespace(members=card[:taken], floor=0.5)
        fleets = own_fleets(owned(tiny_space, card), [], [network])
        assert sum(len(fleet.members) for fleet in fleets) == left
