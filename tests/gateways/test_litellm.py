"""The guardrail file and the log callback in a real LiteLLM proxy, in an environment of its own (`make litellm`)."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyarrow import parquet

from stillwatch.ingest import Key, Options, ingest
from stillwatch.service.conformance import Target, check_gateway, check_without

from .asking import chat, failed, read_in_step
from .model import Model, serving
from .node import DELAY_MS, HARVEST, Node
from .processes import Process, free_port, required, shipped

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "litellm"
ACCOUNTS = '''
from litellm.proxy._types import UserAPIKeyAuth


async def user_api_key_auth(request, api_key):
    """Know each customer by key, as LiteLLM's database would."""
    return UserAPIKeyAuth(api_key=api_key, user_id=api_key.removeprefix("sk-"))
'''


@dataclass
class Sink:
    """Takes log batches as `stillwatch serve` does; ``failures`` answers 503 first."""

    failures: int = 1
    body: bytes = b""
    lock: threading.Lock = field(default_factory=threading.Lock)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one batch."""
        message, body = await receive(), b""
        body += message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        with self.lock:
            status = 503 if self.failures > 0 else 200
            self.failures -= 1
            self.body += body if status == 200 else b""
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


class Proxy(Process):
    """A LiteLLM proxy with the shipped files; customers' keys are ``sk-`` and the account."""

    def __init__(self, folder: Path, node: Node, model: Model, logs: str, on_failure: str) -> None:
        """Write the configuration."""
        program = required(ROOT / ".venv-litellm" / "bin" / "litellm", "LiteLLM", "make litellm")
        folder.mkdir()
        shutil.copy(DEPLOY / "stillwatch_guardrail.py", folder)
        (folder / "accounts.py").write_text(ACCOUNTS)
        config = shipped(DEPLOY / "config.yaml", folder, {8000: model.port})
        config.write_text(config.read_text() + "\ngeneral_settings:\n  custom_auth: accounts.user_api_key_auth\n")
        self.port = free_port()
        super().__init__(
            [program, "--config", config, "--host", "127.0.0.1", "--port", str(self.port), "--telemetry", "False"],
            [self.port],
            folder / "litellm.log",
        )
        ours = {"STILLWATCH_URL": node.url, "STILLWATCH_KEY": node.key, "STILLWATCH_ON_FAILURE": on_failure}
        ours |= {"STILLWATCH_DEADLINE_MS": "2000", "STILLWATCH_LOG_URL": logs, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        self.environment = {**os.environ, **ours}

    @property
    def url(self) -> str:
        """Where customers reach it."""
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def sink() -> Sink:
    """Return the receiver of the logs."""
    return Sink()


@pytest.fixture(scope="module")
def proxies(folder: Path, node: Node, served: Model, sink: Sink) -> Iterator[dict[str, Proxy]]:
    """Run two proxies: failing open, and failing closed; both start at the same time."""
    with ExitStack() as stack:
        logs = f"http://127.0.0.1:{stack.enter_context(serving(sink))}/v1/litellm"
        pair = {mode: Proxy(folder / mode, node, served, logs, mode) for mode in ("open", "closed")}
        for proxy in pair.values():
            stack.callback(proxy.stop)
            proxy.launch()
        for proxy in pair.values():
            proxy.wait()
        yield pair


@pytest.fixture
def url(proxies: dict[str, Proxy]) -> str:
    """Return the address of the proxy that fails open."""
    return proxies["open"].url


def key(account: str) -> dict[str, str]:
    """Return the headers of a customer."""
    return {"authorization": f"Bearer sk-{account}"}


def test_it_passes_the_checks_that_users_run(url: str, model: Model) -> None:
    """Every check of `stillwatch gateway-check` holds."""
    target = Target(url=url, ordinary=key("innocent"), held=key("limited"), requests=3)
    assert failed(check_gateway(target)) == []


def test_a_limited_account_gets_429_with_retry_after(url: str, model: Model) -> None:
    """Status and headers come through; LiteLLM words the body in OpenAI's dialect."""
    chat(url, "", headers=key("limited"))
    reply = chat(url, "", headers=key("limited"))
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) > 0
    assert "limited for now" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "odd",
    [
        '"max_completion_tokens": true',
        '"max_tokens": -1, "max_completion_tokens": 1e300',
        '"max_tokens": 1' + "0" * 400,
        '"user": "\\ud800"',
        '"messages": [{"role": "user", "content": "Hi \\ud800"}]',
        '"messages": [{"role": "user", "content": "Hi", "weight": NaN}]',
    ],
)
def test_odd_values_are_no_way_around_a_measure(url: str, model: Model, odd: str) -> None:
    """A question that the node could not read would be let on: what a client writes never makes one."""
    body = '{"model": "large", "messages": [{"role": "user", "content": "Hi"}], ' + odd + "}"
    headers = {**key("suspended"), "content-type": "application/json"}
    reply = httpx.post(f"{url}/v1/chat/completions", content=body, headers=headers, timeout=30)
    assert reply.status_code in (403, 500), "500 where LiteLLM itself cannot carry it"
    assert model.seen == []


def test_a_cap_changes_what_the_model_is_asked_and_is_told(url: str, model: Model) -> None:
    """The limit is lowered, logprobs are gone, and the customer reads so in a header."""
    reply = chat(url, "", headers=key("capped"))
    assert reply.status_code == 200
    assert model.seen[-1].body["max_tokens"] == 64
    assert "logprobs" not in model.seen[-1].body
    assert reply.headers["usage-notice"].startswith("cap;")


def test_a_mixed_account_is_refused_in_its_campaign_only(url: str, model: Model) -> None:
    """The prompt decides."""
    assert chat(url, "", HARVEST.replace("7", "3"), headers=key("mixed")).status_code == 403
    assert chat(url, "", "Write a poem about rain.", headers=key("mixed")).status_code == 200


def test_a_delay_is_waited_out_and_a_shadow_is_not_felt(url: str, model: Model) -> None:
    """The answer begins no sooner than the delay; a suspension in shadow mode lets on."""
    assert chat(url, "", headers=key("delayed")).elapsed.total_seconds() * 1000 >= DELAY_MS
    assert chat(url, "", headers=key("shadowed")).status_code == 200


@pytest.mark.parametrize("account", ["innocent", "capped"])
def test_a_stream_passes_as_it_is_sent(url: str, model: Model, account: str) -> None:
    """Each piece arrives before the model sends the next."""
    assert read_in_step(url, "", model, headers=key(account)) == ["still", "waters", "run", "deep"]


def test_logs_arrive_and_name_the_account_that_decisions_name(
    url: str, model: Model, sink: Sink, tmp_path: Path
) -> None:
    """What the callback pushed (again, after a 503) is read as the account, so that a measure meets its requests."""
    chat(url, "", "A prompt for the log.", headers=key("innocent"))
    until = time.monotonic() + 30
    while b"A prompt for the log." not in sink.body and time.monotonic() < until:
        time.sleep(0.1)
    assert b"model_map_information" not in sink.body
    (tmp_path / "pushed.ndjson").write_bytes(sink.body)
    as_served = Options(max_reject_share=1.0)  # what another test's odd requests left is no reason to take nothing
    now, secret = datetime.now(UTC), Key(b"0123456789abcdef")
    ingest([tmp_path / "pushed.ndjson"], tmp_path / "data", as_served, key=secret, now=now)
    rows = parquet.read_table(tmp_path / "data" / "exchanges").to_pylist()
    assert {row["account_id"] for row in rows if row["prompt_text"] == "A prompt for the log."} == {"innocent"}


def test_failure_is_open_or_closed_as_configured_and_ends(proxies: dict[str, Proxy], node: Node, model: Model) -> None:
    """Stillwatch is killed: one proxy lets all on, the other refuses all with 503; both obey again afterwards."""
    target = Target(url=proxies["open"].url, ordinary=key("innocent"), held=key("suspended"))
    with node.gone():
        assert failed(check_without(target, "open")) == []
        assert failed(check_without(Target(url=proxies["closed"].url, ordinary=key("innocent")), "closed")) == []
    for proxy in proxies.values():
        until = time.monotonic() + 15
        while chat(proxy.url, "", headers=key("suspended")).status_code != 403 and time.monotonic() < until:
            time.sleep(0.2)
        assert chat(proxy.url, "", headers=key("suspended")).status_code == 403
        assert httpx.get(f"{proxy.url}/health/liveliness").status_code == 200
