"""Forgetting an account in the state: no name left, and the journal still proves itself, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from stillwatch.response import schema
from stillwatch.response.appeals import appeals, verify
from stillwatch.response.forgetting import Forgotten, forget_accounts
from stillwatch.response.journal import Checkpoint
from stillwatch.response.store import State

from .conftest import NOON
from .test_store import tamper

GONE = {"acct-1": "gone-7f"}


def fill(state: State) -> None:
    """Put two accounts of alike names into every table that names accounts."""
    for name in ("acct-1", "acct-10"):
        verify(state, name, "email", succeeded=False, who="anna", why=f"{name} wrote in")
        body = f'{{"account_id":"{name}","rung":"tag"}}'
        standing = {"standing_id": f"P-1/SW-1/{name}", "plan_id": "P-1", "campaign_id": "SW-1", "account_id": name}
        times = {"starts_at": 0, "expires_at": 1 << 60, "ended_at": None, "ended_by": None}
        appeal = {"appeal_id": f"{name}/1", "account_id": name, "status": "open", "opened_at": 1, "answered_at": None}
        with state.changing("anna", "apply", "plan of the day") as change:
            change.insert(schema.standings, [{**standing, **times, "body": body}])
            change.insert(schema.appeals, [{**appeal, "reason": f"we are {name}", "answer": None}])
    plan = '{"actions":[{"account_id":"acct-1"},{"account_id":"acct-10"}]}'
    with state.changing("anna", "propose", "daily") as change:
        change.insert(schema.plans, [{"plan_id": "P-1", "made_at": 1, "body": plan}])


def everything(state: State) -> str:
    """Return every value of every table."""
    tables = (*schema.JOURNALED, schema.journal)
    return "\n".join(str(value) for t in tables for row in state.rows(sa.select(t)) for value in row.values())


def test_no_name_is_left_and_the_journal_proves_itself(state: State) -> None:
    """Rows and lines hold the tombstone; chain and tables agree; a checkpoint from before still holds."""
    fill(state)
    last = state.entry(state.revision())
    assert last is not None
    checkpoint = Checkpoint(seq=last.seq, hash=last.hash, at=0)
    done = forget_accounts(state, GONE, who="anna", why="acct-1 asked for it")
    assert "acct-1" not in everything(state).replace("acct-10", "")
    assert state.audit(checkpoint) == []
    assert (done.ended, done.rows) == (1, 4)
    assert done.lines >= 5


def test_the_other_account_is_as_it_was(state: State) -> None:
    """The innocent twin: its appeal is open, its measure in force, its plan names it."""
    fill(state)
    forget_accounts(state, GONE, who="anna", why="erasure request")
    (twin,) = [one for one in appeals(state, "open") if one.account_id == "acct-10"]
    assert twin.reason == "we are acct-10"
    table = schema.standings
    (standing,) = state.rows(sa.select(table).where(table.c.account_id == "acct-10"))
    assert standing["ended_at"] is None
    assert '"acct-10"' in everything(state)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET why = 'another reason' WHERE seq = 1",
        "UPDATE journal SET who = 'ben' WHERE seq = 4",
        "UPDATE journal SET after = '{}' WHERE subject = 'journal/lines'",
    ],
)
def test_tampering_with_a_rewritten_line_is_still_found(state: State, statement: str) -> None:
    """A line may differ from its hash only in the way that the later line vouches for."""
    fill(state)
    forget_accounts(state, GONE, who="anna", why="erasure request")
    tamper(state, statement)
    assert any("was changed after it was written" in fault for fault in state.audit())


def test_a_second_account_is_forgotten_as_well(state: State) -> None:
    """Lines rewritten twice are vouched for by the later line."""
    fill(state)
    forget_accounts(state, GONE, who="anna", why="erasure request")
    forget_accounts(state, {"acct-10": "gone-80"}, who="anna", why="erasure request")
    assert "acct-1" not in everything(state)
    assert state.audit() == []


def test_nobody_of_that_name_changes_nothing(state: State) -> None:
    """The innocent twin: an unknown account leaves no line."""
    fill(state)
    revision = state.revision()
    assert forget_accounts(state, {"acct-2": "gone"}, who="anna", why="erasure request") == Forgotten()
    assert state.revision() == revision


def test_the_file_of_an_sqlite_state_holds_no_byte_of_the_name(tmp_path: Path) -> None:
    """Not in free pages and not in the write-ahead log either."""
    state = State.open(f"sqlite:///{tmp_path}/state.db", clock=lambda: NOON)
    for number in range(300):
        verify(state, "acct-that-goes", "email", succeeded=False, who="anna", why=f"number {number}")
    forget_accounts(state, {"acct-that-goes": "gone-7f"}, who="anna", why="erasure request")
    assert not any(b"acct-that-goes" in file.read_bytes() for file in tmp_path.iterdir())
    state.close()
