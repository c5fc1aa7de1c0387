"""Ways back over HTTP, for keys with the scope ``enforce``: a verification's result, and undo. Nothing begins here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stillwatch.errors import StateError, UnknownToState
from stillwatch.response.actions import undo
from stillwatch.response.appeals import Kind, verify
from stillwatch.response.store import State
from stillwatch.service.answers import problem
from stillwatch.service.keys import Door
from stillwatch.service.web import Problem, presented_key, read_body

_MOST_BYTES = 64 << 10
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000, pattern=r"\S")]


class Verification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result of a verification that the provider carried out; one that succeeded ends what is in force."""

    account: Word
    kind: Kind
    succeeded: bool
    why: Word


class Undo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be undone: exactly one of account, campaign and plan."""

    why: Word
    account: Word | None = None
    campaign: Word | None = None
    plan: Word | None = None


class Ended(msgspec.Struct, frozen=True):
    """How many measures ended."""

    ended: int


_T = TypeVar("_T")


def enforcing_routes(opened: Callable[[], Awaitable[State]], door: Door) -> list[Route]:
    """Return the routes of `/v1/verifications` and `/v1/undo`; the journal names the key that asked.

    >>> enforcing_routes.__name__
    'enforcing_routes'
    """

    async def verifications(request: Request) -> Response:
        who, asked = await _asked(request, door, Verification)
        state = await _state(opened)
        return await _done(
            lambda: verify(state, asked.account, asked.kind, succeeded=asked.succeeded, who=who, why=asked.why)
        )

    async def undoing(request: Request) -> Response:
        who, asked = await _asked(request, door, Undo)
        state = await _state(opened)
        named = {"account": asked.account, "campaign": asked.campaign, "plan": asked.plan}
        return await _done(lambda: undo(state, who=who, why=asked.why, **named))

    return [
        Route("/v1/verifications", verifications, methods=["POST"]),
        Route("/v1/undo", undoing, methods=["POST"]),
    ]


async def _asked(request: Request, door: Door, kind: type[_T]) -> tuple[str, _T]:
    who = door.admit(presented_key(request.scope), "enforce")
    body = await read_body(request.receive, _MOST_BYTES)
    try:
        return f"key {who}", msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(problem(400, "Not readable", str(error))) from None


async def _state(opened: Callable[[], Awaitable[State]]) -> State:
    try:
        return await opened()
    except StateError as error:
        raise _refused(error) from error


async def _done(change: Callable[[], int]) -> Response:
    try:
        ended = await asyncio.to_thread(change)
    except StateError as error:
        raise _refused(error) from error
    return Response(msgspec.json.encode(Ended(ended)), media_type="application/json")


def _refused(error: StateError) -> Problem:
    """Tell a database that is gone from a change that it does not allow."""
    if isinstance(error.__cause__, SQLAlchemyError):
        return Problem(problem(503, "The state is out of reach", "Nothing was changed; try again.", retry_after="5"))
    if isinstance(error, UnknownToState):
        return Problem(problem(404, "Unknown", str(error)))
    return Problem(problem(409, "Not done", str(error)))
