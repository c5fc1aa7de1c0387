"""Leaving a part of the method out leaves out that part and no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stillwatch.campaigns.profile import fit_profile
from stillwatch.linkage.groups import candidates, view_result
from stillwatch.linkage.space import PARTS, Space, build_space


def test_an_unknown_part_is_named_with_those_there_are(tiny_space: Space) -> None:
    """A misspelt ablation is an error, not a full run that looks like an ablated one."""
    with pytest.raises(KeyError, match=r"NETT.*STACK"):
        build_space(tiny_space.frame, without={"NETT"})


@pytest.mark.parametrize("name", ["NET", "ID", "LIFE", "TIME", "STACK", "TASK"])
def test_a_view_left_out_has_no_data_and_no_say(tiny_space: Space, name: str) -> None:
    """Neither the test of a group nor the profile of a campaign knows a view that is left out; the others stay."""
    ablated = replace(tiny_space, without=frozenset({name}))
    group = np.arange(0, 40)
    rng = np.random.default_rng(0)
    assert np.isnan(view_result(ablated, name, group, rng, 10).p_value)
    terms = fit_profile(ablated, group, rounds=1).terms
    full = fit_profile(tiny_space, group, rounds=1).terms
    assert not terms[name].any()
    assert all((terms[other] == full[other]).all() for other in terms if other != name)


@pytest.mark.parametrize(("part", "left"), [("route A", {"B"}), ("route B", {"A"})])
def test_a_route_left_out_proposes_nothing(tiny_space: Space, part: str, left: set[str]) -> None:
    """The other route goes on."""
    assert {c.route for c in candidates(replace(tiny_space, without=frozenset({part})))} == left


def test_every_part_can_be_named() -> None:
    """The list that an ablation runs over has no doubles."""
    assert len(set(PARTS)) == len(PARTS)
