"""Plans run over days that are past: the same effect as a plain walk through the exchanges."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillwatch.response.buckets import LocalBuckets
from stillwatch.response.ladder import LADDER, Rung
from stillwatch.response.replay import Effect, by_campaign, bystanders, effect, leaks, tokens_of
from stillwatch.response.standing import Cap, Limit, Scope, Standing
from stillwatch.signals.frame import Frame

START = datetime(2026, 5, 27, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
MINUTE = 60_000_000
FrameOf = Callable[..., Frame]
SHUT = (Rung.STEP_UP, Rung.RESTRICT, Rung.SUSPEND)


def row(account: str, minute: int, *, model: str = "m", template: int = 7, tokens: int = 100) -> dict[str, Any]:
    """Return an exchange without text."""
    return {
        "account_id": account,
        "ts": START_US + minute * MINUTE,
        "model": model,
        "template_id": template,
        "input_tokens": 0,
        "output_tokens": tokens,
    }


def measure(account: str, rung: Rung, *, begins: int = 0, ends: int = 1_000, **changes: Any) -> Standing:
    """Return a measure from one minute to another."""
    more: dict[str, Any] = {
        Rung.RATE_LIMIT: {"limit": Limit("SW-1", 60.0, 250.0)},
        Rung.CAP: {"cap": Cap(max_tokens=40)},
        Rung.DELAY: {"delay_ms": (1_000, 3_000)},
    }.get(rung, {})
    return Standing(
        account_id=account,
        campaign_id="SW-1",
        plan_id="P-1",
        rung=rung,
        starts_at=START + timedelta(minutes=begins),
        expires_at=START + timedelta(minutes=ends),
        **{"scope": Scope(whole_account=True), **more, **changes},
    )


def ids(frame: Frame) -> list[str]:
    """Return the exchange ids of a frame in its order."""
    return list(frame.exchange_ids.take(np.arange(frame.n_exchanges)).to_pylist())


def plain(frame: Frame, standings: list[Standing]) -> Effect:
    """Walk through the exchanges in the order of time: the oracle."""
    accounts, buckets = frame.account_ids.to_pylist(), LocalBuckets()
    found = Effect(np.zeros(frame.n_exchanges, bool), np.zeros(frame.n_exchanges), np.zeros(frame.n_exchanges))
    for at in np.argsort(frame.ts, kind="stable").tolist():
        when = datetime.fromtimestamp(float(frame.ts[at]) / 1e6, UTC)
        model = frame.names["model"][int(frame.code["model"][at])]
        mine = [
            one
            for one in standings
            if one.account_id == accounts[int(frame.account[at])]
            and one.is_active(when)
            and LADDER[one.rung].felt
            and one.scope.covers(model, int(frame.template[at]))
        ]
        tokens = float(tokens_of(frame)[at])
        limits = {one.limit.bucket: one.limit for one in mine if one.limit}
        shut = any(one.rung in SHUT for one in mine)
        now = float(frame.ts[at]) / 1e6
        granted = [buckets.take(limit, tokens, now).granted for limit in ({} if shut else limits).values()]
        found.stopped[at] = shut or not all(granted)
        if not found.stopped[at]:
            found.delay_ms[at] = max([sum(one.delay_ms) / 2 for one in mine if one.delay_ms], default=0.0)
            found.cut[at] = max([tokens - (one.cap.max_tokens or 0) for one in mine if one.cap] + [0.0])
    return found


ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.sampled_from(["m", "n"]), st.sampled_from([7, 8])),
    min_size=1,
    max_size=30,
)
SCOPES = st.sampled_from(
    [
        Scope(whole_account=True),
        Scope(templates=(7,)),
        Scope(models=("m",)),
        Scope(templates=(7,), models=("m",)),
        Scope(),
    ]
)
MEASURES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(list(Rung)), st.integers(0, 20), st.integers(1, 20), SCOPES),
    max_size=6,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, measures=MEASURES)
def test_a_replay_does_what_a_plain_walk_does(frame_of: FrameOf, rows: list[Any], measures: list[Any]) -> None:
    """Whatever the measures, scopes and times: the same stopped, delayed and cut exchanges."""
    frame = frame_of([row(a, minute, model=m, template=t) for a, minute, m, t in rows])
    standings = [
        measure(a, rung, begins=begins, ends=begins + lasts, scope=scope) for a, rung, begins, lasts, scope in measures
    ]
    found, expected = effect(frame, standings), plain(frame, standings)
    assert found.stopped.tolist() == expected.stopped.tolist()
    assert np.allclose(found.delay_ms, expected.delay_ms)
    assert np.allclose(found.cut, expected.cut)


def test_what_leaked_before_after_and_what_was_stopped(frame_of: FrameOf) -> None:
    """A door closed at minute 10: what was asked before it is gone, what came after is not."""
    frame = frame_of([row("a", minute) for minute in (1, 5, 11, 12)] + [row("b", 20)])
    standings = [measure("a", Rung.STEP_UP, begins=10)]
    (leak,) = leaks(frame, effect(frame, standings), {"SW-1": pa.array(ids(frame))}, standings)
    assert (leak.before, leak.after, leak.stopped) == (2, 1, 2)
    assert (leak.tokens, leak.tokens_stopped) == (500, 200)


def test_a_campaign_that_nothing_was_done_about_leaks_whole(frame_of: FrameOf) -> None:
    """The twin: a tag is not felt."""
    frame = frame_of([row("a", minute) for minute in range(4)])
    standings = [measure("a", Rung.TAG)]
    (leak,) = leaks(frame, effect(frame, standings), {"SW-1": pa.array(ids(frame))}, standings)
    assert (leak.before, leak.acted_at, leak.stopped) == (4, None, 0)


def test_one_budget_holds_for_all_accounts_of_a_campaign(frame_of: FrameOf) -> None:
    """Splitting the work over three accounts does not buy a token more."""
    alone = frame_of([row("a", 0) for _ in range(9)])
    spread = frame_of([row(account, 0) for account in "abc" for _ in range(3)])
    stopped = [
        int(effect(frame, [measure(account, Rung.RATE_LIMIT) for account in "abc"]).stopped.sum())
        for frame in (alone, spread)
    ]
    assert stopped == [7, 7]


def test_a_resellers_other_customers_go_on(frame_of: FrameOf) -> None:
    """Of a mixed account only the campaign's template is touched."""
    frame = frame_of([row("reseller", minute, template=7 + minute % 2) for minute in range(6)])
    found = effect(frame, [measure("reseller", Rung.RESTRICT, scope=Scope(templates=(7,)))])
    assert found.stopped[frame.template == 7].all()
    assert not found.stopped[frame.template == 8].any()


def test_bystanders_are_counted_by_their_group(frame_of: FrameOf) -> None:
    """Who is hit, in which group, and what was not sold to them; the campaign's own exchanges are not among it."""
    frame = frame_of([row("a", 1), row("a", 2), row("b", 1), row("c", 1)])
    found = effect(frame, [measure("a", Rung.SUSPEND), measure("b", Rung.DELAY)])
    (first,) = [one for one, at in zip(ids(frame), frame.ts, strict=True) if at == START_US + 2 * MINUTE]
    groups = bystanders(frame, found, pa.array([first]), {"a": "office", "b": "class"})
    counted = {one.group: (one.exchanges, one.touched, one.stopped, one.stopped_tokens, one.delay_s) for one in groups}
    assert counted == {"office": (1, 1, 1, 100, 0.0), "class": (1, 1, 0, 0, 2.0), "unknown": (1, 0, 0, 0, 0.0)}


def test_accounts_that_the_days_do_not_know_are_passed_over(frame_of: FrameOf) -> None:
    """A plan may name accounts without traffic."""
    frame = frame_of([row("a", 1)])
    assert not effect(frame, [measure("nobody", Rung.SUSPEND)]).touched.any()


def test_exchanges_are_grouped_by_campaign() -> None:
    """Those of no campaign are in no group."""
    table = pa.table({"exchange_id": ["e1", "e2", "e3"], "campaign_id": ["x", None, "x"]})
    assert {name: found.to_pylist() for name, found in by_campaign(table).items()} == {"x": ["e1", "e3"]}
