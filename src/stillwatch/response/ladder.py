"""The ladder of answers, as values: what each rung does, costs an innocent, and how it ends. Standard library only."""

from __future__ import annotations

import enum
from datetime import timedelta

import msgspec


class Rung(enum.IntEnum):
    """One step of the graduated answer; a higher number costs an innocent more.

    >>> Rung.RATE_LIMIT > Rung.TAG, Rung.named("rate-limit")
    (True, <Rung.RATE_LIMIT: 3>)
    """

    OBSERVE = 0
    TAG = 1
    DELAY = 2
    RATE_LIMIT = 3
    CAP = 4
    STEP_UP = 5
    RESTRICT = 6
    SUSPEND = 7

    @property
    def label(self) -> str:
        """The name as policies and reports spell it.

        >>> Rung.STEP_UP.label
        'step-up'
        """
        return self.name.lower().replace("_", "-")

    @classmethod
    def named(cls, label: str) -> Rung:
        """Return the rung of a label; raises :class:`ValueError` with the known ones.

        >>> Rung.named("ban")
        Traceback (most recent call last):
        ValueError: no rung 'ban'; known: observe, tag, delay, rate-limit, cap, step-up, restrict, suspend
        """
        for rung in cls:
            if rung.label == label:
                return rung
        raise ValueError(f"no rung {label!r}; known: {', '.join(rung.label for rung in cls)}")


class Step(msgspec.Struct, frozen=True):
    """What one rung means: its effect, its cost to an innocent, its expiry and its way back.

    ``felt`` says that the customer notices it, so that the customer is told; ``alters`` says that it changes an
    answer which is still given (as opposed to refusing or slowing one).
    """

    rung: Rung
    effect: str
    cost: str
    lasts: timedelta
    way_back: str
    felt: bool
    alters: bool = False


LADDER: dict[Rung, Step] = {
    step.rung: step
    for step in (
        Step(Rung.OBSERVE, "counted, nothing else", "none", timedelta(days=30), "expires", felt=False),
        Step(Rung.TAG, "marked for the operator's logs and routing", "none", timedelta(days=30), "expires", felt=False),
        Step(
            Rung.DELAY,
            "answers begin later, by a random time",
            "seconds of waiting a request",
            timedelta(days=3),
            "expires, undo, appeal",
            felt=True,
        ),
        Step(
            Rung.RATE_LIMIT,
            "one token budget shared by the campaign's accounts; 429 with Retry-After beyond it",
            "work takes longer; retries",
            timedelta(days=7),
            "expires, undo, appeal, verification",
            felt=True,
        ),
        Step(
            Rung.CAP,
            "shorter answers, no logprobs, reasoning summarised",
            "answers cut short, and said so",
            timedelta(days=7),
            "expires, undo, appeal, verification",
            felt=True,
            alters=True,
        ),
        Step(
            Rung.STEP_UP,
            "403 until the owner verifies who they are, or rotates a stolen key",
            "no answers until verified",
            timedelta(days=14),
            "verification, undo, appeal",
            felt=True,
        ),
        Step(
            Rung.RESTRICT,
            "403 for the campaign's models or tasks, the rest goes on",
            "part of the product is gone",
            timedelta(days=14),
            "appeal, undo, expires",
            felt=True,
        ),
        Step(
            Rung.SUSPEND,
            "403 for everything",
            "work is locked up",
            timedelta(days=30),
            "appeal, undo, expires",
            felt=True,
        ),
    )
}
"""The meaning of each rung, mildest first."""

HIGHEST_AUTOMATIC = Rung.RATE_LIMIT
"""No policy can let anything above this begin without a person."""

assert tuple(LADDER) == tuple(Rung)
