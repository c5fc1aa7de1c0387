"""What Envoy's filters tell a node, and what the node makes of it: no more than it needs, and nothing to trip on."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.response.decide import Decision, Edits
from stillwatch.service.authz_grpc import METHOD
from stillwatch.service.authz_http import CheckEndpoint
from stillwatch.service.check import LIMITS, Names, dialect_of, question
from stillwatch.service.edits import edit, edited
from stillwatch.service.ext_proc import METHOD as PROCESS
from stillwatch.service.grpc_server import serve_grpc
from stillwatch.service.keys import Door
from stillwatch.service.listen import Listen
from stillwatch.service.protos.envoy_pb2 import CheckRequest

from .asking import chat
from .model import Model, serving
from .node import Node
from .processes import free_port, running
from .test_envoy import FLAVOURS, Envoy

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["model", "messages", "input", "prompt", "thinking", "reasoning", "include", "logprobs", *LIMITS]
)
BODIES = st.dictionaries(FIELDS, JSON, max_size=6)
EDITS = st.builds(
    Edits,
    max_tokens=st.none() | st.integers(1, 10_000),
    logprobs=st.sampled_from([None, False]),
    reasoning=st.sampled_from([None, "summary"]),
)
PATHS = st.sampled_from(["/v1/chat/completions", "/v1/messages", "/v1/responses", "/generate", "", "/x?y=/v1/messages"])


class Recorder:
    """A desk that lets everything on and remembers what it was told."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.told: list[dict[str, str]] = []

    def ask(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[Decision, str | None]:
        """Remember and allow."""
        self.told.append({**headers, "path": path, "body": body.decode()})
        return Decision(), None

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Ask for the body."""
        return True


@pytest.fixture
def recorder(served: Model) -> Iterator[tuple[Recorder, Any]]:
    """Serve a recorder over HTTP and gRPC; returns it with what an Envoy needs to know of a node."""
    desk, port = Recorder(), free_port()
    loop = asyncio.new_event_loop()
    task = loop.create_task(serve_grpc(Listen(port=port), desk, Door(None)))  # type: ignore[arg-type]
    thread = threading.Thread(target=_until_cancelled, args=(loop, task), daemon=True)
    with serving(CheckEndpoint(desk, Door(None))) as http:  # type: ignore[arg-type]
        thread.start()
        yield desk, SimpleNamespace(http=http, grpc=port, key="swk_ours")
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)


def _until_cancelled(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()


def test_the_customers_key_stays_at_envoy(recorder: tuple[Recorder, Any], tmp_path: Path, model: Model) -> None:
    """Each filter passes identity, path and body on, and neither the customer's key nor cookies."""
    secrets = {"authorization": "Bearer sk-secret", "x-api-key": "sk-secret", "cookie": "session=sk-secret"}
    with ExitStack() as stack:
        envoys = [stack.enter_context(running(Envoy(name, tmp_path, recorder[1], model))) for name in FLAVOURS]
        for envoy in envoys:
            assert chat(envoy.url, "innocent", headers=secrets).status_code == 200  # type: ignore[attr-defined]
    assert len(recorder[0].told) == len(FLAVOURS)
    for told in recorder[0].told:
        assert (told["path"], told["x-account-id"]) == ("/v1/chat/completions", "innocent")
        assert json.loads(told["body"])["model"] == "large"
        assert "secret" not in str(told)


def test_a_gateway_without_a_good_key_is_told_to_use_its_failure_mode(node: Node) -> None:
    """503 over HTTP and UNAUTHENTICATED over gRPC: never a refusal that a customer would get."""
    for headers in ({}, {"authorization": "Bearer swk_0_0"}):
        for gateway in ("envoy", "nginx"):
            reply = httpx.post(f"{node.url}/v1/check/{gateway}/v1/messages", headers=headers)
            assert reply.status_code == 503
    with grpc.insecure_channel(f"127.0.0.1:{node.grpc}") as channel:
        check = channel.unary_unary(METHOD, CheckRequest.SerializeToString)
        with pytest.raises(grpc.RpcError) as error:
            check(CheckRequest(), metadata=[("authorization", "Bearer swk_0_0")], timeout=10)
        assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        check(CheckRequest(), metadata=[("authorization", f"Bearer {node.key}")], timeout=10)


@pytest.mark.parametrize("path", ["v1/messages", "v1/%0Amessages%0A", "", "v1//x%00"])
@pytest.mark.parametrize("gateway", ["envoy", "nginx"])
def test_every_path_that_a_customer_can_send_is_answered(path: str, gateway: str, node: Node) -> None:
    """A path with a line end is asked about as any other: a 404 of ours would reach the customer as a refusal."""
    reply = httpx.post(f"{node.url}/v1/check/{gateway}/{path}", headers={"authorization": f"Bearer {node.key}"})
    assert reply.status_code == 200


@pytest.mark.parametrize("message", [b"\xff\xff", b"\n\x05ab"])
def test_a_message_that_cannot_be_read_is_the_callers_fault(message: bytes, node: Node) -> None:
    """INVALID_ARGUMENT, not UNKNOWN, which would be a fault of ours; the next good message is answered."""
    key = [("authorization", f"Bearer {node.key}")]
    with grpc.insecure_channel(f"127.0.0.1:{node.grpc}") as channel:
        for method in (METHOD, PROCESS):
            call = channel.stream_stream(method, request_serializer=None, response_deserializer=None)
            with pytest.raises(grpc.RpcError) as error:
                list(call(iter([message]), metadata=key, timeout=10))
            assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert len(list(call(iter([b""]), metadata=key, timeout=10))) == 1


def test_grpc_speaks_tls_when_it_is_given_a_certificate(tmp_path: Path) -> None:
    """A caller that trusts the certificate is answered, one without TLS is not."""
    listen = Listen(port=free_port(), certificate=tmp_path / "cert.pem", private_key=tmp_path / "key.pem")
    certificate = self_signed(tmp_path)
    loop = asyncio.new_event_loop()
    task = loop.create_task(serve_grpc(listen, Recorder(), Door(None)))  # type: ignore[arg-type]
    thread = threading.Thread(target=_until_cancelled, args=(loop, task), daemon=True)
    thread.start()
    address = f"localhost:{listen.port}"
    trusting = grpc.ssl_channel_credentials(certificate)
    with grpc.secure_channel(address, trusting) as safe, grpc.insecure_channel(address) as plain:
        safe.unary_unary(METHOD, CheckRequest.SerializeToString)(CheckRequest(), timeout=30, wait_for_ready=True)
        with pytest.raises(grpc.RpcError):
            plain.unary_unary(METHOD, CheckRequest.SerializeToString)(CheckRequest(), timeout=30)
    loop.call_soon_threadsafe(task.cancel)
    thread.join(10)


def self_signed(folder: Path) -> bytes:
    """Write a key and a certificate for localhost; returns the certificate (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(plain)
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return (folder / "cert.pem").read_bytes()


def test_an_unknown_gateway_is_not_found(node: Node) -> None:
    """A wrong path is the operator's mistake and named as such."""
    assert httpx.post(f"{node.url}/v1/check/other/v1/messages").status_code == 404


@given(path=PATHS, body=st.binary(max_size=200) | BODIES.map(lambda body: json.dumps(body).encode()))
def test_no_body_trips_the_reading(path: str, body: bytes) -> None:
    """Whatever a client sends becomes a question that JSON can carry."""
    asked = question(path, {"x-account-id": "a"}, body, Names())
    assert msgspec.json.decode(msgspec.json.encode(asked))["account"] == "a"


@given(body=BODIES)
def test_the_reading_agrees_with_a_plain_one(body: dict[str, Any]) -> None:
    """Model and limit are those that the standard library finds in the same text."""
    asked = question("/v1/messages", {}, json.dumps(body).encode(), Names())
    plain = json.loads(json.dumps(body))
    assert asked.model == (plain.get("model") if isinstance(plain.get("model"), str) else "")
    limits = [plain[name] for name in LIMITS if isinstance(plain.get(name), int | float)]
    limits = [int(limit) for limit in limits if math.isfinite(limit) and abs(limit) < 2**63]
    assert asked.max_tokens == (limits[0] if limits else None)


@given(path=PATHS, body=BODIES, edits=EDITS)
def test_edits_only_ever_take_away(path: str, body: dict[str, Any], edits: Edits) -> None:
    """No limit is raised, no logprobs are left where they must go, nothing else is touched, and twice is once."""
    after = edit(path, body, edits)
    if edits.max_tokens is not None:
        told = [after[name] for name in LIMITS if isinstance(after.get(name), int | float)]
        assert any(limit <= edits.max_tokens for limit in told) or any(math.isnan(limit) for limit in told)
    if edits.logprobs is False:
        assert "logprobs" not in after
    assert after.get("model") == body.get("model")
    assert repr(edit(path, after, edits)) == repr(after)


def test_an_edit_that_changes_nothing_leaves_the_bytes() -> None:
    """Spaces, order and number formats of a client are kept when there is nothing to do."""
    body = b'{ "max_tokens" : 10.0, "b":1, "a":2 }'
    assert edited("/v1/messages", body, Edits(max_tokens=64)) == body


def test_dialects_go_by_path() -> None:
    """The clients of a path expect its errors; a query string does not matter."""
    assert [dialect_of(path) for path in ("/v1/messages/batches", "/v1/embeddings?a=/messages", "/")] == [
        "anthropic",
        "openai",
        None,
    ]
