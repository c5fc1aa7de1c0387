"""Shared indicators: accounts joined by one payment, address, device or e-mail domain, as fraud teams begin.

No single source: the rule of "same card or address, same actor" with a cap on how many may share it, since a value
that many hold is an intermediary's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stillwatch.evaluate.peers.actions import one_table
from stillwatch.evaluate.peers.evidence import Links
from stillwatch.evaluate.peers.peer import Method
from stillwatch.evaluate.peers.roster import peer_frame, roster
from stillwatch.signals.traits import Incidence, identity_traits, network_traits
from stillwatch.tables import Dataset


@dataclass(frozen=True)
class SharedIndicators(Method):
    """Links along the holders of each value; a link weighs 1 / holders, so a cut of 1/50 is a cap of 50 holders.

    >>> SharedIndicators().families
    ('payment_hash', 'ip_prefix', 'device_hash', 'email_domain')
    """

    families: tuple[str, ...] = ("payment_hash", "ip_prefix", "device_hash", "email_domain")

    def observe(self, dataset: Dataset, work: Path) -> Links:
        """Return a chain of links through the holders of each shared value."""
        frame = peer_frame(dataset)
        all_families = {**network_traits(frame), **identity_traits(frame)}
        held = one_table({name: all_families[name] for name in self.families})
        return Links(roster(frame), *chains(held))


def chains(held: Incidence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return links from each holder of a value to the next, weighing 1 / holders: as connected as all pairs would be.

    >>> from stillwatch.signals.traits import incidence
    >>> [part.tolist() for part in chains(incidence(np.array([0, 1, 2], np.int32), np.array([0, 0, 0]), 3))]
    [[0, 1], [1, 2], [0.3333333333333333, 0.3333333333333333]]
    """
    order = np.lexsort((held.account, held.value))
    account, value = held.account[order].astype(np.int64), held.value[order]
    same = np.flatnonzero(value[1:] == value[:-1])
    return account[same], account[same + 1], 1.0 / held.holders()[value[same]]
