"""Token buckets that all accounts of a campaign draw from: in one process, or in Redis or Valkey for several gateways.

Whatever the number of gateways and the order of requests, the tokens granted in ``t`` minutes are at most
``burst + tokens_per_minute × t``, and what the last granted request asked for beyond ``burst`` (a request larger than
the bucket is granted when the bucket is full, and paid back by waiting).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from stillwatch.errors import ConfigError, MissingExtra
from stillwatch.response.decide import Taken
from stillwatch.response.standing import Limit

if TYPE_CHECKING:
    from redis import Redis

WhenGone = Literal["local", "open", "closed"]
_FOREVER = 60.0  # what a bucket that never refills tells the client to wait, seconds


class LocalBuckets:
    """Buckets of one process; threads may share them. A clock that goes back refills nothing.

    >>> buckets = LocalBuckets()
    >>> limit = Limit("SW-1", tokens_per_minute=60.0, burst=100.0)
    >>> buckets.take(limit, 100.0, now=0.0), buckets.take(limit, 30.0, now=10.0)
    (Taken(granted=True, remaining=0.0, retry_after=0.0), Taken(granted=False, remaining=10.0, retry_after=20.0))
    """

    def __init__(self, most: int = 100_000) -> None:
        """Begin with full buckets; of more than ``most``, the one longest unused is forgotten (and so refilled)."""
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._most = most

    def take(self, limit: Limit, tokens: float, now: float) -> Taken:
        """Take tokens at ``now`` (seconds), or say in how many seconds they would be there."""
        with self._lock:
            left, at = self._left.pop(limit.bucket, (limit.burst, now))
            left, at = _refilled(limit, left, at, now)
            granted = left >= min(tokens, limit.burst)
            left -= tokens if granted else 0.0
            self._left[limit.bucket] = (left, at)
            if len(self._left) > self._most:
                self._left.popitem(last=False)
        return _taken(limit, granted, left, tokens)


def _refilled(limit: Limit, left: float, at: float, now: float) -> tuple[float, float]:
    rate = limit.tokens_per_minute / 60
    if rate and at - now > limit.burst / rate:
        at = now  # the clock was wrong before: believe it now, rather than starve for as long as it was ahead
    return min(limit.burst, left + max(0.0, now - at) * rate), max(at, now)


def _taken(limit: Limit, granted: bool, left: float, tokens: float) -> Taken:
    rate = limit.tokens_per_minute / 60
    wait = (min(tokens, limit.burst) - left) / rate if rate else _FOREVER
    return Taken(granted, left, 0.0 if granted else wait)


# One round trip, atomic in the server, by the server's own clock: gateways race without exceeding the bound, and their
# clocks need not agree. A bucket that would be full again is forgotten by its expiry, after 90 days (what the longest
# measure lasts) in any case.
_SCRIPT = """
local rate, burst, want = tonumber(ARGV[1]) / 60, tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local kept = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = kept[1] and tonumber(kept[1]) or burst
local at = kept[2] and tonumber(kept[2]) or now
if rate > 0 and at - now > burst / rate then at = now end
left = math.min(burst, left + math.max(0, now - at) * rate)
local granted = left >= math.min(want, burst)
if granted then left = left - want end
redis.call('HSET', KEYS[1], 'left', string.format('%.17g', left), 'at', string.format('%.17g', math.max(at, now)))
local full = rate > 0 and (burst - left) / rate or 86400
redis.call('PEXPIRE', KEYS[1], math.ceil(math.min(full, 7776000) * 1000) + 1000)
return {granted and 1 or 0, string.format('%.17g', left)}
"""


class SharedBuckets:
    """Buckets in Redis or Valkey, shared by every gateway that names the same server.

    While the server is gone, requests are answered by ``when_gone``: ``local`` buckets of this process (the bound then
    holds for each gateway apart), ``open`` (granted) or ``closed`` (not granted). Each such answer is counted in
    ``without_server``, and the server is tried again after ``pause_s`` seconds.

    >>> alone = SharedBuckets("redis://127.0.0.1:1", when_gone="closed")
    >>> alone.take(Limit("SW-1", 60.0, 100.0), 10.0, now=0.0).granted, alone.without_server
    (False, 1)
    """

    def __init__(
        self,
        url: str,
        *,
        when_gone: WhenGone = "local",
        timeout_s: float = 0.05,
        pause_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a connection; the server is first asked at the first request."""
        self._server = _connect(url, timeout_s)
        self._run = self._server.register_script(_SCRIPT)
        self._when_gone, self._pause, self._clock = when_gone, pause_s, clock
        self._local = LocalBuckets()
        self._again = float("-inf")
        self.without_server = 0

    def take(self, limit: Limit, tokens: float, now: float) -> Taken:
        """Take tokens by the server's clock, or say in how many seconds they would be there.

        ``now`` (seconds) counts only while the server is gone.
        """
        from redis.exceptions import RedisError

        if self._clock() >= self._again:
            try:
                answer = self._run(
                    [f"stillwatch:bucket:{limit.bucket}"], [limit.tokens_per_minute, limit.burst, tokens]
                )
                return _taken(limit, answer[0] == 1, float(answer[1]), tokens)
            except RedisError:
                self._again = self._clock() + self._pause
        self.without_server += 1
        if self._when_gone == "local":
            return self._local.take(limit, tokens, now)
        granted = self._when_gone == "open"
        return Taken(granted, 0.0, 0.0 if granted else self._pause)

    def close(self) -> None:
        """Let go of the connections."""
        self._server.close()


def open_buckets(url: str | None, when_gone: WhenGone = "local") -> LocalBuckets | SharedBuckets:
    """Return the buckets of a URL (``redis://…``, ``rediss://…``, ``unix://…``), or those of this process without one.

    Raises :class:`ConfigError` on a URL of another kind and :class:`MissingExtra` without the package ``redis``.

    >>> type(open_buckets(None)).__name__
    'LocalBuckets'
    """
    return LocalBuckets() if url is None else SharedBuckets(url, when_gone=when_gone)


def _connect(url: str, timeout_s: float) -> Redis:
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ModuleNotFoundError as error:
        raise MissingExtra("redis", extra="redis", purpose="Rate limits shared by several gateways") from error
    try:
        return Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        raise ConfigError(f"not a Redis or Valkey URL: {error}") from error
