"""Ask a gateway node from Python: a short deadline, a local cache of accounts without measures, a stated failure mode.

Needs only httpx and msgspec, so that it can be installed without the rest (``pip install --no-deps stillwatch``).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import httpx
import msgspec

from stillwatch.errors import ConfigError
from stillwatch.response.decide import UNAVAILABLE, Decision, Request

MOST_TALK = 1 << 20
"""Prompts of more bytes are not sent; then only measures for the whole account apply."""

_OF_THE_QUESTION = (400, 413, 422)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to ask: node, key, seconds to wait, what then, seconds to remember accounts without measures, and how many.

    ``pause_after`` failures in a row the node is left alone for ``pause_s``, so that a dead one costs no waiting.

    >>> Settings(url="http://127.0.0.1:8787").on_failure
    'open'
    """

    url: str
    key: str | None = None
    deadline_s: float = 0.1
    on_failure: Literal["open", "closed"] = "open"
    remember_s: float = 2.0
    remember_most: int = 100_000
    pause_after: int = 3
    pause_s: float = 1.0


class _Verdict(msgspec.Struct):
    decision: Decision


_decode = msgspec.json.Decoder(_Verdict).decode


class Client:
    """Asks one node; use it in one event loop, and close it (``async with`` does).

    ``counts`` says how questions ended: ``answered``, ``remembered``, and what was answered here for want of the
    node's answer, ``failed-open`` or ``failed-closed``. Nothing is asked twice.

    >>> async def ask() -> str:
    ...     async with Client(Settings(url="http://127.0.0.1:9", on_failure="closed")) as client:
    ...         return (await client.decide(Request(account="a"))).action
    >>> asyncio.run(ask())
    'unavailable'
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is sent yet. ``transport`` replaces the network, ``clock`` counts seconds."""
        headers = {"content-type": "application/json"}
        if settings.key:
            headers["authorization"] = f"Bearer {settings.key}"
        self.settings, self._clock = settings, clock
        self.counts: Counter[str] = Counter()
        self._http = httpx.AsyncClient(base_url=settings.url, headers=headers, timeout=None, transport=transport)
        self._free_until: OrderedDict[str, float] = OrderedDict()
        self._failures = 0
        self._resume_at = 0.0

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def decide(self, request: Request) -> Decision:
        """Return the decision on a request, at the latest after the deadline; never raises for a node that fails."""
        subject, now = request.subject, self._clock()
        if not subject:
            return Decision()
        if self._free_until.get(subject, 0.0) > now:
            self.counts["remembered"] += 1
            return Decision()
        if now < self._resume_at:
            return self._failed()
        try:
            async with asyncio.timeout(self.settings.deadline_s):
                reply = await self._http.post("/v1/decide", content=msgspec.json.encode(_bounded(request)))
            if reply.status_code in _OF_THE_QUESTION:
                return self._failed()  # says nothing about the node, so nobody can have it left alone by asking oddly
            reply.raise_for_status()
            decision = _decode(reply.content).decision
        except (httpx.HTTPError, TimeoutError, msgspec.DecodeError, OSError):
            self._note_failure(now)
            return self._failed()
        self._failures = 0
        self.counts["answered"] += 1
        if not decision.listed and not decision.degraded:
            self._remember(subject, now)
        return decision

    def _remember(self, subject: str, now: float) -> None:
        self._free_until[subject] = now + self.settings.remember_s
        self._free_until.move_to_end(subject)
        if len(self._free_until) > self.settings.remember_most:
            self._free_until.popitem(last=False)

    def _note_failure(self, now: float) -> None:
        self._failures += 1
        if self._failures >= self.settings.pause_after:
            self._resume_at = now + self.settings.pause_s

    def _failed(self) -> Decision:
        closed = self.settings.on_failure == "closed"
        self.counts["failed-closed" if closed else "failed-open"] += 1
        return Decision(action=UNAVAILABLE if closed else "allow", degraded="no-answer")


def _bounded(request: Request) -> Request:
    """Leave a prompt out that no node reads; its tokens are still charged."""
    if len(request.said) + len(request.prompt or "") <= MOST_TALK:
        return request
    return msgspec.structs.replace(request, messages=msgspec.UNSET, prompt=None, tokens=request.cost())


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings from variables: STILLWATCH_URL, STILLWATCH_KEY or STILLWATCH_KEY_FILE,
    STILLWATCH_ON_FAILURE (open, closed), STILLWATCH_DEADLINE_MS, STILLWATCH_REMEMBER_S.

    Raises :class:`ConfigError` naming the variable that is missing or wrong.

    >>> settings_from({"STILLWATCH_URL": "http://127.0.0.1:8787", "STILLWATCH_DEADLINE_MS": "50"}).deadline_s
    0.05
    >>> settings_from({})
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: set STILLWATCH_URL to the address of a gateway node
    """
    url = environment.get("STILLWATCH_URL", "")
    if not url.startswith(("http://", "https://")):
        raise ConfigError("set STILLWATCH_URL to the address of a gateway node")
    failing = environment.get("STILLWATCH_ON_FAILURE", "open")
    if failing not in ("open", "closed"):
        raise ConfigError(f"STILLWATCH_ON_FAILURE is 'open' or 'closed', not {failing!r}")
    return Settings(
        url=url,
        key=read_key(environment, "STILLWATCH_KEY"),
        deadline_s=_number(environment, "STILLWATCH_DEADLINE_MS", 100.0) / 1000,
        on_failure="closed" if failing == "closed" else "open",
        remember_s=_number(environment, "STILLWATCH_REMEMBER_S", 2.0),
    )


def read_key(environment: Mapping[str, str], name: str) -> str | None:
    """Return a key from the file that the variable ``<name>_FILE`` names, else from the variable; None without either.

    Raises :class:`ConfigError` for a file that cannot be read.

    >>> read_key({"STILLWATCH_KEY": "swk_1_2"}, "STILLWATCH_KEY")
    'swk_1_2'
    """
    file = environment.get(f"{name}_FILE")
    if not file:
        return environment.get(name) or None
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise ConfigError(f"{name}_FILE cannot be read: {error.strerror}", path=file) from error


def _number(environment: Mapping[str, str], name: str, usual: float) -> float:
    text = environment.get(name)
    try:
        value = usual if text is None else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{name} is a number from 0, not {text!r}")
    return value
