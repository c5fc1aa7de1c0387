"""What the stories share: the command line as a user runs it, and worlds, logs and scans made once a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stillwatch.tables import Dataset

Command = Callable[..., subprocess.CompletedProcess[str]]
Once = Callable[[str, Callable[[Path], object]], Path]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does; the key is in the environment, so that identifiers are the same each time."""
    environment = {**os.environ, "STILLWATCH_KEY": "0123456789abcdef" * 4, "COLUMNS": "120", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "stillwatch.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def succeed(*arguments: str | Path) -> None:
    """Run a command that must succeed."""
    done = run(*arguments)
    assert done.returncode == 0, done.stderr


class Result:
    """What a scan wrote, as a test asks for it."""

    def __init__(self, out: Path) -> None:
        """Read the folder."""
        self.out = out
        self.campaigns: list[dict[str, Any]] = json.loads((out / "campaigns.json").read_text())
        self.members: dict[str, set[str]] = {c["campaign_id"]: set() for c in self.campaigns}
        for row in pq.read_table(out / "members.parquet", columns=["campaign_id", "account_id"]).to_pylist():
            self.members[row["campaign_id"]].add(row["account_id"])

    @property
    def accused(self) -> dict[str, set[str]]:
        """The members of what is reported as a campaign."""
        return {c["campaign_id"]: self.members[c["campaign_id"]] for c in self.campaigns if c["verdict"] == "campaign"}

    def truths(self, truth: dict[str, str | None]) -> dict[str, str | None]:
        """Return for each accused group the planted campaign that most of its members are of."""
        return {
            name: Counter(truth[account] for account in members).most_common(1)[0][0]
            for name, members in self.accused.items()
        }


@pytest.fixture
def command() -> Command:
    """Return the function that runs a command."""
    return run


@pytest.fixture
def result() -> Callable[[Path], Result]:
    """Return the function that reads an out folder."""
    return Result


@pytest.fixture(scope="session")
def truth(tiny: Dataset) -> dict[str, str | None]:
    """Return the campaign of every account of the tiny world, None when innocent."""
    return {row["account_id"]: row["campaign_id"] for row in tiny.labels()[0].to_pylist()}


@pytest.fixture(scope="session")
def scanned(tiny: Dataset, once: Once) -> Result:
    """Scan the tiny world from its canonical tables."""
    return Result(once("scanned", lambda out: succeed("scan", tiny.path, "--out", out, "--quiet")))


@pytest.fixture(scope="session")
def raw(once: Once) -> Callable[[str], Path]:
    """Return a function that writes the tiny world as raw logs of a format."""

    def logs(form: str) -> Path:
        simulate = ["simulate", "tiny", "--seed", "2", "--as", form, "--quiet", "--out"]
        return once(f"raw-{form}", lambda folder: succeed(*simulate, folder))

    return logs


@pytest.fixture(scope="session")
def ingested(once: Once, raw: Callable[[str], Path]) -> Callable[..., Path]:
    """Return a function that ingests the raw logs of a format, with text or without."""

    def dataset(form: str, *options: str) -> Path:
        source = raw(form)
        tables = ["--accounts", source / "accounts.ndjson", "--launches", source / "launches.ndjson"]
        name = f"ingested-{form}{''.join(options)}"
        return once(name, lambda into: succeed("ingest", source / "logs", *tables, "--quiet", *options, "--into", into))

    return dataset


@pytest.fixture(scope="session")
def scan_of(once: Once, ingested: Callable[..., Path]) -> Callable[..., Result]:
    """Return a function that ingests and scans the raw logs of a format."""

    def scan(form: str, *options: str) -> Result:
        dataset = ingested(form, *options)
        name = f"scan-{form}{''.join(options)}"
        return Result(once(name, lambda out: succeed("scan", dataset, "--out", out, "--quiet", "--no-report")))

    return scan
