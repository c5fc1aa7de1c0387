"""Fixtures that several folders share: small datasets from rows, and one tiny simulated world a session."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stillwatch.linkage.space import Space, build_space
from stillwatch.signals.frame import Frame, read_frame
from stillwatch.simulate import load_world, simulate
from stillwatch.tables import EXCHANGES, Dataset, DatasetWriter

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 20_600 * DAY  # a Wednesday in May 2026

Rows = Sequence[dict[str, Any]]
WriteDataset = Callable[..., Dataset]


@pytest.fixture
def write_dataset(tmp_path: Path) -> WriteDataset:
    """Return a function that writes rows as a dataset; an exchange needs only what a test is about."""
    count = iter(range(1_000))

    def write(rows: Rows = (), accounts: Rows = (), launches: Rows = ()) -> Dataset:
        folder = tmp_path / f"dataset-{next(count)}"
        with DatasetWriter(folder) as writer:
            if rows:
                plain = {"model": "m", "ts": START}
                full = [{"exchange_id": f"e{i:05d}", **plain, **row} for i, row in enumerate(rows)]
                columns = sorted({name for row in full for name in row})
                kinds = [EXCHANGES.field(name).type for name in columns]
                arrays = [pa.array([r.get(n) for r in full], k) for n, k in zip(columns, kinds, strict=True)]
                writer.add_exchanges(pa.table(arrays, columns))
            if accounts or not rows:
                full = [{"created_at": START, **row} for row in accounts]
                names = sorted({name for row in full for name in row} | {"account_id", "created_at"})
                table = {name: [row.get(name) for row in full] for name in names}
                writer.set_accounts(pa.table(table) if full else _no_accounts())
            if launches:
                writer.set_launches(pa.Table.from_pylist(list(launches)))
            writer.commit()
        return Dataset.open(folder)

    return write


def _no_accounts() -> pa.Table:
    return pa.table({"account_id": pa.array([], pa.string()), "created_at": pa.array([], pa.timestamp("us", "UTC"))})


@pytest.fixture
def frame_of(write_dataset: WriteDataset) -> Callable[..., Frame]:
    """Return a function that reads rows as a frame, through a dataset on disk."""
    return lambda *tables, **named: read_frame(write_dataset(*tables, **named))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a function that builds a named folder once, for all workers of the session."""
    own = tmp_path_factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def build_once(name: str, build: Callable[[Path], object]) -> Path:
        folder = root / "once" / name
        folder.parent.mkdir(exist_ok=True)
        with (folder.parent / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder.parent / f"{name}.done").exists():
                build(folder)
                (folder.parent / f"{name}.done").touch()
        return folder

    return build_once


@pytest.fixture(scope="session")
def tiny(once: Callable[[str, Callable[[Path], object]], Path]) -> Dataset:
    """Simulate the tiny world once: some 1,300 accounts, three campaigns; tests may only read it."""
    return Dataset.open(once("tiny", lambda folder: simulate(load_world("tiny"), folder, seed=2)))


@pytest.fixture(scope="session")
def tiny_space(tiny: Dataset) -> Space:
    """Compute the linking evidence of the tiny world once; tests may only read it."""
    return build_space(read_frame(tiny))


@pytest.fixture(scope="session")
def planted(tiny: Dataset, tiny_space: Space) -> dict[str, np.ndarray]:
    """Return the accounts of each planted campaign and of each innocent population."""
    ids = {name: number for number, name in enumerate(tiny_space.frame.account_ids.to_pylist())}
    found: dict[str, list[int]] = {}
    for row in tiny.labels()[0].to_pylist():
        found.setdefault(row["campaign_id"] or row["population"], []).append(ids[row["account_id"]])
    return {name: np.sort(np.array(members)) for name, members in found.items()}
