"""From a plan into force, on both databases."""

from __future__ import annotations

import random
from datetime import timedelta

import msgspec
import pytest

from stillwatch.errors import StateError
from stillwatch.response.actions import apply, circumstances, standings
from stillwatch.response.customers import Customers
from stillwatch.response.ladder import Rung
from stillwatch.response.plan import propose
from stillwatch.response.plans import approve, read_plan
from stillwatch.response.policy import Customer, Radius, Timing
from stillwatch.response.shadow import overlaps
from stillwatch.response.standing import Scope
from stillwatch.response.store import State

from .conftest import Clock, WriteScan, campaign_record, policy
from .steps import MEMBERS, WIDE, accounts, agreed, applied, proposed


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


def test_an_unknown_plan_is_said_with_the_known_ones(state: State, write_scan: WriteScan) -> None:
    """An error helps with the next step."""
    plan = proposed(state, write_scan(MEMBERS), policy())
    with pytest.raises(StateError, match=f"no plan P-none; newest: {plan.plan_id}"):
        read_plan(state, "P-none")


def test_the_same_seed_makes_the_same_plan(state: State, write_scan: WriteScan, clock: Clock) -> None:
    """Randomness and time are passed in; another seed begins at other moments."""
    scan, wanted = write_scan(MEMBERS), policy()
    known = circumstances(state, wanted, Customers(1_000))
    one, two, other = (propose(scan, wanted, known, now=clock.now, chance=random.Random(seed)) for seed in (1, 1, 2))
    assert msgspec.json.encode(one) == msgspec.json.encode(two)
    assert one.plan_id != other.plan_id


@pytest.mark.parametrize("mode", ["shadow", "enforce"])
def test_overlapping_scans_bring_no_account_to_a_rung_twice(state: State, write_scan: WriteScan, mode: str) -> None:
    """Two plans made before either was applied: the second begins only what the first did not."""
    wanted = policy(mode, radius=WIDE)
    first = proposed(state, write_scan(MEMBERS), wanted)
    second = proposed(state, write_scan([*MEMBERS, {"account_id": "new"}]), wanted, seed=2)
    agreed(state, first)
    agreed(state, second)
    assert apply(state, first.plan_id, who="anna", why="agreed").begun == 4
    done = apply(state, second.plan_id, who="anna", why="agreed")
    assert (done.begun, done.left_out) == (1, 4)
    assert accounts(standings(state)) == ["a0", "a1", "a2", "a3", "new"]


def test_a_campaign_that_was_renamed_is_not_met_twice(state: State, write_scan: WriteScan) -> None:
    """What is in force for its earlier name counts; a higher rung and a stranger's campaign begin all the same."""
    wanted = policy("shadow", rung="tag")
    applied(state, write_scan(MEMBERS), wanted)
    heir = campaign_record("SW-2", lineage={"event": "split", "previous": ["SW-1"]})
    moved = [{**member, "campaign_id": "SW-2"} for member in MEMBERS]
    again = proposed(state, write_scan(moved, [heir]), wanted)
    assert {one.why for one in again.left_alone} == {"already in force"}
    assert again.actions == ()
    assert len(proposed(state, write_scan(moved, [campaign_record("SW-2")]), wanted).actions) == 4
    assert len(proposed(state, write_scan(moved, [heir]), policy("shadow", rung="step-up")).actions) == 4
