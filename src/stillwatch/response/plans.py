"""Plans as the state keeps them, and who agreed to them: by name, or by a signature where the policy lists keys."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from itertools import permutations

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.errors import StateError, UnknownToState
from stillwatch.response import schema
from stillwatch.response.journal import canonical
from stillwatch.response.plan import Need, Plan
from stillwatch.response.policy import Policy
from stillwatch.response.signing import from_line, is_signed, key_id, one_line, sign
from stillwatch.response.store import Row, State, micros


def record_plan(state: State, plan: Plan, *, who: str, why: str) -> None:
    """Keep a proposed plan; it changes nothing that is in force.

    >>> from datetime import UTC, datetime
    >>> from stillwatch.response.plan import Reach
    >>> plan = Plan(plan_id="P-1", made_at=datetime(2026, 9, 1, tzinfo=UTC), scan_sha256="", policy=Policy(name="p"),
    ...     accounts=0, paying_tokens=None, actions=(), left_alone=(), tell_owners=(), needs=(),
    ...     reach=Reach(accounts=0, accounts_share=0.0, innocents=0.0, paying_tokens_share=None))
    >>> state = State.open("sqlite://")
    >>> record_plan(state, plan, who="anna", why="daily")
    >>> read_plan(state, "P-1") == plan
    True
    """
    row = {"plan_id": plan.plan_id, "made_at": micros(plan.made_at), "body": canonical(plan).decode()}
    with state.changing(who, "propose", why) as change:
        if change.rows(sa.select(schema.plans.c.plan_id).where(schema.plans.c.plan_id == plan.plan_id)):
            raise StateError(f"plan {plan.plan_id} is there already")
        change.insert(schema.plans, [row])


def read_plan(state: State, plan_id: str) -> Plan:
    """Return a plan; raises :class:`UnknownToState` naming the newest ones when there is none of that id.

    >>> read_plan(State.open("sqlite://"), "P-1")
    Traceback (most recent call last):
    stillwatch.errors.UnknownToState: no plan P-1; newest: none; make one with `stillwatch plan`
    """
    return msgspec.json.decode(_body(state, plan_id), type=Plan)


def _body(state: State, plan_id: str) -> str:
    found = state.rows(sa.select(schema.plans.c.body).where(schema.plans.c.plan_id == plan_id))
    if not found:
        newest = state.rows(sa.select(schema.plans.c.plan_id).order_by(schema.plans.c.made_at.desc()).limit(3))
        known = ", ".join(row["plan_id"] for row in newest) or "none; make one with `stillwatch plan`"
        raise UnknownToState(f"no plan {plan_id}; newest: {known}")
    return str(found[0]["body"])


def approvers(state: State, plan_id: str) -> list[str]:
    """Return who approved a plan, in the order of their approval, whether or not their approval counts.

    >>> approvers(State.open("sqlite://"), "P-1")
    []
    """
    return [row["person"] for row in _approvals(state, plan_id)]


def _approvals(state: State, plan_id: str) -> list[Row]:
    table, signatures = schema.approvals, schema.signatures
    both = sa.outerjoin(table, signatures, table.c.approval_id == signatures.c.approval_id)
    query = sa.select(table.c.person, signatures.c.signature).select_from(both).where(table.c.plan_id == plan_id)
    return state.rows(query.order_by(table.c.at, table.c.person))


def approve(
    state: State, plan_id: str, *, who: str, why: str, key: Ed25519PrivateKey | None = None
) -> tuple[Need, ...]:
    """Record a person's approval of a plan and return what is still needed.

    Where the plan's policy lists keys, ``key`` is the person's own and signs the plan as it stands, with their name.
    Raises :class:`StateError` when the policy gives the person no role that the plan needs, on a second approval, and
    for a key that is missing, not theirs, or not asked for.

    >>> approve(State.open("sqlite://"), "P-1", who="anna", why="looked at it")
    Traceback (most recent call last):
    stillwatch.errors.UnknownToState: no plan P-1; ...
    """
    plan = read_plan(state, plan_id)
    if not plan.needs:
        raise StateError(f"plan {plan_id} needs no approval")
    held = set(plan.policy.people.get(who, ()))
    if not held & {role for need in plan.needs for role in need.roles}:
        raise StateError(f"{who} holds no role that plan {plan_id} needs; the policy's [people] says who does")
    if who in approvers(state, plan_id):
        raise StateError(f"{who} has approved plan {plan_id} already; another person must")
    name = f"{plan_id}/{who}"
    signed = _signed(state, plan, who, key)
    row = {"approval_id": name, "plan_id": plan_id, "person": who, "at": micros(state.clock())}
    with state.changing(who, "approve", why) as change:
        change.insert(schema.approvals, [row])
        change.insert(schema.signatures, [{"approval_id": name, **one} for one in signed])
    return missing(plan, agreed(state, plan))


def _signed(state: State, plan: Plan, who: str, key: Ed25519PrivateKey | None) -> list[dict[str, str]]:
    listed = plan.policy.keys.get(who)
    if key is None:
        if plan.policy.keys:
            raise StateError(f"the policy of plan {plan.plan_id} lists keys: sign with yours (--key)")
        return []
    if listed != one_line(key.public_key()):
        why = "is not the one that the policy lists for you" if listed else "is not asked for: the policy lists none"
        raise StateError(f"the key {key_id(key.public_key())} {why}")
    return [{"key_id": key_id(key.public_key()), "signature": sign(_statement(state, plan.plan_id, who), key)}]


def _statement(state: State, plan_id: str, who: str) -> bytes:
    """Return what an approver signs: the plan as it is kept, byte for byte, and their name."""
    digest = hashlib.sha256(_body(state, plan_id).encode()).hexdigest()
    return canonical({"approves": plan_id, "plan_sha256": digest, "who": who})


def agreed(state: State, plan: Plan, today: Policy | None = None) -> list[str]:
    """Return the persons whose approval of a plan counts.

    Where the plan's policy or ``today``'s lists keys, that is a signature by the person's listed key, over the plan as
    it now stands. A key that is taken out of the policy, or a plan that was changed, leaves nothing that counts.

    >>> from types import SimpleNamespace
    >>> agreed(State.open("sqlite://"), SimpleNamespace(plan_id="P-1", policy=Policy(name="p")))
    []
    """
    strict = [policy for policy in (plan.policy, today) if policy is not None and policy.keys]
    rows = _approvals(state, plan.plan_id)
    if strict and rows:
        rows = [row for row in rows if _counts(state, plan.plan_id, row, strict)]
    return [row["person"] for row in rows]


def _counts(state: State, plan_id: str, row: Row, policies: Iterable[Policy]) -> bool:
    statement = _statement(state, plan_id, row["person"])
    keys = [from_line(policy.keys.get(row["person"], "")) for policy in policies]
    return all(key is not None and is_signed(statement, row["signature"] or "", key) for key in keys)


def missing(plan: Plan, persons: Collection[str]) -> tuple[Need, ...]:
    """Return the needs of a plan that these persons do not meet: every role of a need by another person.

    >>> from types import SimpleNamespace
    >>> from stillwatch.response.ladder import Rung
    >>> plan = SimpleNamespace(policy=Policy(name="p", people={"anna": ("responder", "lead")}),
    ...                        needs=(Need(Rung.SUSPEND, 3, ("responder", "lead")), Need(Rung.CAP, 1, ("lead",))))
    >>> [need.rung.label for need in missing(plan, ["anna"])]
    ['suspend']
    """
    people = plan.policy.people
    return tuple(need for need in plan.needs if not _met(need, sorted(set(persons)), people))


def _met(need: Need, persons: list[str], people: dict[str, tuple[str, ...]]) -> bool:
    return any(
        all(role in people.get(person, ()) for role, person in zip(need.roles, chosen, strict=True))
        for chosen in permutations(persons, len(need.roles))
    )
