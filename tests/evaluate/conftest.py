"""What the tests of the scorecard share: truth and findings written by hand, and one scan of a tiny world."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stillwatch.evaluate.findings import Findings
from stillwatch.evaluate.truth import Truth, read_truth
from stillwatch.tables import Dataset, DatasetWriter

DAY = 86_400_000_000
Row = tuple[str, str, str | None]


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., Dataset]:
    """Return a function that writes a labelled dataset.

    ``people`` are (account, population, campaign); ``asked`` (account, campaign or None, day), an exchange each.
    """
    count = iter(range(100))

    def write(people: Sequence[Row], asked: Sequence[tuple[str, str | None, float]] = ()) -> Dataset:
        folder = tmp_path / f"world-{next(count)}"
        ids = [f"e{number:04d}" for number in range(len(asked))]
        times = [int(day * DAY) for _, _, day in asked]
        names = [name for name, _, _ in people]
        with DatasetWriter(folder) as writer:
            columns = {
                "exchange_id": ids,
                "account_id": [a for a, _, _ in asked],
                "ts": times,
                "model": ["m"] * len(ids),
            }
            if asked:
                writer.add_exchanges(pa.table(columns))
            writer.set_accounts(pa.table({"account_id": names, "created_at": [0] * len(names)}))
            writer.set_labels(
                pa.table(
                    {
                        "account_id": names,
                        "population": [population for _, population, _ in people],
                        "campaign_id": pa.array([campaign for _, _, campaign in people], pa.string()),
                    }
                ),
                pa.table({"exchange_id": ids, "campaign_id": pa.array([c for _, c, _ in asked], pa.string())}),
            )
            writer.commit()
        return Dataset.open(folder)

    return write


@pytest.fixture
def truth_of(world: Callable[..., Dataset]) -> Callable[..., Truth]:
    """Return a function that reads the truth of a dataset written by ``world``."""
    return lambda *tables: read_truth(world(*tables))


@pytest.fixture
def says() -> Callable[..., Findings]:
    """Return a function that makes findings: groups of accounts by name; names in ``person`` are left to a person."""

    def findings(groups: dict[str, Sequence[str]], *, person: Sequence[str] = (), **more: Any) -> Findings:
        rows = [{"account_id": a, "score": 1.0, "probability": 0.9, "group": g} for g, of in groups.items() for a in of]
        listed = [
            {"group": g, "verdict": "needs_person" if g in person else "campaign", "q_value": 0.01} for g in groups
        ]
        made = pa.Table.from_pylist(rows) if rows else pa.table({"account_id": [], "score": []})
        table = pa.Table.from_pylist(listed) if listed else pa.table({"group": [], "verdict": []})
        return Findings(made, table, **more)

    return findings


@pytest.fixture(scope="session")
def scanned(tiny: Dataset, once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Scan the tiny world once a session; the stories share the folder."""

    def scan(out: Path) -> None:
        command = [sys.executable, "-m", "stillwatch.cli", "scan", str(tiny.path), "--out", str(out), "--quiet"]
        subprocess.run(command, check=True)

    return once("scanned", scan)
