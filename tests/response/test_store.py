"""The state keeps its promises on a real SQLite and a real PostgreSQL alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from stillwatch.errors import ConfigError, StateError
from stillwatch.response import journal, migrations, schema, store
from stillwatch.response.appeals import verify
from stillwatch.response.journal import Entry
from stillwatch.response.signing import make_keys
from stillwatch.response.store import State

from .conftest import DATABASES, Clock

Database = Callable[[str], str]
_STEPS = str(Path(str(migrations.__file__)).parent)
REVISIONS = [script.revision for script in ScriptDirectory(_STEPS, version_locations=[_STEPS]).walk_revisions()]


def fill(state: State, count: int = 3) -> None:
    """Make a few journaled changes."""
    for number in range(count):
        verify(state, f"acct-{number}", "identity", succeeded=True, who="anna", why=f"seen {number}")


def tamper(state: State, statement: str) -> None:
    """Change the database behind the journal's back."""
    with state.locked() as connection:
        connection.exec_driver_sql(statement)


def test_every_change_is_a_line_that_says_who_when_why_before_and_after(state: State, clock: Clock) -> None:
    """A line holds the row as it became."""
    fill(state, 1)
    (line,) = state.entries()
    assert (line.seq, line.who, line.action, line.why) == (1, "anna", "verify", "seen 0")
    assert line.at == store.micros(clock.now)
    assert line.before is None
    assert line.subject == "verifications/acct-0/1"
    assert '"kind":"identity"' in str(line.after)


def test_a_state_that_nobody_touched_is_whole(state: State) -> None:
    """The innocent twin of every test of tampering."""
    fill(state)
    assert state.audit() == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal SET why = 'another reason' WHERE seq = 2", "line 2 was changed"),
        ("UPDATE journal SET who = 'ben' WHERE seq = 3", "line 3 was changed"),
        ("DELETE FROM journal WHERE seq = 2", "line 3 stands where line 2 should"),
        ("DELETE FROM journal WHERE seq = 3", "acct-2/1 was put in behind the journal's back"),
        ("UPDATE journal SET seq = seq + 10 WHERE seq = 1", "line 2 stands where line 1 should"),
        ("DELETE FROM verifications WHERE account_id = 'acct-1'", "verifications/acct-1/1 is gone"),
        ("UPDATE verifications SET kind = 'email' WHERE account_id = 'acct-1'", "verifications/acct-1/1 was changed"),
        (
            "INSERT INTO approvals (approval_id, plan_id, person, at) VALUES ('P-1/eve', 'P-1', 'eve', 1)",
            "approvals/P-1/eve was put in",
        ),
    ],
)
def test_tampering_is_found(state: State, statement: str, said: str) -> None:
    """An edit, a deletion, an insertion and a new order show, in the journal and in every table."""
    fill(state)
    tamper(state, statement)
    assert said in "; ".join(state.audit())


def test_two_lines_that_change_places_are_found(state: State) -> None:
    """Swapping the contents of two lines breaks the chain."""
    fill(state)
    first, second, third = state.entries()
    swapped = [msgspec.structs.replace(second, seq=1), msgspec.structs.replace(first, seq=2), third]
    assert len(list(journal.faults(swapped))) >= 2


def test_a_forged_line_with_a_right_hash_does_not_fit_the_next(state: State) -> None:
    """Hashing an edited line anew moves the break to the line after it."""
    fill(state)
    first, second, third = state.entries()
    forged = journal.seal(msgspec.structs.replace(second, why="nothing to see"))
    assert list(journal.faults([first, forged, third])) == ["line 3 does not follow from the line before it"]


def test_a_cut_is_found_against_a_checkpoint_and_only_so(state: State, tmp_path: Path) -> None:
    """Whoever may write the database can cut its end cleanly; a signed line kept elsewhere shows it."""
    public = make_keys(tmp_path / "audit.key")
    fill(state)
    end = state.entry(state.revision())
    assert end is not None
    journal.write_checkpoint(tmp_path / "head.json", end, store.micros(state.clock()), tmp_path / "audit.key")
    seen = journal.read_checkpoint(tmp_path / "head.json", public)
    assert state.audit(seen) == []
    tamper(state, "DELETE FROM journal WHERE seq = 3")
    tamper(state, "DELETE FROM verifications WHERE account_id = 'acct-2'")
    assert state.audit() == []
    assert "the journal was cut" in state.audit(seen)[0]


def test_a_journal_written_anew_is_found_against_a_checkpoint(state: State, tmp_path: Path) -> None:
    """A whole new chain is a good chain, but not the one that was signed."""
    public = make_keys(tmp_path / "audit.key")
    fill(state)
    end = state.entry(3)
    assert end is not None
    journal.write_checkpoint(tmp_path / "head.json", end, 0, tmp_path / "audit.key")
    rewrite(state, lambda line: msgspec.structs.replace(line, who="nobody"))
    assert state.audit() == []
    assert "written anew" in state.audit(journal.read_checkpoint(tmp_path / "head.json", public))[0]


def rewrite(state: State, edit: Callable[[Entry], Entry]) -> None:
    """Edit every line and hash the chain anew, as one who may write the database could."""
    previous = journal.BEGINNING
    for line in list(state.entries()):
        fresh = journal.seal(msgspec.structs.replace(edit(line), previous=previous))
        previous = fresh.hash
        with state.locked() as connection:
            where = schema.journal.c.seq == fresh.seq
            connection.execute(schema.journal.update().where(where).values(**msgspec.structs.asdict(fresh)))


def test_a_checkpoint_that_was_edited_is_refused(tmp_path: Path) -> None:
    """Its signature covers number, hash and time."""
    public = make_keys(tmp_path / "audit.key")
    line = journal.seal(
        Entry(seq=1, at=0, who="a", action="x", why="y", subject="t/1", before=None, after=None, previous="")
    )
    journal.write_checkpoint(tmp_path / "head.json", line, 0, tmp_path / "audit.key")
    text = (tmp_path / "head.json").read_text()
    (tmp_path / "head.json").write_text(text.replace('"seq":1', '"seq":2'))
    with pytest.raises(ConfigError, match="not the trusted key"):
        journal.read_checkpoint(tmp_path / "head.json", public)


def test_nothing_is_changed_by_nobody_or_for_nothing(state: State) -> None:
    """A name and a reason are asked for, and nothing is written without them."""
    with pytest.raises(StateError, match="who makes it and why"):
        verify(state, "acct", "identity", succeeded=True, who="anna", why=" ")
    assert state.revision() == 0


def test_a_change_that_fails_leaves_nothing(state: State) -> None:
    """Rows and their lines are written together or not at all."""
    row = {"verification_id": "a/1", "account_id": "a", "kind": "email", "succeeded": True, "at": 1}

    def fail() -> None:
        with state.changing("anna", "try", "a failure") as change:
            change.insert(schema.verifications, [row])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert state.revision() == 0
    assert state.rows(sa.select(schema.verifications)) == []


def test_writers_that_race_make_one_chain(state: State) -> None:
    """Forty changes from eight threads: forty lines, each following from the one before."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: verify(state, f"a{n}", "email", succeeded=True, who="anna", why="x"), range(40)))
    assert state.revision() == 40
    assert state.audit() == []


@pytest.mark.parametrize("kind", DATABASES)
def test_the_migrations_lead_to_the_schema_that_the_code_uses(kind: str, database: Database) -> None:
    """Table for table and column for column."""
    state = State.open(database(kind))
    with state.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    state.close()


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("revision", REVISIONS)
def test_every_earlier_schema_is_brought_up_to_date_with_its_rows(
    kind: str, revision: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening a state of any revision keeps what is in it."""
    url = database(kind)
    with monkeypatch.context() as patch:
        patch.setattr(store, "NEWEST", revision)
        old = State.open(url)
        with old.changing("anna", "propose", "an old plan") as change:
            change.insert(schema.plans, [{"plan_id": "P-1", "made_at": 1, "body": "{}"}])
        old.close()
    state = State.open(url)
    fill(state, 1)
    assert [row["plan_id"] for row in state.rows(sa.select(schema.plans))] == ["P-1"]
    assert state.audit() == []
    state.close()


@pytest.mark.parametrize("kind", DATABASES)
def test_opening_twice_changes_nothing(kind: str, database: Database) -> None:
    """An up-to-date state is opened as it is."""
    url = database(kind)
    first = State.open(url)
    fill(first)
    first.close()
    again = State.open(url)
    assert again.revision() == 3
    again.close()


_KILLED = """
import os, sys
from stillwatch.response import store
from alembic.script import ScriptDirectory
step = int(sys.argv[2])
plain = store.sa.Connection.execute
count = 0
def execute(self, *args, **named):
    global count
    count += 1
    if count > step:
        os.kill(os.getpid(), 9)
    return plain(self, *args, **named)
store.sa.Connection.execute = execute
store.State.open(sys.argv[1])
"""


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("step", [3, 12])
def test_a_kill_during_migration_leaves_a_state_that_opens(kind: str, step: int, database: Database) -> None:
    """Killed after some statements: the next start finds the earlier schema and goes on from it."""
    url = database(kind)
    killed = subprocess.run([sys.executable, "-c", _KILLED, url, str(step)], check=False, capture_output=True)
    assert killed.returncode == -9
    state = State.open(url)
    fill(state)
    assert state.audit() == []
    state.close()


@pytest.mark.parametrize("kind", DATABASES)
def test_a_state_of_a_newer_version_is_refused(kind: str, database: Database) -> None:
    """An older program must not write to a schema that it does not know."""
    url = database(kind)
    state = State.open(url)
    tamper(state, "UPDATE alembic_version SET version_num = '9999'")
    state.close()
    with pytest.raises(StateError, match="newer version"):
        State.open(url)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("nonsense", ConfigError),
        ("mysql://host/db", ConfigError),
        ("sqlite:////no/such/folder/state.db", StateError),
        ("postgresql+pg8000://anna:secret@127.0.0.1:1/state", StateError),
    ],
)
def test_a_database_that_cannot_be_opened_is_said_in_one_line(url: str, error: type[Exception]) -> None:
    """What and where, and never the password."""
    with pytest.raises(error) as caught:
        State.open(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
