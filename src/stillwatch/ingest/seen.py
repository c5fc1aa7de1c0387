"""Exchange ids met before, in sixteen bytes each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

_LOOSE = 1 << 20


class SeenIds:
    """A growing set of ids, kept as 128-bit digests: new ones in a set, merged to a sorted array now and then.

    >>> seen = SeenIds(["a"])
    >>> seen.add("b"), seen.add("a"), seen.add("b")
    (True, False, False)
    """

    def __init__(self, ids: Iterable[str] = (), *, loose: int = _LOOSE) -> None:
        """Begin with ``ids``; at most ``loose`` digests stay outside the array."""
        self._sorted = np.empty(0, dtype="V16")
        self._new: set[bytes] = set()
        self._loose = loose
        for name in ids:
            self.add(name)

    def add(self, name: str) -> bool:
        """Add an id; says whether it was new."""
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._new or self._holds(digest):
            return False
        self._new.add(digest)
        if len(self._new) >= self._loose:
            self._merge()
        return True

    def _holds(self, digest: bytes) -> bool:
        """Look the digest up by its two halves: NumPy orders numbers, not raw bytes."""
        if not len(self._sorted):
            return False
        high, low = self._halves
        wanted = np.frombuffer(digest, dtype=">u8")
        left = int(np.searchsorted(high, wanted[0], side="left"))
        while left < len(high) and high[left] == wanted[0]:
            if low[left] == wanted[1]:
                return True
            left += 1
        return False

    def _merge(self) -> None:
        fresh = np.frombuffer(b"".join(self._new), dtype="V16")
        both = np.concatenate([self._sorted, fresh])
        pairs = both.view(">u8").reshape(-1, 2)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        self._sorted = both[order]
        pairs = pairs[order]
        self._halves = pairs[:, 0].astype("u8"), pairs[:, 1].astype("u8")
        self._new.clear()
