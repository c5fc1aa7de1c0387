"""The account graph: which links are drawn, and that the picture is the same every time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.cases.network import draw, sample, spread, strongest


def star(size: int) -> tuple[pa.Table, pa.Table]:
    """One account linked to all others."""
    names = [f"a{i:03d}" for i in range(size)]
    members = pa.table({"account_id": names, "probability": [1 - i / size for i in range(size)]})
    links = {"account_a": ["a000"] * (size - 1), "account_b": names[1:], "axis": ["NET"] * (size - 1)}
    return members, pa.table({**links, "weight": [1.0] * (size - 1)})


def test_only_the_likeliest_accounts_are_drawn() -> None:
    """A limit of ten keeps the ten likeliest and their links."""
    network = sample(*star(50), 10)
    assert network.accounts == [f"a{i:03d}" for i in range(10)]
    assert network.members == 50
    assert network.links.max() < 10


def test_the_same_members_give_the_same_picture() -> None:
    """Two drawings are equal, whatever the order of the rows."""
    members, links = star(40)
    turned = members.take(pa.array(range(39, -1, -1)))
    assert draw(sample(members, links, 40)) == draw(sample(turned, links, 40))


def test_no_members_is_an_empty_picture() -> None:
    """Nothing to draw is no error."""
    members, links = star(1)
    assert sample(members.slice(0, 0), links.slice(0, 0), 10).accounts == []


def test_linked_accounts_lie_nearer_than_others() -> None:
    """Two cliques without a link between them come apart."""
    pairs = np.array([(a + c, b + c) for c in (0, 8) for a in range(8) for b in range(a)], dtype=np.int64)
    places = spread(16, pairs, np.ones(len(pairs)))
    within = np.mean([np.linalg.norm(places[a] - places[b]) for a, b in pairs])
    across = np.mean([np.linalg.norm(places[a] - places[b]) for a in range(8) for b in range(8, 16)])
    assert across > 1.5 * within


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from(["NET", "ID"])), max_size=60))
def test_the_strongest_link_of_an_account_is_always_drawn(rows: list[tuple[int, int, str]]) -> None:
    """Whatever the links, the heaviest one that is not to itself is kept, and none to itself is."""
    pairs = np.array([(a, b) for a, b, _ in rows], dtype=np.int64).reshape(-1, 2)
    weights = np.arange(len(rows), 0, -1, dtype=np.float64)
    keep = strongest(pairs, weights, [axis for _, _, axis in rows])
    proper = [i for i, (a, b, _) in enumerate(rows) if a != b]
    assert all(pairs[i, 0] != pairs[i, 1] for i in keep)
    assert (not proper) or proper[0] in keep
