"""Many groups side by side, so that one is compared with all of them in a single pass over their members."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwatch.signals.frame import Ints

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Memberships:
    """The members of some groups, one after another (``flat``), the groups' ``sizes``, and how many accounts there are.

    >>> Memberships.of([np.array([0, 1, 2]), np.array([2, 3])], 5).shared(np.array([2, 3])).tolist()
    [1, 2]
    """

    flat: Ints
    sizes: Ints
    n_accounts: int

    @classmethod
    def of(cls, groups: list[Ints], n_accounts: int) -> Memberships:
        """Gather groups of distinct account codes.

        >>> Memberships.of([], 5).sizes.tolist()
        []
        """
        sizes = np.array([len(group) for group in groups], np.int64)
        return cls(np.concatenate([np.zeros(0, np.int64), *groups]), sizes, n_accounts)

    def shared(self, members: Ints) -> Ints:
        """Return for each group how many of its members are among ``members``.

        >>> Memberships.of([np.array([0, 1]), np.array([], np.int64)], 3).shared(np.array([1, 2])).tolist()
        [1, 0]
        """
        inside = np.zeros(self.n_accounts, bool)
        inside[members] = True
        running = np.concatenate(([0], np.cumsum(inside[self.flat])))
        ends = np.cumsum(self.sizes)
        return np.asarray(running[ends] - running[ends - self.sizes], np.int64)

    def of_those(self, groups: Mask) -> Mask:
        """Return which accounts belong to any of the groups under a mask.

        >>> Memberships.of([np.array([0, 1]), np.array([2])], 4).of_those(np.array([False, True])).tolist()
        [False, False, True, False]
        """
        out = np.zeros(self.n_accounts, bool)
        out[self.flat[np.repeat(groups, self.sizes)]] = True
        return out
