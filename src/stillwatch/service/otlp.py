"""OTLP/HTTP as its specification has it: partial success where items are unfit, refusals as ``google.rpc.Status``.

https://opentelemetry.io/docs/specs/otlp/#otlphttp-response (1.9). Answers are in the encoding of the request.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
from starlette.responses import Response

from stillwatch.service.answers import Answer, problem
from stillwatch.service.web import Problem

PROTOBUF, JSON = "application/x-protobuf", "application/json"
Signal = Literal["traces", "logs"]
_PATHS: dict[Signal, tuple[str, str, str]] = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}
_WHY = "without a trace id of 16 and a span id of 8 bytes that are not all zero; a log record may leave both out"
_CODES = {400: 3, 401: 16, 403: 7, 413: 8, 415: 3, 429: 8, 503: 14}  # google.rpc.Code


class Export(NamedTuple):
    """An export request as it is kept: the spool's kind, the bytes (none: nothing in it), items that were left out."""

    kind: str
    body: bytes
    rejected: int = 0


def encoding(content_type: str) -> str | None:
    """Return which of the two encodings a content type names, None for any other.

    >>> encoding("application/json; charset=utf-8"), encoding("text/plain")
    ('application/json', None)
    """
    media = content_type.partition(";")[0].strip().lower()
    return media if media in (PROTOBUF, JSON) else None


def read_export(content_type: str, body: bytes, signal: Signal) -> Export:
    """Check an export request and leave out the items that no reader could tell apart.

    A span that names no trace and span would be taken for another one; all others of the request are kept. Raises
    :class:`Problem` (400, 415).

    >>> read_export("application/json", b'{"resourceSpans": []}', "traces")
    Export(kind='otel.ndjson', body=b'{"resourceSpans":[]}', rejected=0)
    """
    media = encoding(content_type)
    if media is None:
        raise Problem(problem(415, "Unsupported type", f"Send {PROTOBUF} or {JSON}."))
    return _protobuf(body, signal) if media == PROTOBUF else _json(body, signal)


def _protobuf(body: bytes, signal: Signal) -> Export:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    try:
        data = (TracesData if signal == "traces" else LogsData).FromString(body)
    except DecodeError:
        raise _unreadable("The protobuf message cannot be read.") from None
    rejected = 0
    for block in data.resource_spans if signal == "traces" else data.resource_logs:
        for scope in block.scope_spans if signal == "traces" else block.scope_logs:
            items = scope.spans if signal == "traces" else scope.log_records
            for place in reversed([n for n, one in enumerate(items) if not _is_named(one, signal)]):
                del items[place]
                rejected += 1
    return Export("otel.pb", data.SerializeToString() if rejected else body, rejected)


def _is_named(item: Any, signal: Signal) -> bool:
    if signal == "logs" and not item.trace_id and not item.span_id:
        return True
    return len(item.trace_id) == 16 and len(item.span_id) == 8 and any(item.trace_id) and any(item.span_id)


def _json(body: bytes, signal: Signal) -> Export:
    try:
        body.decode()
        line = msgspec.json.format(body, indent=-1)
        found = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        if found and _PATHS[signal][0] not in found:
            raise _unreadable(f"It has no member '{_PATHS[signal][0]}'.")
        rejected = 0
        if not _is_clean(line, signal):
            tree = msgspec.json.decode(line, type=dict[str, Any])
            rejected = _sift(tree, _PATHS[signal], signal)
            line = msgspec.json.encode(tree) if rejected else line
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(str(error)) from None
    return Export("otel.ndjson", line if found else b"", rejected)


def _unreadable(why: str) -> Problem:
    return Problem(problem(400, "Not an export request", why))


class _Item(msgspec.Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""


class _Scope(msgspec.Struct, rename="camel"):
    spans: list[_Item] = []
    log_records: list[_Item] = []


class _Block(msgspec.Struct, rename="camel"):
    scope_spans: list[_Scope] = []
    scope_logs: list[_Scope] = []


class _Request(msgspec.Struct, rename="camel"):
    resource_spans: list[_Block] = []
    resource_logs: list[_Block] = []


def _is_clean(line: bytes, signal: Signal) -> bool:
    """Say whether every item fits, reading no more than the ids."""
    try:
        request = msgspec.json.decode(line, type=_Request)
    except msgspec.ValidationError:
        return False
    if signal == "logs":
        return True
    scopes = (scope for block in request.resource_spans for scope in block.scope_spans)
    return all(_says(span.trace_id) and _says(span.span_id) for scope in scopes for span in scope.spans)


def _says(name: object) -> bool:
    """Take any text for an id: some senders write Base64 where the specification has hex."""
    return isinstance(name, str) and bool(name.strip("0"))


def _sift(holder: dict[str, Any], path: tuple[str, ...], signal: Signal) -> int:
    """Take out what is no object or names no span, at any depth; return how many branches or leaves that were."""
    listed = holder.get(path[0])
    if not isinstance(listed, list):
        holder[path[0]] = []
        return int(listed is not None)
    kept, rejected = [], 0
    for one in listed:
        fits = isinstance(one, dict)
        if fits and len(path) > 1:
            rejected += _sift(one, path[1:], signal)
        elif fits and signal == "traces":
            fits = _says(one.get("traceId")) and _says(one.get("spanId"))
        rejected += not fits
        kept += [one] if fits else []
    holder[path[0]] = kept
    return rejected


def taken(export: Export, signal: Signal) -> Response:
    """Answer an export that is on disk: empty when all of it is, else how many items are not, and why.

    >>> taken(Export("otel.ndjson", b"", 2), "traces").body[:38]
    b'{"partialSuccess":{"rejectedSpans":"2"'
    """
    why = f"{export.rejected} left out: {_WHY}" if export.rejected else ""
    spans, logs = (export.rejected, 0) if signal == "traces" else (0, export.rejected)
    if export.kind == "otel.pb":
        return Response(_partial(spans, logs, why), media_type=PROTOBUF)
    name = "rejectedSpans" if spans else "rejectedLogRecords"
    told = {"partialSuccess": {name: str(export.rejected), "errorMessage": why}} if why else {}
    return Response(msgspec.json.encode(told), media_type=JSON)


def _partial(spans: int, logs: int, why: str) -> bytes:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    told: Any = ExportLogsServiceResponse()
    if spans:
        told = ExportTraceServiceResponse()
        told.partial_success.rejected_spans = spans
    if logs:
        told.partial_success.rejected_log_records = logs
    if why:
        told.partial_success.error_message = why
    return bytes(told.SerializeToString())


def status(answer: Answer, content_type: str) -> Response:
    """Return a refusal as ``google.rpc.Status`` in the encoding of the request; problem details for any other type.

    >>> refused = problem(503, "The backlog is full", "Nothing was kept.", retry_after="30")
    >>> status(refused, "application/json").body, status(refused, "application/json").headers["retry-after"]
    (b'{"code":14,"message":"The backlog is full: Nothing was kept."}', '30')
    """
    media = encoding(content_type)
    if media is None:
        return Response(answer.body, answer.status, answer.headers)
    told = msgspec.json.decode(answer.body, type=dict[str, Any])
    code, message = _CODES.get(answer.status, 2), f"{told['title']}: {told['detail']}"
    headers = {**answer.headers, "content-type": media}
    if media == JSON:
        return Response(msgspec.json.encode({"code": code, "message": message}), answer.status, headers)
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

    return Response(Status(code=code, message=message).SerializeToString(), answer.status, headers)
