"""OTLP, taken apart: spans and log records of JSON or protobuf exports as flat items, all in one shape."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, NamedTuple

from stillwatch.errors import InputError, MissingExtra

_GROUPS = (
    ("resourceSpans", ("scopeSpans", "instrumentationLibrarySpans"), "spans"),
    ("resourceLogs", ("scopeLogs", "instrumentationLibraryLogs"), "logRecords"),
)


class Item(NamedTuple):
    """One span or log record; times in nanoseconds (0: unknown), ``key`` is (trace id, span id) in hex."""

    is_span: bool
    key: tuple[str, str]
    name: str
    start: int
    end: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: tuple[tuple[str, Any, dict[str, Any]], ...] = ()
    body: Any = None
    failed: bool = False


def is_export(value: Any) -> bool:
    """Recognise an OTLP JSON export request, or an item that a protobuf file gave."""
    return isinstance(value, Item) or (
        isinstance(value, dict) and ("resourceSpans" in value or "resourceLogs" in value)
    )


def items(value: Any) -> Iterator[Item]:
    """Yield the spans and log records of one export request in OTLP JSON.

    >>> span = {"traceId": "0A", "spanId": "0B", "name": "chat m", "attributes": [
    ...     {"key": "gen_ai.request.model", "value": {"stringValue": "m"}}]}
    >>> [item.attributes for item in items({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})]
    [{'gen_ai.request.model': 'm'}]
    """
    for group, scopes, leaf in _GROUPS:
        for block in _dicts(value.get(group)):
            resource = block.get("resource")
            shared = attributes(resource.get("attributes")) if isinstance(resource, dict) else {}
            for scope in (scope for name in scopes for scope in _dicts(block.get(name))):
                for entry in _dicts(scope.get(leaf)):
                    yield _span(entry, shared) if leaf == "spans" else _log(entry, shared)


def attributes(listed: Any) -> dict[str, Any]:
    """Return OTLP JSON attributes as a plain mapping.

    >>> attributes([{"key": "n", "value": {"intValue": "3"}}, {"key": "b", "value": {"boolValue": True}}])
    {'n': 3, 'b': True}
    """
    if isinstance(listed, dict):
        return listed
    found: dict[str, Any] = {}
    for pair in listed if isinstance(listed, list) else ():
        if isinstance(pair, dict) and isinstance(key := pair.get("key"), str):
            value = pair.get("value")
            text = value.get("stringValue") if isinstance(value, dict) else None
            found[key] = plain(value) if text is None else text
    return found


def plain(value: Any) -> Any:
    """Return an OTLP JSON ``AnyValue`` as a plain value; what is none is given back.

    >>> plain({"arrayValue": {"values": [{"stringValue": "a"}, {"doubleValue": 0.5}]}})
    ['a', 0.5]
    """
    if not isinstance(value, dict) or len(value) != 1:
        return value
    kind, inner = next(iter(value.items()))
    if kind in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        return inner
    if kind == "intValue":
        return number(inner)
    if kind == "arrayValue":
        return [plain(part) for part in _list(inner.get("values") if isinstance(inner, dict) else None)]
    if kind == "kvlistValue":
        return attributes(inner.get("values") if isinstance(inner, dict) else None)
    return value


def number(value: Any) -> Any:
    """Return an int64 that JSON carries as text; what is none is given back.

    >>> number("12"), number(12), number("x")
    (12, 12, 'x')
    """
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _span(entry: dict[str, Any], resource: dict[str, Any]) -> Item:
    events = tuple(
        (str(event.get("name", "")), None, attributes(event.get("attributes"))) for event in _dicts(entry.get("events"))
    )
    status = entry.get("status")
    failed = isinstance(status, dict) and status.get("code") in (2, "2", "STATUS_CODE_ERROR")
    start, end = _time(entry.get("startTimeUnixNano")), _time(entry.get("endTimeUnixNano"))
    name, shared = str(entry.get("name", "")), attributes(entry.get("attributes"))
    return Item(True, _key(entry), name, start, end, shared, resource, events, None, failed)


def _log(entry: dict[str, Any], resource: dict[str, Any]) -> Item:
    shared = attributes(entry.get("attributes"))
    name = entry.get("eventName") or shared.get("event.name") or ""
    start = _time(entry.get("timeUnixNano")) or _time(entry.get("observedTimeUnixNano"))
    return Item(False, _key(entry), str(name), start, 0, shared, resource, (), plain(entry.get("body")))


def _key(entry: dict[str, Any]) -> tuple[str, str]:
    return str(entry.get("traceId") or "").lower(), str(entry.get("spanId") or "").lower()


def _time(value: Any) -> int:
    found = number(value)
    return found if isinstance(found, int) and 0 <= found < 1 << 64 else 0


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (part for part in _list(value) if isinstance(part, dict))


def proto_items(data: bytes) -> Iterator[Item]:
    """Yield the spans or log records of one protobuf export request (traces and logs look alike on the wire).

    Raises :class:`MissingExtra` without the extra ``otlp`` and :class:`InputError` when the bytes are no request.
    """
    try:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
        from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
    except ImportError:
        raise MissingExtra("opentelemetry-proto", extra="otlp", purpose="OTLP protobuf files") from None
    traces, logs = TracesData(), LogsData()
    understood = [_parsed(message, data, DecodeError) for message in (traces, logs)]
    spans = [(b, s) for b in traces.resource_spans for scope in b.scope_spans for s in scope.spans]
    if understood[0] and spans and all(len(span.span_id) == 8 for _, span in spans):
        yield from (_proto_span(span, _proto_attributes(block.resource.attributes)) for block, span in spans)
    elif understood[1]:
        for block in logs.resource_logs:
            shared = _proto_attributes(block.resource.attributes)
            for scope in block.scope_logs:
                yield from (_proto_log(entry, shared) for entry in scope.log_records)
    elif not understood[0]:
        raise InputError("not an OTLP protobuf export request")


def _parsed(message: Any, data: bytes, error: type[Exception]) -> bool:
    try:
        message.ParseFromString(data)
    except error:
        message.Clear()
        return False
    return True


def _proto_span(span: Any, resource: dict[str, Any]) -> Item:
    events = tuple((event.name, None, _proto_attributes(event.attributes)) for event in span.events)
    key, shared = (span.trace_id.hex(), span.span_id.hex()), _proto_attributes(span.attributes)
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    return Item(True, key, span.name, start, end, shared, resource, events, None, span.status.code == 2)


def _proto_log(entry: Any, resource: dict[str, Any]) -> Item:
    shared = _proto_attributes(entry.attributes)
    name = getattr(entry, "event_name", "") or str(shared.get("event.name", ""))
    start = entry.time_unix_nano or entry.observed_time_unix_nano
    key = entry.trace_id.hex(), entry.span_id.hex()
    return Item(False, key, name, start, 0, shared, resource, (), _proto_plain(entry.body))


def _proto_attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _proto_plain(pair.value) for pair in pairs}


def _proto_plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    inner = getattr(value, kind)
    if kind == "array_value":
        return [_proto_plain(part) for part in inner.values]
    if kind == "kvlist_value":
        return _proto_attributes(inner.values)
    return base64.b64encode(inner).decode() if kind == "bytes_value" else inner
