"""Candidate groups from a sparse account graph: Louvain communities (networkit PLM) at several resolutions."""

from __future__ import annotations

import networkit as nk
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from stillwatch.signals.activity import Vectors
from stillwatch.signals.frame import Ints
from stillwatch.signals.traits import Incidence

Floats = npt.NDArray[np.float64]


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


def nearest(vectors: Vectors, *, k: int = 12, floor: float = 0.25, block: int = 1024) -> sp.csr_matrix:
    """Return the graph of each account's ``k`` most alike accounts with cosine ≥ ``floor`` (weights are cosines).

    Exact, in blocks of rows: the product of all rows with all rows.

    ``vectors`` are accounts × dimensions, of length 1 at most; a zero row has no neighbours.

    >>> vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [0, 0]], np.float32)
    >>> graph = nearest(vectors, k=1)
    >>> [part.tolist() for part in graph.nonzero()]
    [[0, 1, 1, 2], [1, 0, 2, 1]]
    """
    there = np.flatnonzero(np.abs(vectors).sum(axis=1) > 0)
    dense = vectors[there]
    rows, columns, weights = [], [], []
    for begin in range(0, len(there), block):
        product = dense[begin : begin + block] @ dense.T
        product[np.arange(len(product)), begin + np.arange(len(product))] = -1.0
        width = min(k, product.shape[1] - 1)
        if width < 1:
            break
        best = np.argpartition(-product, width, axis=1)[:, :width]
        value = np.take_along_axis(product, best, axis=1)
        keep = value >= floor
        rows.append(there[np.repeat(np.arange(begin, begin + len(product)), width)[keep.ravel()]])
        columns.append(there[best[keep]])
        weights.append(value[keep])
    n = len(vectors)
    if not rows:
        return sp.csr_matrix((n, n))
    triple = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    graph = sp.csr_matrix(triple, shape=(n, n))
    return graph.maximum(graph.T)


def shared_values(families: list[Incidence], n_accounts: int, *, most: int = 200) -> sp.csr_matrix:
    """Return the graph of accounts that share rare values; a weight is Σ log(0.5 / u) nats over what they share.

    Values held by more than ``most`` accounts are left out: they are the business of the group scan, and would make
    the work quadratic in a popular value.

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
        use = ((holders >= 2) & (holders <= most) & (weight > 0))[family.value]
        data = np.sqrt(weight[family.value[use]])
        shape = (n_accounts, max(1, family.n_values))
        held = sp.csr_matrix((data, (family.account[use], family.value[use])), shape=shape)
        total = total + held @ held.T
    total.setdiag(0)
    total.eliminate_zeros()
    return sp.csr_matrix(total)
