"""The state of the response in SQLite or PostgreSQL: every change and its line in the journal in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from stillwatch.errors import ConfigError, MissingExtra, StateError
from stillwatch.response import schema
from stillwatch.response.journal import BEGINNING, Checkpoint, Entry, against, canonical, faults, rebuilt, seal

Clock = Callable[[], datetime]
Row = Mapping[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEWEST = "head"  # the revision that opening a state brings it to
# Taken first in every writing transaction, so that writers come one after another and the chain never forks.
_LOCK = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(7345021)"}


def wall_clock() -> datetime:
    """Return the time now, UTC: the clock of the command line.

    >>> wall_clock().tzinfo is UTC
    True
    """
    return datetime.now(UTC)


def micros(moment: datetime) -> int:
    """Return a time as microseconds since 1970 UTC.

    >>> micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """Return microseconds since 1970 as a time in UTC.

    >>> moment(1_000_000).isoformat()
    '1970-01-01T00:00:01+00:00'
    """
    return _EPOCH + timedelta(microseconds=us)


@dataclass
class Change:
    """What one action of one person does to the state; written with its journal lines when it ends well."""

    connection: sa.Connection
    at: datetime
    who: str
    action: str
    why: str
    _lines: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    def insert(self, table: sa.Table, rows: Sequence[Row]) -> None:
        """Add rows (complete ones: every column of the table)."""
        if not rows:
            return
        self.connection.execute(table.insert(), [dict(row) for row in rows])
        self._lines += [(_subject(table, row), None, _text(row)) for row in rows]

    def update(self, table: sa.Table, where: sa.ColumnElement[bool], values: Row) -> list[Row]:
        """Change rows and return them as they were."""
        found = self.rows(sa.select(table).where(where).order_by(*table.primary_key.columns))
        self.connection.execute(table.update().where(where).values(**values))
        self._lines += [(_subject(table, row), _text(row), _text({**row, **values})) for row in found]
        return found

    def note(self, subject: str, after: str) -> None:
        """Write a line about something that is no row."""
        self._lines.append((subject, None, after))

    def rows(self, query: sa.Select[Any]) -> list[Row]:
        """Return the rows of a query inside the transaction."""
        return [dict(row) for row in self.connection.execute(query).mappings()]

    def write_journal(self) -> None:
        """Append a line for each changed row, or one line about the action when no row changed."""
        last = self.connection.execute(
            sa.select(schema.journal.c.seq, schema.journal.c.hash).order_by(schema.journal.c.seq.desc()).limit(1)
        ).first()
        seq, previous = (last.seq, last.hash) if last else (0, BEGINNING)
        sealed = []
        for subject, before, after in self._lines or [("none", None, None)]:
            seq += 1
            line = Entry(
                seq=seq, at=micros(self.at), who=self.who, action=self.action, why=self.why,
                subject=subject, before=before, after=after, previous=previous,
            )  # fmt: skip
            sealed.append(msgspec.structs.asdict(seal(line)))
            previous = sealed[-1]["hash"]
        self.connection.execute(schema.journal.insert(), sealed)


@dataclass(frozen=True)
class State:
    """An open state database.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     state = State.open(f"sqlite:///{folder}/state.db", clock=lambda: datetime(2026, 9, 1, tzinfo=UTC))
    ...     with state.changing("anna", "try", "a first line"):
    ...         pass
    ...     state.revision(), state.audit()
    (1, [])
    """

    engine: sa.Engine
    clock: Clock

    @classmethod
    def open(cls, url: str, clock: Clock = wall_clock, *, make: bool = True) -> State:
        """Open the state at a URL, bringing its schema up to date in one transaction.

        ``sqlite:///FILE`` or ``postgresql+pg8000://USER:PASSWORD@HOST/NAME``. Raises :class:`StateError` when the
        database cannot be reached or is of a newer version, and, unless it may be made, when there is no such SQLite
        file; :class:`MissingExtra` without pg8000.
        """
        state = cls(_engine(url), clock)
        if not make and _is_missing(state.engine.url):
            raise StateError(f"there is no state at {state.name}; is it the right --state?")
        try:
            with state.locked() as connection:
                _upgrade(connection)
        except CommandError as error:
            state.close()
            raise StateError(f"{state.name} is of a newer version of Stillwatch: {error}") from error
        except BaseException:
            state.close()
            raise
        return state

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Yield a connection; what the database says no to becomes a :class:`StateError`."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StateError(f"{self.name}: {str(getattr(error, 'orig', None) or error).splitlines()[0]}") from error

    @contextmanager
    def locked(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that no other writer shares; all or nothing."""
        with self.reading() as connection, connection.begin():
            connection.exec_driver_sql(_LOCK[self.engine.dialect.name])
            yield connection

    @contextmanager
    def changing(self, who: str, action: str, why: str) -> Iterator[Change]:
        """Yield a :class:`Change`; it and its journal lines are written together when the block ends without error.

        Raises :class:`StateError` without a name or a reason: no change is made by nobody or for nothing.
        """
        if not who.strip() or not why.strip():
            raise StateError("every change needs who makes it and why")
        with self.locked() as connection:
            change = Change(connection, self.clock(), who.strip(), action, why.strip())
            yield change
            change.write_journal()

    def rows(self, query: sa.Select[Any]) -> list[Row]:
        """Return the rows of a query."""
        with self.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def revision(self) -> int:
        """Return the number of the last journal line: it grows with every change."""
        (row,) = self.rows(sa.select(sa.func.coalesce(sa.func.max(schema.journal.c.seq), 0).label("seq")))
        return int(row["seq"])

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """Yield the journal's lines after a number, in order."""
        table = schema.journal
        query = sa.select(table).where(table.c.seq > after).order_by(table.c.seq)
        with self.reading() as connection:
            for row in connection.execution_options(yield_per=1_000).execute(query).mappings():
                yield Entry(**row)

    def entry(self, seq: int) -> Entry | None:
        """Return one line of the journal."""
        found = self.rows(sa.select(schema.journal).where(schema.journal.c.seq == seq))
        return Entry(**found[0]) if found else None

    def audit(self, checkpoint: Checkpoint | None = None) -> list[str]:
        """Return what is wrong with the journal or the tables, in sentences; nothing when all is as it was written.

        Three tests: the chain of hashes; every row of every table is what the journal says it must be; and, given a
        checkpoint, the line that it names is still the same. Without one, a cut at the end that also reverts the
        tables cannot be seen.
        """
        found = list(faults(self.entries()))
        must = rebuilt(self.entries())
        there = {_subject(table, row): _text(row) for table in schema.JOURNALED for row in self.rows(sa.select(table))}
        for subject in sorted(must.keys() | there.keys()):
            if must.get(subject) != there.get(subject):
                what = "is gone" if subject not in there else "was put in" if subject not in must else "was changed"
                found.append(f"{subject} {what} behind the journal's back")
        wrong = against(checkpoint, self.entry(checkpoint.seq)) if checkpoint else None
        return found + ([wrong] if wrong else [])

    def compact(self) -> None:
        """Write the database's files anew, so that they hold no earlier form of any row.

        >>> State.open("sqlite://").compact()
        """
        is_sqlite = self.engine.dialect.name == "sqlite"
        with self.reading() as connection:
            bare = connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in schema.metadata.sorted_tables[: 1 if is_sqlite else None]:
                bare.exec_driver_sql("VACUUM" if is_sqlite else f"VACUUM FULL {table.name}")
            if is_sqlite:
                bare.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()


def _subject(table: sa.Table, row: Row) -> str:
    return f"{table.name}/{row[table.primary_key.columns[0].name]}"


def _text(row: Row) -> str:
    return canonical(dict(row)).decode()


def _engine(url: str) -> sa.Engine:
    try:
        kind = sa.make_url(url).get_backend_name()
        if kind not in _LOCK:
            raise ConfigError(f"{kind} is not supported: sqlite or postgresql+pg8000")
        engine = sa.create_engine(url)
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pg8000", extra="postgres", purpose="PostgreSQL databases") from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError("not a database URL, such as sqlite:///state.db") from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _plain_transactions)
    return engine


def _is_missing(url: sa.URL) -> bool:
    """Say whether a URL names an SQLite file that is not there, which connecting would make."""
    name = url.database or ":memory:"
    return url.get_backend_name() == "sqlite" and name != ":memory:" and not Path(name).exists()


def _plain_transactions(connection: Any, _record: Any) -> None:
    """Leave transactions to us (the driver would open them too late) and lose nothing that was committed."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=30000")


def _upgrade(connection: sa.Connection) -> None:
    """Run the missing migrations inside the caller's transaction: a kill in between leaves the earlier schema."""
    folder = str(Path(__file__).parent / "migrations")
    config = Config()
    config.set_main_option("script_location", folder)
    config.set_main_option("version_locations", folder)
    config.set_main_option("path_separator", "newline")
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=lambda rev, _: script._upgrade_revs(NEWEST, rev)) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()
