"""Seeds become networks: one a campaign, led by the group whose members WHO ties the most."""

from __future__ import annotations

import numpy as np
import pytest

from stillwatch.campaigns import expand
from stillwatch.campaigns.expand import _stands, expanded
from stillwatch.campaigns.profile import WHO_BLOCKS, Profile
from stillwatch.linkage.groups import Candidate, Group, ViewResult
from stillwatch.linkage.space import Space
from stillwatch.tables import Dataset
from stillwatch.types import silent


@pytest.fixture(scope="module")
def truth(tiny: Dataset, tiny_space: Space) -> np.ndarray:
    """Return the campaign of every account ("" when innocent)."""
    of = {row["account_id"]: row["campaign_id"] or "" for row in tiny.labels()[0].to_pylist()}
    return np.array([of[name] for name in tiny_space.frame.account_ids.to_pylist()])


def group(members: np.ndarray, p_value: float) -> Group:
    """Return a significant group of some accounts."""
    return Group(Candidate("B", "alike work", members), {}, p_value, p_value)


def tie(profile: Profile) -> float:
    """Return the WHO evidence of a profile's members together."""
    return float(profile.total(WHO_BLOCKS)[profile.members()].sum())


def test_the_second_group_of_the_same_accounts_may_lead(tiny_space: Space, truth: np.ndarray) -> None:
    """A mixed group with the least p-value gives way to one of the fleet alone; by itself it keeps its place (twin)."""
    fleet = np.flatnonzero(truth == "reseller_fleet")
    strays = np.flatnonzero(truth == "low_and_slow")[:25]
    mixed = group(np.sort(np.r_[fleet[:70], strays]), 1e-9)
    alone = expanded(tiny_space, [mixed], [], 0.1, silent)
    both = expanded(tiny_space, [mixed, group(fleet[:120], 1e-8)], [], 0.1, silent)
    assert len(alone) == len(both) == 1
    assert alone[0][0] is mixed
    assert tie(both[0][1]) >= tie(alone[0][1])
    assert np.mean(truth[both[0][1].members()] == "reseller_fleet") > 0.95


def test_a_part_is_a_group_by_more_than_what_cut_it_out(tiny_space: Space, truth: np.ndarray) -> None:
    """Strangers who happen to share a card issuer's range are no part; a fleet with hours of its own is one (twin)."""
    issuer = tiny_space.identity["payment_bin"]
    strangers = issuer.account[issuer.value == np.argsort(-issuer.holders())[3]].astype(np.int64)
    assert len(strangers) >= 8
    assert not _stands(tiny_space, strangers[truth[strangers] == ""], chosen=True)
    assert _stands(tiny_space, np.flatnonzero(truth == "reseller_fleet"), chosen=True)


def test_what_a_circle_was_cut_from_is_a_group_by_any_two_views(
    tiny_space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks and identities say little of a circle chosen for them, and enough of the rest; one alone does not."""
    strong, chance = ViewResult(2.5, 0.1, 1e-9, 1.0), ViewResult(0.1, 0.1, 0.5, 1.0)
    speaking = {"NET", "ID"}
    monkeypatch.setattr(expand, "view_result", lambda space, name, *rest: strong if name in speaking else chance)
    assert _stands(tiny_space, np.arange(30), chosen=False)
    assert not _stands(tiny_space, np.arange(30), chosen=True)
    speaking.remove("ID")
    assert not _stands(tiny_space, np.arange(30), chosen=False)


def test_a_group_inside_a_network_is_not_expanded_again(tiny_space: Space, truth: np.ndarray) -> None:
    """Part of a network found already leads nowhere new, and a group beyond the nominal q-value nowhere at all."""
    fleet = np.flatnonzero(truth == "reseller_fleet")
    parts = [group(fleet, 1e-9), group(fleet[:20], 1e-8), group(fleet[:12], 1e-7)]
    assert len(expanded(tiny_space, parts, [], 0.1, silent)) == 1
    assert expanded(tiny_space, [group(fleet, 0.5)], [], 0.1, silent) == []
