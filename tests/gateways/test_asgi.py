"""The middleware in the shipped gateway under a real uvicorn, and by itself where messages arrive in odd ways."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.response.decide import Decision, Edits, Request
from stillwatch.service.asgi import Stillwatch
from stillwatch.service.conformance import Target, check_gateway, check_without

from .asking import chat, failed, obeys, read_in_step
from .model import Model
from .node import DELAY_MS, HARVEST, Node
from .processes import Process, free_port, running

DEPLOY = Path(__file__).parents[2] / "deploy" / "asgi"


class Gateway(Process):
    """The shipped gateway under uvicorn, set by its environment."""

    def __init__(self, folder: Path, node: Node, model: Model, on_failure: str) -> None:
        """Prepare the command."""
        self.port = free_port()
        command = [sys.executable, "-m", "uvicorn", "gateway:app", "--app-dir", DEPLOY, "--log-level", "warning"]
        super().__init__([*command, "--port", str(self.port)], [self.port], folder / f"asgi-{on_failure}.log")
        ours = {"STILLWATCH_URL": node.url, "STILLWATCH_KEY": node.key, "STILLWATCH_ON_FAILURE": on_failure}
        self.environment = {**os.environ, **ours, "STILLWATCH_DEADLINE_MS": "2000", "MODEL_URL": model.url}

    @property
    def url(self) -> str:
        """Where customers reach it."""
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def gateways(folder: Path, node: Node, served: Model) -> Iterator[dict[str, Gateway]]:
    """Run two: failing open and failing closed."""
    with ExitStack() as stack:
        pair = {mode: Gateway(folder, node, served, mode) for mode in ("open", "closed")}
        for gateway in pair.values():
            stack.enter_context(running(gateway))
        yield pair


@pytest.fixture
def url(gateways: dict[str, Gateway]) -> str:
    """Return the address of the one that fails open."""
    return gateways["open"].url


def test_it_passes_the_checks_that_users_run(url: str, model: Model) -> None:
    """Every check of `stillwatch gateway-check` holds, in both dialects."""
    target = Target(url=url, ordinary={"x-account-id": "innocent"}, held={"x-account-id": "limited"}, requests=3)
    assert failed(check_gateway(target)) == []
    anthropic = Target(url=url, path="/v1/messages", held={"x-account-id": "unverified"}, requests=1)
    assert failed(check_gateway(anthropic)) == []


def test_an_innocent_request_reaches_the_application_as_it_was_sent(url: str, model: Model) -> None:
    """Body and own headers arrive; a claimed note does not."""
    assert chat(url, "innocent", headers={"x-stillwatch-campaign": "SW-claimed", "x-own": "1"}).status_code == 200
    seen = model.seen[-1]
    assert (seen.body["max_tokens"], seen.headers["x-own"]) == (4000, "1")
    assert "x-stillwatch-campaign" not in seen.headers


def test_a_cap_changes_the_body_and_is_told(url: str, model: Model) -> None:
    """The application sees the lowered limit and a length that fits."""
    reply = chat(url, "capped")
    assert reply.headers["usage-notice"].startswith("cap;")
    assert model.seen[-1].body["max_tokens"] == 64
    assert "logprobs" not in model.seen[-1].body


def test_a_mixed_account_is_refused_in_its_campaign_only(url: str, model: Model) -> None:
    """The prompt decides."""
    assert chat(url, "mixed", HARVEST.replace("7", "2")).status_code == 403
    assert chat(url, "mixed", "Write a poem about rain.").status_code == 200


def test_a_delay_is_waited_out(url: str, model: Model) -> None:
    """The answer begins no sooner than the delay."""
    assert chat(url, "delayed").elapsed.total_seconds() * 1000 >= DELAY_MS


@pytest.mark.parametrize("account", ["innocent", "capped"])
def test_a_stream_passes_as_it_is_sent(url: str, model: Model, account: str) -> None:
    """Each piece arrives before the model sends the next."""
    assert read_in_step(url, account, model) == ["still", "waters", "run", "deep"]


def test_a_request_beyond_the_bound_goes_on_unread(url: str, model: Model) -> None:
    """Six megabytes arrive whole, and a measure for the whole account still applies to them."""
    long = "rain " * 1_200_000
    assert chat(url, "innocent", long).status_code == 200
    assert len(model.seen[-1].body["messages"][0]["content"]) == 6_000_000
    assert chat(url, "suspended", long).status_code == 403


def test_a_stillwatch_that_hangs_is_not_waited_for(url: str, node: Node, model: Model) -> None:
    """The deadline ends the question, and the request goes on."""
    with node.hanging():
        assert chat(url, "suspended").status_code == 200
    assert obeys(url)


def test_failure_is_open_or_closed_as_configured_and_ends(
    gateways: dict[str, Gateway], node: Node, model: Model
) -> None:
    """Stillwatch is killed: one gateway lets all on, the other refuses all with 503; both obey again afterwards."""
    target = Target(url=gateways["open"].url, ordinary={"x-account-id": "new"}, held={"x-account-id": "suspended"})
    closed = Target(url=gateways["closed"].url, ordinary={"x-account-id": "new"})
    with node.gone():
        assert failed(check_without(target, "open")) == []
        assert failed(check_without(closed, "closed")) == []
    assert obeys(gateways["open"].url)
    assert obeys(gateways["closed"].url)


def run(parts: list[bytes], decision: Decision, most: int = 1 << 20, method: str = "POST") -> tuple[bytes, list[Any]]:
    """Send a body in parts through the middleware; returns what the application read, and what was sent back."""
    waiting = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
        for number, part in enumerate(parts)
    ]
    read, sent = bytearray(), []

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            read.extend(message.get("body", b""))
            if not message.get("more_body", False):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def decide(request: Request) -> Decision:
        return decision

    scope = {"type": "http", "method": method, "path": "/v1/chat/completions", "headers": [(b"x-account-id", b"a")]}
    asyncio.run(Stillwatch(application, decide=decide, most_body=most)(scope, receive, send))
    return bytes(read), sent


@given(parts=st.lists(st.binary(max_size=50), min_size=1, max_size=8), most=st.integers(0, 200))
def test_a_body_arrives_whole_however_it_is_cut(parts: list[bytes], most: int) -> None:
    """Any split, any bound: the application reads exactly what the client sent."""
    read, sent = run(parts, Decision(), most)
    assert read == b"".join(parts)
    assert sent[0]["status"] == 200


def test_a_body_that_is_no_json_is_not_edited() -> None:
    """An edit needs a JSON object; anything else goes on as it is."""
    assert run([b"\xff\xfe no json"], Decision(action="cap", edits=Edits(max_tokens=1)))[0] == b"\xff\xfe no json"


def test_other_methods_are_not_asked_about() -> None:
    """Listing models costs no budget and cannot be refused."""
    assert run([b""], Decision(action="suspend"), method="GET")[1][0]["status"] == 200


def test_an_event_stream_is_told_of_limits_once(url: str, model: Model) -> None:
    """Headers of a streamed answer carry the notice, its body is untouched."""
    body = {"model": "large", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    reply = httpx.post(f"{url}/v1/chat/completions", json=body, headers={"x-account-id": "capped"})
    assert len(reply.headers.get_list("usage-notice")) == 1
    assert reply.text.endswith("data: [DONE]\n\n")
