"""Who must agree, and how that is known: by name on trust, by signature where the policy lists keys."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.errors import StateError
from stillwatch.response import schema
from stillwatch.response.actions import apply, standings
from stillwatch.response.ladder import Rung
from stillwatch.response.plan import Plan
from stillwatch.response.plans import approve
from stillwatch.response.policy import Approvals, Budget, Rule, faults
from stillwatch.response.signing import key_id, one_line
from stillwatch.response.store import State

from .conftest import WriteScan, campaign_record, policy
from .steps import MEMBERS, MODES, QUICK, RUNGS, SQLITE, TEAMS, WIDE, accounts, agreed, proposed, undo_all

KEYS = {name: Ed25519PrivateKey.generate() for name in ("anna", "ben", "eve")}
STRANGER = one_line(Ed25519PrivateKey.generate().public_key())
LISTED = {name: one_line(key.public_key()) for name, key in KEYS.items()}


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


@pytest.fixture
def plan(state: State, write_scan: WriteScan) -> Plan:
    """Propose to suspend eleven accounts, under a policy that lists keys: two persons must sign."""
    scan = write_scan([{"account_id": f"a{n:02}"} for n in range(11)])
    return proposed(state, scan, policy(rung="suspend", radius=WIDE, keys=LISTED))


def test_signed_approvals_count_and_the_journal_names_the_keys(state: State, plan: Plan) -> None:
    """Two persons, two keys; the lines of the journal hold key and signature, and the audit agrees."""
    assert approve(state, plan.plan_id, who="anna", why="yes", key=KEYS["anna"]) != ()
    assert approve(state, plan.plan_id, who="ben", why="yes", key=KEYS["ben"]) == ()
    assert apply(state, plan.plan_id, who="anna", why="agreed", policy=plan.policy).begun == 11
    lines = [entry.after or "" for entry in state.entries() if entry.subject.startswith("approval_signatures/")]
    assert [key_id(KEYS[name].public_key()) in line for name, line in zip(("anna", "ben"), lines, strict=True)] == [
        True,
        True,
    ]
    assert state.audit() == []


@pytest.mark.parametrize(
    ("who", "key", "said"),
    [("anna", None, "sign with yours"), ("anna", "ben", "not the one that the policy lists for you")],
)
def test_without_the_own_key_nobody_approves(state: State, plan: Plan, who: str, key: str | None, said: str) -> None:
    """Neither under a name alone nor with another's key; nothing is written."""
    before = state.revision()
    with pytest.raises(StateError, match=said):
        approve(state, plan.plan_id, who=who, why="trust me", key=KEYS[key] if key else None)
    assert state.revision() == before


def test_a_key_that_nobody_asked_for_is_refused(state: State, write_scan: WriteScan) -> None:
    """A policy without keys takes names on trust; a signature would look like more than it is."""
    plain = proposed(state, write_scan(MEMBERS), policy(radius=WIDE))
    with pytest.raises(StateError, match="is not asked for"):
        approve(state, plain.plan_id, who="anna", why="yes", key=KEYS["anna"])
    assert approve(state, plain.plan_id, who="anna", why="yes") == ()


def forged(state: State, plan: Plan) -> None:
    """Put ben's approval in as one who may write the database could, with a signature of another plan's."""
    name = f"{plan.plan_id}/ben"
    with state.changing("eve", "approve", "forged") as change:
        change.insert(schema.approvals, [{"approval_id": name, "plan_id": plan.plan_id, "person": "ben", "at": 1}])
        found = change.rows(sa.select(schema.signatures))[0]
        change.insert(schema.signatures, [{**found, "approval_id": name}])


def widened(state: State, plan: Plan) -> None:
    """Change the plan behind the approvers' backs, after both have signed."""
    approve(state, plan.plan_id, who="ben", why="yes", key=KEYS["ben"])
    wider = msgspec.structs.replace(plan, accounts=plan.accounts + 1)
    with state.changing("eve", "propose", "wider") as change:
        change.update(
            schema.plans, schema.plans.c.plan_id == plan.plan_id, {"body": msgspec.json.encode(wider).decode()}
        )


@pytest.mark.parametrize("tampering", [forged, widened])
def test_what_the_keys_did_not_sign_does_not_count(
    state: State, plan: Plan, tampering: Callable[[State, Plan], None]
) -> None:
    """A forged row and a plan that was changed after it was signed lack the approvals that they claim."""
    approve(state, plan.plan_id, who="anna", why="yes", key=KEYS["anna"])
    tampering(state, plan)
    with pytest.raises(StateError, match="lacks approval: suspend of 11 accounts needs responder and responder"):
        apply(state, plan.plan_id, who="eve", why="hurry")
    assert standings(state) == []


def test_a_key_that_was_taken_out_of_the_policy_no_longer_counts(state: State, plan: Plan) -> None:
    """Today's policy has the last word, and one without keys does not loosen the plan's."""
    for name in ("anna", "ben"):
        approve(state, plan.plan_id, who=name, why="yes", key=KEYS[name])
    rotated = msgspec.structs.replace(plan.policy, keys={**LISTED, "ben": STRANGER})
    with pytest.raises(StateError, match="lacks approval"):
        apply(state, plan.plan_id, who="anna", why="agreed", policy=rotated)
    loose = msgspec.structs.replace(plan.policy, keys={})
    assert apply(state, plan.plan_id, who="anna", why="agreed", policy=loose).begun == 11


def test_a_policy_without_keys_does_not_loosen_one_with_keys(state: State, plan: Plan) -> None:
    """The twin: unsigned names stay refused whatever file is given to `apply`."""
    approve(state, plan.plan_id, who="anna", why="yes", key=KEYS["anna"])
    forged(state, plan)
    with pytest.raises(StateError, match="lacks approval"):
        apply(state, plan.plan_id, who="eve", why="hurry", policy=msgspec.structs.replace(plan.policy, keys={}))


@pytest.mark.parametrize(
    ("keys", "place", "said"),
    [
        ({**LISTED, "ben": LISTED["anna"]}, ("keys", "ben"), "the key of 'anna' too"),
        ({**LISTED, "ben": "ben"}, ("keys", "ben"), "not an Ed25519 public key"),
        ({**LISTED, "bne": STRANGER}, ("keys", "bne"), "nobody under"),
        ({"anna": LISTED["anna"], "ben": LISTED["ben"]}, ("people", "eve"), "has no key"),
    ],
)
def test_keys_that_prove_nothing_are_a_fault_of_the_policy(
    keys: dict[str, str], place: tuple[str, str], said: str
) -> None:
    """One key for two names, no key at all, a name that nobody bears, an approver without one."""
    found = dict(faults(policy(keys=keys)))
    assert said in found[place]


def test_one_key_for_each_approver_is_no_fault() -> None:
    """The twin, and a policy without keys."""
    assert list(faults(policy(keys=LISTED))) == []
    assert list(faults(policy())) == []


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
