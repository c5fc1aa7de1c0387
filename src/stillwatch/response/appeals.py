"""The ways back for an account: appeals, and verifications that lift what is in force."""

from __future__ import annotations

from typing import Literal

import msgspec
import pyarrow as pa
import sqlalchemy as sa

from stillwatch.errors import StateError, UnknownToState
from stillwatch.response import schema
from stillwatch.response.actions import end
from stillwatch.response.store import Change, Row, State, micros
from stillwatch.tables import Dataset, DatasetWriter

Kind = Literal["email", "phone", "identity", "organisation", "key-rotated"]
Answer = Literal["granted", "refused"]


class Appeal(msgspec.Struct, frozen=True, kw_only=True):
    """An appeal of an account; ``status`` is open, granted or refused, times are microseconds since 1970 UTC."""

    appeal_id: str
    account_id: str
    status: str
    opened_at: int
    reason: str
    answered_at: int | None = None
    answer: str | None = None


def open_appeal(state: State, account_id: str, *, who: str, why: str) -> str:
    """Open an appeal for an account, or re-open it after an answer; return its id.

    Raises :class:`StateError` when one is open already, :class:`UnknownToState` when nothing was ever in force for it.

    >>> open_appeal(State.open("sqlite://"), "a", who="support", why="our benchmark")
    Traceback (most recent call last):
    stillwatch.errors.UnknownToState: nothing was ever in force for account a
    """
    table, known = schema.appeals, schema.standings
    with state.changing(who, "appeal", why) as change:
        if not change.rows(sa.select(known.c.standing_id).where(known.c.account_id == account_id).limit(1)):
            raise UnknownToState(f"nothing was ever in force for account {account_id}")
        earlier = change.rows(sa.select(table).where(table.c.account_id == account_id))
        if any(row["status"] == "open" for row in earlier):
            raise StateError(f"account {account_id} has an open appeal already")
        row = {
            "appeal_id": f"{account_id}/{len(earlier) + 1}",
            "account_id": account_id,
            "status": "open",
            "opened_at": micros(change.at),
            "answered_at": None,
            "reason": change.why,
            "answer": None,
        }
        change.insert(table, [row])
    return str(row["appeal_id"])


def answer_appeal(state: State, account_id: str, answer: Answer, *, who: str, why: str) -> int:
    """Answer the open appeal of an account; granting ends all that is in force for it. Return how many measures ended.

    Raises :class:`StateError` when none is open, or when the one who refuses had approved a plan that the account
    stands under: nobody judges an appeal against their own decision.

    >>> answer_appeal(State.open("sqlite://"), "a", "granted", who="anna", why="contract seen")
    Traceback (most recent call last):
    stillwatch.errors.StateError: account a has no open appeal
    """
    table = schema.appeals
    with state.changing(who, f"appeal {answer}", why) as change:
        is_open = sa.and_(table.c.account_id == account_id, table.c.status == "open")
        if not change.rows(sa.select(table.c.appeal_id).where(is_open)):
            raise StateError(f"account {account_id} has no open appeal")
        if answer == "refused" and _approved(change, account_id):
            raise StateError(f"{who} approved a plan against account {account_id}; another person must refuse")
        values = {"status": answer, "answered_at": micros(change.at), "answer": change.why}
        change.update(table, is_open, values)
        return end(change, schema.standings.c.account_id == account_id) if answer == "granted" else 0


def _approved(change: Change, account_id: str) -> list[Row]:
    """Return the approvals by the one who acts of plans that the account stands or stood under."""
    plans = sa.select(schema.standings.c.plan_id).where(schema.standings.c.account_id == account_id)
    table = schema.approvals
    return change.rows(sa.select(table.c.plan_id).where(table.c.person == change.who, table.c.plan_id.in_(plans)))


def appeals(state: State, status: str | None = None) -> list[Appeal]:
    """Return the appeals, oldest first; those of one status when it is given.

    >>> appeals(State.open("sqlite://"), "open")
    []
    """
    query = sa.select(schema.appeals).order_by(schema.appeals.c.opened_at, schema.appeals.c.appeal_id)
    if status is not None:
        query = query.where(schema.appeals.c.status == status)
    return [Appeal(**row) for row in state.rows(query)]


def verify(state: State, account_id: str, kind: Kind, *, succeeded: bool, who: str, why: str) -> int:
    """Record the result of a verification; one that succeeds ends all that is in force for the account.

    ``key-rotated`` is the way back of a stolen key's owner. Returns how many measures ended.

    >>> verify(State.open("sqlite://"), "a", "identity", succeeded=True, who="support", why="document seen")
    0
    """
    table = schema.verifications
    with state.changing(who, "verify", why) as change:
        count = len(change.rows(sa.select(table.c.verification_id).where(table.c.account_id == account_id)))
        row = {
            "verification_id": f"{account_id}/{count + 1}",
            "account_id": account_id,
            "kind": kind,
            "succeeded": succeeded,
            "at": micros(change.at),
        }
        change.insert(table, [row])
        return end(change, schema.standings.c.account_id == account_id) if succeeded else 0


_STRENGTH = ("none", "email", "phone", "identity", "organisation")


def feed_back(state: State, dataset: Dataset) -> int:
    """Write successful verifications into a dataset's ``verification`` column; return how many accounts changed.

    The next scan reads it as evidence. A weaker verification never replaces a stronger one.

    >>> feed_back(State.open("sqlite://"), example_dataset())
    0
    """
    table = schema.verifications
    proved: dict[str, str] = {}
    for row in state.rows(sa.select(table).where(table.c.succeeded)):
        if row["kind"] in _STRENGTH:
            proved[row["account_id"]] = max(row["kind"], proved.get(row["account_id"], "none"), key=_STRENGTH.index)
    accounts = dataset.accounts()
    fresh, changed = [], 0
    for account, known in zip(accounts["account_id"].to_pylist(), accounts["verification"].to_pylist(), strict=True):
        best = proved.get(account)
        better = best is not None and _rank(best) > _rank(known)
        fresh.append(best if better else known)
        changed += better
    if changed:
        at = accounts.column_names.index("verification")
        with DatasetWriter(dataset.path) as writer:
            writer.set_accounts(accounts.set_column(at, "verification", pa.array(fresh, pa.string())))
            writer.commit()
    return changed


def _rank(kind: str | None) -> int:
    return _STRENGTH.index(kind) if kind in _STRENGTH else 0
