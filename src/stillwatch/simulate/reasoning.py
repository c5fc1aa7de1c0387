"""Opaque reasoning references: given out with an answer, sent back in the next turn, or replayed elsewhere.

A client that keeps reasoning sends the reference of its last answer along. Published incidents used references of one
conversation in another one, of another account (docs/simulate.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stillwatch.simulate.chance import Ints, Keys, mix, unit

_RESUMED = 0.03  # of sessions that go on from an earlier one of the same account: resume, fork, compaction


@dataclass(frozen=True)
class Answered:
    """Exchanges whose answers came with a reference: their keys, who runs the account, session (0: none) and time."""

    key: Keys
    owner: Keys
    session: Keys
    ts: Ints

    def references(self) -> Keys:
        """Return the key of the reference that each answer comes with.

        >>> one = np.ones(1, np.uint64)
        >>> Answered(one, one, one, np.ones(1, np.int64)).references().size
        1
        """
        return mix(self.key, "reasoning")


def carried_on(sent: Answered, share: float) -> Keys:
    """Return the reference that each exchange sends back: the one of the turn before, in a ``share`` of the sessions.

    Now and then a session begins with the last reference of an earlier one: resume, fork, compaction. Accounts of one
    owner hand conversations over as one account does. 0 where nothing is sent back.

    >>> two = np.ones(2, np.uint64)
    >>> (carried_on(Answered(np.array([1, 2], np.uint64), two, two, np.array([1, 2])), 1.0) == 0).tolist()
    [True, False]
    """
    order = np.lexsort((sent.ts, sent.owner))
    owner, session = sent.owner[order], sent.session[order]
    resumed = unit(mix(sent.key[order], "resumed")) < _RESUMED
    known = session != 0
    after = (owner[1:] == owner[:-1]) & known[1:] & known[:-1] & (unit(mix(session, "keeps"))[1:] < share)
    after &= (session[1:] == session[:-1]) | resumed[1:]
    found = np.zeros(order.size, np.uint64)
    found[order[1:][after]] = sent.references()[order][:-1][after]
    return found


@dataclass
class Vault:
    """What a campaign was given lately: exchanges of today and the day before."""

    days: list[Answered] = field(default_factory=list)

    def keep(self, sent: Answered) -> None:
        """Add a day's exchanges; what is older than the day before is dropped."""
        self.days = [*self.days[-1:], sent]

    def replayed(self, sent: Answered) -> Keys:
        """Return for each exchange a reference that another account was given before it; 0 when there is none."""
        found = np.zeros(sent.ts.size, np.uint64)
        if not self.days:
            return found
        order = np.argsort(np.concatenate([day.ts for day in self.days]), kind="stable")
        ts, owner = (np.concatenate([getattr(day, name) for day in self.days])[order] for name in ("ts", "owner"))
        given = np.concatenate([day.references() for day in self.days])[order]
        before = np.searchsorted(ts, sent.ts)
        free = np.ones(sent.ts.size, bool)
        for attempt in range(6):
            recent = np.minimum(before, 400)
            place = before - 1 - (unit(mix(sent.key, attempt, "which")) * recent).astype(np.int64)
            good = (before > 0) & free & (owner[np.maximum(place, 0)] != sent.owner)
            found[good], free = given[place[good]], free & ~good
        return found
