"""Units of people who belong together openly, against networkx."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.linkage.entities import entities
from stillwatch.signals.traits import Incidence, incidence

N = 20
_family = st.lists(st.integers(-1, 12), min_size=N, max_size=N)


def family(values: list[int]) -> Incidence:
    """Return one value an account (-1: none)."""
    return incidence(np.arange(N, dtype=np.int32), np.array(values, np.int64), N)


def units(of: np.ndarray) -> set[frozenset[int]]:
    """Return units as sets of accounts."""
    return {frozenset(np.flatnonzero(of == unit).tolist()) for unit in np.unique(of)}


@settings(max_examples=60, deadline=None)
@given(_family, _family, st.one_of(st.none(), _family))
def test_units_are_the_components_of_shared_small_values(
    cards: list[int], devices: list[int], declared: list[int] | None
) -> None:
    """Values held by at most ``most`` join their holders; declared owners join whatever their size."""
    graph = nx.Graph()
    graph.add_nodes_from(range(N))
    for name, values in (("card", cards), ("device", devices)):
        small = {v for v in values if v >= 0 and values.count(v) <= 4}
        graph.add_edges_from((a, (name, v)) for a, v in enumerate(values) if v in small)
    graph.add_edges_from((a, ("owner", v)) for a, v in enumerate(declared or []) if v >= 0)
    wanted = {frozenset(node for node in part if isinstance(node, int)) for part in nx.connected_components(graph)}
    got = entities(
        [family(cards), family(devices)], N, most=4, declared=family(declared) if declared else None, large=99
    )
    assert units(got) == wanted - {frozenset()}


def test_a_household_is_a_unit_and_an_intermediary_is_not() -> None:
    """Three on one card are one; forty on a reseller's invoice stay forty (the twin)."""
    household = incidence(np.arange(40, dtype=np.int32), np.array([0, 0, 0, *range(1, 38)], np.int64), 40)
    invoice = incidence(np.arange(40, dtype=np.int32), np.zeros(40, np.int64), 40)
    assert len(set(entities([household], 40, most=10).tolist())) == 38
    assert len(set(entities([invoice], 40, most=10).tolist())) == 40


def test_a_chain_of_cards_and_devices_is_nobodys_open_property() -> None:
    """Forty accounts on ten cards, forty on one, all with devices in common: ten units, and one (the twin)."""
    everyone = np.arange(80, dtype=np.int32)
    card = incidence(everyone, np.r_[np.arange(40) % 10, np.full(40, 99)], 80)
    device = incidence(everyone, np.r_[np.arange(40) // 4, 50 + np.arange(40) // 4], 80)
    found = entities([card, device], 80)
    assert len(set(found[:40].tolist())) == 10
    assert len(set(found[40:].tolist())) == 1
    few = card.keep(card.account < 16, np.ones(card.n_values, bool))
    assert len(set(entities([few, device], 80)[:16].tolist())) == 1  # as small as a household, which may be a chain


def test_a_declared_organisation_is_a_unit_whatever_its_size() -> None:
    """What is declared hides nothing."""
    org = incidence(np.arange(40, dtype=np.int32), np.zeros(40, np.int64), 40)
    assert len(set(entities([], 40, most=10, declared=org).tolist())) == 1
