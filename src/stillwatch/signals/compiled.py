"""One typed door to Numba: every kernel of this folder is compiled the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` on its first call, without the interpreter lock, kept on disk between runs.

    A kernel calls only functions of its own file, since Numba's cache notices changes of that file alone.

    >>> from stillwatch.signals.characters import fold
    >>> compiled(fold).__name__
    'fold'
    """
    return cast("Callable[P, R]", numba.njit(nogil=True, cache=True)(function))
