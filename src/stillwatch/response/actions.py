"""What people do with plans: apply, take back. Each is one transaction with its lines in the journal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from stillwatch.errors import StateError, UnknownToState
from stillwatch.response import schema
from stillwatch.response.customers import UNKNOWN, Customers
from stillwatch.response.journal import canonical
from stillwatch.response.ladder import LADDER, Rung
from stillwatch.response.plan import Action, Circumstances, Need, Plan, Touch, exempted, reach
from stillwatch.response.plans import agreed, missing, read_plan
from stillwatch.response.policy import Policy
from stillwatch.response.standing import Standing
from stillwatch.response.store import Change, Row, State, micros, moment

Rows = Callable[[sa.Select[Any]], list[Row]]


class Applied(msgspec.Struct, frozen=True):
    """What applying a plan did: how many measures begin, and how many were left out since the plan was made."""

    begun: int
    left_out: int
    shadow: bool


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
    bound of its policy (in shadow mode bounds are reported and not enforced). Accounts that verified themselves, won an
    appeal or were taken back since the plan was made are left out, and so are those that today's ``policy`` exempts and
    those that another plan has brought to the same rung for the same campaign meanwhile.

    >>> apply(State.open("sqlite://"), "P-1", who="anna", why="agreed")
    Traceback (most recent call last):
    stillwatch.errors.UnknownToState: no plan P-1; ...
    """
    plan = read_plan(state, plan_id)
    now = state.clock()
    if now > plan.made_at + timedelta(days=plan.policy.timing.plan_valid_days):
        raise StateError(f"plan {plan_id} is older than {plan.policy.timing.plan_valid_days:g} days: make a new one")
    if not only_automatic and (open_needs := missing(plan, agreed(state, plan, policy))):
        raise StateError(f"plan {plan_id} lacks approval: {'; '.join(map(_said, open_needs))}")
    with state.changing(who, "apply automatically" if only_automatic else "apply", why) as change:
        wanted = _not_begun(change, plan, only_automatic)
        spared = excused_accounts(change.rows, plan.policy, now)
        spared |= exempted(policy or plan.policy, customers, (action.account_id for action in wanted), now)
        undone = taken_back(change.rows, plan.made_at)
        held = _highest(_live(change.rows, now), shadow=plan.shadow)
        actions = [
            action
            for action in wanted
            if action.account_id not in spared
            and undone.keys().isdisjoint((("account", action.account_id), ("campaign", action.campaign_id)))
            and held.get((action.account_id, action.campaign_id), -1) < action.rung
        ]
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

    What other plans have in force for the same accounts stays. An account or a campaign that was taken back does not
    begin again by the next scan (:func:`taken_back`). Raises :class:`StateError` unless exactly one is named,
    and :class:`UnknownToState` when there is no such plan, or nothing was ever in force for the account or campaign.

    >>> undo(State.open("sqlite://"), who="anna", why="a conference", campaign="SW-1")
    Traceback (most recent call last):
    stillwatch.errors.UnknownToState: nothing was ever in force for campaign SW-1; is it spelt as in `... standings`?
    """
    table = schema.standings
    named = {"account": account, "campaign": campaign, "plan": plan}
    chosen = [(kind, value) for kind, value in named.items() if value is not None]
    if len(chosen) != 1:
        raise StateError("name one account, one campaign or one plan to undo")
    ((kind, value),) = chosen
    mine = table.c[f"{kind}_id"] == value
    with state.changing(who, f"undo {kind}", why) as change:
        is_planned = kind == "plan" and change.rows(
            sa.select(schema.plans.c.plan_id).where(schema.plans.c.plan_id == value)
        )
        if not is_planned and not change.rows(sa.select(table.c.standing_id).where(mine).limit(1)):
            raise UnknownToState(
                f"nothing was ever in force for {kind} {value}; is it spelt as in `stillwatch standings`?"
            )
        return end(change, mine)


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
    now = state.clock()
    found = _live(state.rows, now)
    spared = exempted(policy, customers, (one.account_id for one in found), now) if policy else {}
    return [one for one in found if one.account_id not in spared]


def _live(rows: Rows, now: datetime) -> list[Standing]:
    table = schema.standings
    live = sa.and_(table.c.ended_at.is_(None), table.c.expires_at > micros(now))
    query = sa.select(table.c.body).where(live).order_by(table.c.account_id, table.c.standing_id)
    return [msgspec.json.decode(row["body"], type=Standing) for row in rows(query)]


def _highest(measures: list[Standing], *, shadow: bool) -> dict[tuple[str, str], Rung]:
    """Return the highest rung of each account for each campaign, of the measures of one mode."""
    found: dict[tuple[str, str], Rung] = {}
    for one in measures:
        if one.shadow is shadow:
            key = (one.account_id, one.campaign_id)
            found[key] = max(one.rung, found.get(key, Rung.OBSERVE))
    return found


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


def taken_back(rows: Rows, since: datetime) -> dict[tuple[str, str], str]:
    """Return what people took back by name since a time: ("account" or "campaign", its id), with who and when.

    A person outranks a rule: a scan that finds the same again must not undo the undoing.

    >>> from datetime import UTC
    >>> taken_back(State.open("sqlite://").rows, datetime(2026, 9, 1, tzinfo=UTC))
    {}
    """
    table = schema.journal
    by_name = table.c.action.in_(("undo account", "undo campaign")) & table.c.before.is_not(None)
    found: dict[tuple[str, str], str] = {}
    for row in rows(sa.select(table).where(by_name, table.c.at > micros(since)).order_by(table.c.seq)):
        kind = row["action"].removeprefix("undo ")
        name = msgspec.json.decode(row["before"])[f"{kind}_id"]
        found[kind, name] = f"taken back by {row['who']}, {moment(row['at']):%d %b %Y}"
    return found


def circumstances(state: State, policy: Policy, customers: Customers, *, again: bool = False) -> Circumstances:
    """Return what a new plan must take into account of what is in force and what was found out since.

    ``again`` proposes anew what people took back.

    >>> circumstances(State.open("sqlite://"), Policy(name="p"), Customers(accounts=10)).in_force
    {}
    """
    now = state.clock()
    in_force = _highest(standings(state), shadow=policy.mode == "shadow")
    undone = {} if again else taken_back(state.rows, now - timedelta(days=policy.verified_days))
    return Circumstances(
        customers, in_force, excused_accounts(state.rows, policy, now), _touched(state.rows, now), undone
    )


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
