"""Pure ASGI middleware: asks about each request before the application sees it, and never holds back an answer.

Works around any ASGI application (FastAPI, Starlette, vLLM's ``--middleware stillwatch.service.asgi.Stillwatch``).
Only the request's body is read ahead, up to a bound; the response streams past as the application sends it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from stillwatch.response.decide import Decision, Request
from stillwatch.service.answers import notice, refusal
from stillwatch.service.check import Names, notes, question
from stillwatch.service.client import Client, settings_from
from stillwatch.service.edits import edited
from stillwatch.service.web import App, Receive, Scope, Send, send_answer

Message = MutableMapping[str, Any]
Decide = Callable[[Request], Awaitable[Decision]]

MOST_BODY = 4 << 20


class Stillwatch:
    """The middleware. Only POST requests are asked about.

    ``decide`` answers questions; without it a :class:`~stillwatch.service.client.Client` set by the environment does
    (:func:`~stillwatch.service.client.settings_from`). ``names`` are the headers that say who asks. A body of more
    than ``most_body`` bytes is passed on unread, and then only measures for the whole account apply.

    >>> async def decide(request: Request) -> Decision:
    ...     return Decision(action="suspend")
    >>> async def model(scope: Scope, receive: Receive, send: Send) -> None:
    ...     raise AssertionError("a refused request does not come here")
    >>> async def receive() -> Message:
    ...     return {"type": "http.request", "body": b"", "more_body": False}
    >>> async def send(message: Message) -> None:
    ...     print(message.get("status", message.get("body")))
    >>> scope = {"type": "http", "method": "POST", "path": "/generate", "headers": [(b"x-account-id", b"a")]}
    >>> asyncio.run(Stillwatch(model, decide=decide)(scope, receive, send))
    403
    b'{"type":"urn:stillwatch:problem:suspended",...'
    """

    def __init__(
        self, app: App, *, decide: Decide | None = None, names: Names | None = None, most_body: int = MOST_BODY
    ) -> None:
        """Wrap ``app``."""
        self._app, self._names, self._most = app, names or Names(), most_body
        self._decide = decide or Client(settings_from(os.environ)).decide

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body, rest = await _read_ahead(receive, self._most)
        whole = b"" if rest or len(body) > self._most else body
        request = question(scope["path"], _plain(scope), whole, self._names)
        decision = await self._decide(request)
        if decision.refuses:
            await send_answer(send, refusal(decision, request.dialect))
            return
        if decision.delay_ms:
            await asyncio.sleep(decision.delay_ms / 1000)
        if decision.edits is not None and whole:
            body = edited(scope["path"], body, decision.edits)
        onward = {**scope, "headers": _onward(scope, decision, None if rest else len(body))}
        await self._app(onward, _replay(body, rest, receive), _telling(send, notice(decision)))


async def _read_ahead(receive: Receive, most: int) -> tuple[bytes, bool]:
    """Return the body so far, and whether there is more of it (beyond the bound, or the client has gone)."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts), True
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False):
            return b"".join(parts), False
        if size > most:
            return b"".join(parts), True


def _replay(body: bytes, rest: bool, receive: Receive) -> Receive:
    """Return a ``receive`` that gives what was read ahead, then what the server gives."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": rest}

    return again


def _telling(send: Send, told: Mapping[str, str]) -> Send:
    """Return a ``send`` that adds headers to the response; everything goes out at once."""
    if not told:
        return send

    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return telling


def _plain(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _onward(scope: Scope, decision: Decision, length: int | None) -> list[tuple[bytes, bytes]]:
    """Return the request's headers with our notes in the place of a client's, and the new length of the body."""
    dropped = (b"content-length",) if length is not None else ()
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if not name.lower().startswith(b"x-stillwatch-") and name.lower() not in dropped
    ]
    kept += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in notes(decision).items()]
    return [*kept, (b"content-length", b"%d" % length)] if length is not None else kept
