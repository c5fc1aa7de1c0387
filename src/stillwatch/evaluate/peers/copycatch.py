"""CopyCatch: accounts that do many of the same things, each within the same short time (lockstep).

Beutel, Xu, Guruswami, Palow, Faloutsos, "CopyCatch: Stopping Group Attacks by Spotting Lockstep Behavior in Social
Networks" (WWW 2013). Written from the paper: its serial algorithm, seeded at every busy thing; pages liked become
prompt heads used, and the time of a like the first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stillwatch.evaluate.peers.actions import Actions, content_actions
from stillwatch.evaluate.peers.evidence import Blocks
from stillwatch.evaluate.peers.peer import Method
from stillwatch.evaluate.peers.roster import peer_frame, roster
from stillwatch.signals.frame import Ints
from stillwatch.tables import Dataset

HOUR = 3_600_000_000
ROUNDS = 8
MOST_SEEDS = 400
_NEVER = np.iinfo(np.int64).max

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CopyCatch(Method):
    """Groups of ``accounts`` at least that use ``share`` of ``things`` prompt heads within ±``hours`` of each other.

    >>> CopyCatch().things
    4
    """

    hours: float = 6.0
    accounts: int = 10
    things: int = 4
    share: float = 0.5

    def observe(self, dataset: Dataset, work: Path) -> Blocks:
        """Return the groups in lockstep; their worth is their number of accounts."""
        frame = peer_frame(dataset)
        first = first_uses(content_actions(frame, ("head",)))
        groups = self.lockstep(first, frame.n_accounts)
        block = _merged(groups, frame.n_accounts)
        return Blocks(roster(frame), block, np.bincount(block + 1)[1:].astype(float))

    def lockstep(self, first: Actions, n_accounts: int) -> list[Ints]:
        """Return the account groups that the search ends in, from every busy thing as a seed.

        >>> at = np.arange(12)
        >>> uses = Actions(at.repeat(4), np.tile(np.arange(4), 12), np.zeros(48, np.int64))
        >>> [len(group) for group in CopyCatch().lockstep(uses, 12)]
        [12]
        """
        n_values = int(first.value.max(initial=-1)) + 1
        holders = np.bincount(first.value, minlength=n_values)
        busy = np.flatnonzero(holders >= self.accounts)
        keep = (holders >= self.accounts)[first.value]
        account, thing, ts = first.account[keep], np.searchsorted(busy, first.value[keep]), first.ts[keep]
        seeds = np.lexsort((np.arange(len(busy)), -holders[busy]))[:MOST_SEEDS]
        found = {}
        for seed in seeds:
            members = self._search(account, thing, ts, int(seed), n_accounts)
            if members.sum() >= self.accounts:
                found[members.tobytes()] = np.flatnonzero(members)
        return list(found.values())

    def _search(self, account: Ints, thing: Ints, ts: Ints, seed: int, n_accounts: int) -> Mask:
        """Alternate between the best times and things for the accounts, and the accounts for those, till it rests."""
        radius = int(self.hours * HOUR)
        here = thing == seed
        members = np.zeros(n_accounts, bool)
        members[account[here][np.abs(ts[here] - _centre(ts[here], radius)) <= radius]] = True
        for _ in range(ROUNDS):
            centre, count = _centres(thing, np.where(members[account], ts, _NEVER), radius)
            best = np.lexsort((np.arange(len(count)), -count))[: self.things]
            best = best[count[best] >= self.accounts]
            if len(best) < self.things:
                return np.zeros(n_accounts, bool)
            wanted = np.isin(thing, best)
            near = wanted & (np.abs(ts - centre[thing]) <= radius)
            after = np.bincount(account[near], minlength=n_accounts) >= self.share * self.things
            if (after == members).all():
                break
            members = after
        return members


def first_uses(actions: Actions) -> Actions:
    """Return the first time that each account used each value.

    >>> first_uses(Actions(np.array([0, 0]), np.array([3, 3]), np.array([5, 9]))).ts.tolist()
    [5]
    """
    change = np.flatnonzero(np.diff(actions.account, prepend=-1) | np.diff(actions.value, prepend=-1))
    return Actions(actions.account[change], actions.value[change], actions.ts[change])


def _centre(ts: Ints, radius: int) -> int:
    """Return the centre of the window of two radii that holds most times, the earliest such."""
    ts = np.sort(ts)
    held = np.searchsorted(ts, ts + 2 * radius, side="right") - np.arange(len(ts))
    return int(ts[np.argmax(held)]) + radius


def _centres(thing: Ints, ts: Ints, radius: int) -> tuple[Ints, Ints]:
    """Return for each thing the centre of its fullest window and the uses in it; ``_NEVER`` in ``ts`` counts not."""
    n = int(thing.max()) + 1
    use = ts != _NEVER
    order = np.lexsort((ts[use], thing[use]))
    of, at = thing[use][order], ts[use][order]
    span = int(at.max(initial=0) - at.min(initial=0)) + 4 * radius + 1
    line = (at - at.min(initial=0)) + of * span
    held = np.searchsorted(line, line + 2 * radius, side="right") - np.arange(len(line))
    best = np.lexsort((at, -held, of))
    things, where = np.unique(of[best], return_index=True)
    centre, count = np.zeros(n, np.int64), np.zeros(n, np.int64)
    centre[things], count[things] = at[best][where] + radius, held[best][where]
    return centre, count


def _merged(groups: list[Ints], n_accounts: int) -> Ints:
    """Join groups that share most of the smaller one, greatest first; return each account's group, -1 for none."""
    block, number = np.full(n_accounts, -1, np.int64), 0
    for group in sorted(groups, key=lambda g: (-len(g), g.tolist())):
        taken = block[group][block[group] >= 0]
        if len(taken) > len(group) / 2:
            into = int(np.bincount(taken).argmax())
        else:
            into, number = number, number + 1
        block[group[block[group] < 0]] = into
    return block
