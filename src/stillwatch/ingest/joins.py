"""Halves of one thing that arrive apart, kept in a bounded window until they meet."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

Half = TypeVar("Half")


class Window(Generic[Half]):
    """The halves still waiting, oldest first; ``put`` gives back what no longer fits.

    >>> window = Window[str](2)
    >>> [list(window.put(key, key.upper())) for key in "abc"]
    [[], [], ['A']]
    >>> window.take("b"), window.take("a"), list(window.drain())
    ('B', None, ['C'])
    """

    def __init__(self, size: int) -> None:
        """Keep at most ``size`` halves."""
        self.size = size
        self._held: dict[Hashable, Half] = {}

    def take(self, key: Hashable) -> Half | None:
        """Remove and return the half under the key."""
        return self._held.pop(key, None)

    def get(self, key: Hashable) -> Half | None:
        """Return the half under the key, which goes on waiting."""
        return self._held.get(key)

    def get_or_make(self, key: Hashable, make: Callable[[], Half]) -> Half:
        """Return the half under the key, made when there is none."""
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = make()
        return held

    def put(self, key: Hashable, half: Half) -> Iterator[Half]:
        """Let a half wait; the oldest beyond the window come out."""
        self._held[key] = half
        return self.overflow()

    def overflow(self) -> Iterator[Half]:
        """Give out the oldest beyond the window."""
        out = []
        while len(self._held) > self.size:
            out.append(self._held.pop(next(iter(self._held))))
        return iter(out)

    def drain(self) -> Iterator[Half]:
        """Give out all that is left, oldest first."""
        out = list(self._held.values())
        self._held.clear()
        return iter(out)
