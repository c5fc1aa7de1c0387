"""One measurement: a detector on a world. Each runs in a process of its own: ``python -m stillwatch.evaluate.cells``.

The process reads an :class:`Order` as JSON from standard input and writes its result as JSON to the file named there.
"""

from __future__ import annotations

import itertools
import pickle
import resource
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from stillwatch.cases.scan import ScanSettings
from stillwatch.errors import ConfigError
from stillwatch.evaluate.daily import follow, lives, moments, prefix
from stillwatch.evaluate.detectors import detector
from stillwatch.evaluate.findings import Detector
from stillwatch.evaluate.measures import measure
from stillwatch.evaluate.ours import Stillwatch
from stillwatch.evaluate.partition import shared_pairs
from stillwatch.evaluate.truth import Comparison, compare, read_truth
from stillwatch.simulate import load_world, simulate
from stillwatch.simulate.cost import cost
from stillwatch.tables import Dataset

RESEEDS = 3


class Scene(msgspec.Struct, frozen=True):
    """A world to simulate: its name or file, seed, scale and ``--set`` settings."""

    world: str
    seed: int
    scale: float = 1.0
    settings: tuple[str, ...] = ()


class Cell(msgspec.Struct, frozen=True):
    """One measurement: how (``measure`` once, ``daily`` on growing prefixes, ``reseed`` with several seeds), on what.

    ``without`` (parts of Stillwatch left out) is for Stillwatch alone; ``hours`` lie between the scans of ``daily``.
    """

    scene: Scene
    kind: Literal["measure", "daily", "reseed"] = "measure"
    detector: str = "stillwatch"
    without: tuple[str, ...] = ()
    hours: float = 24


class Order(msgspec.Struct, frozen=True):
    """What a process is to do: simulate ``scene`` into ``world``, or measure ``cell`` on ``world``.

    ``calibration`` is the labelled world that detectors are fitted on, ``fitted`` a folder of this run that keeps them;
    ``work`` a folder for what is written on the way; ``result`` the file for the answer.
    """

    world: str
    scene: Scene | None = None
    cell: Cell | None = None
    calibration: str | None = None
    fitted: str = ""
    work: str = ""
    result: str = ""


def carry_out(order: Order) -> dict[str, Any]:
    """Do what an order says and return what was measured (for a simulation: accounts and exchanges).

    Raises :class:`ConfigError` when the order names neither a scene nor a cell, or a cell that cannot be.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     carry_out(Order(folder, scene=Scene("tiny", 1, 0.01)))["accounts"] > 10
    True
    """
    if order.cell is None:
        if order.scene is None:
            raise ConfigError("an order names a scene or a cell")
        plan = load_world(order.scene.world, scale=order.scene.scale, settings=order.scene.settings)
        made = simulate(plan, order.world, seed=order.scene.seed, replace=True)
        return {"accounts": sum(made.accounts.values()), "exchanges": sum(made.exchanges.values())}
    dataset, work = Dataset.open(order.world), Path(order.work)
    ready = _fitted(order.cell, order)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    began, cpu = time.perf_counter(), _cpu()
    result = {"measure": _once, "daily": _daily, "reseed": _reseeded}[order.cell.kind](order.cell, ready, dataset, work)
    shutil.rmtree(work)
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": _cpu() - cpu}
    return {**spent, "bills": _bills(order.cell.scene), **result}


def _fitted(cell: Cell, order: Order) -> Detector:
    """Return the cell's detector, fitted on the calibration world by the first process of this run that needs it."""
    made = detector(cell.detector)
    if isinstance(made, Stillwatch):
        return replace(made, settings=ScanSettings(without=frozenset(cell.without)))
    if order.calibration is None:
        return made
    kept = Path(order.fitted) / f"{cell.detector}.pickle"
    if not kept.exists():
        ready = made.fit(Dataset.open(order.calibration))
        staged = kept.with_suffix(f".{order.result.rpartition('/')[2]}")
        staged.write_bytes(pickle.dumps(ready))
        staged.replace(kept)
    fitted: Detector = pickle.loads(kept.read_bytes())
    return fitted


def _once(cell: Cell, ready: Detector, dataset: Dataset, work: Path) -> dict[str, Any]:
    found, spent = _found(ready, dataset, work)
    return {**measure(found), "cost": spent}


def _bills(scene: Scene) -> list[dict[str, Any]]:
    """Return what the campaigns of a world cost their operators, and how skilled they are (simulate.cost)."""
    plan = load_world(scene.world, scale=scene.scale, settings=scene.settings)
    return [dict(row) for row in cost(plan, seed=scene.seed).to_pylist()]


def _found(ready: Detector, dataset: Dataset, work: Path) -> tuple[Comparison, dict[str, float]]:
    """Return a detector's findings on a copy without labels, laid beside the truth, and what they cost."""
    bare = prefix(dataset, moments(dataset, 24)[-1], work / "bare")
    own = work / "own"
    own.mkdir()
    began, cpu = time.perf_counter(), _cpu()
    findings = ready.find(bare, own)
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": _cpu() - cpu, "peak_mb": _peak_mb()}
    shutil.rmtree(own)
    shutil.rmtree(bare.path)
    return compare(read_truth(dataset), findings), {**spent, "exchanges": dataset.count_exchanges()}


def _cpu() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _peak_mb() -> float:
    """Return the peak memory of this process or of its largest child, in MiB."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def _daily(cell: Cell, ready: Detector, dataset: Dataset, work: Path) -> dict[str, Any]:
    truth = read_truth(dataset)
    stages = [(moment, compare(truth, found)) for moment, found in follow(ready, dataset, work, cell.hours)]
    return {"lives": lives(truth, stages), "scans": len(stages)}


def _reseeded(cell: Cell, ready: Detector, dataset: Dataset, work: Path) -> dict[str, Any]:
    """Return how alike two scans of the same data with other seeds are, for each two: accounts accused, and pairs."""
    if not isinstance(ready, Stillwatch):
        raise ConfigError(f"{cell.detector} has no seed to change")
    found = []
    for seed in range(RESEEDS):
        again = replace(ready, settings=replace(ready.settings, seed=seed))
        found.append(_found(again, dataset, work)[0].reported)
    both = []
    for one, other in itertools.combinations(found, 2):
        hit, *apart = shared_pairs(one, other)
        accused = int(((one >= 0) & (other >= 0)).sum()), int(((one >= 0) | (other >= 0)).sum())
        both.append({"accused_by_both": accused[0], "accused_by_any": accused[1], "pairs": hit, "apart": sum(apart)})
    return {"agreement": both}


def main() -> None:
    """Carry out the order on standard input; its result appears whole or not at all."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    answer = msgspec.json.encode(carry_out(order))
    if not order.result:
        return
    target = Path(order.result)
    staged = target.with_suffix(".part")
    staged.write_bytes(answer)
    staged.replace(target)


if __name__ == "__main__":
    main()
