"""The Python client against a real node, a node that fails, and one that hangs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import msgspec
import pytest

from stillwatch.response.decide import Decision, Request
from stillwatch.service.client import Client, Settings
from stillwatch.service.deciding import Verdict
from stillwatch.service.log_push import LogPush

from .node import HARVEST, Node


@dataclass
class Clock:
    """Seconds that pass when told to."""

    now: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def replying(*verdicts: Decision | int) -> tuple[httpx.MockTransport, list[Request]]:
    """Return a transport that answers with decisions or statuses, the last one for ever, and what it was asked."""
    asked: list[Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(msgspec.json.decode(request.content, type=Request))
        given = verdicts[min(len(asked), len(verdicts)) - 1]
        if isinstance(given, int):
            return httpx.Response(given)
        return httpx.Response(200, content=msgspec.json.encode(Verdict(given)))

    return httpx.MockTransport(handle), asked


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run an asynchronous test."""
    asyncio.run(work())  # type: ignore[arg-type]


def test_it_asks_a_real_node(node: Node) -> None:
    """Whole accounts, campaign prompts and innocent accounts are answered as the node's snapshot says."""

    async def ask() -> None:
        async with Client(Settings(url=node.url, key=node.key, deadline_s=5)) as client:
            assert (await client.decide(Request(account="suspended"))).action == "suspend"
            assert (await client.decide(Request(account="mixed", prompt=HARVEST))).action == "restrict"
            assert (await client.decide(Request(account="mixed", prompt="Write a poem."))).action == "allow"
            assert (await client.decide(Request(account="innocent"))).action == "allow"
            assert (await client.decide(Request(account="innocent"))).action == "allow"
            assert client.counts == {"answered": 4, "remembered": 1}

    run(ask)


def test_a_wrong_key_is_a_failure_and_counted(node: Node) -> None:
    """A node that does not know the key is treated as one that is gone."""

    async def ask() -> None:
        async with Client(Settings(url=node.url, key="swk_0_0", deadline_s=5, on_failure="closed")) as client:
            assert (await client.decide(Request(account="innocent"))).action == "unavailable"
            assert client.counts == {"failed-closed": 1}

    run(ask)


def test_only_accounts_without_measures_are_remembered_and_for_a_moment() -> None:
    """An account with a measure is asked about each time, even when this request was allowed."""

    async def ask() -> None:
        clock = Clock()
        transport, asked = replying(Decision(), Decision(listed=True))
        async with Client(Settings(url="http://node", remember_s=2), transport=transport, clock=clock) as client:
            for _ in range(3):
                await client.decide(Request(account="a"))
            assert len(asked) == 1
            clock.now = 2.5
            for _ in range(3):
                await client.decide(Request(account="a"))
            assert len(asked) == 4

    run(ask)


def test_what_is_remembered_is_bounded() -> None:
    """A million innocent accounts do not fill the memory of a gateway."""

    async def ask() -> None:
        transport, asked = replying(Decision())
        async with Client(Settings(url="http://node", remember_most=10), transport=transport, clock=Clock()) as client:
            for number in range(100):
                await client.decide(Request(account=f"a{number}"))
            await client.decide(Request(account="a99"))
            await client.decide(Request(account="a0"))
            assert len(asked) == 101

    run(ask)


def test_a_degraded_answer_is_not_remembered() -> None:
    """A node without a snapshot allows; that is no knowledge about the account."""

    async def ask() -> None:
        transport, asked = replying(Decision(degraded="no-snapshot"))
        async with Client(Settings(url="http://node"), transport=transport, clock=Clock()) as client:
            await client.decide(Request(account="a"))
            await client.decide(Request(account="a"))
            assert len(asked) == 2

    run(ask)


@pytest.mark.parametrize(("mode", "action"), [("open", "allow"), ("closed", "unavailable")])
def test_a_failing_node_is_left_alone_for_a_while(mode: str, action: str) -> None:
    """After three failures in a row nothing is asked for a second; then one question tells whether it is back."""

    async def ask() -> None:
        clock = Clock()
        transport, asked = replying(500, 500, 500, Decision(listed=True))
        settings = msgspec.convert({"url": "http://node", "on_failure": mode}, Settings)
        async with Client(settings, transport=transport, clock=clock) as client:
            actions = [(await client.decide(Request(account="a"))).action for _ in range(10)]
            assert actions == [action] * 10
            assert len(asked) == 3
            clock.now = 1.5
            assert (await client.decide(Request(account="a"))).listed
            assert client.counts == {f"failed-{mode}": 10, "answered": 1}

    run(ask)


def test_odd_questions_do_not_switch_the_checks_off() -> None:
    """A question that the node cannot read is a failure of its own; the next account is asked about as ever."""

    async def ask() -> None:
        transport, _ = replying(413, 413, 413, 413, Decision(action="suspend", listed=True))
        async with Client(Settings(url="http://node"), transport=transport, clock=Clock()) as client:
            for _ in range(4):
                await client.decide(Request(account="odd"))
            assert (await client.decide(Request(account="a"))).action == "suspend"

    run(ask)


def test_a_huge_prompt_is_not_sent_but_charged() -> None:
    """Two megabytes of prompt become their number of tokens."""

    async def ask() -> None:
        transport, asked = replying(Decision())
        async with Client(Settings(url="http://node"), transport=transport, clock=Clock()) as client:
            await client.decide(Request(account="a", prompt="x" * (2 << 20), max_tokens=100))
            await client.decide(Request(account="b", messages=msgspec.Raw(b'"' + b"x" * (2 << 20) + b'"')))
        assert (asked[0].prompt, asked[0].tokens) == (None, (2 << 20) / 4 + 100)
        assert (asked[1].said, asked[1].tokens) == (b"", ((2 << 20) + 2) / 4)

    run(ask)


def test_a_hanging_node_costs_no_more_than_the_deadline() -> None:
    """The question is given up; the request is not."""

    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    async def ask() -> None:
        transport = httpx.MockTransport(hang)
        async with Client(Settings(url="http://node", deadline_s=0.01), transport=transport) as client:
            assert (await client.decide(Request(account="a"))).degraded == "no-answer"

    run(ask)


def test_a_request_of_nobody_is_allowed_without_asking() -> None:
    """Without account and key there is nothing to look up."""

    async def ask() -> None:
        transport, asked = replying(500)
        async with Client(Settings(url="http://node"), transport=transport) as client:
            assert (await client.decide(Request(model="m"))).action == "allow"
            assert asked == []

    run(ask)


def test_the_client_loads_nothing_heavy() -> None:
    """It runs in another product's environment, so it brings httpx and msgspec and no engine."""
    code = (
        "import sys, stillwatch.service.client, stillwatch.service.asgi, stillwatch.service.log_push;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} &"
        " {'numpy', 'duckdb', 'ibis', 'pyarrow', 'numba', 'sqlalchemy', 'starlette', 'scipy', 'cryptography'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_pushed_logs_survive_failures_in_order_and_are_bounded() -> None:
    """A batch is sent again until it is taken; beyond the bound the oldest gives way and is counted."""
    taken: list[bytes] = []
    statuses = iter([503, 429, 200, 200, 200])

    def handle(request: httpx.Request) -> httpx.Response:
        status = next(statuses, 200)
        if status == 200:
            taken.extend(request.content.splitlines())
        return httpx.Response(status)

    async def push() -> None:
        pushing = LogPush("http://logs", most=200, first_wait_s=0.001, transport=httpx.MockTransport(handle))
        for number in range(250):
            pushing.put({"n": number})
        await pushing.aclose()
        assert pushing.counts == {"taken": 250, "dropped": 50, "sent": 200, "retries": 2}

    run(push)
    assert taken == [b'{"n":%d}' % number for number in range(50, 250)]


def test_logs_that_the_service_cannot_read_are_dropped_not_repeated() -> None:
    """A 400 would come again for ever, and hold up what waits behind it."""

    async def push() -> None:
        pushing = LogPush("http://logs", transport=httpx.MockTransport(lambda request: httpx.Response(400)))
        pushing.put({"n": 1})
        await pushing.aclose()
        assert pushing.counts == {"taken": 1, "dropped": 1}

    run(push)
