"""From a plan into force and back, on both databases."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillwatch.cases.folder import ScanOutput
from stillwatch.errors import ConfigError, StateError
from stillwatch.response.actions import (
    apply,
    approve,
    circumstances,
    missing,
    read_plan,
    record_plan,
    standings,
    undo,
)
from stillwatch.response.appeals import answer_appeal, appeals, open_appeal, verify
from stillwatch.response.customers import UNKNOWN, Customers
from stillwatch.response.ladder import Rung
from stillwatch.response.plan import Plan, propose
from stillwatch.response.policy import Approvals, Budget, Customer, Policy, Radius, Rule, Timing
from stillwatch.response.shadow import overlaps
from stillwatch.response.standing import Scope, Standing
from stillwatch.response.store import State

from .conftest import Clock, WriteScan, campaign_record, exempt, policy

WIDE = Radius(accounts_share=1.0, innocents=1e9, paying_tokens_share=1.0)
MEMBERS = [{"account_id": f"a{n}"} for n in range(4)]


def proposed(state: State, scan: ScanOutput, wanted: Policy, customers: Customers | None = None, seed: int = 1) -> Plan:
    """Propose and keep a plan."""
    known = circumstances(state, wanted, customers or Customers(scan.run.rows["accounts"]))
    plan = propose(scan, wanted, known, now=state.clock(), chance=random.Random(seed))
    record_plan(state, plan, who="anna", why="a test")
    return plan


def agreed(state: State, plan: Plan) -> None:
    """Let those approve who may, until nothing is missing."""
    for person in ("anna", "ben"):
        if missing(plan, []) and person in plan.policy.people:
            approve(state, plan.plan_id, who=person, why="looked at it")


def applied(state: State, scan: ScanOutput, wanted: Policy) -> Plan:
    """Propose, approve and apply a plan."""
    plan = proposed(state, scan, wanted)
    agreed(state, plan)
    apply(state, plan.plan_id, who="anna", why="agreed")
    return plan


def accounts(found: Iterable[Standing]) -> list[str]:
    """Return the accounts of measures."""
    return sorted(one.account_id for one in found)


def test_a_plan_changes_nothing_until_it_is_approved_and_applied(state: State, write_scan: WriteScan) -> None:
    """A proposal is on record and not in force; without approval it cannot be applied."""
    plan = proposed(state, write_scan(MEMBERS), policy(radius=WIDE))
    assert standings(state) == []
    with pytest.raises(StateError, match="lacks approval: step-up of 4 accounts needs responder"):
        apply(state, plan.plan_id, who="anna", why="in a hurry")
    assert approve(state, plan.plan_id, who="ben", why="looked at it") == ()
    assert apply(state, plan.plan_id, who="ben", why="agreed").begun == 4
    assert accounts(standings(state)) == ["a0", "a1", "a2", "a3"]
    assert state.audit() == []


def test_a_shadow_plan_needs_nobody_and_is_never_felt(state: State, write_scan: WriteScan) -> None:
    """The innocent twin of enforcement: recorded, measured, felt by nobody."""
    plan = proposed(state, write_scan(MEMBERS), policy("shadow"))
    assert plan.needs == ()
    apply(state, plan.plan_id, who="anna", why="see what it would do")
    assert all(one.shadow and one.is_active(state.clock()) for one in standings(state))
    in_shadow, felt = overlaps(state)
    assert (in_shadow.accounts, in_shadow.would_feel, felt.accounts) == (4, 4, 0)


def test_the_plan_that_is_read_is_the_plan_that_was_made(state: State, write_scan: WriteScan) -> None:
    """Nothing is lost on the way through the database, template ids beyond 2**63 included."""
    plan = proposed(state, write_scan([{"account_id": "m", "role": "mixed"}]), policy())
    assert read_plan(state, plan.plan_id) == plan
    assert plan.actions[0].scope == Scope(templates=(2**63 + 17,))


def test_measures_begin_within_the_jitter_and_end_by_themselves(
    state: State, write_scan: WriteScan, clock: Clock
) -> None:
    """Each account at a time of its own, all within the hours that the policy says."""
    applied(state, write_scan(MEMBERS), policy(radius=WIDE, timing=Timing(jitter_hours=6)))
    begins = {one.starts_at for one in standings(state)}
    assert len(begins) == 4
    assert all(timedelta() <= begin - clock.now <= timedelta(hours=6) for begin in begins)
    clock.forward(days=15)
    assert standings(state) == []


def test_two_persons_must_agree_to_suspend_many(state: State, write_scan: WriteScan) -> None:
    """One person cannot approve twice, a person without a role not at all, and one alone is not enough."""
    scan = write_scan([{"account_id": f"a{n:02}"} for n in range(11)])
    plan = proposed(state, scan, policy(rung="suspend", radius=WIDE))
    assert [need.rung for need in approve(state, plan.plan_id, who="anna", why="yes")] == [Rung.SUSPEND]
    with pytest.raises(StateError, match="has approved plan"):
        approve(state, plan.plan_id, who="anna", why="yes, yes")
    with pytest.raises(StateError, match="holds no role"):
        approve(state, plan.plan_id, who="eve", why="me too")
    with pytest.raises(StateError, match="lacks approval"):
        apply(state, plan.plan_id, who="anna", why="alone")
    assert approve(state, plan.plan_id, who="ben", why="checked ten") == ()
    assert apply(state, plan.plan_id, who="anna", why="agreed").begun == 11


def test_one_person_is_enough_to_suspend_few(state: State, write_scan: WriteScan) -> None:
    """The twin: four accounts need one responder."""
    plan = proposed(state, write_scan(MEMBERS), policy(rung="suspend", radius=WIDE))
    assert approve(state, plan.plan_id, who="ben", why="checked all four") == ()


def test_one_person_with_two_roles_does_not_count_as_two(state: State, write_scan: WriteScan) -> None:
    """Anna is responder and lead; both roles are asked for, so another person must agree too."""
    both = policy(rung="suspend", radius=WIDE, approvals=Approvals(roles={"suspend": ("responder", "lead")}))
    plan = proposed(state, write_scan(MEMBERS), both)
    assert approve(state, plan.plan_id, who="anna", why="yes") != ()
    assert approve(state, plan.plan_id, who="ben", why="yes") == ()


def test_only_what_may_is_begun_without_a_person(state: State, write_scan: WriteScan) -> None:
    """The automatic part is the rate-limit of the campaign; the group that a person must judge and the step-up wait."""
    limit = Rule(name="limit", rung="rate-limit", roles=("mixed",), automatic=True, budget=Budget(10.0, 10.0))
    rules = (limit, Rule(name="up", rung="step-up", verdicts=("campaign", "needs_person")))
    members = [
        {"account_id": "limited", "role": "mixed"},
        {"account_id": "stepped"},
        {"account_id": "undecided", "campaign_id": "SW-2"},
    ]
    records = [campaign_record(), campaign_record("SW-2", verdict="needs_person")]
    plan = proposed(state, write_scan(members, records), policy(rules=rules, radius=WIDE))
    assert apply(state, plan.plan_id, who="stillwatch", why="policy", only_automatic=True).begun == 1
    assert [(one.account_id, one.rung) for one in standings(state)] == [("limited", Rung.RATE_LIMIT)]
    with pytest.raises(StateError, match="was applied already"):
        apply(state, plan.plan_id, who="stillwatch", why="again", only_automatic=True)
    agreed(state, plan)
    assert apply(state, plan.plan_id, who="anna", why="agreed").begun == 2
    assert accounts(standings(state)) == ["limited", "stepped", "undecided"]


def test_all_accounts_of_a_campaign_share_one_bucket(state: State, write_scan: WriteScan) -> None:
    """Limits belong to the network: two campaigns, two buckets, whatever the number of accounts."""
    members = [*MEMBERS, {"account_id": "b", "campaign_id": "SW-2"}]
    scan = write_scan(members, [campaign_record(), campaign_record("SW-2")])
    applied(state, scan, policy(rung="rate-limit", radius=WIDE))
    assert {one.limit.bucket for one in standings(state) if one.limit} == {"SW-1", "SW-2"}


def test_a_mixed_account_is_touched_in_the_campaigns_templates_only(state: State, write_scan: WriteScan) -> None:
    """Its other customers go on; an account of the pool is touched as a whole; nobody with own traffic is suspended."""
    scan = write_scan([{"account_id": "mixed", "role": "mixed"}, {"account_id": "pool"}])
    plan = proposed(state, scan, policy(rung="suspend"))
    found = {action.account_id: action for action in plan.actions}
    assert found["mixed"].rung is Rung.RESTRICT
    assert not found["mixed"].scope.covers("large", 4)
    assert found["mixed"].scope.covers("large", 2**63 + 17)
    assert found["pool"].scope.whole_account
    assert found["pool"].rung is Rung.SUSPEND


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


def test_what_is_in_force_is_not_proposed_again(state: State, write_scan: WriteScan, clock: Clock) -> None:
    """A daily plan names only what is new, and renews what has expired."""
    wanted = policy(radius=WIDE)
    applied(state, write_scan(MEMBERS), wanted)
    again = proposed(state, write_scan([*MEMBERS, {"account_id": "new"}]), wanted)
    assert [action.account_id for action in again.actions] == ["new"]
    clock.forward(days=20)
    assert len(proposed(state, write_scan(MEMBERS), wanted).actions) == 4


@pytest.mark.parametrize(
    ("radius", "said"),
    [
        (Radius(0.003, 1e9, 1.0), "of accounts"),
        (Radius(1.0, 0.003, 1.0), "innocents expected"),
        (Radius(1.0, 1e9, 0.01), "of paying tokens"),
    ],
)
def test_a_plan_that_reaches_too_far_cannot_be_applied(
    state: State, write_scan: WriteScan, radius: Radius, said: str
) -> None:
    """Each bound alone stops it; in shadow mode it is reported and the rest goes on."""
    known = Customers(1_000, 10_000, True, {f"a{n}": Customer(plan="pro", tokens=100) for n in range(4)})
    plan = proposed(state, write_scan(MEMBERS), policy(radius=radius), known)
    assert said in plan.reach.over[0]
    agreed(state, plan)
    with pytest.raises(StateError, match=f"reaches too far.*{said}"):
        apply(state, plan.plan_id, who="anna", why="agreed")
    shadow = proposed(state, write_scan(MEMBERS), policy("shadow", radius=radius), known)
    assert shadow.reach.over == plan.reach.over
    apply(state, shadow.plan_id, who="anna", why="measure")


def test_bounds_count_all_plans_together(state: State, write_scan: WriteScan) -> None:
    """Ten plans of one in a hundred are not a way round a bound of two."""
    two_in_a_thousand = Radius(accounts_share=0.002, innocents=1e9, paying_tokens_share=1.0)
    for name in ("a", "b"):
        applied(state, write_scan([{"account_id": name}]), policy(radius=two_in_a_thousand))
    third = proposed(state, write_scan([{"account_id": "c"}]), policy(radius=two_in_a_thousand))
    agreed(state, third)
    with pytest.raises(StateError, match=r"0\.3 % of accounts"):
        apply(state, third.plan_id, who="anna", why="one more")


def test_an_old_plan_cannot_be_applied(state: State, write_scan: WriteScan, clock: Clock) -> None:
    """Findings age."""
    plan = proposed(state, write_scan(MEMBERS), policy("shadow"))
    clock.forward(days=8)
    with pytest.raises(StateError, match="older than 7 days"):
        apply(state, plan.plan_id, who="anna", why="late")


def test_a_mixed_account_without_known_templates_is_left_alone(state: State, write_scan: WriteScan) -> None:
    """What cannot be told apart from the customer's own traffic is not touched."""
    scan = write_scan([{"account_id": "m", "role": "mixed"}])
    (scan.path / "templates.parquet").unlink()
    plan = proposed(state, scan, policy())
    assert plan.actions == ()
    assert "no template to tell it apart" in plan.left_alone[0].why


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


def test_an_unknown_plan_is_said_with_the_known_ones(state: State, write_scan: WriteScan) -> None:
    """An error helps with the next step."""
    plan = proposed(state, write_scan(MEMBERS), policy())
    with pytest.raises(StateError, match=f"no plan P-none; newest: {plan.plan_id}"):
        read_plan(state, "P-none")


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


MEMBER = st.fixed_dictionaries(
    {
        "account_id": st.sampled_from([f"a{n}" for n in range(12)]),
        "campaign_id": st.sampled_from(["SW-1", "SW-2"]),
        "role": st.sampled_from(["pool", "mixed", "closed", "successor"]),
        "probability": st.floats(0.0, 1.0),
    }
)
TEAMS = st.lists(MEMBER, max_size=16, unique_by=lambda one: (one["account_id"], one["campaign_id"]))
RUNGS = st.sampled_from(["observe", "tag", "rate-limit", "step-up", "restrict", "suspend"])
MODES = st.sampled_from(["shadow", "enforce"])
QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FRIENDS = st.sets(st.sampled_from([f"a{n}" for n in range(12)]))
SQLITE = pytest.mark.parametrize("state", ["sqlite"], indirect=True)  # many examples: the quicker database alone
BOTH = [campaign_record(), campaign_record("SW-2")]


@SQLITE
@QUICK
@given(
    team=TEAMS,
    rung=RUNGS,
    mode=MODES,
    friends=st.sets(st.sampled_from([f"a{n}" for n in range(12)])),
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


def undo_all(state: State) -> None:
    """Take back all that earlier examples left in force, and let a moment pass."""
    state.clock.forward(seconds=1)  # type: ignore[attr-defined]
    for plan in {one.plan_id for one in standings(state)}:
        undo(state, who="anna", why="clean", plan=plan)


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
        undo(state, who="anna", why="mistake", **named)  # type: ignore[arg-type]
        assert standings(state) == [one for one in both if not chosen[which](one)]


def test_undo_wants_one_thing(state: State) -> None:
    """Neither everything at once nor nothing."""
    with pytest.raises(StateError, match="name one"):
        undo(state, who="anna", why="all of it", plan="P-1", account="a")


@SQLITE
@QUICK
@given(team=TEAMS, rung=RUNGS, mode=MODES, verdict=st.sampled_from(["campaign", "needs_person"]))
def test_what_begins_without_a_person_is_never_above_the_rate_limit(
    state: State, write_scan: WriteScan, team: list[dict[str, object]], rung: str, mode: str, verdict: str
) -> None:
    """Nor is it of a group that a person must judge, even if a plan's rule had been bent to say so."""
    rule = Rule(
        name="bent", rung=rung, automatic=True, verdicts=("campaign", "needs_person"), probability_at_least=0.0,
        budget=Budget(1.0, 1.0) if rung == "rate-limit" else None,
    )  # type: ignore[arg-type]  # fmt: skip
    undo_all(state)
    records = [campaign_record(verdict=verdict), campaign_record("SW-2", verdict=verdict)]
    plan = proposed(state, write_scan(team, records), policy(mode, rules=(rule,), radius=WIDE))
    apply(state, plan.plan_id, who="stillwatch", why="policy", only_automatic=True)
    assert all(one.rung <= Rung.RATE_LIMIT for one in standings(state))
    assert verdict == "campaign" or standings(state) == []


def test_the_same_seed_makes_the_same_plan(state: State, write_scan: WriteScan, clock: Clock) -> None:
    """Randomness and time are passed in; another seed begins at other moments."""
    scan, wanted = write_scan(MEMBERS), policy()
    known = circumstances(state, wanted, Customers(1_000))
    one, two, other = (propose(scan, wanted, known, now=clock.now, chance=random.Random(seed)) for seed in (1, 1, 2))
    assert msgspec.json.encode(one) == msgspec.json.encode(two)
    assert one.plan_id != other.plan_id
