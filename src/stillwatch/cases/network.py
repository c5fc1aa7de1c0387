"""The account graph of a campaign: which accounts to draw, which shared evidence, and where.

Accounts are taken by probability, links by weight (each account keeps its strongest few of every kind), and places
come from a force layout (Fruchterman & Reingold 1991) begun on a golden-angle spiral: no randomness, same picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from stillwatch.cases.charts import Frame, figure, text
from stillwatch.cases.wording import probability_text

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
LINK_AXES = ("WHAT", "NET", "ID", "LIFE", "TIME", "STACK", "TASK", "WORTH")
LINKS_EACH = 4
ROUNDS = 80


@dataclass(frozen=True, slots=True)
class Network:
    """What is drawn: accounts with probability, links as positions (a, b), axis and weight, places 0 to 1."""

    accounts: list[str]
    probability: Floats
    links: Ints
    axes: list[str]
    weights: Floats
    places: Floats
    members: int
    all_links: int

    @property
    def kinds(self) -> dict[str, int]:
        """Links drawn by axis, in the fixed order of axes.

        Each is a count of links.
        """
        found = {axis: self.axes.count(axis) for axis in LINK_AXES}
        return {axis: number for axis, number in found.items() if number}


def sample(members: pa.Table, links: pa.Table, limit: int) -> Network:
    """Choose at most ``limit`` accounts and their strongest links, and place them.

    ``members`` and ``links`` are one campaign's rows of the scan's tables.

    >>> members = pa.table({"account_id": ["a", "b"], "probability": [0.9, 0.8]})
    >>> links = pa.table({"account_a": ["a"], "account_b": ["b"], "axis": ["NET"], "weight": [3.0]})
    >>> sample(members, links, 10).kinds
    {'NET': 1}
    """
    names = np.array(members["account_id"].to_pylist(), dtype=object)
    chance = np.nan_to_num(members["probability"].to_numpy().astype(np.float64))
    order = np.lexsort((names.astype(str), -chance))[:limit]
    shown = [str(name) for name in names[order]]
    known = pa.array(shown, pa.string())
    rows = links.append_column("a", pc.index_in(links["account_a"].cast(pa.string()), known))
    rows = rows.append_column("b", pc.index_in(links["account_b"].cast(pa.string()), known))
    rows = rows.filter(pc.and_(pc.is_valid(rows["a"]), pc.is_valid(rows["b"])))
    pairs = np.column_stack([rows["a"].to_numpy(), rows["b"].to_numpy()]).astype(np.int64).reshape(-1, 2)
    weights = np.nan_to_num(rows["weight"].to_numpy().astype(np.float64))
    axes = [str(axis) for axis in rows["axis"].to_pylist()]
    keep = strongest(pairs, weights, axes)
    pairs, weights, axes = pairs[keep], weights[keep], [axes[i] for i in keep]
    places = spread(len(shown), pairs, weights)
    return Network(shown, chance[order], pairs, axes, weights, places, len(names), links.num_rows)


def strongest(pairs: Ints, weights: Floats, axes: list[str]) -> Ints:
    """Return the positions of links to draw: an account's strongest few of each axis, no link to itself.

    >>> strongest(np.array([[0, 1], [1, 1]]), np.array([1.0, 9.0]), ["NET", "NET"]).tolist()
    [0]
    """
    used: dict[tuple[int, str], int] = {}
    keep = []
    for i in np.lexsort((pairs[:, 1], pairs[:, 0], -weights)):
        a, b = int(pairs[i, 0]), int(pairs[i, 1])
        held = used.get((a, axes[i]), 0), used.get((b, axes[i]), 0)
        if a == b or min(held) >= LINKS_EACH or max(held) >= 3 * LINKS_EACH:
            continue
        used[(a, axes[i])], used[(b, axes[i])] = held[0] + 1, held[1] + 1
        keep.append(int(i))
    return np.array(sorted(keep), dtype=np.int64)


def spread(nodes: int, pairs: Ints, weights: Floats) -> Floats:
    """Place nodes in the unit square: linked ones near, all apart (Fruchterman & Reingold 1991, no randomness).

    >>> places = spread(3, np.array([[0, 1]]), np.array([2.0]))
    >>> places.shape, bool((places >= 0).all() and (places <= 1).all())
    ((3, 2), True)
    """
    if nodes == 0:
        return np.zeros((0, 2))
    turn = np.arange(nodes) * np.pi * (3 - np.sqrt(5))
    at = np.sqrt((np.arange(nodes) + 0.5) / nodes)[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    ideal = 1.6 / np.sqrt(nodes)
    pull = np.zeros((nodes, nodes))
    if len(pairs):
        strength = 0.35 + 0.65 * weights / max(float(weights.max()), 1e-9)
        np.maximum.at(pull, (pairs[:, 0], pairs[:, 1]), strength)
    pull = np.maximum(pull, pull.T)
    degree = np.maximum(pull.sum(axis=1), 1.0)
    pull = 2.0 * pull / np.sqrt(degree[:, None] * degree)  # an account with many links is not pulled into a knot
    for i in range(ROUNDS):
        x, y = at[:, 0], at[:, 1]  # sums by element: matrix products may differ in the last bit between machines
        apart = np.maximum((x[:, None] - x) ** 2 + (y[:, None] - y) ** 2, 1e-6)
        force = ideal**2 / apart - pull * np.sqrt(apart) / ideal
        drawn = np.column_stack([(force * x).sum(axis=1), (force * y).sum(axis=1)])
        move = force.sum(axis=1)[:, None] * at - drawn - 0.9 * at
        length = np.maximum(np.sqrt((move**2).sum(axis=1)), 1e-9)
        at = at + move / length[:, None] * np.minimum(length, 0.12 * (1 - i / ROUNDS) + 0.002)[:, None]
    low, high = np.quantile(at, [0.02, 0.98], axis=0)  # a few far-off accounts must not shrink the rest
    inside = (at - low) / np.maximum(high - low, 1e-6) * 0.92 + 0.04
    return np.asarray(np.clip(inside, 0.0, 1.0), dtype=np.float64)


def draw(network: Network) -> Markup:
    """Draw the accounts and the evidence they share; links and accounts are coloured by axis.

    An account takes the colour of the axis on which its links weigh most; its size is its probability.

    >>> members = pa.table({"account_id": ["<a>"], "probability": [0.9]})
    >>> links = pa.table({"account_a": ["x"], "account_b": ["y"], "axis": ["NET"], "weight": [3.0]})
    >>> "&lt;a&gt;: probability 0.900" in draw(sample(members, links, 10))
    True
    """
    frame = Frame(560, 400, top=1.0)
    xy = np.column_stack([14 + network.places[:, 0] * 532, 14 + network.places[:, 1] * 372]).round(1)
    body = []
    for axis in network.kinds:
        chosen = [pair for pair, kind in zip(network.links, network.axes, strict=True) if kind == axis]
        path = "".join(f"M{xy[a, 0]:g} {xy[a, 1]:g}L{xy[b, 0]:g} {xy[b, 1]:g}" for a, b in chosen)
        body.append(f'<path class="link a-{axis}" d="{path}"/>')
    for i, (name, axis) in enumerate(zip(network.accounts, leading_axes(network), strict=True)):
        radius = 2.2 + 2.2 * network.probability[i]
        title = f"{name}: probability {probability_text(float(network.probability[i]))}"
        body.append(
            f'<circle class="node a-{axis}" cx="{xy[i, 0]:g}" cy="{xy[i, 1]:g}" r="{radius:.1f}">'
            f"<title>{text(title)}</title></circle>"
        )
    return figure(frame, body, f"{len(network.accounts)} accounts and the evidence they share", "network")


def leading_axes(network: Network) -> list[str]:
    """Return for each drawn account the axis on which its links weigh most, or ``none``.

    >>> members = pa.table({"account_id": ["a"], "probability": [0.9]})
    >>> links = pa.table({"account_a": ["x"], "account_b": ["y"], "axis": ["NET"], "weight": [3.0]})
    >>> leading_axes(sample(members, links, 10))
    ['none']
    """
    totals = np.zeros((len(network.accounts), len(LINK_AXES)))
    for (a, b), axis, weight in zip(network.links, network.axes, network.weights, strict=True):
        if axis in LINK_AXES:
            totals[[a, b], LINK_AXES.index(axis)] += weight
    return [LINK_AXES[int(row.argmax())] if row.any() else "none" for row in totals]
