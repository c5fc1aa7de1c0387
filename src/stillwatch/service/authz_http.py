"""A decision as two gateways want it over HTTP: Envoy's ext_authz (any status) and nginx's auth_request (2xx or 403).

Both ask with the path, the identity headers and, Envoy only, the body of the request that they hold back.
"""

from __future__ import annotations

from stillwatch.response.decide import Decision
from stillwatch.service.answers import Answer, notice, refusal
from stillwatch.service.check import notes

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
