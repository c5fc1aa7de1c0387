"""LiteLLM: ``StandardLoggingPayload`` (callback sinks) and ``LiteLLM_SpendLogs`` (its database, exported)."""

from __future__ import annotations

from typing import Any

from stillwatch.ingest.bodies import parameters, put, response_cells, said, usage_cells
from stillwatch.ingest.decode import embedded
from stillwatch.ingest.identity import IdentityMap
from stillwatch.ingest.litellm_lane import payload_lane
from stillwatch.ingest.paths import getter
from stillwatch.ingest.reader import Cells, Each, Mapper, Plan, Reader, first

_route = getter("metadata.user_api_key_request_route")
_code = getter("error_information.error_code")
_spend_code = getter("metadata.error_information.error_code")


def payload_cells(value: dict[str, Any], identity: IdentityMap) -> Cells:
    """Map one ``StandardLoggingPayload``; ``model_map_information`` (half its bytes) and the like are left behind.

    The model asked for is ``model_group`` (the name clients use), else ``model`` (the deployment).

    >>> from stillwatch.ingest.identity import default_identity
    >>> payload = {"id": "e", "model": "m", "startTime": 1.5, "metadata": {"user_api_key_user_id": "a"}}
    >>> {column: value for column, (value, _) in payload_cells(payload, default_identity()).items()}
    {'account_id': 'a', 'exchange_id': 'e', 'ts': 1.5, 'model': 'm'}
    """
    cells = identity.cells("litellm", value)
    named = first(value, "id", "litellm_call_id")
    if named:
        put(cells, "exchange_id", named[0], named[1])
    _common(cells, value)
    latency = value.get("response_time")
    if isinstance(latency, int | float):
        put(cells, "latency_ms", round(latency * 1000, 6), "response_time")
    put(cells, "endpoint", _route(value), "metadata.user_api_key_request_route")
    put(cells, "endpoint", value.get("call_type"), "call_type")
    _status(cells, value, _code(value), "error_information.error_code")
    model_parameters = embedded(value.get("model_parameters"))
    if isinstance(model_parameters, dict):
        parameters(cells, model_parameters, "model_parameters")
    return cells


def spend_cells(value: dict[str, Any], identity: IdentityMap) -> Cells:
    """Map one row of ``LiteLLM_SpendLogs``; its JSON columns may be text, as exports write them.

    >>> from stillwatch.ingest.identity import default_identity
    >>> row = {"request_id": "e", "user": "", "api_key": "k", "model": "m", "startTime": "2026-01-02 03:04:05"}
    >>> {column: value for column, (value, _) in spend_cells(row, default_identity()).items()}
    {'account_id': 'k', 'api_key_id': 'k', 'exchange_id': 'e', 'ts': '2026-01-02 03:04:05', 'model': 'm'}
    """
    cells = identity.cells("litellm-spend", value)
    put(cells, "exchange_id", value.get("request_id"), "request_id")
    _common(cells, value)
    put(cells, "latency_ms", value.get("request_duration_ms"), "request_duration_ms")
    put(cells, "endpoint", value.get("call_type"), "call_type")
    _status(cells, value, _spend_code(value), "metadata.error_information.error_code")
    sent = embedded(value.get("proxy_server_request"))
    if isinstance(sent, dict):
        body = sent.get("body", sent)
        if isinstance(body, dict):
            _sent(cells, body)
    return cells


def _common(cells: Cells, value: dict[str, Any]) -> None:
    put(cells, "ts", value.get("startTime"), "startTime")
    model = first(value, "model_group", "model")
    if model:
        put(cells, "model", model[0], model[1])
    for column, name in (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")):
        put(cells, column, value.get(name), name)
    messages = embedded(value.get("messages"))
    if messages not in (None, "", {}, []):
        said(cells, messages, None, "messages")
    response = embedded(value.get("response"))
    if response not in (None, "", {}, []):
        answer = response_cells(response)
        for column in ("exchange_id", "model"):
            answer.pop(column, None)
        for column, (found, origin) in answer.items():
            put(cells, column, found, origin)
    metadata = embedded(value.get("metadata"))
    if isinstance(metadata, dict):
        usage_cells(cells, metadata.get("usage_object"), "metadata.usage_object")


def _status(cells: Cells, value: dict[str, Any], code: Any, origin: str) -> None:
    """Take the error's code; a success is 200."""
    if value.get("status") == "success":
        put(cells, "status", 200, "status")
    elif isinstance(code, int) or (isinstance(code, str) and code.isdigit()):
        put(cells, "status", code, origin)


def _sent(cells: Cells, body: dict[str, Any]) -> None:
    """Use the request as the client sent it, where the log keeps it."""
    messages = first(body, "messages", "input")
    if messages:
        said(cells, messages[0], body.get("system"), f"proxy_server_request.body.{messages[1]}")
    parameters(cells, body, "proxy_server_request.body")


def is_payload(value: Any) -> bool:
    """Recognise a ``StandardLoggingPayload``."""
    if not isinstance(value, dict) or "startTime" not in value or "request_id" in value:
        return False
    return "call_type" in value or "model_parameters" in value or "litellm_call_id" in value


def is_spend(value: Any) -> bool:
    """Recognise a row of ``LiteLLM_SpendLogs``."""
    return (
        isinstance(value, dict) and {"request_id", "startTime"} <= set(value) and bool({"api_key", "spend"} & {*value})
    )


def _payloads(plan: Plan) -> Mapper:
    return Each(lambda value: payload_cells(value, plan.identity))


def _spend(plan: Plan) -> Mapper:
    return Each(lambda value: spend_cells(value, plan.identity))


LITELLM = Reader(
    "litellm", "LiteLLM StandardLoggingPayload: JSON array, NDJSON", is_payload, _payloads, lane=payload_lane
)
LITELLM_SPEND = Reader("litellm-spend", "LiteLLM_SpendLogs exports: CSV, NDJSON, JSON, Parquet", is_spend, _spend)
