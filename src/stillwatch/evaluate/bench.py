"""Carry out a plan and gather its results into one scorecard."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

import stillwatch
from stillwatch.errors import ConfigError
from stillwatch.evaluate.cells import Cell, Order, Scene
from stillwatch.evaluate.detectors import detector
from stillwatch.evaluate.figures import Figure, daily_figures, figures
from stillwatch.evaluate.plan import Entry, Wish, plan, scenes
from stillwatch.evaluate.runner import Runner, Task
from stillwatch.simulate import load_world
from stillwatch.types import Progress, silent

SCHEMA = 1
EVERY = "all worlds"
_HOME = Path(stillwatch.__file__).parent
_MEASURED = ("tables", "signals", "simulate", "linkage", "campaigns", "attribution", "cases", "evaluate")
_PACKAGES = ("duckdb", "ibis-framework", "networkit", "numba", "numpy", "pyarrow", "scipy")
_WORKER = (sys.executable, "-m", "stillwatch.evaluate.cells")


class Scored(msgspec.Struct, frozen=True):
    """A cell of the plan with its result; None when it failed, and then ``error`` says why."""

    entry: dict[str, Any]
    result: dict[str, Any] | None = None
    error: str = ""

    @property
    def part(self) -> str:
        """The part of the scorecard that the cell is for."""
        return str(self.entry["part"])

    @property
    def row(self) -> str:
        """The knob that was moved or the part that was left out."""
        return str(self.entry["row"])

    @property
    def level(self) -> str:
        """The level of skill that a knob was moved to."""
        return str(self.entry["level"])

    @property
    def world(self) -> str:
        """The name of the cell's world, with what was changed of it."""
        scene = self.entry["cell"]["scene"]
        scale = [f"× {scene['scale']:g}"] if scene["scale"] != 1 else []
        return " ".join([str(scene["world"]), *scale, *scene["settings"]])

    @property
    def detector(self) -> str:
        """The name of the cell's detector."""
        return str(self.entry["cell"]["detector"])


class Scorecard(msgspec.Struct, frozen=True):
    """Everything a run measured: ``made`` says by what and where, ``wish`` what was asked for.

    ``figures`` maps ``part/world/detector`` to figures by name: what a baseline is compared on.
    """

    schema: int
    made: dict[str, Any]
    wish: dict[str, Any]
    cells: list[Scored]
    figures: dict[str, dict[str, Figure]]

    def of(self, part: str) -> list[Scored]:
        """Return the cells of a part that were measured.

        >>> len(example_card().of("worlds"))
        1
        """
        return [one for one in self.cells if one.part == part and one.result is not None]


def bench(
    wish: Wish, out: Path, *, now: datetime, jobs: int = 2, keep: bool = False, progress: Progress = silent
) -> Scorecard:
    """Measure what is wished for and return the scorecard; results of finished cells in ``out`` are taken as they are.

    A result counts as finished for the same cell and the same code only. Raises
    :class:`stillwatch.errors.ConfigError` before anything runs when a world, knob or detector is not known.

    >>> import tempfile
    >>> from datetime import UTC
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bench(Wish(), Path(folder), now=datetime(2026, 1, 2, tzinfo=UTC)).cells
    []
    """
    entries, calibration = plan(wish), next(iter(scenes(wish.calibrate_on, wish.scale)), None)
    _check(entries, calibration)
    code = code_hash()
    with tempfile.TemporaryDirectory(prefix="stillwatch-fitted-") as fitted:
        work = _Work(out.resolve(), {_key(e.cell, code): e.cell for e in entries}, calibration, fitted)
        runner = Runner(out.resolve(), work.make, work.do, keep)
        if calibration and entries:
            runner.world(_name(calibration))
        runner.run([Task(key, _name(cell.scene)) for key, cell in work.cells.items()], jobs, progress)
        if calibration and not keep:
            shutil.rmtree(work.calibrated, ignore_errors=True)
        for folder in (out / "work", out / "worlds"):
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
    cells = [_scored(entry, runner.result(Task(_key(entry.cell, code), ""))) for entry in entries]
    return Scorecard(SCHEMA, made_by(now, code), msgspec.to_builtins(wish), cells, pooled(cells))


def _check(entries: Iterable[Entry], calibration: Scene | None) -> None:
    """Raise before anything runs when a world or detector is not known, or the calibration world is measured too."""
    scenes = {entry.cell.scene for entry in entries} | ({calibration} if calibration else set())
    for world, settings in {(scene.world, scene.settings) for scene in scenes}:
        load_world(world, settings=settings)
    for name in {entry.cell.detector for entry in entries}:
        detector(name)
    if calibration in {entry.cell.scene for entry in entries}:
        raise ConfigError("the calibration world is among the measured ones; choose another seed for --calibrate-on")


def _name(scene: Scene) -> str:
    """Return a world's folder name: readable, and different for different settings."""
    digest = hashlib.sha256(msgspec.json.encode(scene)).hexdigest()[:8]
    return f"{Path(scene.world).stem}-{scene.seed}-{digest}"


def _key(cell: Cell, code: str) -> str:
    return hashlib.sha256(msgspec.json.encode(cell) + code.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class _Work:
    """What the runner's processes are told."""

    out: Path
    cells: dict[str, Cell]
    calibration: Scene | None
    fitted: str

    @property
    def calibrated(self) -> Path:
        """The folder of the calibration world."""
        return self.out / "worlds" / (_name(self.calibration) if self.calibration else "")

    def make(self, name: str, into: Path) -> tuple[Sequence[str], bytes]:
        """Return the process that simulates a world."""
        scenes = [cell.scene for cell in self.cells.values()] + ([self.calibration] if self.calibration else [])
        scene = next(scene for scene in scenes if _name(scene) == name)
        return _WORKER, msgspec.json.encode(Order(str(into), scene=scene))

    def do(self, task: Task, world: Path, result: Path) -> tuple[Sequence[str], bytes]:
        """Return the process that measures a cell."""
        order = Order(
            str(world),
            cell=self.cells[task.key],
            calibration=str(self.calibrated) if self.calibration else None,
            fitted=self.fitted,
            work=str(self.out / "work" / task.key),
            result=str(result),
        )
        return _WORKER, msgspec.json.encode(order)


def _scored(entry: Entry, result: Path) -> Scored:
    said = {"part": entry.part, "row": entry.row, "level": entry.level, "cell": msgspec.to_builtins(entry.cell)}
    if result.exists():
        return Scored(said, msgspec.json.decode(result.read_bytes()))
    error = result.with_suffix(".error")
    lines = error.read_text(encoding="utf-8", errors="replace").strip().splitlines() if error.exists() else []
    return Scored(said, error=lines[-1] if lines else "the process ended without a word")


def code_hash() -> str:
    """Return a hash of the code and the world files that results depend on.

    >>> len(code_hash())
    16
    """
    digest = hashlib.sha256()
    for folder in _MEASURED:
        for file in sorted((_HOME / folder).rglob("*")):
            if file.suffix in (".py", ".toml", ".txt"):
                digest.update(file.relative_to(_HOME).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def made_by(now: datetime, code: str) -> dict[str, Any]:
    """Return when, by what, with which command and on which machine figures were made.

    >>> from datetime import UTC
    >>> made_by(datetime(2026, 1, 2, tzinfo=UTC), "c0de")["date"]
    '2026-01-02'
    """
    return {
        "date": now.date().isoformat(),
        "command": " ".join(
            ["stillwatch", *(Path(word).name if word.startswith("/") else word for word in sys.argv[1:])]
        ),
        "version": stillwatch.__version__,
        "revision": _revision(),
        "code": code,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "system": platform.system(),
        },
    }


def _revision() -> str:
    """Return the git revision of the code, marked when files differ from it; empty outside a repository."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=-changed", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=_HOME, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def pooled(cells: Iterable[Scored]) -> dict[str, dict[str, Figure]]:
    """Return the figures of each part, world (and all its worlds together) and detector.

    >>> pooled([])
    {}
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in cells:
        if one.part in ("worlds", "null", "daily") and one.result is not None:
            groups.setdefault(f"{one.part}/{one.world}/{one.detector}", []).append(one.result)
            groups.setdefault(f"{one.part}/{EVERY}/{one.detector}", []).append(one.result)
    pools = {"worlds": figures, "null": figures, "daily": daily_figures}
    return {name: pools[name.split("/")[0]](results) for name, results in sorted(groups.items())}
