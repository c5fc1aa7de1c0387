"""Units of people who belong together openly: a household, an office, a declared organisation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from stillwatch.signals.frame import Codes, Ints
from stillwatch.signals.traits import Incidence

Mask = npt.NDArray[np.bool_]
Pairs = tuple[Ints, Ints]
MOST = 60
LARGE = 20  # accounts from which on a unit must be joined by one value for the most part


def entities(
    families: list[Incidence],
    n_accounts: int,
    *,
    most: int = MOST,
    declared: Incidence | None = None,
    large: int = LARGE,
) -> Codes:
    """Return a unit for each account: accounts that share a value held by at most ``most`` accounts are one unit.

    A value held by more is an intermediary (a reseller's invoice, a carrier's address), not a unit. ``declared``
    ownership joins whatever its size. A unit of ``large`` accounts or more of which no value joins half is a chain
    (many cards, each with some of many devices): nobody's open property, so it falls into the units of its first family
    and its declared ones.

    >>> from stillwatch.signals.traits import incidence
    >>> card = incidence(np.array([0, 1, 2], np.int32), np.array([4, 4, 5]), 3)
    >>> entities([card], 3).tolist()
    [0, 0, 1]
    """
    own = [(declared, n_accounts)] if declared else []
    parts = [_joining(family, limit) for family, limit in [*((f, most) for f in families), *own]]
    unit = _components(parts, n_accounts)
    chained = _chained(parts, unit, large)
    if not chained.any():
        return unit
    kept = [part if i in (0, len(families)) else _without(part, chained) for i, part in enumerate(parts)]
    return _components(kept, n_accounts)


def _joining(family: Incidence, limit: int) -> Pairs:
    """Return the account and value of each pair whose value has few enough holders to join them."""
    use = (family.holders() <= limit)[family.value]
    return family.account[use].astype(np.int64), family.value[use].astype(np.int64)


def _without(pairs: Pairs, accounts: Mask) -> Pairs:
    keep = ~accounts[pairs[0]]
    return pairs[0][keep], pairs[1][keep]


def _components(parts: list[Pairs], n_accounts: int) -> Codes:
    """Return the connected components of accounts and values, numbered from 0."""
    offset, columns = n_accounts, [np.zeros(0, np.int64)]
    for _, value in parts:
        columns.append(value + offset)
        offset += int(value.max(initial=-1)) + 1
    left, right = np.concatenate([np.zeros(0, np.int64), *(account for account, _ in parts)]), np.concatenate(columns)
    graph = sp.csr_matrix((np.ones(len(left), np.int8), (left, right)), shape=(offset, offset))
    _, component = connected_components(graph, directed=False)
    _, unit = np.unique(component[:n_accounts], return_inverse=True)
    return unit.reshape(-1).astype(np.int32)


def _chained(parts: list[Pairs], unit: Codes, large: int) -> Mask:
    """Say which accounts are in a large unit of which no single value joins half."""
    size = np.bincount(unit)
    most = np.zeros(len(size), np.int64)
    for account, value in parts:
        distinct, first, count = np.unique(value, return_index=True, return_counts=True)
        if len(distinct):
            np.maximum.at(most, unit[account[first]], count)
    return np.asarray((size >= large) & (most * 2 < size), np.bool_)[unit]
