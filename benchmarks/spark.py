"""A real Spark cluster on loopback: do one worker, two workers and this process find the same, and how fast.

    python -m benchmarks.spark DATASET            # a dataset of your own
    python -m benchmarks.spark --world tiny       # a simulated world

A standalone master and workers of one core each are started and ended here; needs Java and the extra ``spark``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyspark

from stillwatch.cases.activity import account_facts, daily_activity
from stillwatch.signals.condensed import condense
from stillwatch.signals.fingerprint import marks
from stillwatch.signals.relations import content_habits
from stillwatch.simulate import load_world, simulate
from stillwatch.tables import Dataset
from stillwatch.tables.cluster import cluster
from stillwatch.tables.engines import connect, fetched
from stillwatch.tables.pieces import pieces

CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"
MASTER, WORKER = "org.apache.spark.deploy.master.Master", "org.apache.spark.deploy.worker.Worker"
SETTINGS = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "4", "spark.executor.memory": "1g"}


@dataclass
class Run:
    """Seconds and processor seconds of each step by somebody, and a digest of what each gave."""

    name: str
    cpu: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    digest: dict[str, str] = field(default_factory=dict)

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """Do and time one step."""
        begun, cpu = time.perf_counter(), self.cpu()
        answer = work()
        self.seconds[name], self.processor[name] = time.perf_counter() - begun, self.cpu() - cpu
        print(f"{self.name}: {name}: {self.seconds[name]:.1f} s", file=sys.stderr, flush=True)
        return answer


def main() -> None:
    """Print a table: a line a step, a column of seconds and processor seconds for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", type=Path)
    parser.add_argument("--world", default="tiny")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    chosen = parser.parse_args()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with tempfile.TemporaryDirectory(prefix="stillwatch-spark-") as folder:
        work = Path(folder)
        if chosen.dataset is None:
            simulate(load_world(chosen.world, scale=chosen.scale), work / "world", seed=0)
        data = Dataset.open(chosen.dataset or work / "world")
        print(f"{data.count_exchanges():,} exchanges in {len(pieces(data))} pieces; {platform.machine()}, "
              f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {datetime.now(UTC).date()}")  # fmt: skip
        runs = [_here(data, work)] + [_there(data, work, count) for count in chosen.workers]
    _show(runs)


def _here(data: Dataset, work: Path) -> Run:
    """Do the steps in this process: one thread, DuckDB."""
    run = Run("here, one thread", lambda: sum(psutil.Process().cpu_times()[:2]))
    _steps(run, data, work / "here", lambda parts, task: map(task, parts), connect(threads=1))
    return run


def _there(data: Dataset, work: Path, workers: int) -> Run:
    """Do the steps on a cluster of so many workers; a warm-up compiles kernels and starts their Pythons."""
    with _standalone(workers, work) as (address, processes):
        run = Run(f"{workers} worker{'s' * (workers > 1)}", lambda: sum(map(_cpu, processes)))
        with cluster(address, SETTINGS) as spark:
            spark.connection.list_tables()
            run.step("first task of each core", lambda: list(spark.share(pieces(data)[: 2 * workers], _touch)))
            _steps(run, data, work / f"workers-{workers}", spark.share, spark.connection)
    return run


def _steps(run: Run, data: Dataset, folder: Path, share: Any, connection: Any) -> None:
    small = run.step("text to fingerprints", lambda: condense(data, folder, share=share))
    files = sorted(small.exchange_files(), key=lambda file: file.name)
    run.digest["text to fingerprints"] = _digest(*(file.read_bytes() for file in files))
    rows = small.exchanges(connection)
    for name, steps in (
        ("content habits", content_habits(rows)),
        ("daily activity", daily_activity(rows, account_facts(small.accounts()))),
    ):
        table = run.step(name, lambda steps=steps: fetched(connection, steps))
        run.digest[name] = _digest(*sorted(repr(row).encode() for row in _plain(table)))


def _touch(piece: Any) -> int:
    """Compile the kernels where they will be used."""
    return len(marks(pa.table({"prompt_text": ["Rate the answer from 1 to 5."]})))


def _plain(table: Any) -> Iterator[tuple[object, ...]]:
    """Yield rows with numbers as their bits: Spark has no unsigned ones."""
    for row in table.to_pylist():
        yield tuple(v % 2**64 if type(v) is int else v for v in row.values())


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def _show(runs: list[Run]) -> None:
    print("| step | " + " | ".join(f"{run.name}: s | CPU s" for run in runs) + " | same result |")
    print("|---" * (2 * len(runs) + 2) + "|")
    for name in runs[-1].seconds:
        cells = [
            f"{run.seconds[name]:.1f} | {run.processor[name]:.1f}" if name in run.seconds else " | " for run in runs
        ]
        found = {run.digest[name] for run in runs if name in run.digest}
        print(f"| {name} | " + " | ".join(cells) + f" | {'' if not found else 'yes' if len(found) == 1 else 'NO'} |")


@contextmanager
def _standalone(workers: int, work: Path) -> Iterator[tuple[str, list[psutil.Process]]]:
    """Run a master and workers of one core on loopback; end them afterwards."""
    port, children = _free_port(), []
    address = f"spark://127.0.0.1:{port}"
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_WORKER_DIR": str(work / "spark")}
    commands = [[MASTER, "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(_free_port())]]
    commands += [[WORKER, "--host", "127.0.0.1", "--cores", "1", "--memory", "1g",
                  "--webui-port", str(_free_port()), address] for _ in range(workers)]  # fmt: skip
    try:
        for command in commands:
            with (work / "spark.log").open("ab") as log:
                children.append(subprocess.Popen([CLASS, *command], env=environment, stdout=log, stderr=log))
            _await(port)
        yield address, [psutil.Process(child.pid) for child in children[1:]]
    finally:
        for child in reversed(children):
            child.terminate()
            child.wait(30)


def _cpu(worker: psutil.Process) -> float:
    """Return the processor seconds of a worker, its executor and its Pythons so far."""
    return sum(sum(process.cpu_times()[:4]) for process in [worker, *worker.children(recursive=True)])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the master did not start within a minute")


if __name__ == "__main__":
    main()
