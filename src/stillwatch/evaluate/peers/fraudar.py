"""FRAUDAR: the densest block of accounts × what they share, robust to camouflage.

Hooi, Song, Beutel, Shah, Shin, Faloutsos, "FRAUDAR: Bounding Graph Fraud in the Face of Camouflage" (KDD 2016).
Written from the paper: greedy peeling (its Algorithm 1) with column weights 1 / log(d + 5).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stillwatch.evaluate.peers.actions import held_traits, one_table
from stillwatch.evaluate.peers.evidence import Blocks, Floats
from stillwatch.evaluate.peers.peer import Method
from stillwatch.evaluate.peers.roster import peer_frame, roster
from stillwatch.signals.compiled import compiled
from stillwatch.signals.frame import Ints
from stillwatch.signals.traits import Incidence
from stillwatch.tables import Dataset

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Fraudar(Method):
    """FRAUDAR on accounts × values; ``blocks`` one after another, each without the last one's edges.

    ``families`` are the traits used (empty: all that :func:`stillwatch.evaluate.peers.actions.held_traits` returns).
    The worth of a block is its density over that of the first, so the default cut of 1 reports the densest alone.

    >>> Fraudar().blocks
    12
    """

    blocks: int = 12
    families: tuple[str, ...] = ()

    def observe(self, dataset: Dataset, work: Path) -> Blocks:
        """Return the densest blocks of a dataset."""
        frame = peer_frame(dataset)
        block, worth = densest_blocks(one_table(held_traits(frame, self.families)), self.blocks)
        worth = worth / worth[0] if len(worth) else worth
        return Blocks(roster(frame), block, worth)


def densest_blocks(held: Incidence, blocks: int) -> tuple[Ints, Floats]:
    """Return the block of each account (-1: none) and the density of each block, found greedily one after another.

    An account stays in the first block that took it. Density is the weight of edges inside over accounts and values
    inside; an edge to a value of d holders weighs 1 / log(d + 5).

    >>> from stillwatch.signals.traits import incidence
    >>> accounts, values = np.repeat(np.arange(4, dtype=np.int32), 3), np.tile(np.arange(3), 4)
    >>> lonely = np.arange(4, 8, dtype=np.int32)
    >>> held = incidence(np.append(accounts, lonely), np.append(values, lonely), 8)
    >>> densest_blocks(held, 1)[0].tolist()
    [0, 0, 0, 0, -1, -1, -1, -1]
    """
    account, value = held.account.astype(np.int64), held.value.astype(np.int64)
    n = len(held.start) - 1
    block, worth = np.full(n, -1, np.int64), []
    for number in range(blocks):
        if not len(account):
            break
        weight = 1 / np.log(np.bincount(value, minlength=held.n_values)[value] + 5.0)
        inside, density = densest(account, value + n, weight, n + held.n_values)
        worth.append(density)
        block[inside[:n] & (block < 0)] = number
        keep = ~(inside[account] & inside[value + n])
        account, value = account[keep], value[keep]
    return block, np.array(worth)


def densest(one: Ints, two: Ints, weight: Floats, n: int) -> tuple[Mask, float]:
    """Return which of ``n`` nodes form the densest set that greedy peeling finds, and its density.

    Edges are ``one``–``two`` with ``weight``. Half the best density at least (Charikar 2000).

    >>> inside, density = densest(np.array([0, 0, 3]), np.array([1, 2, 4]), np.array([1.0, 1.0, 0.1]), 5)
    >>> inside.tolist(), round(density, 3)
    ([True, True, True, False, False], 0.667)
    """
    ends, others = np.concatenate((one, two)), np.concatenate((two, one))
    order = np.argsort(ends, kind="stable")
    start = np.searchsorted(ends[order], np.arange(n + 1))
    both = np.concatenate((weight, weight))[order]
    removed, density = _peel(start.astype(np.int64), others[order], both)
    best = int(np.argmax(density))
    inside = np.zeros(n, bool)
    inside[removed[best:]] = True
    return inside, float(density[best])


@compiled
def _peel(start: Ints, other: Ints, weight: Floats) -> tuple[Ints, Floats]:
    """Remove the node of least weight again and again; return the order, and the density before each removal."""
    n = len(start) - 1
    left = np.zeros(n)
    for node in range(n):
        left[node] = weight[start[node] : start[node + 1]].sum()
    heap = [(left[node], node) for node in range(n)]
    heapq.heapify(heap)
    alive = np.ones(n, np.bool_)
    removed, density = np.zeros(n, np.int64), np.zeros(n)
    total, count = left.sum() / 2, 0
    while count < n:
        value, node = heapq.heappop(heap)
        if not alive[node] or value > left[node]:
            continue
        removed[count], density[count] = node, total / (n - count)
        alive[node] = False
        count += 1
        total -= left[node]
        for edge in range(start[node], start[node + 1]):
            end = other[edge]
            if alive[end]:
                left[end] -= weight[edge]
                heapq.heappush(heap, (left[end], end))
    return removed, density
