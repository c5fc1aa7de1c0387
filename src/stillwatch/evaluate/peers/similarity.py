"""TF-IDF similarity network: accounts whose traces are most alike, linked into groups.

Pacheco, Hui, Torres-Lugo, Truong, Flammini, Menczer, "Uncovering Coordinated Networks on Social Media: Methods and
Case Studies" (ICWSM 2021). Written from the paper: a bipartite account × trace network weighted by TF-IDF, its
projection by cosine, and the links in the top half per cent of likeness.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from stillwatch.evaluate.peers.actions import held_traits, one_table
from stillwatch.evaluate.peers.evidence import Floats, Links
from stillwatch.evaluate.peers.peer import Method
from stillwatch.evaluate.peers.roster import peer_frame, roster
from stillwatch.signals.frame import Ints
from stillwatch.signals.traits import Incidence
from stillwatch.tables import Dataset

_BINS = 4096


@dataclass(frozen=True)
class SimilarityNetwork(Method):
    """Cosine of TF-IDF traces, as its place among all pairs that share a trace (0.995: the top half per cent).

    ``families`` are the traces used (empty: all); each account keeps its ``neighbours`` strongest links, which bounds
    memory and leaves connected groups as they are in all but constructed cases.

    >>> SimilarityNetwork().neighbours
    60
    """

    families: tuple[str, ...] = ()
    neighbours: int = 60

    def observe(self, dataset: Dataset, work: Path) -> Links:
        """Return pairs of accounts and the place of their likeness among all."""
        frame = peer_frame(dataset)
        held = one_table(held_traits(frame, self.families))
        one, two, cosine, below = alike(tfidf(held), self.neighbours)
        place = below[np.minimum((cosine * _BINS).astype(int), _BINS - 1)] + 1e-9 * cosine
        return Links(roster(frame), one, two, place)


def tfidf(held: Incidence) -> sp.csr_matrix:
    """Return accounts × values, TF-IDF weighted (1 + log count, log N / holders), rows of length 1.

    >>> from stillwatch.signals.traits import incidence
    >>> tfidf(incidence(np.array([0, 1], np.int32), np.array([0, 1]), 2)).toarray().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    n = len(held.start) - 1
    idf = np.log(n / np.maximum(1, held.holders()))
    weight = (1 + np.log(held.count)) * idf[held.value]
    norm = np.sqrt(np.bincount(held.account, weight**2, n))
    data = weight / np.maximum(norm[held.account], 1e-12)
    return sp.csr_matrix((data, (held.account, held.value)), shape=(n, max(1, held.n_values)))


def alike(rows: sp.csr_matrix, neighbours: int, *, block: int = 256) -> tuple[Ints, Ints, Floats, Floats]:
    """Return the pairs of each row's nearest rows with their cosine, and the share of all pairs below each bin.

    Pairs that share nothing are no pairs. The last array has an entry for each of 4,096 bins of cosine.

    >>> one, two, cosine, below = alike(sp.csr_matrix(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])), 1)
    >>> one.tolist(), two.tolist(), cosine.tolist()
    ([0, 1], [1, 2], [0.6, 0.8])
    """
    n, other = rows.shape[0], rows.T.tocsr()
    counts = np.zeros(_BINS, np.int64)
    found: list[tuple[Ints, Ints, Floats]] = []
    for begin in range(0, n, block):
        cosine = (rows[begin : begin + block] @ other).toarray()
        own = np.arange(len(cosine))
        cosine[own, begin + own] = 0.0
        counts += np.bincount(np.minimum((cosine[cosine > 0] * _BINS).astype(int), _BINS - 1), minlength=_BINS)
        width = min(neighbours, n - 1)
        best = np.argpartition(-cosine, width - 1, axis=1)[:, :width] if width else np.zeros((len(cosine), 0), int)
        value = np.take_along_axis(cosine, best, axis=1)
        keep = value > 0
        found.append((np.repeat(begin + own, width)[keep.ravel()], best[keep], value[keep]))
    one, two, cosine = (np.concatenate(column) for column in zip(*found, strict=True))
    pairs, at = np.unique(np.minimum(one, two) * n + np.maximum(one, two), return_index=True)
    below = (np.cumsum(counts) - counts) / max(1, counts.sum())
    return pairs // n, pairs % n, cosine[at], below
