"""One request, one answer: which measures touch it, and what they do together."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.response.buckets import LocalBuckets
from stillwatch.response.decide import MOST_TOKENS, Decision, Measure, Request, decide
from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Cap, Limit, Scope, Standing

from .conftest import NOON, measured

NOW = NOON.timestamp() + 60


class Known:
    """A snapshot as a plain list: the oracle of what is in force."""

    version = 3

    def __init__(self, *standings: Standing) -> None:
        """Hold standings."""
        self.standings = standings

    def find(self, account: str, now: float) -> list[Measure]:
        """Look through all of them."""
        return [
            Measure.of(one)
            for one in self.standings
            if one.account_id == account and one.starts_at.timestamp() <= now < one.expires_at.timestamp()
        ]


def ask(*standings: Standing, buckets: LocalBuckets | None = None, now: float = NOW, **request: Any) -> Decision:
    """Decide on one request of account "a"."""
    asked = Request(**{"account": "a", "model": "large", "tokens": 10.0, **request})
    return decide(Known(*standings), asked, buckets or LocalBuckets(), now, chance=lambda: 0.5)


def test_an_account_without_measure_is_allowed() -> None:
    """The innocent answer is short and says nothing but the snapshot's number."""
    assert ask(measured("b")) == Decision(version=3)


@pytest.mark.parametrize(
    ("rung", "action", "refuses"),
    [
        (Rung.OBSERVE, "allow", False),
        (Rung.TAG, "tag", False),
        (Rung.STEP_UP, "step-up", True),
        (Rung.RESTRICT, "restrict", True),
        (Rung.SUSPEND, "suspend", True),
    ],
)
def test_each_rung_without_settings_is_its_own_action(rung: Rung, action: str, refuses: bool) -> None:
    """What is done is named as the policy names it."""
    decision = ask(measured("a", rung))
    assert (decision.action, decision.refuses, decision.listed) == (action, refuses, True)


def test_a_measure_in_shadow_mode_is_computed_and_not_felt() -> None:
    """The client sees an allowed request; the operator sees what would have been."""
    decision = ask(measured("a", Rung.SUSPEND, shadow=True))
    assert (decision.action, decision.shadow, decision.refuses) == ("allow", "suspend", False)


def test_a_shadow_limit_takes_nothing_from_the_felt_one() -> None:
    """The two draw from buckets of their own."""
    buckets = LocalBuckets()
    limit = Limit("SW-1", tokens_per_minute=60.0, burst=10.0)
    shadow, felt = (measured("a", Rung.RATE_LIMIT, limit=limit, shadow=mode) for mode in (True, False))
    assert ask(shadow, buckets=buckets).shadow == "tag"
    assert ask(shadow, buckets=buckets).shadow == "rate-limit"
    assert ask(felt, buckets=buckets).action == "tag"


def test_a_campaign_shares_one_bucket_over_all_its_accounts() -> None:
    """What one account took is not there for the next, and the wait is told."""
    limit = Limit("SW-1", tokens_per_minute=60.0, burst=100.0)
    known = Known(*(measured(name, Rung.RATE_LIMIT, limit=limit) for name in "ab"))
    buckets = LocalBuckets()
    first, second = (decide(known, Request(account=name, tokens=80.0), buckets, NOW) for name in "ab")
    assert (first.action, second.action, second.retry_after) == ("tag", "rate-limit", 60.0)
    assert second.limit is not None
    assert (second.limit.quota, second.limit.remaining, second.limit.reset) == (60, 20, 60)


@pytest.mark.parametrize("wanted", [-1_000_000, 10**30, 10**400])
def test_what_a_client_asks_for_neither_refills_a_bucket_nor_breaks_it(wanted: int) -> None:
    """``max_tokens`` is the client's word: less than nothing costs nothing, and the most is the most a model gives."""
    limit = Limit("SW-1", tokens_per_minute=60.0, burst=100.0)
    buckets, one = LocalBuckets(), measured("a", Rung.RATE_LIMIT, limit=limit)
    asked = {"tokens": None, "prompt": "x" * 400, "max_tokens": wanted}
    assert ask(one, buckets=buckets, **asked).action == "tag"
    short = ask(one, buckets=buckets, **asked)
    assert short.action == "rate-limit"
    assert short.retry_after is not None
    assert short.retry_after <= MOST_TOKENS + 100


def test_a_mixed_account_is_limited_in_its_campaign_component_only() -> None:
    """The reseller's own customers, with other templates, go on; so does a request whose template nobody knows."""
    part = measured("a", Rung.RESTRICT, scope=Scope(templates=(17,), models=("large",)))
    assert ask(part, template=17).action == "restrict"
    assert ask(part, template="17").part
    for other in ({"template": 4}, {"template": None}, {"template": "x"}, {"template": 17, "model": "small"}):
        assert ask(part, **other).action == "allow"


def test_the_prompt_is_read_only_when_a_measure_needs_it() -> None:
    """A whole account needs no template, a part of one does, and asks once."""
    asked: list[Request] = []

    def template_of(request: Request) -> int:
        asked.append(request)
        return 17

    part, other = (measured("a", Rung.TAG, scope=Scope(templates=(number,))) for number in (17, 18))
    whole = measured("b", Rung.TAG)
    for account in ("b", "a", "nobody"):
        decide(Known(part, other, whole), Request(account=account), LocalBuckets(), NOW, template_of=template_of)
    assert [request.account for request in asked] == ["a"]


def test_a_closed_door_comes_before_a_limit_and_takes_no_tokens() -> None:
    """Of several measures the severest speaks."""
    buckets = LocalBuckets()
    limit = Limit("SW-1", tokens_per_minute=60.0, burst=100.0)
    limited = measured("a", Rung.RATE_LIMIT, limit=limit)
    assert ask(limited, measured("a", Rung.STEP_UP), buckets=buckets, tokens=100.0).action == "step-up"
    assert ask(limited, buckets=buckets, tokens=100.0).action == "tag"


def test_caps_are_merged_to_the_strictest() -> None:
    """Two caps: the smaller limit, and everything that either holds back."""
    caps = [Cap(max_tokens=512, no_logprobs=True), Cap(max_tokens=256, summarised_reasoning=True)]
    edits = ask(*(measured("a", Rung.CAP, cap=cap) for cap in caps), max_tokens=4_000).edits
    assert edits is not None
    assert (edits.max_tokens, edits.logprobs, edits.reasoning) == (256, False, "summary")


def test_a_request_below_the_cap_is_not_edited() -> None:
    """Who asks for less than the cap gets what was asked for."""
    decision = ask(measured("a", Rung.CAP, cap=Cap(max_tokens=256)), max_tokens=100)
    assert (decision.action, decision.edits) == ("tag", None)


def test_a_cap_a_delay_and_a_limit_act_together() -> None:
    """The request that goes on is edited, waits and is charged; one within the cap is not edited and still waits."""
    limit = Limit("SW-1", tokens_per_minute=60.0, burst=100.0)
    buckets = LocalBuckets()
    three = (
        measured("a", Rung.CAP, cap=Cap(max_tokens=256)),
        measured("a", Rung.DELAY, delay_ms=(1_000, 3_000)),
        measured("a", Rung.RATE_LIMIT, limit=limit),
    )
    large, small, short = (ask(*three, buckets=buckets, max_tokens=n, tokens=t) for n, t in ((900, 9), (9, 9), (9, 99)))
    assert (large.action, large.delay_ms, large.edits and large.edits.max_tokens) == ("cap", 2_000, 256)
    assert (small.action, small.delay_ms, small.edits) == ("delay", 2_000, None)
    assert (small.limit and small.limit.remaining, short.action, short.edits) == (82, "rate-limit", None)


def test_a_delay_is_drawn_between_its_bounds() -> None:
    """Timing varies, so that an evader learns little."""
    assert ask(measured("a", Rung.DELAY, delay_ms=(1_000, 3_000))).delay_ms == 2_000


def test_a_measure_begins_and_ends_by_itself() -> None:
    """At its start it holds, at its expiry it does not."""
    one = measured("a", expires_at=NOON + timedelta(hours=1))
    times = {"before": -1, "start": 0, "last": 3_599, "expiry": 3_600}
    found = {name: ask(one, now=NOON.timestamp() + at).action for name, at in times.items()}
    assert found == {"before": "allow", "start": "suspend", "last": "suspend", "expiry": "allow"}


def test_the_key_stands_for_the_account_when_there_is_no_account() -> None:
    """A gateway that knows keys only is answered by the key, as the logs were read."""
    assert ask(measured("key-9"), account=None, key="key-9").action == "suspend"


rungs = st.sampled_from(Rung)
scopes = st.builds(
    Scope,
    templates=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    models=st.lists(st.sampled_from(["large", "small"]), max_size=2, unique=True).map(tuple),
    whole_account=st.booleans(),
)
standings = st.lists(
    st.builds(measured, st.sampled_from("ab"), rungs, scope=scopes, shadow=st.booleans()), max_size=5
)  # fmt: skip


@given(found=standings, model=st.sampled_from(["large", "small", "other"]), template=st.integers(0, 4))
def test_no_request_is_touched_by_what_does_not_cover_it(found: list[Standing], model: str, template: int) -> None:
    """Against the plain reading of scopes: refused exactly when a felt measure that covers it closes the door."""
    decision = ask(*found, model=model, template=template)
    covering = [one for one in found if one.account_id == "a" and one.scope.covers(model, template)]
    felt = [one.rung for one in covering if not one.shadow]
    assert decision.refuses == any(rung >= Rung.STEP_UP for rung in felt)
    if not felt:
        assert decision.action == "allow"
    assert bool(decision.shadow) == any(one.shadow for one in covering)


def test_a_decision_survives_its_way_through_json() -> None:
    """What the node sends is what a client reads; the action is always said."""
    decision = ask(measured("a", Rung.CAP, cap=Cap(max_tokens=9)))
    assert msgspec.json.decode(msgspec.json.encode(decision), type=Decision) == decision
    assert b'"action":"allow"' in msgspec.json.encode(Decision())
