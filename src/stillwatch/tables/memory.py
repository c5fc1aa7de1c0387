"""Memory that was let go of and that allocators keep for later: a long scan gives it back between its steps."""

from __future__ import annotations

import ctypes

import pyarrow as pa


def give_back() -> None:
    """Return unused memory of Arrow's pool and of the C library to the system; without effect where there is no way.

    >>> give_back()
    """
    pa.default_memory_pool().release_unused()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc
    except (AttributeError, OSError):
        return
