"""One typed door to Numba: every kernel of this folder is compiled the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

whole = cast("Callable[[Any], int]", np.int64)
"""``np.int64`` for kernels: unsigned bytes become signed numbers, and the type checker sees an ``int``."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` on its first call, without the interpreter lock, kept on disk between runs.

    A kernel calls only functions of its own file, since Numba's cache notices changes of that file alone. That it
    counts references is said aloud: unsaid, a kernel whose first caller is :func:`lean` would count none either.

    >>> from stillwatch.signals.characters import fold
    >>> compiled(fold).__name__
    'fold'
    """
    options: dict[str, Any] = {"nogil": True, "cache": True, "_nrt": True}
    return cast("Callable[P, R]", numba.njit(**options)(function))


def lean(function: Callable[P, R]) -> Callable[P, R]:
    """Compile like :func:`compiled`, without counts of references: for kernels that make no array.

    Numba counts each use of an array in a kernel by a locked addition; in a loop over words those cost more than the
    words. A kernel that makes an array, or sorts one, cannot be lean.

    >>> from stillwatch.signals.characters import fold
    >>> lean(fold).__name__
    'fold'
    """
    options: dict[str, Any] = {"nogil": True, "cache": True, "_nrt": False}
    return cast("Callable[P, R]", numba.njit(**options)(function))


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile like :func:`compiled`, copied into its callers: for what runs once a byte.

    >>> from stillwatch.signals.characters import fold
    >>> inlined(fold).__name__
    'fold'
    """
    return cast("Callable[P, R]", numba.njit(nogil=True, cache=True, inline="always")(function))
