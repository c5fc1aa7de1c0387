"""What this machine can do at best with a dataset: the floors that stages are measured against, in the same run.

    python -m benchmarks.floors DATASET

Seconds are CPU seconds of this process (user and system), the least of some rounds; peak is resident memory.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import numpy.typing as npt

from benchmarks.text_kernel import touched
from stillwatch.signals.columns import Codes, Ints
from stillwatch.signals.frame import Frame
from stillwatch.signals.sketch import spans
from stillwatch.signals.traits import identity_traits, network_traits
from stillwatch.tables import Dataset
from stillwatch.tables.engines import connect
from stillwatch.tables.pieces import piece_batches, pieces

STRINGS = ("account_id", "model", "ip", "ip_prefix", "country", "user_agent", "session_id")
_BEGUN = time.perf_counter()
TEXTS = ("prompt_text", "system_text", "tools_json")


@dataclass(frozen=True)
class Cost:
    """What a piece of work took: seconds of clock and CPU, peak MB of resident memory, rows and bytes done."""

    name: str
    wall: float
    cpu: float
    peak_mb: float
    rows: int
    size: int

    def line(self, floor: Cost | None = None, must: float | None = None) -> str:
        """Return a line of the table, with the ratio to a floor and the goal for it."""
        cpu = max(self.cpu, 1e-9)
        ratio = f"{self.cpu / max(floor.cpu, 1e-9):8.1f} × {floor.name}" if floor else ""
        goal = f"  (must be ≤ {must:g})" if must else ""
        speed = f"{self.size / 1e6 / cpu:>8.0f}" if self.size else " " * 8
        rows = f"{self.rows / cpu:>12,.0f}" if self.rows else " " * 12
        return f"{self.name:<38}{self.wall:>8.2f}{self.cpu:>8.2f}{self.peak_mb:>8.0f}{rows}{speed} {ratio}{goal}"


HEAD = f"{'':<38}{'wall s':>8}{'CPU s':>8}{'peak MB':>8}{'rows/CPU s':>12}{'MB/s':>8} ratio"


def cost(name: str, work: Callable[[], object], *, rows: int = 0, size: int = 0, rounds: int = 1) -> Cost:
    """Do some work ``rounds`` times; return the least seconds and the greatest memory."""
    begins(name)
    best: list[tuple[float, float]] = []
    watch = _Watch()
    with watch:
        for _ in range(rounds):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            best.append((time.perf_counter() - wall, time.process_time() - cpu))
    return Cost(name, min(b[0] for b in best), min(b[1] for b in best), watch.peak_mb, rows, size)


def begins(name: str) -> None:
    """Say on stderr what begins now, and how long this program has been at it."""
    print(f"[{time.perf_counter() - _BEGUN:5.0f} s] {name} …", file=sys.stderr, flush=True)


class _Watch:
    """Look at the resident memory of this process fifty times a second."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        statm, page = Path("/proc/self/statm"), 4096
        while not self._over.is_set():
            self.peak_mb = max(self.peak_mb, int(statm.read_text().split()[1]) * page / 1e6)
            self._over.wait(0.02)


def scanned(dataset: Dataset, columns: tuple[str, ...]) -> Cost:
    """Read columns through DuckDB on one thread and look at every value once."""
    rows = dataset.count_exchanges()
    connection = connect(threads=1)
    table = dataset.exchanges(connection)
    work = table.aggregate(**{name: table[name].max() for name in columns})
    return cost(f"scan of {len(columns)} string columns", lambda: connection.to_pyarrow(work), rows=rows, rounds=3)


def text_scanned(dataset: Dataset, size: int) -> Cost:
    """Read the text columns, of so many bytes, through DuckDB on one thread and add up their lengths."""
    connection = connect(threads=1)
    table = dataset.exchanges(connection)
    work = table.aggregate(**{name: table[name].length().sum() for name in TEXTS})
    rows = dataset.count_exchanges()
    return cost("scan of the text", lambda: connection.to_pyarrow(work), rows=rows, size=size, rounds=3)


def text_size(dataset: Dataset) -> int:
    """Return the bytes of text of a dataset."""
    begins("size of the text")
    found = 0
    for piece in pieces(dataset):
        for batch in piece_batches(piece, list(TEXTS)):
            found += sum(column.get_total_buffer_size() for column in batch.columns)
    return found


def bytes_touched(dataset: Dataset, most: int = 200_000_000) -> tuple[Cost, list[npt.NDArray[np.uint8]]]:
    """Multiply and xor over every byte of some prompts in memory; return the cost and the bytes."""
    held: list[npt.NDArray[np.uint8]] = []
    for piece in pieces(dataset):
        for batch in piece_batches(piece, ["prompt_text"]):
            data, starts, ends = spans(batch.column(0))
            held.append(data[int(starts[0]) : int(ends[-1])].copy())
        if sum(map(len, held)) > most:
            break
    size = sum(map(len, held))
    touched(held[0])
    return cost("touch of every prompt byte", lambda: [touched(data) for data in held], size=size, rounds=3), held


def joined(frame: Frame) -> Cost:
    """Build the arrays of who shares a network or an identity, and join them by union-find."""
    held = [*network_traits(frame).values(), *identity_traits(frame).values()]
    account, value = np.concatenate([pairs.account for pairs in held]), np.zeros(0, np.int64)
    first = frame.n_accounts
    for pairs in held:
        value = np.concatenate([value, pairs.value + np.int64(first)])
        first += pairs.n_values
    _union(account[:1], value[:1], np.arange(first))
    return cost(
        "union-find over shared values", lambda: _union(account, value, np.arange(first)), rows=len(value), rounds=3
    )


@numba.njit(nogil=True)
def _union(left: Codes, right: Ints, parent: Ints) -> int:
    parts = len(parent)
    for k in range(len(left)):
        a, b = np.int64(left[k]), right[k]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a != b:
            parent[a] = b
            parts -= 1
    return parts


def main() -> None:
    """Print a line a floor."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("dataset", type=Path)
    dataset = Dataset.open(parser.parse_args().dataset)
    print(HEAD)
    for floor in (scanned(dataset, STRINGS), text_scanned(dataset, text_size(dataset)), bytes_touched(dataset)[0]):
        print(floor.line())


if __name__ == "__main__":
    main()
