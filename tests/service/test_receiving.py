"""Telemetry as senders send it: OTLP in both encodings, LiteLLM's three bodies, pushed lines, packed or not."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from stillwatch.service.gateway import paths
from stillwatch.service.intake import Intake
from stillwatch.service.keys import Door, create_key
from stillwatch.service.receiving import MOST_BYTES, receiving_routes
from stillwatch.service.spool import Delivery, Spool, read_segment

SPAN = {"traceId": "0a" * 16, "spanId": "0b" * 8, "name": "chat m"}
TRACES = {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


def protobuf() -> bytes:
    """Return an export request with one span."""
    traces = TracesData()
    span = traces.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes(range(16)), bytes(range(8)), "chat m"
    return traces.SerializeToString()


class Sink:
    """The receiving endpoints over a spool on disk."""

    def __init__(self, folder: Path, door: Door) -> None:
        """Make the application."""
        self.folder, self.door = folder, door

    def post(self, path: str, content: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send one request."""

        async def send() -> httpx.Response:
            intake = Intake(Spool(self.folder))
            app = paths(receiving_routes(intake, self.door))
            writer = asyncio.ensure_future(intake.run())
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sink") as client:
                reply = await client.post(path, content=content, headers=headers)
            writer.cancel()
            return reply

        return asyncio.run(send())

    def held(self) -> list[Delivery]:
        """Return what is on disk."""
        return [one for segment in Spool(self.folder).seal() for one in read_segment(segment)]


@pytest.fixture
def sink(tmp_path: Path) -> Sink:
    """Return endpoints that let everybody in."""
    return Sink(tmp_path / "spool", Door(None))


@contextmanager
def nothing_kept(sink: Sink) -> Iterator[None]:
    """Check that a refused request left nothing."""
    before = sink.held()
    yield
    assert sink.held() == before


def test_otlp_is_taken_in_both_encodings_and_answered_in_the_same(sink: Sink) -> None:
    """An empty export response means that all of it was accepted."""
    for headers, body in ((PROTOBUF, protobuf()), (JSON, json.dumps(TRACES, indent=2).encode())):
        reply = sink.post("/v1/traces", body, headers)
        assert reply.status_code == 200
        assert reply.headers["content-type"] == headers["content-type"]
        assert reply.content in (b"", b"{}")
    kinds = [(one.kind, one.source) for one in sink.held()]
    assert kinds == [("otel.pb", "/v1/traces:anyone"), ("otel.ndjson", "/v1/traces:anyone")]
    assert sink.held()[1].body == json.dumps(TRACES, separators=(",", ":")).encode()


def test_gzip_is_unpacked(sink: Sink) -> None:
    """The same bytes, packed or not, are one delivery."""
    for headers, body in (
        (PROTOBUF, protobuf()),
        ({**PROTOBUF, "content-encoding": "gzip"}, gzip.compress(protobuf(), mtime=0)),
    ):
        assert sink.post("/v1/traces", body, headers).status_code == 200
    assert len(sink.held()) == 1


def test_litellm_may_send_an_array_lines_or_one(sink: Sink) -> None:
    """All three bodies of its generic sink become lines."""
    one, two = {"id": "1"}, {"id": "2", "text": "ä\n"}
    bodies = [
        json.dumps([one, two]),
        json.dumps(one) + "\n" + json.dumps(two, ensure_ascii=False) + "\n\n",
        json.dumps(one, indent=1),
    ]
    for body in bodies:
        assert sink.post("/v1/litellm", body.encode()).status_code == 200
    rows = [[json.loads(line) for line in delivery.body.splitlines()] for delivery in sink.held()]
    assert rows == [[one, two], [one, two], [one]]


def test_pushed_lines_name_their_format(sink: Sink) -> None:
    """Canonical rows by default; accounts and launches have names of their own."""
    for query in ("", "?format=accounts", "?format=openai"):
        assert sink.post(f"/v1/exchanges{query}", b'{"account_id": "a"}').status_code == 200
    assert [one.kind for one in sink.held()] == ["canonical.ndjson", "accounts.ndjson", "openai.ndjson"]


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/v1/traces", PROTOBUF, b"\xff\xff\xff", 400),
        ("/v1/traces", JSON, b"{", 400),
        ("/v1/traces", JSON, b"", 400),
        ("/v1/traces", JSON, b"[]", 400),
        ("/v1/traces", JSON, b'{"resourceLogs": []}', 400),
        ("/v1/logs", JSON, json.dumps(TRACES).encode(), 400),
        ("/v1/logs", {"content-type": "text/plain"}, b"{}", 415),
        ("/v1/logs", {**JSON, "content-encoding": "br"}, b"{}", 415),
        ("/v1/logs", {**JSON, "content-encoding": "gzip"}, b"{}", 400),
        ("/v1/logs", {**JSON, "content-encoding": "gzip"}, gzip.compress(b"{}", mtime=0)[:-5], 400),
        ("/v1/litellm", {}, b'{"id": 1}\n{"id": ', 400),
        ("/v1/litellm", {}, b'{"id": 1}\n7', 400),
        ("/v1/litellm", {}, b'{"id": "\xff"}', 400),
        ("/v1/litellm", {}, b"[" * 100_000, 400),
        ("/v1/exchanges?format=map", {}, b"{}", 400),
        ("/v1/exchanges?format=../x", {}, b"{}", 400),
    ],
)
def test_what_cannot_be_read_is_refused_whole(
    sink: Sink, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    """No half of a delivery is kept, and the sender is told what is wrong."""
    with nothing_kept(sink):
        reply = sink.post(path, body, headers)
    is_otlp = path in ("/v1/traces", "/v1/logs") and headers["content-type"] != "text/plain"
    told = headers["content-type"] if is_otlp else "application/problem+json"
    assert (reply.status_code, reply.headers["content-type"]) == (status, told)


def test_a_refused_export_is_told_as_otlp_has_it(tmp_path: Path) -> None:
    """google.rpc.Status in the encoding of the request, with the headers that say when to come again or what lacks."""
    from google.rpc.status_pb2 import Status

    sink = Sink(tmp_path / "spool", Door(tmp_path / "keys.json"))
    create_key(tmp_path / "keys.json", ["ingest"], now=datetime.now(UTC))
    in_json, in_protobuf = (sink.post("/v1/traces", b"{", headers) for headers in (JSON, PROTOBUF))
    assert in_json.json() == {"code": 16, "message": "No valid key: Send a key as 'Authorization: Bearer swk_…'."}
    told = Status.FromString(in_protobuf.content)
    assert (told.code, told.message) == (16, in_json.json()["message"])
    assert in_json.headers["www-authenticate"] == in_protobuf.headers["www-authenticate"] == "Bearer"


def with_bad_spans() -> tuple[bytes, bytes]:
    """Return an export of one good span and two that name none, in both encodings."""
    data = TracesData.FromString(protobuf())
    spans = data.resource_spans[0].scope_spans[0].spans
    spans.add(trace_id=b"short", span_id=bytes(range(8)))
    spans.add(trace_id=bytes(range(16)), span_id=bytes(8))
    entries = [{"traceId": "0" * 32, "spanId": "0b" * 8}, SPAN, {"name": "chat m"}]
    return data.SerializeToString(), json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": entries}]}]}).encode()


def test_what_names_no_span_is_left_out_and_told(sink: Sink) -> None:
    """Partial success: the good span is kept, the sender learns how many are not, and why."""
    in_protobuf, in_json = with_bad_spans()
    reply = sink.post("/v1/traces", in_protobuf, PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(reply.content).partial_success
    assert (reply.status_code, partial.rejected_spans) == (200, 2)
    assert "without a trace id" in partial.error_message
    assert sink.post("/v1/traces", in_json, JSON).json()["partialSuccess"]["rejectedSpans"] == "2"
    kept = sink.held()
    assert kept[0].body == protobuf()
    assert json.loads(kept[1].body) == TRACES


@pytest.mark.parametrize("broken", [7, [7], [{"scopeLogs": "x"}], [{"scopeLogs": [{"logRecords": [None]}]}]])
def test_a_broken_branch_of_an_export_is_left_out(sink: Sink, broken: object) -> None:
    """One branch that is no object costs that branch alone, and counts as one."""
    good = {"scopeLogs": [{"logRecords": [{"eventName": "x"}]}]}
    listed = [good, *broken] if isinstance(broken, list) else broken
    reply = sink.post("/v1/logs", json.dumps({"resourceLogs": listed}).encode(), JSON)
    assert reply.json()["partialSuccess"]["rejectedLogRecords"] == "1"
    assert [good in json.loads(one.body)["resourceLogs"] for one in sink.held()] == [isinstance(broken, list)]


def test_log_records_of_no_span_are_fine(sink: Sink) -> None:
    """The twin: a log record may name no span, in either encoding, and nothing is said about it."""
    logs = LogsData()
    logs.resource_logs.add().scope_logs.add().log_records.add(event_name="x")
    for headers, body in ((PROTOBUF, logs.SerializeToString()), (JSON, b'{"resourceLogs":[{"scopeLogs":[]}]}')):
        assert sink.post("/v1/logs", body, headers).content in (b"", b"{}")


def test_the_line_at_fault_is_named(sink: Sink) -> None:
    """A sender of a thousand lines learns which one."""
    reply = sink.post("/v1/litellm", b'{"id": 1}\n\n{"id": }\n')
    assert "line 3" in reply.json()["detail"]


def test_a_bomb_is_not_unpacked(sink: Sink) -> None:
    """A small body that unpacks to more than the bound is refused."""
    with nothing_kept(sink):
        packed = gzip.compress(b" " * (MOST_BYTES + 1))
        assert sink.post("/v1/litellm", packed, {"content-encoding": "gzip"}).status_code == 413


@pytest.mark.parametrize("body", [b"{}", b'{"resourceSpans": []}'])
def test_an_empty_export_is_fine(sink: Sink, body: bytes) -> None:
    """Collectors send them to see whether anybody is there."""
    assert sink.post("/v1/traces", body, JSON).status_code == 200


def test_telemetry_needs_the_scope_ingest(tmp_path: Path) -> None:
    """The source is known by its key."""
    keys: Any = {
        scope: create_key(tmp_path / "keys.json", [scope], now=datetime.now(UTC)) for scope in ("ingest", "decide")
    }
    sink = Sink(tmp_path / "spool", Door(tmp_path / "keys.json"))
    statuses = [
        sink.post("/v1/litellm", b"{}", {"authorization": f"Bearer {key}"}).status_code
        for key in (keys["ingest"], keys["decide"], "nobody")
    ]
    assert statuses == [200, 403, 401]
    assert [one.source for one in sink.held()] == [f"/v1/litellm:{keys['ingest'].split('_')[1]}"]
