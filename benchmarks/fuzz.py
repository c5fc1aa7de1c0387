"""Malformed requests on every endpoint of a real `stillwatch serve` and `gateway`, HTTP and gRPC.

    python -m benchmarks.fuzz [--each 10000] [--schema 500] [--seed 0] [--only /v1/check]

Each endpoint gets ``--each`` requests: ``--schema`` of them drawn by schemathesis from the OpenAPI document (half meant
to be right, half to be wrong) and checked against it, the others property-based: any method, headers and query, bodies
of any bytes, any JSON and good bodies with bytes changed, and one in ten as raw bytes on the socket in place of headers
and body. Found is: no answer at all, a 500 (its cause is looked for in the log), an answer that the document does not
declare, a refusal that is no problem document. Exit code 1 when anything was found. Run from the repository's root.
"""

from __future__ import annotations

import argparse
import http.client
import json
import platform
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.gateways.processes import free_port
from tests.service.living import Living

from stillwatch.service import authz_grpc, ext_proc
from stillwatch.service.openapi import node_document, serve_document
from stillwatch.service.protos.envoy_pb2 import CheckRequest, ProcessingRequest

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
GOOD: dict[str, bytes] = {
    "/v1/decide": b'{"account":"a","model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":5}',
    "/v1/traces": b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0a0b","spanId":"0c","name":"chat m"}]}]}]}',
    "/v1/logs": b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"x","body":{"stringValue":"y"}}]}]}]}',
    "/v1/litellm": b'[{"id":"1","model":"m","startTime":1.5}]',
    "/v1/exchanges": b'{"exchange_id":"e","account_id":"a","ts":"2026-09-01T12:00:00Z","model":"m"}',
    "/v1/verifications": b'{"account":"a","kind":"email","succeeded":false,"why":"x"}',
    "/v1/undo": b'{"account":"a","why":"x"}',
}
_WORDS = ["application/json", "application/x-protobuf", "gzip", "Bearer swk_1_2", "*/*", "\x80\xff", "", '"', "chunked"]
_NAMES = ["content-type", "content-encoding", "authorization", "x-api-key", "if-none-match", "accept", "x-account-id"]


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Return values of one level more."""
    return inner | st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)


VALUES = nested(nested(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9)))
HEADERS = st.dictionaries(
    st.sampled_from(_NAMES),
    st.sampled_from(_WORDS) | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
    max_size=4,
)
METHODS = st.sampled_from(["GET", "POST", "POST", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
QUERIES = st.sampled_from(["", "", "?since=%00", "?since=-1", "?since=9", "?format=openai", "?format=%2e%2e", "?=&&?"])
HUGE = [b"[" * 5_000, b'{"account":' * 900, b'{"account":"a","tokens":1e999}', b"\x1f\x8b" + b"\0" * 9]


def changed(good: bytes) -> st.SearchStrategy[bytes]:
    """Return a good body with a few bytes put elsewhere."""
    place = st.integers(0, len(good))
    return st.tuples(place, place, st.binary(max_size=3)).map(lambda cut: good[: cut[0]] + cut[2] + good[cut[1] :])


def bodies(good: bytes) -> st.SearchStrategy[bytes]:
    """Return any bytes, any JSON, and what is nearly right."""
    any_json = VALUES.map(lambda value: json.dumps(value).encode())
    return st.one_of(st.binary(max_size=300), any_json, st.sampled_from(HUGE), changed(good), changed(good))


@dataclass
class Findings:
    """What came back from one endpoint."""

    endpoint: str
    statuses: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """Requests that were sent."""
        return self.statuses.total()

    def take(self, status: int, kind: str, method: str) -> None:
        """Count an answer, and note what it may not be."""
        self.statuses[str(status)] += 1
        if status >= 500 and status != 503:
            self.found[f"status {status}"] += 1
        if status >= 400 and method != "HEAD" and kind.partition(";")[0] not in TOLD:
            self.found[f"{status} as {kind or 'nothing'}"] += 1


TOLD = ("application/problem+json", "application/json", "application/x-protobuf", "text/plain")


class Wire:
    """One kept connection to a server, opened anew when it was closed."""

    def __init__(self, url: str) -> None:
        """Remember where."""
        where = urlsplit(url)
        self.host, self.port = where.hostname or "", where.port or 0
        self._kept = http.client.HTTPConnection(self.host, self.port, timeout=60)

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        """Return status and content type; an answer must come, at the second try at the latest."""
        for last in (False, True):
            try:
                raw = {name: value.encode("latin-1") for name, value in headers.items()}
                self._kept.request(method, target, body, raw)  # type: ignore[arg-type]
                reply = self._kept.getresponse()
                reply.read()
            except (http.client.HTTPException, OSError):
                self._kept.close()
                if last:
                    raise
            else:
                return reply.status, reply.headers.get("content-type", "")
        raise AssertionError

    def shout(self, target: str, noise: bytes) -> tuple[int, str]:
        """Send a request line and noise in place of all that should follow; a closed connection is an answer (0)."""
        with socket.create_connection((self.host, self.port), timeout=60) as bare:
            try:
                bare.sendall(f"POST {target} HTTP/1.1\r\n".encode() + noise + b"\r\n\r\n")
                bare.shutdown(socket.SHUT_WR)
                head = b"".join(iter(lambda: bare.recv(65_536), b""))
            except OSError:
                return 0, ""
        first = head.split(b" ", 2)
        kind = next((line for line in head.splitlines() if line.lower().startswith(b"content-type:")), b"")
        return (int(first[1]) if len(first) > 1 else 0), kind.decode("latin-1")[13:].strip()


def drawn(count: int, number: int, strategy: st.SearchStrategy[Any], use: Callable[[Any], None]) -> None:
    """Draw so many examples and use each; nothing is shrunk or kept."""

    @seed(number)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def each(value: Any) -> None:
        use(value)

    each()


def raw(wire: Wire, path: str, each: int, number: int, found: Findings) -> None:
    """Send what nobody declared, until there were so many requests."""
    target = path.replace("{path}", "v1/chat/completions")
    asked = st.tuples(METHODS, QUERIES, HEADERS, bodies(GOOD.get(path, b"{}")), st.integers(0, 9))

    def send(one: tuple[str, str, dict[str, str], bytes, int]) -> None:
        method, query, headers, body, noisy = one
        try:
            status, kind = wire.shout(target, body) if noisy == 0 else wire.send(method, target + query, headers, body)
        except (http.client.HTTPException, OSError) as error:
            found.found[f"no answer: {error!r}"] += 1
            status, kind = 0, "text/plain"
        found.take(status, kind, method)

    while (left := each - found.requests) > 0:  # a strategy that is used up ends early: go on with another seed
        drawn(left, number, asked, send)
        number += 1


def declared(operation: Any, base: str, count: int, number: int, found: Findings) -> None:
    """Send what the document allows, and what it forbids, and check the answers against it."""
    session = requests.Session()

    def send(case: Case) -> None:
        reply = case.call(base_url=base, session=session, timeout=60)
        found.take(reply.status_code, reply.headers.get("content-type", [""])[0], case.method)
        try:
            case.validate_response(reply, checks=CHECKS)
        except (Failure, FailureGroup) as error:
            found.found[str(error).splitlines()[0][:80]] += 1

    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        try:
            drawn(count // 2, number, operation.as_strategy(generation_mode=mode), send)
        except Unsatisfiable:
            continue  # nothing about this endpoint can be wrong


def messages() -> dict[str, bytes]:
    """Return a good message for each gRPC method."""
    check, headers = CheckRequest(), ProcessingRequest()
    check.attributes.request.http.path = "/v1/messages"
    check.attributes.request.http.headers["x-account-id"] = "a"
    check.attributes.request.http.raw_body = GOOD["/v1/decide"]
    headers.request_headers.headers.headers.add(key=":path", raw_value=b"/v1/messages")
    headers.request_headers.headers.headers.add(key="x-account-id", raw_value=b"a")
    return {authz_grpc.METHOD: check.SerializeToString(), ext_proc.METHOD: headers.SerializeToString()}


def remote(address: str, method: str, good: bytes, each: int, number: int) -> Findings:
    """Send any bytes as messages of a gRPC method."""
    found = Findings(method.rpartition("/")[2] + " (gRPC)")
    with grpc.insecure_channel(address) as channel:
        stream = channel.stream_stream(method, request_serializer=None, response_deserializer=None)

        def send(messages: list[bytes]) -> None:
            try:
                list(stream(iter(messages), timeout=60))
            except grpc.RpcError as error:
                code = error.code().name
                found.statuses[code] += 1
                if code != "INVALID_ARGUMENT":
                    found.found[f"code {code}: {error.details()[:60]}"] += 1
            else:
                found.statuses["OK"] += 1

        while (left := each - found.requests) > 0:
            drawn(left, number, st.lists(bodies(good), min_size=1, max_size=3), send)
            number += 1
    return found


@contextmanager
def living(folder: Path) -> Iterator[tuple[Living, Living, str]]:
    """Run a service and a node, and yield them with the node's gRPC address."""
    home, port = folder / "home", free_port()
    seldom = ("--every", 86_400, "--scan-every", 86_400)
    serve = Living(folder / "serve.log", "serve", "--home", home, *seldom)
    try:
        trust = ("--trust", home / "signing.pub", "--grpc-port", port)
        node = Living(folder / "node.log", "gateway", "--snapshot", serve.url, *trust)
        try:
            yield serve, node, f"127.0.0.1:{port}"
        finally:
            node.stop()
    finally:
        serve.stop()


def run(each: int, by_schema: int, number: int, folder: Path, only: str) -> Iterator[Findings]:
    """Yield what each endpoint whose name holds ``only`` answered, and at the end what the logs say."""
    with living(folder) as (serve, node, address):
        checks = {path: item for path, item in node_document()["paths"].items() if "/check/" in path}
        for document, paths, at in (
            (serve_document(), serve_document()["paths"], serve), (node_document(), checks, node)
        ):  # fmt: skip
            schema = schemathesis.openapi.from_dict(document)
            for path, item in ((path, item) for path, item in paths.items() if only in path):
                found = Findings(path)
                declared(schema[path][next(iter(item)).upper()], at.url, by_schema, number, found)
                raw(Wire(at.url), path, each, number, found)
                yield found
        for method, message in messages().items() if only in "gRPC" else ():
            yield remote(address, method, message, each, number)
        logs = Findings("afterwards")
        for name, one in (("serve", serve), ("gateway", node)):
            alive = one.http.get("/healthz").status_code == 200 and one.decide(account="a")["decision"]
            if not alive:
                logs.found[f"{name} no longer answers"] += 1
            errors = [line for line in one.lines() if "cause" in line]
            logs.statuses[f"{name}: errors in its log"] += len(errors)
            for line in errors[:20]:
                logs.found[f"{name}: {line['cause'].splitlines()[-1][:100]}"] += 1
        yield logs


def main() -> int:
    """Run, print a line an endpoint, and say whether anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=10_000)
    parser.add_argument("--schema", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="endpoints whose path holds this; gRPC: the two methods")
    given_ = parser.parse_args()
    begun, sent, trouble = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for found in run(given_.each, min(given_.schema, given_.each), given_.seed, Path(folder), given_.only):
            sent += found.requests if found.endpoint != "afterwards" else 0
            trouble += found.found.total()
            counted = ", ".join(f"{status} {n:,}" for status, n in sorted(found.statuses.items()))
            print(f"{found.endpoint:28} {counted}", flush=True)
            for what, n in found.found.most_common():
                print(f"    FOUND {n:,} × {what}", flush=True)
    seconds = time.monotonic() - begun
    print(f"{sent:,} requests in {seconds:,.0f} s, {trouble} findings; Python {platform.python_version()}")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
