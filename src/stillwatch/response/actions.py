"""What people do with plans: approve, apply, take back. Each is one transaction with its lines in the journal."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import msgspec
import sqlalchemy as sa

from stillwatch.errors import StateError
from stillwatch.response import schema
from stillwatch.response.customers import UNKNOWN, Customers
from stillwatch.response.journal import canonical
from stillwatch.response.ladder import LADDER, Rung
from stillwatch.response.plan import Action, Circumstances, Need, Plan, Touch, exempted, reach
from stillwatch.response.policy import Policy
from stillwatch.response.standing import Standing
from stillwatch.response.store import Change, Row, State, micros, moment

Rows = Callable[[sa.Select[Any]], list[Row]]


class Applied(msgspec.Struct, frozen=True):
    """What applying a plan did: how many measures begin, and how many were left out since the plan was made."""

    begun: int
    left_out: int
    shadow: bool


def record_plan(state: State, plan: Plan, *, who: str, why: str) -> None:
    """Keep a proposed plan; it changes nothing that is in force.

    >>> from datetime import UTC
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
    """Return a plan; raises :class:`StateError` naming the newest ones when there is none of that id.

    >>> read_plan(State.open("sqlite://"), "P-1")
    Traceback (most recent call last):
    stillwatch.errors.StateError: no plan P-1; newest: none; make one with `stillwatch plan`
    """
    found = state.rows(sa.select(schema.plans).where(schema.plans.c.plan_id == plan_id))
    if not found:
        newest = state.rows(sa.select(schema.plans.c.plan_id).order_by(schema.plans.c.made_at.desc()).limit(3))
        known = ", ".join(row["plan_id"] for row in newest) or "none; make one with `stillwatch plan`"
        raise StateError(f"no plan {plan_id}; newest: {known}")
    return msgspec.json.decode(found[0]["body"], type=Plan)


def approvers(state: State, plan_id: str) -> list[str]:
    """Return who approved a plan, in the order of their approval.

    >>> approvers(State.open("sqlite://"), "P-1")
    []
    """
    table = schema.approvals
    query = sa.select(table.c.person).where(table.c.plan_id == plan_id).order_by(table.c.at, table.c.person)
    return [row["person"] for row in state.rows(query)]


def approve(state: State, plan_id: str, *, who: str, why: str) -> tuple[Need, ...]:
    """Record a person's approval of a plan and return what is still needed.

    Raises :class:`StateError` when the policy gives the person no role that the plan needs, or on a second approval.

    >>> approve(State.open("sqlite://"), "P-1", who="anna", why="looked at it")
    Traceback (most recent call last):
    stillwatch.errors.StateError: no plan P-1; ...
    """
    plan = read_plan(state, plan_id)
    if not plan.needs:
        raise StateError(f"plan {plan_id} needs no approval")
    held = set(plan.policy.people.get(who, ()))
    if not held & {role for need in plan.needs for role in need.roles}:
        raise StateError(f"{who} holds no role that plan {plan_id} needs; the policy's [people] says who does")
    if who in approvers(state, plan_id):
        raise StateError(f"{who} has approved plan {plan_id} already; another person must")
    row = {"approval_id": f"{plan_id}/{who}", "plan_id": plan_id, "person": who, "at": micros(state.clock())}
    with state.changing(who, "approve", why) as change:
        change.insert(schema.approvals, [row])
    return missing(plan, approvers(state, plan_id))


def missing(plan: Plan, persons: Collection[str]) -> tuple[Need, ...]:
    """Return the needs of a plan that these persons do not meet: every role of a need by another person.

    >>> from types import SimpleNamespace
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


def apply(
    state: State,
    plan_id: str,
    *,
    who: str,
    why: str,
    only_automatic: bool = False,
    policy: Policy | None = None,
    customers: Customers = UNKNOWN,
) -> Applied:
    """Bring a plan into force: its automatic part alone, or all of it once the approvals are there.

    Raises :class:`StateError` when the plan is too old, was applied already, lacks an approval or would now break a
    bound of its policy (in shadow mode bounds are reported and not enforced). Accounts that verified themselves or won
    an appeal since the plan was made are left out, and so are those that today's ``policy`` exempts.

    >>> apply(State.open("sqlite://"), "P-1", who="anna", why="agreed")
    Traceback (most recent call last):
    stillwatch.errors.StateError: no plan P-1; ...
    """
    plan = read_plan(state, plan_id)
    now = state.clock()
    if now > plan.made_at + timedelta(days=plan.policy.timing.plan_valid_days):
        raise StateError(f"plan {plan_id} is older than {plan.policy.timing.plan_valid_days:g} days: make a new one")
    if not only_automatic and (open_needs := missing(plan, approvers(state, plan_id))):
        raise StateError(f"plan {plan_id} lacks approval: {'; '.join(map(_said, open_needs))}")
    with state.changing(who, "apply automatically" if only_automatic else "apply", why) as change:
        wanted = _not_begun(change, plan, only_automatic)
        spared = excused_accounts(change.rows, plan.policy, now)
        spared |= exempted(policy or plan.policy, customers, (action.account_id for action in wanted), now)
        actions = [action for action in wanted if action.account_id not in spared]
        _demand_within(plan, actions, _touched(change.rows, now))
        change.insert(schema.standings, [_row(action.standing(plan_id, now, shadow=plan.shadow)) for action in actions])
    return Applied(len(actions), len(wanted) - len(actions), plan.shadow)


def _said(need: Need) -> str:
    return f"{need.rung.label} of {need.accounts} accounts needs {' and '.join(need.roles)}"


def _not_begun(change: Change, plan: Plan, only_automatic: bool) -> list[Action]:
    """Return the actions to begin now, and note which part of the plan that is; raises when there is nothing left."""
    table = schema.applications
    done = {row["part"] for row in change.rows(sa.select(table.c.part).where(table.c.plan_id == plan.plan_id))}
    part = "automatic" if only_automatic else "all"
    if part in done or "all" in done:
        raise StateError(f"plan {plan.plan_id} was applied already")
    row = {"application_id": f"{plan.plan_id}/{part}", "plan_id": plan.plan_id, "part": part, "at": micros(change.at)}
    change.insert(table, [row])
    if only_automatic:
        return [action for action in plan.actions if action.automatic]
    return [action for action in plan.actions if not (action.automatic and "automatic" in done)]


def _demand_within(plan: Plan, actions: list[Action], touched: dict[str, Touch]) -> None:
    over = reach(actions, touched, plan.policy, plan.accounts, plan.paying_tokens).over
    if over and not plan.shadow:
        raise StateError(f"plan {plan.plan_id} reaches too far with what is in force: {'; '.join(over)}")


def _row(standing: Standing) -> Row:
    return {
        "standing_id": f"{standing.plan_id}/{standing.campaign_id}/{standing.account_id}",
        "plan_id": standing.plan_id,
        "campaign_id": standing.campaign_id,
        "account_id": standing.account_id,
        "starts_at": micros(standing.starts_at),
        "expires_at": micros(standing.expires_at),
        "ended_at": None,
        "ended_by": None,
        "body": canonical(standing).decode(),
    }


def undo(
    state: State,
    *,
    who: str,
    why: str,
    account: str | None = None,
    campaign: str | None = None,
    plan: str | None = None,
) -> int:
    """End all measures of one account, one campaign or one plan, begun or waiting; return how many.

    What other plans have in force for the same accounts stays. Raises :class:`StateError` unless exactly one is named.

    >>> undo(State.open("sqlite://"), who="anna", why="a conference", campaign="SW-1")
    0
    """
    table = schema.standings
    named = [(table.c.account_id, account), (table.c.campaign_id, campaign), (table.c.plan_id, plan)]
    chosen = [column == value for column, value in named if value is not None]
    if len(chosen) != 1:
        raise StateError("name one account, one campaign or one plan to undo")
    with state.changing(who, "undo", why) as change:
        return end(change, chosen[0])


def end(change: Change, which: sa.ColumnElement[bool]) -> int:
    """End the measures that a condition names and that have neither ended nor expired; return how many.

    >>> with State.open("sqlite://").changing("anna", "undo", "a mistake") as change:
    ...     end(change, schema.standings.c.account_id == "a")
    0
    """
    table = schema.standings
    still = sa.and_(which, table.c.ended_at.is_(None), table.c.expires_at > micros(change.at))
    return len(change.update(table, still, {"ended_at": micros(change.at), "ended_by": change.who}))


def standings(state: State, *, policy: Policy | None = None, customers: Customers = UNKNOWN) -> list[Standing]:
    """Return what is in force now and what waits to begin, by account.

    Accounts that today's ``policy`` exempts are left out, whatever was applied before; raises :class:`ConfigError` when
    it exempts by organisation and the like and ``customers`` are not known.

    >>> standings(State.open("sqlite://"))
    []
    """
    now, table = state.clock(), schema.standings
    live = sa.and_(table.c.ended_at.is_(None), table.c.expires_at > micros(now))
    query = sa.select(table.c.body).where(live).order_by(table.c.account_id, table.c.standing_id)
    found = [msgspec.json.decode(row["body"], type=Standing) for row in state.rows(query)]
    spared = exempted(policy, customers, (one.account_id for one in found), now) if policy else {}
    return [one for one in found if one.account_id not in spared]


def excused_accounts(rows: Rows, policy: Policy, now: datetime) -> dict[str, str]:
    """Return the accounts that verified themselves or won an appeal within ``verified_days``, each with why.

    >>> from datetime import UTC
    >>> excused_accounts(State.open("sqlite://").rows, Policy(name="p"), datetime(2026, 9, 1, tzinfo=UTC))
    {}
    """
    since = micros(now - timedelta(days=policy.verified_days))
    appeals, proofs = schema.appeals, schema.verifications
    won = sa.select(appeals.c.account_id).where(appeals.c.status == "granted", appeals.c.answered_at > since)
    proved = sa.select(proofs).where(proofs.c.succeeded, proofs.c.at > since).order_by(proofs.c.at)
    why = {row["account_id"]: "appeal granted" for row in rows(won)}
    for row in rows(proved):
        why[row["account_id"]] = f"verified: {row['kind']}, {moment(row['at']):%d %b %Y}"
    return why


def circumstances(state: State, policy: Policy, customers: Customers) -> Circumstances:
    """Return what a new plan must take into account of what is in force and what was found out since.

    >>> circumstances(State.open("sqlite://"), Policy(name="p"), Customers(accounts=10)).in_force
    {}
    """
    now = state.clock()
    in_force: dict[tuple[str, str], Rung] = {}
    for one in standings(state):
        if one.shadow == (policy.mode == "shadow"):
            key = (one.account_id, one.campaign_id)
            in_force[key] = max(one.rung, in_force.get(key, Rung.OBSERVE))
    return Circumstances(customers, in_force, excused_accounts(state.rows, policy, now), _touched(state.rows, now))


def _touched(rows: Rows, now: datetime) -> dict[str, Touch]:
    """Return who feels a measure that is in force or waiting, with the probability and tokens its plan knew."""
    table = schema.standings
    live = sa.and_(table.c.ended_at.is_(None), table.c.expires_at > micros(now))
    query = sa.select(table.c.plan_id, table.c.account_id, table.c.body).where(live)
    felt: dict[str, set[str]] = {}
    for row in rows(query):
        standing = msgspec.json.decode(row["body"], type=Standing)
        if LADDER[standing.rung].felt and not standing.shadow:
            felt.setdefault(row["plan_id"], set()).add(row["account_id"])
    touched: dict[str, Touch] = {}
    for row in rows(sa.select(schema.plans).where(schema.plans.c.plan_id.in_(sorted(felt)))):
        for action in msgspec.json.decode(row["body"], type=Plan).actions:
            if action.account_id in felt[row["plan_id"]]:
                touched[action.account_id] = Touch(action.probability, action.paying_tokens)
    return touched
