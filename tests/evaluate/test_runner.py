"""Plans and runs: each world is made once, finished work stays, a failure stops nothing else."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from stillwatch.errors import ConfigError
from stillwatch.evaluate.plan import KNOBS, LEVELS, PLANS, Wish, plan, scenes, sweeps
from stillwatch.evaluate.plan import settings as settings_of
from stillwatch.evaluate.runner import Runner, Task
from stillwatch.simulate import load_world

MAKE = "import sys, pathlib; pathlib.Path(sys.argv[1], 'made').touch(); open(sys.argv[2], 'a').write('m')"
DO = "import sys, pathlib; assert 'bad' not in sys.argv[1], 'bad work'; pathlib.Path(sys.argv[1]).write_text('{}')"


def runner(folder: Path, *, keep: bool = False) -> Runner:
    """Return a runner whose worlds are folders with a file, and whose log counts the worlds made."""

    def make(name: str, into: Path) -> tuple[Sequence[str], bytes]:
        return (sys.executable, "-c", MAKE, str(into), str(folder / "log")), b""

    def do(task: Task, world: Path, result: Path) -> tuple[Sequence[str], bytes]:
        assert (world / "made").exists()
        return (sys.executable, "-c", DO, str(result)), b""

    return Runner(folder, make, do, keep)


def test_a_world_is_made_once_and_removed_after_its_last_task(tmp_path: Path) -> None:
    """Two tasks on one world make it once; nothing of it is left unless it is kept."""
    tasks = [Task("one", "w"), Task("two", "w")]
    runner(tmp_path).run(tasks)
    assert (tmp_path / "log").read_text() == "m"
    assert not (tmp_path / "worlds" / "w").exists()
    assert all(runner(tmp_path).result(task).exists() for task in tasks)
    runner(tmp_path, keep=True).run([Task("three", "w")])
    assert (tmp_path / "worlds" / "w" / "made").exists()


def test_finished_tasks_are_not_done_again(tmp_path: Path) -> None:
    """A second run makes no world when all results are there, and only that of the missing one otherwise."""
    tasks = [Task("one", "v"), Task("two", "w")]
    runner(tmp_path).run(tasks)
    runner(tmp_path).run(tasks)
    assert (tmp_path / "log").read_text() == "mm"
    runner(tmp_path).result(tasks[0]).unlink()
    runner(tmp_path).run(tasks)
    assert (tmp_path / "log").read_text() == "mmm"


def test_a_failure_is_kept_with_its_reason_and_tried_again(tmp_path: Path) -> None:
    """The other task finishes; the failed one has no result, and says why."""
    tasks = [Task("bad", "w"), Task("good", "w")]
    mine = runner(tmp_path)
    mine.run(tasks, jobs=1)
    assert "bad work" in mine.error(tasks[0]).read_text()
    assert mine.result(tasks[1]).exists()
    assert not mine.result(tasks[0]).exists()
    assert not (tmp_path / "worlds" / "w").exists()


def test_a_plan_goes_world_by_world() -> None:
    """Cells of one world follow each other, whatever part they are for."""
    entries = plan(Wish(worlds="tiny:1-3", reseed="tiny:2", daily="tiny:1"))
    seeds = [entry.cell.scene.seed for entry in entries]
    assert seeds == sorted(seeds)
    assert {entry.part for entry in entries} == {"worlds", "reseed", "daily"}


@pytest.mark.parametrize("name", PLANS)
def test_every_preset_names_worlds_that_exist(name: str) -> None:
    """Each scene of a preset can be loaded with its settings, and each part has work."""
    entries = plan(PLANS[name])
    for world, settings in {(entry.cell.scene.world, entry.cell.scene.settings) for entry in entries}:
        load_world(world, settings=settings)
    assert {"worlds", "null"} <= {entry.part for entry in entries}


def test_every_knob_moves_and_the_base_level_moves_none() -> None:
    """A knob at each level is a setting that a world takes; at the base level it is the base itself."""
    for knob in KNOBS:
        made = {level: tuple(settings_of(knob, level)) for level in LEVELS}
        assert len(set(made.values())) == len(LEVELS)
        assert made["competent"] == ("campaigns.skill=competent",)


@pytest.mark.parametrize("text", ["tiny:x", "tiny:3-1", "tiny:-1", "tiny:1-"])
def test_seeds_that_are_none_are_refused(text: str) -> None:
    """What is no seed and no range of seeds is an error that shows how to write it."""
    with pytest.raises(ConfigError, match="NAME:SEED or NAME:FIRST-LAST"):
        scenes(text)


def test_each_is_every_single_knob_once() -> None:
    """``each`` stands for all knobs one at a time, beside others that are named."""
    rows = [entry.row for entry in sweeps(Wish(sweep=("cover", "each", "all"), sweep_world="tiny:1"))]
    assert set(rows) == {*KNOBS, "all"}
    assert len(rows) == len(LEVELS) * (len(KNOBS) + 1)


def test_an_unknown_knob_is_refused() -> None:
    """The error names the knobs there are."""
    with pytest.raises(ConfigError, match="known are wording"):
        plan(Wish(sweep=("luck",)))
