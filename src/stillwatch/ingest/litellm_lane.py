"""The fast lane of LiteLLM's ``StandardLoggingPayload``: what ``payload_cells`` says of one, in columns for many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stillwatch.ingest.bodies import REFUSALS, answer_text, parameters
from stillwatch.ingest.columns import Columns
from stillwatch.ingest.lanes import Lane, Shape, Source, first_of, identity_kinds, identity_sources
from stillwatch.ingest.messages import Conversation, conversation
from stillwatch.ingest.reader import Cells, Plan

_Number = int | float | None


class _Struct(msgspec.Struct, frozen=True, gc=False):
    """Members of which the lane looks at some; any other is passed over."""


class _Message(_Struct, frozen=True, gc=False):
    content: str | list[Any] | None
    refusal: str | None = None


class _Choice(_Struct, frozen=True, gc=False):
    message: _Message
    finish_reason: str | None = None


class _Spent(_Struct, frozen=True, gc=False):
    reasoning_tokens: int | None = None
    thinking_tokens: int | None = None


class _Given(_Struct, frozen=True, gc=False):
    cached_tokens: int | None = None


class _Usage(_Struct, frozen=True, gc=False):
    cache_read_input_tokens: int | None = None
    completion_tokens_details: _Spent | None = None
    output_tokens_details: _Spent | None = None
    prompt_tokens_details: _Given | None = None
    input_tokens_details: _Given | None = None


class _Response(_Struct, frozen=True, gc=False):
    choices: list[_Choice]
    usage: _Usage | None = None


_KINDS: Mapping[str, Any] = {
    "id": str | None,
    "litellm_call_id": str | None,
    "startTime": int | float | str | None,
    "model_group": str | None,
    "model": str | None,
    "prompt_tokens": int,
    "completion_tokens": int,
    "response_time": _Number,
    "metadata.user_api_key_request_route": str | None,
    "call_type": str | None,
    "status": str | None,
    "error_information.error_code": str | int | None,
    "messages": list[Any] | None,
    "response": _Response | None,
    "metadata.usage_object": _Usage | None,
    "model_parameters": dict[str, Any] | None,
}


def payload_lane(plan: Plan) -> Lane | None:
    """Return the lane for an identity map; None when the map looks where only the mapper can.

    >>> from stillwatch.ingest.identity import default_identity
    >>> lane = payload_lane(Plan(default_identity()))
    >>> line = b'{"id": "e", "startTime": 1.5, "model": "m", "prompt_tokens": 1, "completion_tokens": 2}'
    >>> {name: column.values for name, column in lane.columns([lane.takes(line)]).items()}["exchange_id"]
    ['e']
    """
    lookups = plan.identity.lookups["litellm"]
    try:
        shape = Shape({**identity_kinds(lookups), **_KINDS})
    except ValueError:
        return None

    def columns(rows: Sequence[Any]) -> Columns:
        taken = shape.taken(rows)
        sources = identity_sources(lookups, taken, len(rows))
        for name, found in _sources(taken):
            sources.setdefault(name, []).append(found)
        made = {name: first_of(found) for name, found in sources.items()}
        return {name: column for name, column in made.items() if column}

    return Lane(msgspec.json.Decoder(shape.type).decode, columns, shape.flat_keys)


def _sources(taken: Mapping[str, Sequence[Any]]) -> list[tuple[str, Source]]:
    """Return where each column is looked for, in the order of the mapper."""
    plain = (
        ("exchange_id", "id"),
        ("exchange_id", "litellm_call_id"),
        ("ts", "startTime"),
        ("model", "model_group"),
        ("model", "model"),
        ("input_tokens", "prompt_tokens"),
        ("output_tokens", "completion_tokens"),
        ("endpoint", "metadata.user_api_key_request_route"),
        ("endpoint", "call_type"),
    )
    return [
        *((name, (path, taken[path])) for name, path in plain),
        ("latency_ms", ("response_time", [None if t is None else round(t * 1000, 6) for t in taken["response_time"]])),
        *_said(taken["messages"]),
        *_answered(taken["response"]),
        *_used("response.usage", [answer and answer.usage for answer in taken["response"]]),
        *_used("metadata.usage_object", taken["metadata.usage_object"]),
        *_status(taken),
        *_asked(taken["model_parameters"]),
    ]


def _said(talks: Sequence[list[Any] | None]) -> list[tuple[str, Source]]:
    said = [conversation(messages) if messages else Conversation() for messages in talks]
    columns = ("system_text", "prompt_text", "modalities", "prior_reasoning_id")
    return [(name, ("messages", values)) for name, values in zip(columns, zip(*said, strict=True), strict=True)]


def _answered(answers: Sequence[_Response | None]) -> list[tuple[str, Source]]:
    made = [_answer(answer.choices) if answer else (None, None, None) for answer in answers]
    columns = ("response_text", "stop_reason", "refused")
    return [(name, ("response.choices", values)) for name, values in zip(columns, zip(*made, strict=True), strict=True)]


def _answer(choices: Sequence[_Choice]) -> tuple[str, str | None, bool]:
    """Return the text of the choices, the first reason to stop, and whether any refuses."""
    texts = [answer_text(choice.message.content) or choice.message.refusal for choice in choices]
    stop = next((choice.finish_reason for choice in choices if choice.finish_reason), None)
    refused = any(choice.message.refusal for choice in choices) or stop in REFUSALS
    return "\n".join(text for text in texts if text), stop, refused


def _used(at: str, usages: Sequence[_Usage | None]) -> list[tuple[str, Source]]:
    found: list[tuple[str, Source]] = []
    if not any(usages):
        return found
    read = [usage and usage.cache_read_input_tokens for usage in usages]
    found.append(("cached_tokens", (f"{at}.cache_read_input_tokens", read)))
    for group in ("completion_tokens_details", "output_tokens_details"):
        spent: list[_Spent | None] = [getattr(usage, group, None) for usage in usages]
        if any(spent):
            for name in ("reasoning_tokens", "thinking_tokens"):
                values = [getattr(one, name, None) for one in spent]
                found.append(("reasoning_tokens", (f"{at}.{group}.{name}", values)))
    for group in ("prompt_tokens_details", "input_tokens_details"):
        given: list[_Given | None] = [getattr(usage, group, None) for usage in usages]
        if any(given):
            values = [one and one.cached_tokens for one in given]
            found.append(("cached_tokens", (f"{at}.{group}.cached_tokens", values)))
    return found


def _status(taken: Mapping[str, Sequence[Any]]) -> list[tuple[str, Source]]:
    good = [200 if status == "success" else None for status in taken["status"]]
    codes = [
        code if isinstance(code, int) or (isinstance(code, str) and code.isdigit()) else None
        for code in taken["error_information.error_code"]
    ]
    return [("status", ("status", good)), ("status", ("error_information.error_code", codes))]


def _asked(bodies: Sequence[dict[str, Any] | None]) -> list[tuple[str, Source]]:
    """Return what the mapper's :func:`parameters` finds, for each of its columns."""
    made: list[Cells] = []
    for body in bodies:
        cells: Cells = {}
        if body:
            parameters(cells, body, "model_parameters")
        made.append(cells)
    found: list[tuple[str, Source]] = []
    for name in sorted(set[str]().union(*made)):
        for origin in sorted({cells[name][1] for cells in made if name in cells}):
            values = [cell[0] if (cell := cells.get(name)) and cell[1] == origin else None for cells in made]
            found.append((name, (origin, values)))
    return found
