"""Run independent pieces of work in processes of their own, each on a world that is made once and then removed.

Nothing here knows what is measured. What is finished stays as a file, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from stillwatch.types import Progress, silent


@dataclass(frozen=True)
class Task:
    """One piece of work: its result is the file ``key``.json; it needs the world called ``world``."""

    key: str
    world: str


@dataclass
class Runner:
    """Where worlds, results and errors lie, and how a world is made and a task is done (as a process).

    ``make`` and ``do`` return the command and its standard input; ``do`` must write the task's result file.
    """

    folder: Path
    make: Callable[[str, Path], tuple[Sequence[str], bytes]]
    do: Callable[[Task, Path, Path], tuple[Sequence[str], bytes]]
    keep: bool = False
    _locks: dict[str, Lock] = field(default_factory=dict)
    _left: Counter[str] = field(default_factory=Counter)

    def result(self, task: Task) -> Path:
        """Return the file that a finished task leaves.

        >>> Runner(Path("out"), None, None).result(Task("k", "w")).as_posix()
        'out/cells/k.json'
        """
        return self.folder / "cells" / f"{task.key}.json"

    def error(self, task: Task) -> Path:
        """Return the file that says why a task failed.

        >>> Runner(Path("out"), None, None).error(Task("k", "w")).name
        'k.error'
        """
        return self.result(task).with_suffix(".error")

    def run(self, tasks: Sequence[Task], jobs: int = 2, progress: Progress = silent) -> None:
        """Do the tasks that are not finished, ``jobs`` at a time and world by world; one that fails stops no other.

        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fails = Runner(Path(folder), lambda name, into: (["true"], b""), lambda *_: (["false"], b""))
        ...     fails.run([Task("k", "w")])
        ...     fails.error(Task("k", "w")).exists()
        True
        """
        open_tasks = [task for task in tasks if not self.result(task).exists()]
        self._left = Counter(task.world for task in open_tasks)
        self._locks = {task.world: Lock() for task in open_tasks}
        (self.folder / "cells").mkdir(parents=True, exist_ok=True)
        done = len(tasks) - len(open_tasks)
        progress("measure", done, len(tasks), "cells")
        pool = ThreadPoolExecutor(jobs)
        try:
            for number, finished in enumerate(as_completed([pool.submit(self._one, task) for task in open_tasks]), 1):
                finished.result()
                progress("measure", done + number, len(tasks), "cells")
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, task: Task) -> None:
        try:
            world = self.world(task.world)
            _process(*self.do(task, world, self.result(task)))
            self.error(task).unlink(missing_ok=True)
        except subprocess.CalledProcessError as failed:
            self.error(task).write_bytes(failed.stderr)
        finally:
            with self._locks[task.world]:
                self._left[task.world] -= 1
                if not self._left[task.world] and not self.keep:
                    shutil.rmtree(self.folder / "worlds" / task.world, ignore_errors=True)

    def world(self, name: str) -> Path:
        """Return the folder of a world, made when it is not there yet; a half made one is never seen."""
        with self._locks.setdefault(name, Lock()):
            target = self.folder / "worlds" / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                staged = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
                try:
                    _process(*self.make(name, staged))
                    staged.rename(target)
                finally:
                    shutil.rmtree(staged, ignore_errors=True)
            return target


def _process(command: Sequence[str], given: bytes) -> None:
    """Run a command to its end; :class:`subprocess.CalledProcessError` with what it said when it fails."""
    subprocess.run(list(command), input=given, capture_output=True, check=True)
