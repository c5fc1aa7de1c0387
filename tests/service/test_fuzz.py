"""Malformed requests on every endpoint of a real server: answered as the OpenAPI document says, never with 500.

A few hundred of them; `python -m benchmarks.fuzz` sends as many as you like (docs/reliability.md).
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, SerializationContext
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from stillwatch.service.cycle import Rhythm
from stillwatch.service.openapi import serve_document
from stillwatch.service.serve import ServeSettings, serve_app
from stillwatch.service.web import Front

EXAMPLES = 12
PATHS = sorted(serve_document()["paths"])
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@schemathesis.serializer("application/x-ndjson", "application/x-protobuf")
def as_lines(ctx: SerializationContext, value: object) -> bytes:
    """Send any value as JSON, whatever it is called."""
    return json.dumps(value, default=str).encode()


schema = schemathesis.openapi.from_dict(serve_document())


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Front:
    """Make the application of `stillwatch serve`; scans and take-overs happen once, at the start."""
    seldom = Rhythm(take_over=3_600.0, scan=3_600.0, look=3_600.0, refresh=1e9)
    return serve_app(ServeSettings(home=tmp_path_factory.mktemp("fuzz"), rhythm=seldom, max_age=1e12))


@pytest.fixture(scope="module")
def server(app: Front) -> Iterator[str]:
    """Run the application under a real uvicorn."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        running = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none"))
        thread = threading.Thread(target=running.run, args=([bound],))
        thread.start()
        while not running.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        running.should_exit = True
        thread.join()


@schema.parametrize()
@fuzzed
def test_what_the_document_allows_and_forbids_is_answered_as_it_says(case: Case, server: str) -> None:
    """Good and bad values for every field that is declared."""
    case.call_and_validate(base_url=server, checks=CHECKS)


headers = st.dictionaries(
    st.sampled_from(["content-type", "content-encoding", "authorization", "x-api-key", "if-none-match", "accept"]),
    st.sampled_from(
        ["application/json", "application/x-protobuf", "gzip", "Bearer swk_1_2", "*/*", "\x80\xff", "", '"']
    )
    | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
    max_size=4,
)


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Return values of one level more."""
    return inner | st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)


values = nested(nested(st.none() | st.booleans() | st.floats() | st.text(max_size=9)))
bodies = st.one_of(
    st.binary(max_size=300),
    values.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"[" * 5_000, b'{"account":' * 900, b'{"account":"a","tokens":1e999}', b"\x1f\x8b" + b"\0" * 9]),
)


@settings(fuzzed, max_examples=8 * EXAMPLES)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
    path=st.sampled_from([*PATHS, "/", "/v1", "/v1/decide/", "/%2e%2e/etc", "/v1/deltas?since=%00"]),
    headers=headers,
    body=bodies,
)
def test_nothing_at_all_makes_it_fail(
    server: str, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    """Any bytes, any header, any method: an answer, and a problem document when it is a refusal."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    reply = httpx.request(method, f"{server}{path}", headers=raw, content=body, timeout=30)
    assert reply.status_code < 500 or reply.status_code == 503
    if reply.status_code >= 400 and method != "HEAD" and reply.status_code != 503:
        assert reply.headers["content-type"] in ("application/problem+json", "text/plain; charset=utf-8")


def test_the_document_declares_every_path_that_is_served(app: Front, server: str) -> None:
    """No endpoint is hidden, and none is promised that is not there."""
    served = {route.path for route in app._rest.routes} | set(app._hot)  # type: ignore[attr-defined]
    assert served == set(PATHS)
