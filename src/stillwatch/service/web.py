"""The little that every endpoint shares: bodies within bounds, callers' keys, errors as problem details."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from stillwatch.service.answers import Answer, problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Hot = Callable[[Scope, Receive], Awaitable[Answer]]

log = logging.getLogger("stillwatch.service")
UNFORESEEN = problem(500, "Internal error", "The cause is in the log of the service.")


class Problem(Exception):  # noqa: N818 - named after what it is
    """An error that the caller is told as it stands.

    >>> Problem(problem(404, "Not found", "No such path.")).answer.status
    404
    """

    def __init__(self, answer: Answer) -> None:
        """Keep the response that tells of it."""
        self.answer = answer
        super().__init__(answer.body.decode())


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of a (lower-case) name.

    >>> header({"headers": [(b"host", b"here")]}, b"host")
    'here'
    """
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def presented_key(scope: Scope) -> str | None:
    """Return the API key of a request: ``Authorization: Bearer`` or ``X-API-Key``.

    >>> presented_key({"headers": [(b"authorization", b"Bearer swk_1_2")]})
    'swk_1_2'
    """
    for key, value in scope["headers"]:
        if key == b"authorization" and value[:7].lower() == b"bearer ":
            return str(value[7:].strip().decode("latin-1"))
        if key == b"x-api-key":
            return str(value.decode("latin-1"))
    return None


async def read_body(receive: Receive, most: int) -> bytes:
    """Return the body of a request; raises :class:`Problem` (413) beyond ``most`` bytes.

    >>> import asyncio
    >>> async def receive():
    ...     return {"type": "http.request", "body": b"ab", "more_body": False}
    >>> asyncio.run(read_body(receive, 2))
    b'ab'
    """
    message = await receive()
    body = message.get("body", b"")
    if not message.get("more_body", False) and len(body) <= most:
        return bytes(body)
    parts, size = [body], len(body)
    while message.get("more_body", False) and size <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(problem(400, "Incomplete", "The connection closed before the body ended."))
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if size > most:
        raise Problem(problem(413, "Too large", f"A request here has at most {most:,} bytes."))
    return b"".join(parts)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a response."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


class Front:
    """The outermost application: hot paths at once, all others by ``rest``; errors become problem details.

    A hot endpoint returns its answer. An error that nobody foresaw is logged with its cause and answered with 500 and
    nothing of it; ``rest`` answers its own and raises what it did not foresee, to be logged.
    """

    def __init__(self, hot: Mapping[str, Hot], rest: App) -> None:
        """Route by exact path."""
        self._hot, self._rest = dict(hot), rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (or the lifespan, which is the rest's)."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        hot = self._hot.get(scope["path"])
        try:
            if hot is None:
                await self._rest(scope, receive, send)
                return
            answer = await hot(scope, receive)
        except Problem as error:
            answer = error.answer
        except Exception:
            log.exception("unforeseen error", extra={"method": scope["method"], "path": scope["path"][:200]})
            if hot is None:
                return
            answer = UNFORESEEN
        await send_answer(send, answer)
