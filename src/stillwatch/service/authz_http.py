"""A decision as two gateways want it over HTTP: Envoy's ext_authz (any status) and nginx's auth_request (2xx or 403).

Both ask with the path, the identity headers and, Envoy only, the body of the request that they hold back.
"""

from __future__ import annotations

import asyncio

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Route

from stillwatch.response.decide import Decision
from stillwatch.service.answers import Answer, notice, problem, refusal
from stillwatch.service.check import Desk, notes
from stillwatch.service.deciding import MOST_BYTES
from stillwatch.service.keys import Door
from stillwatch.service.web import Problem, Receive, Scope, Send, log, presented_key, read_body, send_answer

FAULT_DELAY = "x-envoy-fault-delay-request"
"""Envoy's fault filter waits for so many milliseconds before the request goes on."""


def envoy_answer(decision: Decision, dialect: str | None) -> Answer:
    """Return the answer to Envoy: what it sends to a refused client, or 200 with headers for both sides.

    >>> envoy_answer(Decision(action="delay", delay_ms=800), None).headers
    {'x-stillwatch-action': 'delay', 'x-envoy-fault-delay-request': '800', 'usage-notice': 'delay'}
    >>> envoy_answer(Decision(action="suspend"), "openai").status
    403
    """
    if decision.refuses:
        told = refusal(decision, dialect)
        return Answer(told.status, {**told.headers, **notes(decision)}, told.body)
    return Answer(200, {**upstream(decision), **notice(decision)}, b"")


def upstream(decision: Decision) -> dict[str, str]:
    """Return the headers of a request that goes on through Envoy: notes, and a delay for the fault filter.

    >>> upstream(Decision(action="tag", campaign="SW-1"))
    {'x-stillwatch-action': 'tag', 'x-stillwatch-campaign': 'SW-1'}
    """
    wait = {FAULT_DELAY: str(decision.delay_ms)} if decision.delay_ms else {}
    return {**notes(decision), **wait}


def nginx_answer(decision: Decision, dialect: str | None) -> Answer:
    """Return the answer to nginx: 403 for every refusal, with the real status, type and body in headers.

    ``auth_request`` turns any other refusing status into a 500 and drops the body.

    >>> told = nginx_answer(Decision(action="rate-limit", retry_after=3), "openai")
    >>> told.status, told.headers["x-stillwatch-status"], told.headers["x-stillwatch-type"], told.headers["retry-after"]
    (403, '429', 'application/json', '3')
    >>> nginx_answer(Decision(), None).status
    200
    """
    if not decision.refuses:
        return Answer(200, {**notes(decision), **notice(decision)}, b"")
    told = refusal(decision, dialect)
    kept = {
        "x-stillwatch-status": str(told.status),
        "x-stillwatch-type": told.headers["content-type"],
        "x-stillwatch-body": told.body.decode("ascii"),
    }
    return Answer(403, {**told.headers, **notes(decision), **kept}, b"")


class CheckEndpoint:
    """`/v1/check/envoy/…` and `/v1/check/nginx/…` as one ASGI application; ``…`` is the path of the held request.

    What is wrong between the gateway and Stillwatch (key, size) is answered with 503, which both gateways treat as
    Stillwatch being gone: as configured there, never as a refusal of the customer.
    """

    def __init__(self, desk: Desk, door: Door) -> None:
        """Serve what ``desk`` answers to whom ``door`` admits."""
        self._desk, self._door = desk, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one question."""
        gateway, _, path = scope["path"].removeprefix(PREFIX).partition("/")
        if gateway not in _SHAPES:
            await send_answer(send, problem(404, "Not found", f"Gateways here: {', '.join(_SHAPES)}."))
            return
        try:
            self._door.admit(presented_key(scope), "decide")
            body = await read_body(receive, MOST_BYTES)
        except Problem as error:
            log.warning("gateway refused", extra={"gateway": gateway, "status": error.answer.status})
            await send_answer(send, problem(503, "Not answered", "The gateway's question was not taken; see the log."))
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        decision, dialect = self._desk.ask(f"/{path}", headers, body)
        if gateway == "nginx" and decision.delay_ms and not decision.refuses:
            await asyncio.sleep(decision.delay_ms / 1000)  # nginx has no delay of its own
        await send_answer(send, _SHAPES[gateway](decision, dialect))


def check_route(desk: Desk, door: Door) -> Route:
    """Return the route of both gateways.

    >>> from stillwatch.service.check import Names
    >>> check_route(Desk(lambda request: Decision(), lambda request: True, Names()), Door(None)).path
    '/v1/check/{request:held}'
    """
    register_url_convertor("held", _Held())
    return Route(f"{PREFIX}{{request:held}}", CheckEndpoint(desk, door))


class _Held(Convertor[str]):
    """Any path that a customer can send, line ends (%0A) included: Starlette's own ``path`` stops there."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """Return it as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Return it as it is."""
        return value


PREFIX = "/v1/check/"
_SHAPES = {"envoy": envoy_answer, "nginx": nginx_answer}
