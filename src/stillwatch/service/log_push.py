"""Push log records to `stillwatch serve` from inside a gateway process: batched, bounded, again until they are taken.

Needs only httpx and msgspec. The service stores a batch before it says so, and counts a repeated batch once, so that
a batch whose answer was lost is sent again without harm.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from stillwatch.errors import ConfigError
from stillwatch.service.client import read_key

_BATCH = 100
_LONGEST_WAIT_S = 30.0
_BULKY = "model_map_information"


class LogPush:
    r"""Takes records at once and sends them from a task of the running event loop.

    ``counts``: ``taken``, ``sent``, ``dropped`` (more than ``most`` waited, or the service cannot read them) and
    ``retries``.

    >>> def service(request: httpx.Request) -> httpx.Response:
    ...     return httpx.Response(200 if request.content.count(b"\n") == 2 else 400)
    >>> async def push() -> dict[str, int]:
    ...     pushing = LogPush("http://logs/v1/litellm", transport=httpx.MockTransport(service))
    ...     pushing.put({"id": "1"}); pushing.put({"id": "2"})
    ...     await pushing.aclose()
    ...     return dict(pushing.counts)
    >>> asyncio.run(push())
    {'taken': 2, 'sent': 2}
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        most: int = 10_000,
        first_wait_s: float = 0.5,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare; ``url`` is the endpoint, ``key`` needs the scope ``ingest``, ``transport`` replaces the network."""
        headers = {"content-type": "application/x-ndjson", **({"authorization": f"Bearer {key}"} if key else {})}
        self.counts: Counter[str] = Counter()
        self._url, self._most, self._first_wait = url, most, first_wait_s
        self._waiting: deque[bytes] = deque()
        self._http = httpx.AsyncClient(headers=headers, timeout=10.0, transport=transport)
        self._task: asyncio.Task[None] | None = None

    def put(self, record: Mapping[str, Any]) -> None:
        """Take a record; the oldest that waits makes room when too many do."""
        self.counts["taken"] += 1
        if len(self._waiting) >= self._most:
            self._waiting.popleft()
            self.counts["dropped"] += 1
        self._waiting.append(line(record))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send_all())

    async def aclose(self, within_s: float = 10.0) -> None:
        """Send what waits, for at most some seconds, and close the connections."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=within_s)
            self._task.cancel()
        await self._http.aclose()

    async def _send_all(self) -> None:
        await asyncio.sleep(0)  # lets records that come together go together
        wait = self._first_wait
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            while not await self._sent(batch):
                self.counts["retries"] += 1
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT_S)
            wait = self._first_wait

    async def _sent(self, batch: list[bytes]) -> bool:
        """Send a batch; says whether it is done with (stored, or refused for what it is)."""
        try:
            reply = await self._http.post(self._url, content=b"".join(batch))
        except httpx.HTTPError:
            return False
        if reply.is_success:
            self.counts["sent"] += len(batch)
            return True
        if reply.status_code in (400, 413, 415):
            self.counts["dropped"] += len(batch)
            return True
        return False


def line(record: Mapping[str, Any]) -> bytes:
    r"""Return a record as one line of JSON; what JSON cannot say becomes text, LiteLLM's price list is left out.

    >>> line({"id": "1", "hidden_params": {"model_map_information": {"long": 1}}, "at": ValueError("no")})
    b'{"id":"1","hidden_params":{},"at":"no"}\n'
    >>> line({"id": "\ud800"})
    b'{"id": "\\ud800"}\n'
    """
    slim = {name: value for name, value in record.items() if name != _BULKY}
    hidden = slim.get("hidden_params")
    if isinstance(hidden, Mapping):
        slim["hidden_params"] = {name: value for name, value in hidden.items() if name != _BULKY}
    try:
        return msgspec.json.encode(slim, enc_hook=str) + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair: as an escape it can be said
        return json.dumps(slim, default=str, allow_nan=False).encode() + b"\n"


def push_from(environment: Mapping[str, str]) -> LogPush:
    """Return what the variables STILLWATCH_LOG_URL and STILLWATCH_LOG_KEY (or STILLWATCH_LOG_KEY_FILE) describe.

    Raises :class:`ConfigError` when the address is missing.

    >>> push_from({})
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: set STILLWATCH_LOG_URL to an endpoint of `stillwatch serve`
    """
    url = environment.get("STILLWATCH_LOG_URL", "")
    if not url.startswith(("http://", "https://")):
        raise ConfigError("set STILLWATCH_LOG_URL to an endpoint of `stillwatch serve`")
    return LogPush(url, read_key(environment, "STILLWATCH_LOG_KEY"))
