"""What every test starts from, and what the examples in docstrings may use: ``example_frame()`` and the like."""

from __future__ import annotations

import functools
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from stillwatch.attribution.verdict import judge
from stillwatch.campaigns.discover import Found, discover
from stillwatch.campaigns.harvest import harvest
from stillwatch.campaigns.lineage import Lineage
from stillwatch.cases.record import Recorded
from stillwatch.evaluate.bench import SCHEMA, Scorecard, Scored, made_by, pooled
from stillwatch.evaluate.cells import Cell, Scene
from stillwatch.evaluate.findings import Findings
from stillwatch.evaluate.measures import measure
from stillwatch.evaluate.truth import Comparison, compare, read_truth
from stillwatch.linkage.groups import candidates
from stillwatch.linkage.space import Space, build_space
from stillwatch.signals.frame import Frame, read_frame
from stillwatch.simulate import load_world, simulate
from stillwatch.tables import Dataset

# gRPC's handlers at a fork abort one child in ten beside a busy server, and PySpark forks to start Java.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Started in the background by a shell, a test run ignores Ctrl-C, and so would the programs that it interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _worlds_for_examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Build the world when an example first asks for it, once a process."""

    @functools.cache
    def example_dataset() -> Dataset:
        folder: Path = tmp_path_factory.mktemp("example")
        simulate(load_world("tiny"), folder, seed=1)
        return Dataset.open(folder)

    @functools.cache
    def example_frame() -> Frame:
        return read_frame(example_dataset())

    @functools.cache
    def example_space() -> Space:
        return build_space(example_frame())

    @functools.cache
    def example_found() -> Found:
        return max(discover(example_space(), candidates(example_space())), key=lambda found: found.worth)

    @functools.cache
    def example_recorded() -> Recorded:
        judged = judge(example_space(), example_found())
        return Recorded(judged, Lineage("SW-example", "new", ()), harvest(example_frame(), example_found()), [])

    @functools.cache
    def example_comparison() -> Comparison:
        """Return findings that are right about every account of the example dataset, but for one swept-in innocent."""
        truth = read_truth(example_dataset())
        owner = truth.owner.copy()
        owner[int(np.flatnonzero(owner < 0)[0])] = 0
        rows = [
            {"account_id": name, "score": 1.0, "probability": 0.9, "group": truth.campaigns[code]}
            for name, code in zip(truth.account_ids.to_pylist(), owner, strict=True)
            if code >= 0
        ]
        groups = [{"group": name, "verdict": "campaign", "q_value": 0.01} for name in truth.campaigns]
        return compare(truth, Findings(pa.Table.from_pylist(rows), pa.Table.from_pylist(groups)))

    @functools.cache
    def example_card() -> Scorecard:
        """Return a scorecard of that comparison, as one cell."""
        cost = {"seconds": 1.0, "cpu_seconds": 2.0, "peak_mb": 300.0, "exchanges": 500_000}
        entry = {"part": "worlds", "row": "", "level": "", "cell": msgspec.to_builtins(Cell(Scene("tiny", 1)))}
        cells = [Scored(entry, {**measure(example_comparison()), "cost": cost, "bills": []})]
        made = made_by(datetime(2026, 1, 2, tzinfo=UTC), "0" * 16)
        return Scorecard(SCHEMA, made, {}, cells, pooled(cells))

    return {
        "example_comparison": example_comparison,
        "example_card": example_card,
        "example_dataset": example_dataset,
        "example_recorded": example_recorded,
        "example_frame": example_frame,
        "example_space": example_space,
        "example_found": example_found,
    }


@pytest.fixture(autouse=True)
def _names_for_examples(doctest_namespace: dict[str, Any], _worlds_for_examples: dict[str, Any]) -> None:
    doctest_namespace.update(_worlds_for_examples)
