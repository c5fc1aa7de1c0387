"""Work on many parts by all processors: the arrays and kernels of a scan let go of Python's lock while they work."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def mapped(parts: Iterable[S], work: Callable[[S], T]) -> Iterator[T]:
    """Yield the work of every part in order, done by all processors, few parts ahead; raise what ``work`` raises.

    >>> list(mapped(["a", "bc"], len))
    [1, 2]
    """
    threads = os.cpu_count() or 1
    ahead: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for part in parts:
            ahead.append(pool.submit(work, part))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
