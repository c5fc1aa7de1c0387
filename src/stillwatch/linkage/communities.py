"""Candidate groups from a sparse account graph: Louvain communities (networkit PLM) at several resolutions."""

from __future__ import annotations

from collections.abc import Iterator

import networkit as nk
import numba
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from stillwatch.signals.activity import Vectors
from stillwatch.signals.frame import Ints
from stillwatch.signals.traits import Incidence

Floats = npt.NDArray[np.float64]
_BLOCK = 1_024  # rows multiplied at a time
_VISITS, _ROUNDS, _SAMPLED, _CROWD = 8, 4, 40, 8
_LEAST_CIRCLE = 16


def communities(graph: sp.csr_matrix, resolutions: tuple[float, ...], *, least: int, seed: int = 0) -> list[Ints]:
    """Return the distinct communities of at least ``least`` nodes over all resolutions, each sorted.

    ``graph`` is symmetric (nodes × nodes, weights above 0); a greater resolution gives smaller communities (PLM,
    Staudt & Meyerhenke 2016). One thread and a fixed seed: the same graph gives the same communities.

    >>> triangles = sp.csr_matrix(np.kron(np.eye(2), np.ones((3, 3))))
    >>> [group.tolist() for group in communities(triangles, (1.0,), least=3)]
    [[0, 1, 2], [3, 4, 5]]
    """
    upper = sp.triu(graph, k=1).tocoo()
    if not upper.nnz:
        return []
    nk.setNumberOfThreads(1)
    nk.setSeed(seed, False)
    network = nk.GraphFromCoo(
        (upper.data.astype(np.float64), (upper.row.astype(np.uint64), upper.col.astype(np.uint64))),
        n=graph.shape[0],
        weighted=True,
        directed=False,
    )
    found: dict[bytes, Ints] = {}
    for gamma in resolutions:
        part = np.asarray(nk.community.PLM(network, refine=True, gamma=gamma).run().getPartition().getVector())
        order = np.argsort(part, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            if len(group) >= least:
                found.setdefault(np.sort(group).tobytes(), np.sort(group))
    return list(found.values())


def nearest(
    vectors: Vectors, *, k: int = 12, floor: float = 0.25, whole: int = 16_384, cell: int = 512, seed: int = 0
) -> sp.csr_matrix:
    """Return the graph of each account's ``k`` most alike accounts with cosine ≥ ``floor`` (weights are cosines).

    Exact up to ``whole`` accounts. More are sorted into cells of about ``cell`` alike accounts, and each is compared
    with the accounts of its eight nearest cells (an inverted file, Sivic & Zisserman 2003): the work grows as n, and a
    few of the neighbours are second best (docs/decisions/0012-neighbours-in-cells.md). ``seed`` draws the cells.

    ``vectors`` are accounts × dimensions, of length 1 at most; a zero row has no neighbours.

    >>> vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [0, 0]], np.float32)
    >>> graph = nearest(vectors, k=1)
    >>> [part.tolist() for part in graph.nonzero()]
    [[0, 1, 1, 2], [1, 0, 2, 1]]
    """
    there = np.flatnonzero(np.abs(vectors).sum(axis=1) > 0)
    dense, n = vectors[there], len(vectors)
    value = np.full((len(there), k), np.nextafter(np.float32(floor), np.float32(-1.0)), np.float32)
    other = np.full((len(there), k), -1, np.int64)
    every = np.arange(len(there))
    for rows, columns in [(every, every)] if len(there) <= whole else _meetings(dense, cell, seed):
        held = np.ascontiguousarray(dense[columns].T)
        for begin in range(0, len(rows), _BLOCK):
            some = rows[begin : begin + _BLOCK]
            _keep_best(dense[some] @ held, some, columns, value, other)
    row, place = np.nonzero(other >= 0)
    triple = (value[row, place], (there[row], there[other[row, place]]))
    graph = sp.csr_matrix(triple, shape=(n, n))
    return graph.maximum(graph.T)


def _meetings(dense: Vectors, cell: int, seed: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield, cell by cell, the rows that look for neighbours there and the rows that live there.

    Cells come from spherical k-means (Dhillon & Modha 2001) on a sample. One that is much too large, as when a template
    is all that its accounts ask, is cut in pieces: there any neighbours are as near as others.
    """
    rng = np.random.default_rng(seed)
    count = -(-len(dense) // cell)
    sample = dense[np.sort(rng.choice(len(dense), min(len(dense), _SAMPLED * count), replace=False))]
    centre = sample[np.sort(rng.choice(len(sample), count, replace=False))]
    for _ in range(_ROUNDS):
        home = _closest(sample, centre, 1)[:, 0]
        member = sp.csr_matrix((np.ones(len(home), np.float32), (home, np.arange(len(home)))), (count, len(home)))
        total = np.asarray(member @ sample)
        centre = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    visits = _closest(dense, centre, min(_VISITS, count))
    guests = np.argsort(visits.ravel(), kind="stable")
    bounds = np.searchsorted(visits.ravel()[guests], np.arange(count + 1))
    by_home = np.argsort(visits[:, 0], kind="stable")
    homes = np.searchsorted(visits[by_home, 0], np.arange(count + 1))
    for number in range(count):
        rows = guests[bounds[number] : bounds[number + 1]] // visits.shape[1]
        columns = by_home[homes[number] : homes[number + 1]]
        if len(columns) <= _CROWD * cell:
            yield rows, columns
            continue
        for piece in np.array_split(columns, -(-len(columns) // cell)):
            yield piece, piece


def _closest(dense: Vectors, centre: Vectors, count: int) -> Ints:
    """Return the nearest centres of each row (rows × ``count``), the nearest first."""
    parts = [np.zeros((0, count), np.int64)]
    for begin in range(0, len(dense), _BLOCK):
        product = dense[begin : begin + _BLOCK] @ centre.T
        best = np.argpartition(-product, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(product, best, axis=1), axis=1, kind="stable")
        parts.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(parts)


@numba.njit(cache=True, nogil=True)
def _keep_best(product: Vectors, rows: Ints, columns: Ints, value: Vectors, other: Ints) -> None:
    """Keep the greatest products of each row, descending, with whose they are; ``value`` starts at the least wanted."""
    k = value.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        for j in range(len(columns)):
            new = product[i, j]
            if new <= value[row, k - 1] or columns[j] == row:
                continue
            at = k - 1
            while at > 0 and value[row, at - 1] < new:
                value[row, at], other[row, at] = value[row, at - 1], other[row, at - 1]
                at -= 1
            value[row, at], other[row, at] = new, columns[j]


def shared_values(families: list[Incidence], n_accounts: int, *, most: int = 200, each: int = 128) -> sp.csr_matrix:
    """Return the graph of accounts that share rare values; a weight is Σ log(0.5 / u) nats over what they share.

    Values held by more than ``most`` accounts are left out: they are the business of the group scan, and would make
    the work quadratic in a popular value. Where a family would still link an account with more than ``each`` others on
    average, the holders of its most popular values are linked in overlapping circles (:func:`_circles`).

    ``u`` is the share of accounts that hold a value; the graph is symmetric (accounts × accounts), its diagonal empty.

    >>> from stillwatch.signals.traits import incidence
    >>> card = incidence(np.array([0, 1, 2], np.int32), np.array([0, 0, 1]), 99)
    >>> graph = shared_values([card], 99)
    >>> graph[0, 1].round(3).item(), graph.nnz
    (2.996, 2)
    """
    total = sp.csr_matrix((n_accounts, n_accounts))
    for family in families:
        holders = family.holders()
        weight = np.maximum(0.0, np.log(0.5 * (n_accounts + 1) / (holders + 0.5)))
        rare = (holders >= 2) & (holders <= most) & (weight > 0)
        circle = _circle(holders[rare], each * n_accounts)
        for value, factor in _circles(family, rare, circle):
            use = value >= 0
            data = np.sqrt((weight * factor)[family.value[use]])
            shape = (n_accounts, int(value.max(initial=0)) + 1)
            held = sp.csr_matrix((data, (family.account[use], value[use])), shape=shape)
            total = total + held @ held.T
    total.setdiag(0)
    total.eliminate_zeros()
    return sp.csr_matrix(total)


def _circle(holders: Ints, pairs: int) -> int:
    """Return how many holders of a value may be linked all with all, for about ``pairs`` pairs at most."""
    largest = int(holders.max(initial=2))
    while largest > _LEAST_CIRCLE and int((holders * np.minimum(holders, largest)).sum()) > pairs:
        largest = max(_LEAST_CIRCLE, largest // 2)
    return largest


def _circles(family: Incidence, rare: npt.NDArray[np.bool_], circle: int) -> Iterator[tuple[Ints, Floats]]:
    """Yield values for the family's pairs (-1 none) and a factor for their weight, such that few accounts hold each.

    Values of at most ``circle`` holders stay as they are. Those of more are cut in circles twice, the second time half
    a circle on, so that neighbouring circles overlap; the factor makes up for the pairs that are not linked.
    """
    holders = family.holders()
    crowded = rare & (holders > circle)
    yield np.where((rare & ~crowded)[family.value], family.value, -1).astype(np.int64), np.ones(len(holders))
    if not crowded.any():
        return
    order = np.argsort(family.value, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - (np.cumsum(holders) - holders)[family.value[order]]
    for shift in (0, circle // 2):
        number = (rank + shift) // circle
        _, value = np.unique(family.value * np.int64(len(order) + 1) + number, return_inverse=True)
        yield np.where(crowded[family.value], value.reshape(-1), -1), holders / (2.0 * circle)
