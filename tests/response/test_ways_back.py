"""The ways back, on both databases: undo, appeals, verifications, exemptions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.errors import ConfigError, StateError, UnknownToState
from stillwatch.response.actions import apply, standings, undo
from stillwatch.response.appeals import answer_appeal, appeals, open_appeal, verify
from stillwatch.response.customers import UNKNOWN, Customers
from stillwatch.response.ladder import Rung
from stillwatch.response.plans import approve
from stillwatch.response.policy import Customer
from stillwatch.response.standing import Standing
from stillwatch.response.store import State

from .conftest import Clock, WriteScan, campaign_record, exempt, policy
from .steps import (
    BOTH,
    FRIENDS,
    MEMBERS,
    MODES,
    QUICK,
    RUNGS,
    SQLITE,
    TEAMS,
    WIDE,
    accounts,
    agreed,
    applied,
    proposed,
    undo_all,
)  # fmt: skip


def test_the_owner_of_a_stolen_key_is_told_and_not_banned(state: State, write_scan: WriteScan) -> None:
    """While stolen keys stay possible, an account with traffic of its own goes no higher than step-up, and is named."""
    stolen = [{"name": "stolen keys", "outcome": "possible"}]
    members = [{"account_id": "victim", "role": "mixed"}, {"account_id": "pool"}]
    plan = proposed(
        state, write_scan(members, [campaign_record(innocent_explanations=stolen)]), policy(rung="suspend", radius=WIDE)
    )
    found = {action.account_id: action for action in plan.actions}
    assert plan.tell_owners == ("victim",)
    assert (found["victim"].rung, found["victim"].reason_code) == (Rung.STEP_UP, "key-may-be-stolen")
    assert not found["victim"].scope.whole_account
    assert found["pool"].rung is Rung.SUSPEND
    agreed(state, plan)
    apply(state, plan.plan_id, who="anna", why="agreed")
    assert verify(state, "victim", "key-rotated", succeeded=True, who="support", why="owner called") == 1
    assert accounts(standings(state)) == ["pool"]


def test_a_verification_that_succeeds_lifts_the_rung_and_spares_the_account_next_time(
    state: State, write_scan: WriteScan, clock: Clock
) -> None:
    """One that fails changes nothing; the spared account is named in the next plan, until verified_days are over."""
    scan = write_scan(MEMBERS)
    applied(state, scan, policy(radius=WIDE))
    assert verify(state, "a0", "identity", succeeded=False, who="support", why="blurred") == 0
    assert verify(state, "a1", "identity", succeeded=True, who="support", why="seen") == 1
    assert accounts(standings(state)) == ["a0", "a2", "a3"]
    clock.forward(days=30)
    plan = proposed(state, scan, policy(radius=WIDE))
    assert [(one.account_id, one.why) for one in plan.left_alone] == [("a1", "verified: identity, 14 Sep 2026")]
    clock.forward(days=61)
    assert proposed(state, scan, policy(radius=WIDE)).left_alone == ()


def test_accounts_cleared_after_the_plan_was_made_are_left_out_of_it(state: State, write_scan: WriteScan) -> None:
    """The plan is a week's paper; what was found out since wins."""
    plan = proposed(state, write_scan(MEMBERS), policy(radius=WIDE))
    agreed(state, plan)
    verify(state, "a2", "organisation", succeeded=True, who="support", why="contract")
    done = apply(state, plan.plan_id, who="anna", why="agreed")
    assert (done.begun, done.left_out) == (3, 1)
    assert accounts(standings(state)) == ["a0", "a1", "a3"]


def test_an_appeal_that_is_granted_ends_what_is_in_force(state: State, write_scan: WriteScan) -> None:
    """The account is free, stays free in the next plan, and the rest of the campaign is not."""
    scan = write_scan(MEMBERS)
    applied(state, scan, policy(radius=WIDE))
    open_appeal(state, "a0", who="support", why="our own benchmark")
    assert [one.account_id for one in appeals(state, "open")] == ["a0"]
    assert answer_appeal(state, "a0", "granted", who="anna", why="it is") == 1
    assert accounts(standings(state)) == ["a1", "a2", "a3"]
    assert proposed(state, scan, policy(radius=WIDE)).left_alone[0].why == "appeal granted"


def test_nobody_refuses_an_appeal_against_their_own_decision(state: State, write_scan: WriteScan) -> None:
    """Ben approved; anna refuses; the customer re-opens with a reason, and it can be granted after all."""
    plan = proposed(state, write_scan(MEMBERS), policy(radius=WIDE))
    approve(state, plan.plan_id, who="ben", why="looked at it")
    apply(state, plan.plan_id, who="ben", why="agreed")
    open_appeal(state, "a0", who="support", why="not us")
    with pytest.raises(StateError, match="another person must refuse"):
        answer_appeal(state, "a0", "refused", who="ben", why="no")
    assert answer_appeal(state, "a0", "refused", who="anna", why="no contract") == 0
    assert open_appeal(state, "a0", who="support", why="here is the contract") == "a0/2"
    assert answer_appeal(state, "a0", "granted", who="ben", why="seen") == 1
    assert state.audit() == []


def test_appeals_are_for_those_who_were_touched_and_open_once(state: State, write_scan: WriteScan) -> None:
    """A stranger has nothing to appeal against; a second appeal waits for the first; an answer needs one."""
    applied(state, write_scan(MEMBERS), policy(radius=WIDE))
    with pytest.raises(StateError, match="nothing was ever in force"):
        open_appeal(state, "stranger", who="support", why="why not")
    with pytest.raises(StateError, match="no open appeal"):
        answer_appeal(state, "a0", "granted", who="anna", why="kindness")
    open_appeal(state, "a0", who="support", why="not us")
    with pytest.raises(StateError, match="open appeal already"):
        open_appeal(state, "a0", who="support", why="not us!")


def test_an_exemption_by_organisation_is_never_lost(state: State, write_scan: WriteScan) -> None:
    """Without the accounts table it cannot be checked, and so nothing is proposed."""
    friends = exempt(organisations=frozenset({"org-1"}))
    with pytest.raises(ConfigError, match="--data"):
        proposed(state, write_scan(MEMBERS), policy(exempt=(friends,)), Customers(1_000))
    known = Customers(1_000, 1, True, {"a1": Customer(organisation="org-1")})
    plan = proposed(state, write_scan(MEMBERS), policy(exempt=(friends,)), known)
    assert [one.account_id for one in plan.left_alone] == ["a1"]
    apply_policy = policy(exempt=(friends,))
    with pytest.raises(ConfigError, match="--data"):
        standings(state, policy=apply_policy, customers=UNKNOWN)


@SQLITE
@QUICK
@given(
    team=TEAMS,
    rung=RUNGS,
    mode=MODES,
    friends=FRIENDS,
    late=st.booleans(),
)
def test_an_exemption_wins_on_every_path(
    state: State,
    write_scan: WriteScan,
    team: list[dict[str, object]],
    rung: str,
    mode: str,
    friends: set[str],
    late: bool,
) -> None:
    """Proposed, applied or already in force: no measure for an exempt account, and none is lost for the others."""
    undo_all(state)
    plain = policy(mode, rung, radius=WIDE)
    kind = policy(mode, rung, radius=WIDE, exempt=(exempt(*friends),))
    scan = write_scan(team, BOTH)
    plan = proposed(state, scan, plain if late else kind)
    agreed(state, plan)
    apply(state, plan.plan_id, who="anna", why="a test", policy=kind)
    assert not set(accounts(standings(state))) & friends
    assert accounts(standings(state)) == sorted(a.account_id for a in plan.actions if a.account_id not in friends)
    undo_all(state)
    applied(state, scan, plain)
    assert not set(accounts(standings(state, policy=kind))) & friends


@SQLITE
@QUICK
@given(first=TEAMS, second=TEAMS, rung=RUNGS, mode=MODES, which=st.sampled_from(["plan", "campaign", "account"]))
def test_undo_restores_exactly(
    state: State, write_scan: WriteScan, first: list[dict[str, object]], second: list[dict[str, object]], rung: str,
    mode: str, which: str,
) -> None:  # fmt: skip
    """Taking back the second plan leaves what the first had; one campaign or one account leaves all the others."""
    undo_all(state)
    applied(state, write_scan(first, BOTH), policy(mode, "tag", radius=WIDE))
    before = standings(state)
    state.clock.forward(seconds=1)  # type: ignore[attr-defined]
    plan = applied(state, write_scan(second, BOTH), policy(mode, rung, radius=WIDE))
    if which == "plan":
        ended = undo(state, who="anna", why="mistake", plan=plan.plan_id)
        assert ended == len(plan.actions)
        assert standings(state) == before
    else:
        both = standings(state)
        chosen: dict[str, Callable[[Standing], bool]] = {
            "campaign": lambda one: one.campaign_id == "SW-1",
            "account": lambda one: one.account_id == "a1",
        }
        named = {"campaign": "SW-1"} if which == "campaign" else {"account": "a1"}
        with suppress(UnknownToState):
            undo(state, who="anna", why="mistake", **named)  # type: ignore[arg-type]
        assert standings(state) == [one for one in both if not chosen[which](one)]


def test_what_a_person_took_back_does_not_begin_again_with_the_next_scan(
    state: State, write_scan: WriteScan, clock: Clock
) -> None:
    """The account, and a campaign under its later names too, for verified_days; a person may ask for it again."""
    scan = write_scan([*MEMBERS, {"account_id": "b", "campaign_id": "SW-2"}], BOTH)
    wanted = policy(radius=WIDE)
    applied(state, scan, wanted)
    clock.forward(seconds=1)
    undo(state, who="anna", why="our own benchmark", account="a0")
    undo(state, who="ben", why="a conference", campaign="SW-2")
    clock.forward(days=8)
    later = campaign_record("SW-3", lineage={"previous": ["SW-2"]})
    scan = write_scan([*MEMBERS, {"account_id": "c", "campaign_id": "SW-3"}], [campaign_record(), later])
    plan = proposed(state, scan, wanted)
    assert {(one.account_id, one.why) for one in plan.left_alone} >= {
        ("a0", "taken back by anna, 14 Sep 2026"),
        ("c", "taken back by ben, 14 Sep 2026"),
    }
    assert {action.account_id for action in proposed(state, scan, wanted, again=True).actions} >= {"a0", "c"}
    clock.forward(days=90)
    assert {action.account_id for action in proposed(state, scan, wanted).actions} >= {"a0", "c"}


def test_a_plan_that_waited_leaves_out_what_was_taken_back_since(state: State, write_scan: WriteScan) -> None:
    """Of an account that was undone the rest of an older plan does not begin; one made for it again does."""
    scan, mild, hard = write_scan(MEMBERS), policy(rung="tag", radius=WIDE), policy(radius=WIDE)
    applied(state, scan, mild)
    waits = proposed(state, scan, hard)
    state.clock.forward(seconds=1)  # type: ignore[attr-defined]
    undo(state, who="anna", why="our own benchmark", account="a0")
    agreed(state, waits)
    done = apply(state, waits.plan_id, who="anna", why="agreed")
    assert (done.begun, done.left_out) == (3, 1)
    state.clock.forward(seconds=1)  # type: ignore[attr-defined]
    again = proposed(state, scan, hard, again=True)
    agreed(state, again)
    assert apply(state, again.plan_id, who="anna", why="on purpose").begun == 1
    assert state.audit() == []


def test_taking_back_a_plan_says_nothing_of_its_accounts(state: State, write_scan: WriteScan) -> None:
    """The twin: a plan that was undone may be proposed again, as a rehearsal is."""
    scan = write_scan(MEMBERS)
    plan = applied(state, scan, policy(radius=WIDE))
    state.clock.forward(seconds=1)  # type: ignore[attr-defined]
    undo(state, who="anna", why="a rehearsal", plan=plan.plan_id)
    assert len(proposed(state, scan, policy(radius=WIDE)).actions) == 4


def test_undo_wants_one_thing(state: State) -> None:
    """Neither everything at once nor nothing."""
    with pytest.raises(StateError, match="name one"):
        undo(state, who="anna", why="all of it", plan="P-1", account="a")


@pytest.mark.parametrize("kind", ["account", "campaign", "plan"])
def test_undo_of_what_nobody_knows_says_so(state: State, write_scan: WriteScan, kind: str) -> None:
    """A typing error must not look like success: nothing is written, and the exit code is its own."""
    applied(state, write_scan(MEMBERS), policy(radius=WIDE))
    before = state.revision()
    with pytest.raises(UnknownToState, match=f"nothing was ever in force for {kind} a00") as caught:
        undo(state, who="anna", why="mistake", **{kind: "a00"})
    assert caught.value.exit_code == 5
    assert state.revision() == before


def test_undo_twice_is_no_error(state: State, write_scan: WriteScan) -> None:
    """The twin: what was in force once is known for good, and nothing is left to end."""
    plan = applied(state, write_scan(MEMBERS), policy(radius=WIDE))
    named = {"account": "a0", "campaign": "SW-1", "plan": plan.plan_id}
    assert [undo(state, who="anna", why="mistake", **{kind: name}) for kind, name in named.items()] == [1, 3, 0]
    assert undo(state, who="anna", why="again", account="a0") == 0
