"""SynchroTrap-like: pairs of accounts whose timed actions coincide, linked into groups.

Cao, Yang, Yu, Palow, "Uncovering Large Groups of Active Malicious Accounts in Online Social Networks" (CCS 2014).
Written from the paper: an action is (what, hour); the likeness of two accounts in a sliding window of days is the
Jaccard coefficient of their actions; links above a threshold, then single linkage (connected components).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from stillwatch.evaluate.peers.actions import Actions, coded_actions, content_actions, joined
from stillwatch.evaluate.peers.evidence import Links
from stillwatch.evaluate.peers.peer import Method
from stillwatch.evaluate.peers.roster import peer_frame, roster
from stillwatch.signals.frame import Ints
from stillwatch.tables import Dataset

HOUR = 3_600_000_000


@dataclass(frozen=True)
class SynchroTrap(Method):
    """Jaccard of (prompt head, system text, tools or address; slot of ``hours``) in windows of ``days``.

    A pair needs ``common`` actions in common in a window. Actions of more than ``most`` accounts are left out: they
    cost quadratic time, and the paper too leaves out what is popular with everybody.

    >>> SynchroTrap().days
    7
    """

    hours: float = 1.0
    days: int = 7
    step: int = 1
    common: int = 3
    most: int = 400

    def observe(self, dataset: Dataset, work: Path) -> Links:
        """Return pairs of accounts with their likeness, the greatest over all windows."""
        frame = peer_frame(dataset)
        actions = joined(content_actions(frame), coded_actions(frame, ("ip", "ip_prefix")))
        one, two, weight = self.pairs(actions, frame.n_accounts)
        return Links(roster(frame), one, two, weight)

    def pairs(
        self, actions: Actions, n_accounts: int
    ) -> tuple[Ints, Ints, np.ndarray[tuple[int], np.dtype[np.float64]]]:
        """Return pairs (first below second) with their greatest likeness over the windows, 0 to 1.

        >>> both = Actions(np.array([0, 0, 0, 1, 1, 1]), np.array([1, 2, 3, 1, 2, 3]), np.zeros(6, np.int64))
        >>> [part.tolist() for part in SynchroTrap().pairs(both, 2)]
        [[0], [1], [1.0]]
        """
        slot = (actions.ts / (self.hours * HOUR)).astype(np.int64)
        n_slots = int(slot.max(initial=0)) + 1
        _, token = np.unique(actions.value * n_slots + slot, return_inverse=True)
        day = slot * self.hours // 24
        first, last = (int(day.min()), int(day.max())) if len(day) else (0, -1)
        likeness = sp.csr_matrix((n_accounts, n_accounts))
        for begin in range(first, max(first, last - self.days + 1) + 1, self.step):
            inside = (day >= begin) & (day < begin + self.days)
            likeness = likeness.maximum(self._jaccard(actions.account[inside], token[inside], n_accounts))
        upper = sp.triu(likeness, k=1).tocoo()
        return upper.row.astype(np.int64), upper.col.astype(np.int64), upper.data

    def _jaccard(self, account: Ints, token: Ints, n_accounts: int) -> sp.csr_matrix:
        """Return the likeness of all pairs with enough in common."""
        distinct, token = np.unique(token, return_inverse=True)
        held = sp.csr_matrix((np.ones(len(token)), (account, token)), shape=(n_accounts, max(1, len(distinct))))
        held.data[:] = 1.0  # an action counts once, however often it was repeated in its hour
        holders = held.getnnz(axis=0)
        size = held.getnnz(axis=1).astype(float)
        shared = held[:, (holders >= 2) & (holders <= self.most)]
        both = sp.triu(shared @ shared.T, k=1).tocoo()
        enough = both.data >= self.common
        one, two, common = both.row[enough], both.col[enough], both.data[enough]
        return sp.csr_matrix((common / (size[one] + size[two] - common), (one, two)), shape=both.shape)
