"""`stillwatch gateway-check`: a sound gateway passes, and each fault of a gateway is found and named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from stillwatch.cli import app
from stillwatch.response.decide import Decision, LimitState
from stillwatch.service.answers import refusal
from stillwatch.service.conformance import Target, check_gateway, check_without

from .model import Model, serving

LIMIT = LimitState(quota=10, window=60, remaining=0, reset=9)
ORDINARY, HELD = {"x-account-id": "innocent"}, {"x-account-id": "held"}


class Gateway:
    """A gateway in front of a model in the same process that limits one account, with one fault."""

    def __init__(self) -> None:
        """Begin without a fault."""
        self.fault = ""
        self.model = Model(gap_s=0.05)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, with the fault."""
        held = (b"x-account-id", b"held") in scope["headers"]
        if held and self.fault != "lets on":
            await self._refuse(send)
        elif self.fault == "refuses all":
            await _send(send, 503, [], b"{}")
        else:
            await self.model(scope, receive, self._faulty(send))

    async def _refuse(self, send: Any) -> None:
        told = refusal(Decision(action="rate-limit", retry_after=9, limit=LIMIT), "openai")
        headers = [(name.encode(), value.encode()) for name, value in told.headers.items()]
        body = told.body
        if self.fault == "two types":
            headers.append((b"content-type", b"text/plain"))
        if self.fault == "no wait":
            headers = [entry for entry in headers if entry[0] != b"retry-after"]
        if self.fault == "own words":
            body = b"<html>Too many requests</html>"
        if self.fault == "talks":
            body = json.dumps({"error": {"message": "campaign SW-0123456789"}}).encode()
        await _send(send, 500 if self.fault == "wrong status" else told.status, headers, body)

    def _faulty(self, send: Any) -> Any:
        held_back: list[Any] = []

        async def faulty(message: Any) -> None:
            if self.fault == "shows notes" and message["type"] == "http.response.start":
                message["headers"].append((b"x-stillwatch-action", b"allow"))
            if self.fault != "buffers":
                await send(message)
                return
            held_back.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                for one in held_back:
                    await send(one)

        return faulty


async def _send(send: Any, status: int, headers: list[Any], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    await asyncio.sleep(0)


@pytest.fixture(scope="module")
def gateway() -> Iterator[tuple[Gateway, str]]:
    """Serve the gateway; returns it with its URL."""
    made = Gateway()
    with serving(made) as port:
        yield made, f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("", set()),
        ("lets on", {"the account under a measure is refused"}),
        ("wrong status", {"the account under a measure is refused"}),
        ("two types", {"the refusal has the body that clients expect"}),
        ("own words", {"the refusal has the body that clients expect"}),
        ("no wait", {"the refusal says when to come back"}),
        ("talks", {"the refusal names no detector, campaign or header of ours"}),
        ("buffers", {"a stream arrives as it is sent"}),
        ("shows notes", {"an ordinary request is answered", "others go on meanwhile"}),
    ],
)
def test_each_fault_is_found_and_a_sound_gateway_passes(
    gateway: tuple[Gateway, str], fault: str, found: set[str]
) -> None:
    """The checks fail for the fault that is there, and for no other reason."""
    gateway[0].fault = fault
    checks = check_gateway(Target(url=gateway[1], ordinary=ORDINARY, held=HELD, requests=2))
    assert {check.name for check in checks if check.outcome == "failed"} == found


@pytest.mark.parametrize(("fault", "mode"), [("lets on", "open"), ("refuses all", "closed")])
def test_failure_modes_are_told_apart(gateway: tuple[Gateway, str], fault: str, mode: Any) -> None:
    """A gateway that fails open passes as open and not as closed, and the other way round."""
    gateway[0].fault = fault
    target = Target(url=gateway[1], ordinary=ORDINARY, held=HELD)
    other: Any = {"open": "closed", "closed": "open"}[mode]
    assert all(check.outcome == "passed" for check in check_without(target, mode))
    assert any(check.outcome == "failed" for check in check_without(target, other))


def test_the_command_prints_a_table_or_json_and_its_exit_code_tells(gateway: tuple[Gateway, str]) -> None:
    """0 when all holds, 1 when a check fails, 2 for what cannot be understood."""
    url, run = gateway[1], CliRunner().invoke
    wanted = ["gateway-check", url, "--held", "x-account-id: held", "--requests", "1"]
    gateway[0].fault = ""
    sound = run(app, wanted)
    assert sound.exit_code == 0
    assert "a stream arrives as it is sent" in sound.output
    gateway[0].fault = "lets on"
    broken = run(app, [*wanted, "--json"])
    assert broken.exit_code == 1
    assert [check["outcome"] for check in json.loads(broken.output)].count("failed") == 1
    assert run(app, ["gateway-check", url, "--held", "no colon"]).exit_code != 0
