"""The 64-bit hashes behind every fingerprint, compiled and in plain Python.

They are part of the stored format: a change here makes old and new datasets incomparable, so nothing here changes
without a new :data:`FORMAT`. (That is also why kernels of other files may call these two functions: Numba's cache
of a caller does not notice a change of this file.)
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stillwatch.signals.compiled import inlined

FORMAT = 1
SEED = np.uint64(0x243F6A8885A308D3)
STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_S29, _S33 = np.uint64(29), np.uint64(33)
_ALL = (1 << 64) - 1


@inlined
def finish(h: np.uint64) -> np.uint64:
    """Spread a running hash over all 64 bits (the finaliser of MurmurHash3)."""
    h = (h ^ (h >> _S33)) * _MIX_1
    h = (h ^ (h >> _S33)) * _MIX_2
    return h ^ (h >> _S33)


@inlined
def chain(h: np.uint64, value: np.uint64) -> np.uint64:
    """Add one 64-bit value to the running hash of a sequence."""
    h = (h ^ value) * STEP
    return h ^ (h >> _S29)


def hash_word(word: str) -> int:
    """Return the 64-bit hash of one word: multiply and xor over its code points, then the finaliser.

    >>> hex(hash_word("rate"))
    '0x332ac12e7a7a22a7'
    """
    h = int(SEED)
    for char in word:
        h = ((h ^ ord(char)) * int(STEP)) & _ALL
    return _finish(h)


def hash_sequence(values: Iterable[int]) -> int:
    """Return the 64-bit hash of a sequence of 64-bit values (a shingle, a head, a set in sorted order).

    >>> hash_sequence([1, 2]) == hash_sequence([2, 1])
    False
    """
    h = int(SEED)
    for value in values:
        h = ((h ^ value) * int(STEP)) & _ALL
        h ^= h >> 29
    return _finish(h)


def _finish(h: int) -> int:
    h = ((h ^ (h >> 33)) * int(_MIX_1)) & _ALL
    h = ((h ^ (h >> 33)) * int(_MIX_2)) & _ALL
    return h ^ (h >> 33)
