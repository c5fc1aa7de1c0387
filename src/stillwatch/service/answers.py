"""Decisions as a client is told them: status, headers and body by the rules of the web, in the client's dialect.

Problem details: RFC 9457. ``RateLimit`` and ``RateLimit-Policy``, and the problem types of rate limiting:
draft-ietf-httpapi-ratelimit-headers-11. Nothing here names a detector, a campaign or an account.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from stillwatch.response.decide import Decision, Edits, LimitState

PROBLEM = "application/problem+json"
_TYPES = "https://iana.org/assignments/http-problem-types#"
_POLICY = "graduated"


class _Telling(NamedTuple):
    """How one refusal is told: status, problem type, title, detail, and the error types of two dialects."""

    status: int
    type: str
    title: str
    detail: str
    openai: str
    anthropic: str


_TELLINGS = {
    "rate-limit": _Telling(
        429,
        f"{_TYPES}abnormal-usage-detected",
        "Abnormal usage detected",
        "Requests of this kind are limited for now. Try again after the time given.",
        "rate_limit_error",
        "rate_limit_error",
    ),
    "step-up": _Telling(
        403,
        "urn:stillwatch:problem:verification-required",
        "Verification required",
        "Verify who uses this account to go on.",
        "permission_error",
        "permission_error",
    ),
    "restrict": _Telling(
        403,
        "urn:stillwatch:problem:restricted",
        "Not available to this account",
        "Requests of this kind are not available to this account. An appeal is possible.",
        "permission_error",
        "permission_error",
    ),
    "suspend": _Telling(
        403,
        "urn:stillwatch:problem:suspended",
        "Account suspended",
        "This account is suspended. An appeal is possible.",
        "permission_error",
        "permission_error",
    ),
    "unavailable": _Telling(
        503,
        f"{_TYPES}temporary-reduced-capacity",
        "Temporarily unavailable",
        "The request cannot be checked at the moment. Try again soon.",
        "server_error",
        "overloaded_error",
    ),
}
_UNAVAILABLE_RETRY = 5.0


class Answer(NamedTuple):
    """An HTTP response, ready to be sent; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes


def refusal(decision: Decision, dialect: str | None = None, *, request_id: str = "") -> Answer:
    """Return the response that a refused client gets; ``dialect`` is openai, anthropic or None (problem details).

    >>> told = refusal(Decision(action="rate-limit", reason="abnormal-usage", retry_after=12.2))
    >>> told.status, told.headers["retry-after"], told.headers["content-type"]
    (429, '13', 'application/problem+json')
    >>> refusal(Decision(action="suspend"), "anthropic").body
    b'{"type":"error","error":{"type":"permission_error","message":"This account is suspended. An appeal ...'
    """
    telling = _TELLINGS[decision.action]
    headers = {"content-type": PROBLEM if dialect is None else "application/json", "cache-control": "no-store"}
    wait = decision.retry_after if telling.status == 429 else _UNAVAILABLE_RETRY if telling.status == 503 else None
    if wait is not None:
        headers["retry-after"] = str(max(1, math.ceil(wait)))
    headers.update(limit_headers(decision.limit))
    return Answer(telling.status, headers, msgspec.json.encode(_BODIES[dialect](telling, decision, request_id)))


def notice(decision: Decision) -> dict[str, str]:
    """Return the headers that an answered request carries: its limit, and what was changed, where that is visible.

    >>> notice(Decision(action="cap", reason="abnormal-usage", edits=Edits(max_tokens=256)))
    {'usage-notice': 'cap;reason="abnormal-usage";max-tokens=256'}
    >>> notice(Decision())
    {}
    """
    if not decision.visible:
        return {}
    headers = limit_headers(decision.limit)
    if decision.action in ("cap", "delay"):
        reason = f';reason="{decision.reason}"' if decision.reason else ""
        headers["usage-notice"] = f"{decision.action}{reason}{_changes(decision.edits)}"
    return headers


def _changes(edits: Edits | None) -> str:
    if edits is None:
        return ""
    said = f";max-tokens={edits.max_tokens}" if edits.max_tokens is not None else ""
    said += ";logprobs=?0" if edits.logprobs is False else ""
    return said + (f";reasoning={edits.reasoning}" if edits.reasoning else "")


def limit_headers(limit: LimitState | None) -> dict[str, str]:
    """Return ``RateLimit`` and ``RateLimit-Policy``; nothing without a limit.

    >>> limit_headers(LimitState(quota=600, window=60, remaining=12, reset=9))
    {'ratelimit-policy': '"graduated";q=600;w=60', 'ratelimit': '"graduated";r=12;t=9'}
    """
    if limit is None:
        return {}
    return {
        "ratelimit-policy": f'"{_POLICY}";q={limit.quota};w={limit.window}',
        "ratelimit": f'"{_POLICY}";r={limit.remaining};t={limit.reset}',
    }


def problem(status: int, title: str, detail: str, *, kind: str = "about:blank", **headers: str) -> Answer:
    """Return problem details about a request to Stillwatch itself; ``headers`` with ``_`` for ``-``.

    >>> problem(429, "Too many requests", "Slow down.", retry_after="1").headers["retry-after"]
    '1'
    """
    content = {"type": kind, "title": title, "status": status, "detail": detail}
    told = {"content-type": PROBLEM, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Answer(status, told, msgspec.json.encode(content))


def _problem_body(telling: _Telling, decision: Decision, request_id: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": telling.type,
        "title": telling.title,
        "status": telling.status,
        "detail": telling.detail,
    }
    if request_id:
        body["instance"] = f"urn:request:{request_id}"
    if telling.status == 429:
        body["violated-policies"] = [_POLICY]
    if decision.reason and decision.visible:
        body["reason"] = decision.reason
    return body


def _openai_body(telling: _Telling, decision: Decision, request_id: str) -> dict[str, Any]:
    code = telling.type.rpartition("#")[2].rpartition(":")[2].replace("-", "_")
    return {"error": {"message": telling.detail, "type": telling.openai, "param": None, "code": code}}


def _anthropic_body(telling: _Telling, decision: Decision, request_id: str) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "error", "error": {"type": telling.anthropic, "message": telling.detail}}
    return {**body, "request_id": request_id} if request_id else body


_BODIES = {None: _problem_body, "openai": _openai_body, "anthropic": _anthropic_body}
DIALECTS = ("openai", "anthropic")
