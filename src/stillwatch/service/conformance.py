"""Checks of a gateway from where its customers stand: status, headers, body, streams, and what happens without us.

The requests are small, real ones to the URL that is given (16 tokens each), and go nowhere else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import httpx
import msgspec

from stillwatch.service.answers import PROBLEM
from stillwatch.service.check import dialect_of

REFUSED = (403, 429)
_TELLTALE = re.compile(r"x-stillwatch-|\bSW-[0-9a-f]{8,}|detector|q[-_ ]value", re.IGNORECASE)
_TRIES = 5
_SPREAD_S = 0.02

Outcome = Literal["passed", "failed", "skipped", "noted"]


class Check(msgspec.Struct, frozen=True):
    """One check: what must hold, how it went, and what was seen."""

    name: str
    outcome: Outcome
    seen: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway: its URL, a path and a model there, and the headers of two accounts of your own.

    ``ordinary`` is under no measure, ``held`` is under one that refuses (empty: its checks are skipped).
    """

    url: str
    path: str = "/v1/chat/completions"
    model: str = "large"
    ordinary: Mapping[str, str] = {}
    held: Mapping[str, str] = {}
    requests: int = 20
    timeout_s: float = 30.0


def check_gateway(target: Target) -> Iterator[Check]:
    """Yield the checks of a gateway whose Stillwatch is up, as they are done.

    >>> [check.outcome for check in check_gateway(Target(url="http://127.0.0.1:9"))]
    ['failed', 'failed', 'skipped', 'skipped', 'skipped', 'skipped', 'skipped', 'skipped']
    """
    with _client(target) as client:
        yield _checked("an ordinary request is answered", lambda: _answered(client, target))
        yield _checked("a stream arrives as it is sent", lambda: _streams(client, target))
        yield from _refusals(client, target)
        latency = _latency(client, target)
        yield Check("time to an answer", "noted" if latency else "skipped", latency)


def check_without(target: Target, mode: Literal["open", "closed"]) -> Iterator[Check]:
    """Yield the checks of a gateway whose Stillwatch is down: ``open`` lets everybody on, ``closed`` nobody.

    >>> [check.outcome for check in check_without(Target(url="http://127.0.0.1:9"), "open")]
    ['failed', 'failed', 'skipped']
    """
    with _client(target) as client:
        if mode == "closed":
            yield _checked("without Stillwatch, requests are refused with 5xx", lambda: _shut(client, target))
            return
        yield _checked("without Stillwatch, requests are answered", lambda: _answered(client, target))
        yield _checked("without Stillwatch, a stream arrives as it is sent", lambda: _streams(client, target))
        name = "without Stillwatch, the account under a measure is answered"
        yield _checked(name, lambda: _answered(client, target, held=True)) if target.held else _skipped(name)


def _refusals(client: httpx.Client, target: Target) -> Iterator[Check]:
    names = (
        "the account under a measure is refused",
        "the refusal has the body that clients expect",
        "the refusal says when to come back",
        "the refusal names no detector, campaign or header of ours",
        "others go on meanwhile",
    )
    refused = _refused(client, target) if target.held else None
    if refused is None:
        yield from [_skipped(name) for name in names]
        return
    first = _checked(names[0], lambda: _is_refusal(refused))
    yield first
    if first.outcome == "failed":
        yield from [_skipped(name, "it was not refused") for name in names[1:]]
        return
    judges: tuple[Callable[[], str], ...] = (
        lambda: _body(refused, target),
        lambda: _wait(refused),
        lambda: _discreet(refused),
        lambda: _answered(client, target),
    )
    for name, judge in zip(names[1:], judges, strict=True):
        yield _checked(name, judge)


class _Failed(Exception):  # noqa: N818 - named after what happened
    """What was seen instead."""


def _checked(name: str, judge: Callable[[], str]) -> Check:
    try:
        return Check(name, "passed", judge())
    except _Failed as seen:
        return Check(name, "failed", str(seen))
    except httpx.HTTPError as error:
        return Check(name, "failed", f"{type(error).__name__}: {error}")


def _skipped(name: str, why: str = "no --held account given, or it cannot be reached") -> Check:
    return Check(name, "skipped", why)


def _client(target: Target) -> httpx.Client:
    return httpx.Client(base_url=target.url, timeout=target.timeout_s)


def _body_of(target: Target, *, stream: bool) -> dict[str, Any]:
    talk = [{"role": "user", "content": "Say hello."}]
    return {"model": target.model, "messages": talk, "max_tokens": 16, **({"stream": True} if stream else {})}


def _post(client: httpx.Client, target: Target, *, held: bool = False) -> httpx.Response:
    headers = dict(target.held if held else target.ordinary)
    return client.post(target.path, json=_body_of(target, stream=False), headers=headers)


def _answered(client: httpx.Client, target: Target, *, held: bool = False) -> str:
    reply = _post(client, target, held=held)
    if reply.status_code != 200:
        raise _Failed(f"status {reply.status_code}: {reply.text[:120]}")
    if not isinstance(_decoded(reply), dict):
        raise _Failed(f"not a JSON object: {reply.text[:80]!r}")
    return f"200, {_discreet_headers(reply)}"


def _discreet_headers(reply: httpx.Response) -> str:
    told = [name for name in reply.headers if name.lower().startswith(("x-stillwatch-", "x-envoy-fault"))]
    if told:
        raise _Failed(f"the answer shows {', '.join(told)}")
    return "no header of ours"


def _streams(client: httpx.Client, target: Target) -> str:
    """Tell a held-back stream by its pieces all coming at once; a short answer gets three tries."""
    seen = ""
    for _ in range(3):
        times: list[float] = []
        headers = dict(target.ordinary)
        with client.stream("POST", target.path, json=_body_of(target, stream=True), headers=headers) as reply:
            kind = reply.headers.get("content-type", "")
            if reply.status_code != 200 or not kind.startswith("text/event-stream"):
                raise _Failed(f"status {reply.status_code}, content-type {kind!r}")
            times.extend(time.monotonic() for piece in reply.iter_raw() if piece)
        spread = times[-1] - times[0] if times else 0.0
        seen = f"{len(times)} pieces over {spread * 1000:.0f} ms"
        if len(times) > 1 and spread >= _SPREAD_S:
            return seen
    raise _Failed(f"{seen}: something holds the answer back")


def _refused(client: httpx.Client, target: Target) -> httpx.Response | None:
    """Ask until refused, as a budget may have room for a few; the last reply, or None when nothing answers."""
    reply = None
    try:
        for _ in range(_TRIES):
            reply = _post(client, target, held=True)
            if reply.status_code != 200:
                break
    except httpx.HTTPError:
        return None
    return reply


def _is_refusal(reply: httpx.Response) -> str:
    if reply.status_code not in REFUSED:
        raise _Failed(f"status {reply.status_code}" + (f" to {_TRIES} requests" if reply.is_success else ""))
    return str(reply.status_code)


def _body(reply: httpx.Response, target: Target) -> str:
    kinds = reply.headers.get_list("content-type")
    if len(kinds) != 1:
        raise _Failed(f"{len(kinds)} Content-Type headers")
    body = _decoded(reply)
    error = body.get("error") if isinstance(body, dict) else None
    dialect = dialect_of(target.path)
    if kinds[0].startswith(PROBLEM) and isinstance(body, dict) and body.get("status") == reply.status_code:
        return "problem details"
    if isinstance(error, dict) and isinstance(error.get("message"), str) and _spoken(dialect, body):
        return f"{dialect} error, type {error.get('type')}"
    raise _Failed(f"{kinds[0]}: {reply.text[:80]!r}")


def _spoken(dialect: str | None, body: Mapping[str, Any]) -> bool:
    return dialect == "openai" or (dialect == "anthropic" and body.get("type") == "error")


def _wait(reply: httpx.Response) -> str:
    after = reply.headers.get("retry-after", "")
    if reply.status_code != 429:
        return "a 403 does not end by waiting"
    if not after.isdigit():
        raise _Failed(f"Retry-After is {after!r}")
    missing = [name for name in ("ratelimit", "ratelimit-policy") if name not in reply.headers]
    return f"Retry-After {after}" + (f"; {' and '.join(missing)} did not come through" if missing else ", RateLimit")


def _discreet(reply: httpx.Response) -> str:
    text = "\n".join([*(f"{name}: {value}" for name, value in reply.headers.items()), reply.text])
    found = _TELLTALE.search(text)
    if found:
        raise _Failed(f"it says {found.group()!r}")
    return "nothing found"


def _shut(client: httpx.Client, target: Target) -> str:
    reply = _post(client, target)
    if reply.status_code < 500:
        raise _Failed(f"status {reply.status_code}")
    return str(reply.status_code)


def _latency(client: httpx.Client, target: Target) -> str:
    times = []
    try:
        for _ in range(target.requests):
            start = time.perf_counter()
            if _post(client, target).status_code != 200:
                return ""
            times.append(1000 * (time.perf_counter() - start))
    except httpx.HTTPError:
        return ""
    times.sort()
    return f"{len(times)} requests: p50 {times[len(times) // 2]:.1f} ms, slowest {times[-1]:.1f} ms"


def _decoded(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except ValueError:
        return None
