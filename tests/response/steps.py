"""The steps from a scan to measures in force, for the tests of plans, approvals and ways back."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from stillwatch.cases.folder import ScanOutput
from stillwatch.response.actions import apply, circumstances, standings, undo
from stillwatch.response.customers import Customers
from stillwatch.response.plan import Plan, propose
from stillwatch.response.plans import approve, missing, record_plan
from stillwatch.response.policy import Policy, Radius
from stillwatch.response.standing import Standing
from stillwatch.response.store import State

from .conftest import campaign_record

WIDE = Radius(accounts_share=1.0, innocents=1e9, paying_tokens_share=1.0)
MEMBERS = [{"account_id": f"a{n}"} for n in range(4)]

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


def proposed(
    state: State,
    scan: ScanOutput,
    wanted: Policy,
    customers: Customers | None = None,
    seed: int = 1,
    *,
    again: bool = False,
) -> Plan:
    """Propose and keep a plan."""
    known = circumstances(state, wanted, customers or Customers(scan.run.rows["accounts"]), again=again)
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


def undo_all(state: State) -> None:
    """Take back all that earlier examples left in force, and let a moment pass."""
    state.clock.forward(seconds=1)  # type: ignore[attr-defined]
    for plan in {one.plan_id for one in standings(state)}:
        undo(state, who="anna", why="clean", plan=plan)
