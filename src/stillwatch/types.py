"""Values that every stage shares."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Where long work reports how far it is; the terminal bar, a log or nothing.

    ``stage`` is a word for the stage, ``done`` and ``total`` count ``unit`` (rows, bytes, groups);
    ``total`` is None while it is unknown. Calls with the same stage update one line.
    """

    def __call__(self, stage: str, done: int, total: int | None = None, unit: str = "rows") -> None:
        """Report that ``done`` of ``total`` units of ``stage`` are finished."""


def silent(stage: str, done: int, total: int | None = None, unit: str = "rows") -> None:
    """Report nothing: the default :class:`Progress`.

    >>> silent("read", 10, 20)
    """
