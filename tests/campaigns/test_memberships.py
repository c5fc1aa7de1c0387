"""Many groups compared with one at once, against plain sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.campaigns.memberships import Memberships

_group = st.sets(st.integers(0, 15), max_size=10)


@settings(max_examples=50, deadline=None)
@given(st.lists(_group, max_size=6), _group)
def test_what_groups_share_with_one_is_that_of_sets(groups: list[set[int]], one: set[int]) -> None:
    """Counts group by group, empty groups too, and the union of those that share anything."""
    made = Memberships.of([np.array(sorted(group), np.int64) for group in groups], 16)
    shared = made.shared(np.array(sorted(one), np.int64))
    assert shared.tolist() == [len(group & one) for group in groups]
    union = set().union(*(group for group in groups if group & one))
    assert set(np.flatnonzero(made.of_those(shared > 0)).tolist()) == union
