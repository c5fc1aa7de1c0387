"""Units of people who belong together openly: a household, an office, a declared organisation."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from stillwatch.signals.frame import Codes, Ints
from stillwatch.signals.traits import Incidence

MOST = 60


def entities(
    families: list[Incidence], n_accounts: int, *, most: int = MOST, declared: Incidence | None = None
) -> Codes:
    """Return a unit for each account: accounts that share a value held by at most ``most`` accounts are one unit.

    A value held by more is an intermediary (a reseller's invoice, a carrier's address), not a unit. ``declared``
    ownership joins whatever its size.

    >>> from stillwatch.signals.traits import incidence
    >>> card = incidence(np.array([0, 1, 2], np.int32), np.array([4, 4, 5]), 3)
    >>> entities([card], 3).tolist()
    [0, 0, 1]
    """
    rows: list[Ints] = []
    columns: list[Ints] = []
    offset = n_accounts
    for family, limit in [*((f, most) for f in families), *([(declared, n_accounts)] if declared else [])]:
        small = family.holders() <= limit
        use = small[family.value]
        rows.append(family.account[use].astype(np.int64))
        columns.append(family.value[use].astype(np.int64) + offset)
        offset += family.n_values
    left = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    right = np.concatenate(columns) if columns else np.zeros(0, np.int64)
    graph = sp.csr_matrix((np.ones(len(left), np.int8), (left, right)), shape=(offset, offset))
    _, component = connected_components(graph, directed=False)
    _, unit = np.unique(component[:n_accounts], return_inverse=True)
    return unit.reshape(-1).astype(np.int32)
