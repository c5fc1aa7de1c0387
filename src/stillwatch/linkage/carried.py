"""Which exchanges carry which prompt construction: counted in the postings when it is asked, for what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from stillwatch.linkage.bundles import Bundles
from stillwatch.signals.characters import U8
from stillwatch.signals.columns import U64, Codes, Ints, room
from stillwatch.signals.compiled import lean
from stillwatch.signals.frame import Frame
from stillwatch.signals.postings import Places, Postings, postings_of
from stillwatch.tables.threads import mapped

_Counted = tuple[U8, npt.NDArray[np.int32], Ints]


@dataclass(frozen=True)
class Carried:
    """How many hashes of each bundle each exchange carries: ``hashes`` are the content traits that ``bundles`` joins.

    >>> carried = example_space().carried
    >>> carried.by(np.arange(2)).shape == (2, example_space().frame.n_exchanges)
    True
    """

    frame: Frame
    hashes: U64
    bundles: Bundles

    def by(self, wanted: Ints) -> sp.csr_matrix:
        """Return counts, 255 at most, by bundle × exchange: a row for each of ``wanted``, its columns in no order.

        >>> example_space().carried.by(np.zeros(0, np.int64)).nnz
        0
        """
        hashes, size = self._hashes(wanted)
        found = list(self._counted(hashes, np.repeat(np.arange(len(wanted), dtype=np.int32), size), len(wanted)))
        return sp.csr_matrix(_joined(found, len(wanted)), shape=(len(wanted), self.frame.n_exchanges))

    def together(self, wanted: Ints) -> U8:
        """Return by exchange how many hashes of all the ``wanted`` bundles it carries, 255 at most.

        >>> int(example_space().carried.together(np.zeros(0, np.int64)).sum())
        0
        """
        out = np.zeros(self.frame.n_exchanges, np.uint8)
        hashes, _ = self._hashes(wanted)
        for counts, rows, _ in self._counted(hashes, np.zeros(len(hashes), np.int32), 1):
            out[rows] = counts
        return out

    def _counted(self, hashes: U64, group: Codes, groups: int) -> Iterator[_Counted]:
        """Count the hashes of each group in the exchanges, a piece at a time."""

        def counted(piece: tuple[Places, Postings]) -> _Counted:
            place, held = piece
            counts, rows, first = held.counted(hashes, group, groups, len(place))
            return counts, place[rows].astype(np.int32), first

        return mapped(postings_of(self.frame.sketch) if len(hashes) else [], counted)

    def _hashes(self, wanted: Ints) -> tuple[U64, Ints]:
        """Return the hashes of some bundles, bundle by bundle, and how many each has."""
        order, start = self._ordered
        size = start[wanted + 1] - start[wanted]
        at = order[np.arange(int(size.sum())) + np.repeat(start[wanted] - (np.cumsum(size) - size), size)]
        return self.hashes[at], size

    @cached_property
    def _ordered(self) -> tuple[Codes, Ints]:
        """The traits bundle by bundle, and where each bundle's begin."""
        order = np.argsort(self.bundles.of, kind="stable").astype(np.int32)
        return order, np.concatenate(([0], np.cumsum(self.bundles.size)))


def _joined(found: list[_Counted], groups: int) -> tuple[U8, Codes, Ints]:
    """Put what pieces hold of each group one behind the other: counts, exchanges, and where each group starts."""
    start = np.zeros(groups + 1, np.int64)
    for _, _, first in found:
        start += first
    counts, rows, free = room(start[-1], np.uint8), room(start[-1], np.int32), start[:-1].copy()
    for part in found:
        _append(part, free, counts, rows)
    return counts, rows, start


@lean
def _append(part: tuple[U8, Codes, Ints], free: Ints, counts: U8, rows: Codes) -> None:
    more, places, first = part
    for group in range(len(free)):
        for k in range(first[group], first[group + 1]):
            counts[free[group]], rows[free[group]] = more[k], places[k]
            free[group] += 1
