"""The same world as other software logs it: LiteLLM, OpenTelemetry, OpenAI and Anthropic JSON Lines, NDJSON, CSV.

The field names are the documented ones of each format (docs/simulate.md); identifiers are raw, as a log has them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Row = dict[str, Any]

# Where a format keeps a canonical column: name there, column here.
_LITELLM = {
    "session_id": "session_id",
    "model": "model",
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "end_user": "end_user_id",
    "requester_ip_address": "ip",
    "user_agent": "user_agent",
}
_LITELLM_METADATA = {
    "user_api_key_user_id": "account_id",
    "user_api_key_hash": "api_key_id",
    "user_api_key_end_user_id": "end_user_id",
    "user_api_key_request_route": "endpoint",
    "requester_ip_address": "ip",
    "user_agent": "user_agent",
}
_LITELLM_HEADERS = {
    "x-ja4": "tls_fingerprint",
    "x-asn": "asn",
    "x-country": "country",
    "x-network-kind": "network_kind",
    "x-client-fingerprint": "client_fingerprint",
    "x-surface": "surface",
}
_LITELLM_PARAMETERS = {
    "temperature": "temperature",
    "max_tokens": "max_tokens",
    "n": "n_choices",
    "logprobs": "logprobs_requested",
}
_OTEL = {
    "gen_ai.request.model": "model",
    "gen_ai.response.id": "exchange_id",
    "gen_ai.conversation.id": "session_id",
    "gen_ai.tool.definitions": "tools_json",
    "gen_ai.usage.input_tokens": "input_tokens",
    "gen_ai.usage.output_tokens": "output_tokens",
    "gen_ai.usage.reasoning.output_tokens": "reasoning_tokens",
    "gen_ai.usage.cache_read.input_tokens": "cached_tokens",
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.choice.count": "n_choices",
    "user.id": "account_id",
    "api_key.id": "api_key_id",
    "enduser.pseudo.id": "end_user_id",
    "client.address": "ip",
    "user_agent.original": "user_agent",
    "tls.client.ja4": "tls_fingerprint",
    "client.fingerprint": "client_fingerprint",
    "client.as.number": "asn",
    "geo.country.iso_code": "country",
    "network.kind": "network_kind",
    "stillwatch.surface": "surface",
    "url.path": "endpoint",
    "http.response.status_code": "status",
}
_ANTHROPIC_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def litellm_record(row: Row) -> Row:
    """Return a ``StandardLoggingPayload``; what the proxy cannot know comes as custom headers of the front door.

    >>> litellm_record({"exchange_id": "e", "account_id": "a", "ts": 1_500_000, "model": "m"})["startTime"]
    1.5
    """
    start, took = row["ts"] / 1e6, (row.get("latency_ms") or 0) / 1e3
    good = row.get("status") == 200
    facts = {
        "id": row["exchange_id"],
        "trace_id": row.get("session_id") or row["exchange_id"],
        "call_type": "acompletion",
        "status": "success" if good else "failure",
        "error_information": None if good else {"error_code": _text(row.get("status"))},
        "model_group": row["model"],
        "startTime": start,
        "endTime": start + took,
        "response_time": took if row.get("latency_ms") else None,
        "messages": _messages(row),
        "response": _completion(row) if good else None,
        "model_parameters": {**_taken(row, _LITELLM_PARAMETERS), **_full({"tools": _tools(row)})},
        "metadata": {
            **_taken(row, _LITELLM_METADATA),
            "requester_custom_headers": _texts(_taken(row, _LITELLM_HEADERS)),
        },
    }
    return _full({**facts, **_taken(row, _LITELLM)})


def openai_record(row: Row) -> Row:
    """Return an envelope with a Chat Completions request and response.

    >>> openai_record({"exchange_id": "e", "account_id": "a", "ts": 0, "model": "m"})["request"]["model"]
    'm'
    """
    request = {
        "model": row["model"],
        "messages": _messages(row),
        "tools": _tools(row),
        "temperature": row.get("temperature"),
        "max_completion_tokens": row.get("max_tokens"),
        "n": row.get("n_choices"),
        "logprobs": row.get("logprobs_requested"),
        "safety_identifier": row.get("end_user_id"),
    }
    return _envelope(row, _full(request), _completion(row))


def anthropic_record(row: Row) -> Row:
    """Return an envelope with a Messages request and response.

    >>> row = {"exchange_id": "e", "account_id": "a", "ts": 0, "model": "m", "status": 200}
    >>> anthropic_record(row)["response"]["type"]
    'message'
    """
    request = {
        "model": row["model"],
        "system": row.get("system_text"),
        "messages": _messages({**row, "system_text": None}),
        "tools": [_anthropic_tool(tool["function"]) for tool in _tools(row) or []] or None,
        "temperature": row.get("temperature"),
        "max_tokens": row.get("max_tokens"),
        "metadata": {"user_id": row["end_user_id"]} if row.get("end_user_id") else None,
    }
    stop = row.get("stop_reason") or ""
    response = {
        "id": row["exchange_id"],
        "type": "message",
        "role": "assistant",
        "model": row["model"],
        "content": [],
        "stop_reason": _ANTHROPIC_STOPS.get(stop, stop or None),
        "usage": _anthropic_usage(row),
    }
    return _envelope(row, _full(request), _full(response))


def _anthropic_tool(function: Row) -> Row:
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "input_schema": function["parameters"],
    }


def _anthropic_usage(row: Row) -> Row:
    cached, thinking = row.get("cached_tokens"), row.get("reasoning_tokens")
    return _full(
        {
            "input_tokens": _less(row.get("input_tokens"), cached),
            "cache_read_input_tokens": cached,
            "output_tokens": row.get("output_tokens"),
            "output_tokens_details": None if thinking is None else {"thinking_tokens": thinking},
        }
    )


def otel_record(rows: list[Row]) -> Row:
    """Return one ``ExportTraceServiceRequest`` with a span an exchange (newest attribute names, messages as JSON text).

    >>> list(otel_record([{"exchange_id": "e", "account_id": "a", "ts": 0, "model": "m"}]))
    ['resourceSpans']
    """
    scope = {"scope": {"name": "gateway.genai", "version": "1"}, "spans": [_span(row) for row in rows]}
    resource = {"attributes": [_attribute("service.name", "gateway")]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _span(row: Row) -> Row:
    parts = [{"type": "text", "content": row.get("prompt_text") or ""}]
    if "image" in (row.get("modalities") or []):
        parts.append({"type": "blob", "mime_type": "image/png", "modality": "image", "content": ""})
    system, stop = row.get("system_text"), row.get("stop_reason")
    known = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "stillwatch.demo",
        "gen_ai.input.messages": _json([*_reasoned(row, "parts"), {"role": "user", "parts": parts}]),
        "gen_ai.system_instructions": _json([{"type": "text", "content": system}]) if system else None,
        "gen_ai.response.finish_reasons": [stop] if stop else None,
        **_taken(row, _OTEL),
    }
    start = row["ts"] * 1000
    name = row["exchange_id"].rpartition("_")[2].rjust(16, "0")[:16]
    return {
        "traceId": name * 2,
        "spanId": name,
        "name": f"chat {row['model']}",
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + round((row.get("latency_ms") or 0) * 1e6)),
        "attributes": [_attribute(key, value) for key, value in known.items() if value is not None],
    }


def _taken(row: Row, names: Mapping[str, str]) -> Row:
    """Return the row's values under the names of a format; nulls are left out."""
    return {name: row[column] for name, column in names.items() if row.get(column) is not None}


def _texts(record: Row) -> Row:
    return {key: str(value) for key, value in record.items()}


def _attribute(key: str, value: Any) -> Row:
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [{"stringValue": str(v)} for v in value]}}}
    kind = {int: "intValue", float: "doubleValue", bool: "boolValue"}.get(type(value), "stringValue")
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def _envelope(row: Row, request: Row, response: Row) -> Row:
    names = (
        "account_id",
        "api_key_id",
        "end_user_id",
        "session_id",
        "ip",
        "user_agent",
        "tls_fingerprint",
        "client_fingerprint",
        "asn",
        "country",
        "network_kind",
        "surface",
        "endpoint",
        "status",
        "latency_ms",
    )
    known = {name: row.get(name) for name in names}
    return _full(
        {
            "id": row["exchange_id"],
            "timestamp": row["ts"] / 1e6,
            **known,
            "request": request,
            "response": response if row.get("status") == 200 else None,
        }
    )


def _messages(row: Row) -> list[Row]:
    user: Any = row.get("prompt_text") or ""
    if "image" in (row.get("modalities") or []):
        user = [{"type": "text", "text": user}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]
    system = [{"role": "system", "content": row["system_text"]}] if row.get("system_text") else []
    return [*system, *_reasoned(row, "content"), {"role": "user", "content": user}]


def _reasoned(row: Row, parts: str) -> list[Row]:
    """Return the earlier answer whose opaque reasoning the request sends back, when it does."""
    reference = row.get("prior_reasoning_id")
    reasoning = {"type": "thinking", "thinking": "", "signature": reference}
    return [{"role": "assistant", parts: [reasoning]}] if reference else []


def _completion(row: Row) -> Row:
    stop = row.get("stop_reason")
    message = {"role": "assistant", "content": None, "refusal": "refused" if row.get("refused") else None}
    usage: Row = {"prompt_tokens": row.get("input_tokens"), "completion_tokens": row.get("output_tokens")}
    if row.get("cached_tokens") is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": row["cached_tokens"]}
    if row.get("reasoning_tokens") is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": row["reasoning_tokens"]}
    return {
        "id": row["exchange_id"],
        "model": row["model"],
        "choices": [{"index": 0, "finish_reason": stop, "message": message}],
        "usage": _full(usage),
    }


def _tools(row: Row) -> Any:
    return json.loads(row["tools_json"]) if row.get("tools_json") else None


def _full(record: Row) -> Row:
    return {key: value for key, value in record.items() if value is not None}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _less(value: int | None, part: int | None) -> int | None:
    return value if value is None or part is None else max(0, value - part)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_RECORDS: dict[str, Callable[[Row], Row]] = {
    "litellm": litellm_record,
    "openai": openai_record,
    "anthropic": anthropic_record,
    "ndjson": _full,
}
FORMATS = ("litellm", "otel", "openai", "anthropic", "ndjson", "csv")


def lines(rows: list[Row], form: str) -> Iterator[str]:
    r"""Return the lines of a log in one of the JSON formats.

    >>> next(lines([{"exchange_id": "e", "asn": None}], "ndjson"))
    '{"exchange_id":"e"}\n'
    """
    if form == "otel":
        for at in range(0, len(rows), 20):
            yield _json(otel_record(rows[at : at + 20])) + "\n"
        return
    for row in rows:
        yield _json(_RECORDS[form](row)) + "\n"
