"""The node over HTTP: what it takes, what it answers, and that nothing a caller sends makes it fail."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from stillwatch.response.buckets import LocalBuckets
from stillwatch.response.decide import Request
from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Limit, Scope
from stillwatch.service.check import Desk, Names
from stillwatch.service.deciding import MOST_BYTES, Decider
from stillwatch.service.gateway import gateway_app
from stillwatch.service.keys import Door, create_key
from stillwatch.service.node import Node
from stillwatch.service.signing import Signer, Trust
from stillwatch.service.snapshot import build
from stillwatch.service.templates import template_of
from stillwatch.service.web import App

from .conftest import NOON, measured

PROMPT = "Rate the answer 7 from 1 to 5."


def made(signer: Signer, *, keys: Path | None = None, now: float = NOON.timestamp() + 60, **settings: Any) -> Decider:
    """Return a decider over a snapshot of three accounts."""
    template = template_of(Request(prompt=PROMPT))
    standings = [
        measured("shut"),
        measured("limited", Rung.RATE_LIMIT, limit=Limit("SW-1", 60.0, 100.0)),
        measured("mixed", Rung.RESTRICT, scope=Scope(templates=(template,) if template else ())),
    ]
    node = Node(Trust.of(signer.public))
    node.offer(build(standings, version=4, created_at=NOON.timestamp(), signer=signer))
    return Decider(node, LocalBuckets(), clock=lambda: now, template_of=template_of, **settings)


def call(app: App, method: str, path: str, **rest: Any) -> httpx.Response:
    """Send one request to an application in this process."""

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as client:
            return await client.request(method, path, **rest)

    return asyncio.run(send())


@pytest.fixture
def app(signer: Signer) -> App:
    """Return the application of a node that lets everybody in."""
    return gateway_app(made(signer), Door(None))


def test_a_refusal_comes_with_the_answer_for_the_client(app: App) -> None:
    """The gateway relays status, headers and body as they are."""
    verdict = call(app, "POST", "/v1/decide", json={"account": "shut", "dialect": "openai"}).json()
    assert verdict["decision"]["action"] == "suspend"
    assert verdict["answer"]["status"] == 403
    assert json.loads(verdict["answer"]["body"])["error"]["code"] == "suspended"


def test_an_innocent_gets_the_short_answer(app: App) -> None:
    """Allow, and the snapshot's number."""
    assert call(app, "POST", "/v1/decide", json={"account": "anna"}).json() == {
        "decision": {"action": "allow", "version": 4}
    }


def test_messages_are_read_as_the_logs_are(app: App) -> None:
    """The same construction in a prompt, in chat messages and in content blocks is the same template."""
    text = PROMPT.replace("7", "12")
    spoken: list[dict[str, Any]] = [
        {"prompt": text},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]},
        {"template": str(template_of(Request(prompt=PROMPT)))},
    ]
    for request in spoken:
        verdict = call(app, "POST", "/v1/decide", json={"account": "mixed", **request}).json()
        assert verdict["decision"]["action"] == "restrict"
    for other in ({"prompt": "Write a poem about rain."}, {"messages": 7}, {"messages": [None]}, {"prompt": "\ud800"}):
        body = json.dumps({"account": "mixed", **other})
        reply = call(app, "POST", "/v1/decide", content=body)
        assert reply.status_code in (200, 400)
        assert '"restrict"' not in reply.text


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "Input data was truncated"),
        (b"{", "truncated"),
        (b"[]", "Expected `object`"),
        (b"{}", "Name the account or the key"),
        (b'{"account": ""}', "Name the account or the key"),
        (b'{"account": 7}', "Expected `str"),
        (b'{"account": "a", "dialect": "klingon"}', "Unknown dialect"),
        (b'{"account": "a", "tokens": "many"}', "Expected `float"),
        (b'\xff\xfe{"account": "a"}', "malformed"),
        (b"[" * 100_000, ""),
    ],
)
def test_what_is_no_request_is_told_so(app: App, body: bytes, says: str) -> None:
    """A problem document with the reason, never a 500."""
    reply = call(app, "POST", "/v1/decide", content=body)
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/problem+json"
    assert says in reply.json()["detail"]


def test_strange_numbers_do_no_harm(app: App) -> None:
    """Negative, huge and fractional token counts neither refill a bucket nor break it."""
    for tokens in (-1e300, -5, 0, 1e300, 0.5):
        reply = call(app, "POST", "/v1/decide", json={"account": "limited", "tokens": tokens})
        assert reply.status_code == 200
    limited = call(app, "POST", "/v1/decide", json={"account": "limited", "tokens": 200}).json()
    assert limited["decision"]["action"] == "rate-limit"
    assert limited["answer"]["headers"]["retry-after"]


def test_a_huge_number_in_a_held_request_is_answered(signer: Signer) -> None:
    """An error here would be our failure, which a gateway may let pass: no way around a limit."""
    desk = Desk(made(signer).answer, lambda request: True, Names())
    body = b'{"model": "m", "messages": [], "max_tokens": 1' + b"0" * 400 + b"}"
    first, second = (desk.ask("/v1/messages", {"x-account-id": "limited"}, body)[0].action for _ in range(2))
    assert (first, second) == ("tag", "rate-limit")


def test_a_body_that_is_too_large_is_not_read(app: App) -> None:
    """In one piece or in many."""

    async def pieces() -> Any:
        for _ in range(MOST_BYTES // (1 << 20) + 1):
            yield b" " * (1 << 20)

    for content in (b" " * (MOST_BYTES + 1), pieces()):
        reply = call(app, "POST", "/v1/decide", content=content)
        assert (reply.status_code, reply.json()["title"]) == (413, "Too large")


def test_other_methods_and_paths_are_told_so(app: App) -> None:
    """405 with what is allowed, 404 with where to look."""
    wrong = call(app, "GET", "/v1/decide")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert call(app, "POST", "/healthz").status_code == 405
    lost = call(app, "GET", "/v1/nowhere")
    assert (lost.status_code, lost.headers["content-type"]) == (404, "application/problem+json")


def test_keys_guard_decisions_and_meters_but_not_health(signer: Signer, tmp_path: Path) -> None:
    """A probe needs no key; everything that says something does."""
    key = create_key(tmp_path / "keys.json", ["decide"], now=datetime.now(UTC))
    guarded = gateway_app(made(signer), Door(tmp_path / "keys.json"))
    asked = {"json": {"account": "shut"}}
    assert call(guarded, "POST", "/v1/decide", **asked).status_code == 401
    for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
        assert call(guarded, "POST", "/v1/decide", headers=headers, **asked).status_code == 200
        assert call(guarded, "GET", "/metrics", headers=headers).status_code == 403
    assert call(guarded, "GET", "/healthz").status_code == 200


@pytest.mark.parametrize(("mode", "action", "status"), [("open", "allow", None), ("closed", "unavailable", 503)])
def test_without_a_good_snapshot_the_node_does_what_it_was_told(
    signer: Signer, mode: str, action: str, status: int | None
) -> None:
    """Stale or missing: open lets everybody on, closed nobody; both say so and count it."""
    late = NOON.timestamp() + 100_000
    stale = made(signer, now=late, on_failure=mode, max_age=3_600.0)
    empty = Decider(Node(Trust.of()), LocalBuckets(), on_failure=mode)  # type: ignore[arg-type]
    for decider, why in ((stale, "stale"), (empty, "no-snapshot")):
        one = gateway_app(decider, Door(None))
        verdict = call(one, "POST", "/v1/decide", json={"account": "shut"}).json()
        assert (verdict["decision"]["action"], verdict["decision"]["degraded"]) == (action, why)
        assert verdict.get("answer", {}).get("status") == status
        reading = f'stillwatch_degraded_decisions_total{{action="{action}",why="{why}"}} 1.0'
        assert reading in call(one, "GET", "/metrics").text


def test_readiness_tells_a_good_snapshot_from_none(signer: Signer) -> None:
    """503 when there is none or it is stale: a probe may take the node out of rotation."""
    assert call(gateway_app(made(signer, max_age=1e12), Door(None)), "GET", "/readyz").json()["status"] == "ok"
    stale = call(gateway_app(made(signer, max_age=1.0), Door(None)), "GET", "/readyz")
    assert (stale.status_code, stale.json()["status"]) == (503, "stale")


def test_decisions_are_counted_without_naming_anybody(app: App) -> None:
    """Meters hold actions, versions and sizes; no account, no campaign."""
    for account in ("shut", "limited", "anna"):
        call(app, "POST", "/v1/decide", json={"account": account})
    text = call(app, "GET", "/metrics").text
    assert 'stillwatch_decisions_total{action="suspend"} 1.0' in text
    assert "stillwatch_snapshot_accounts 3.0" in text
    assert "anna" not in text
    assert "SW-1" not in text


def test_an_account_known_by_its_e_mail_is_found_in_its_stored_form(signer: Signer) -> None:
    """Logs store an address under a keyed hash; the node, given the key, looks that up."""
    from stillwatch.ingest.privacy import Key, sealed_id

    key = Key(b"0123456789abcdef")
    node = Node(Trust.of(signer.public))
    stored = sealed_id(key, "ann@b.example")
    node.offer(build([measured(stored)], version=1, created_at=NOON.timestamp(), signer=signer))
    clock = {"clock": lambda: NOON.timestamp() + 1}
    knowing = Decider(node, LocalBuckets(), sealed=lambda account: sealed_id(key, account), **clock)
    plain = Decider(node, LocalBuckets(), **clock)
    asked = Request(account="ann@b.example")
    assert (knowing.answer(asked).action, plain.answer(asked).action) == ("suspend", "allow")


def test_work_that_ended_is_no_good_health(signer: Signer, caplog: pytest.LogCaptureFixture) -> None:
    """A follower or writer that dies is logged with its cause, and a probe sees it."""

    async def dies() -> None:
        raise ZeroDivisionError("on purpose")

    async def health(app: Any) -> int:
        async with app._rest.router.lifespan_context(app._rest):
            await asyncio.sleep(0.01)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as client:
                return (await client.get("/healthz")).status_code

    assert asyncio.run(health(gateway_app(made(signer), Door(None), work=[lambda: asyncio.sleep(60)]))) == 200
    assert asyncio.run(health(gateway_app(made(signer), Door(None), work=[dies]))) == 503
    assert "on purpose" in caplog.text
