"""The edits that a decision makes in a request's body, in every dialect: shorter answers, no logprobs, summaries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stillwatch.response.decide import Edits
from stillwatch.service.check import LIMITS, is_count


def edited(path: str, body: bytes, edits: Edits) -> bytes:
    """Return a request body with a decision's edits made; the same bytes when there is nothing to change.

    The token limit is lowered, or set where the client set none; thinking that no longer fits under it is switched
    off, as the model would refuse the request otherwise. A body that is not a JSON object is returned as it is.

    >>> edited("/v1/chat/completions", b'{"model": "m", "max_tokens": 4000}', Edits(max_tokens=256))
    b'{"model":"m","max_tokens":256}'
    >>> edited("/v1/chat/completions", b'{"model": "m", "max_tokens": 100}', Edits(max_tokens=256))
    b'{"model": "m", "max_tokens": 100}'
    """
    try:
        before = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(before, dict):
        return body
    after = edit(path, before, edits)
    return body if after == before else json.dumps(after, separators=(",", ":")).encode()


def edit(path: str, request: Mapping[str, Any], edits: Edits) -> dict[str, Any]:
    """Return a decoded request with a decision's edits made, as :func:`edited` does.

    >>> edit("/v1/messages", {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 8000}},
    ...      Edits(max_tokens=500))
    {'max_tokens': 500, 'thinking': {'type': 'disabled'}}
    >>> edit("/v1/responses", {"include": ["message.output_text.logprobs"]}, Edits(logprobs=False))
    {'include': []}
    """
    after = dict(request)
    if edits.max_tokens is not None:
        _limit(path, after, edits.max_tokens)
    if edits.logprobs is False:
        _without_logprobs(after)
    if edits.reasoning == "summary":
        _summarised(after)
    return after


def _limit(path: str, request: dict[str, Any], most: int) -> None:
    asked = [name for name in LIMITS if is_count(request.get(name))]
    for name in asked:
        request[name] = min(request[name], most)
    if not asked:
        request[_limit_name(path)] = most
    thinking = request.get("thinking")
    if isinstance(thinking, dict) and isinstance(budget := thinking.get("budget_tokens"), int) and budget >= most:
        request["thinking"] = {"type": "disabled"}


def _limit_name(path: str) -> str:
    last = path.partition("?")[0].rstrip("/").rpartition("/")[2]
    if last == "responses":
        return "max_output_tokens"
    return "max_completion_tokens" if path.partition("?")[0].rstrip("/").endswith("chat/completions") else "max_tokens"


def _without_logprobs(request: dict[str, Any]) -> None:
    for name in ("logprobs", "top_logprobs"):
        request.pop(name, None)
    wanted = request.get("include")
    if isinstance(wanted, list):
        request["include"] = [part for part in wanted if not str(part).endswith("logprobs")]


def _summarised(request: dict[str, Any]) -> None:
    reasoning, thinking = request.get("reasoning"), request.get("thinking")
    if isinstance(reasoning, dict):
        request["reasoning"] = {**reasoning, "summary": "auto"}
    if isinstance(thinking, dict) and thinking.get("type") != "disabled" and thinking.get("display") != "omitted":
        request["thinking"] = {**thinking, "display": "summarized"}
