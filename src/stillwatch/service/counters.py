"""Token buckets in one process."""

from __future__ import annotations

from stillwatch.response.decide import Taken
from stillwatch.response.standing import Limit


class LocalBuckets:
    """Buckets by name; a clock that goes back refills nothing.

    >>> LocalBuckets().take(Limit("b", 60.0, 100.0), 40.0, 0.0)
    Taken(granted=True, remaining=60.0, retry_after=0.0)
    """

    def __init__(self) -> None:
        """Begin with full buckets."""
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, limit: Limit, tokens: float, now: float) -> Taken:
        """Take tokens, or say how long to wait."""
        left, at = self._left.get(limit.bucket, (limit.burst, now))
        rate = limit.tokens_per_minute / 60
        left = min(limit.burst, left + max(0.0, now - at) * rate)
        granted = left >= min(tokens, limit.burst)
        left = left - tokens if granted else left
        self._left[limit.bucket] = (left, now)
        return Taken(granted, left, 0.0 if granted else (min(tokens, limit.burst) - left) / rate if rate else 60.0)
