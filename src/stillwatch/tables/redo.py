"""The redo log of a dataset: a commit is carried out whole, by whoever comes next when its writer died.

The log is a list of pairs: a staged file and the place it goes to; without a staged file the place is emptied. Every
step can be done twice, so it does not matter how often a commit is begun (docs/decisions/0002-atomic-datasets.md).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

JOURNAL = ".commit.json"
STAGING = ".staging"
Step = tuple[str | None, str]


def publish(folder: Path, steps: Sequence[Step]) -> None:
    """Make staged steps count, in one atomic rename; :func:`recover` carries them out.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     folder = Path(name)
    ...     (folder / ".staging").mkdir()
    ...     _ = (folder / ".staging" / "a").write_text("new"), (folder / "old").write_text("old")
    ...     publish(folder, [(".staging/a", "a"), (None, "old")])
    ...     recover(folder)
    ...     [file.name for file in folder.iterdir()]
    ['a']
    """
    (folder / STAGING / JOURNAL).write_text(json.dumps(steps))
    (folder / STAGING / JOURNAL).replace(folder / JOURNAL)


def recover(folder: Path) -> None:
    """Finish an interrupted commit (its list of steps is complete) or drop an interrupted staging.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / ".staging").mkdir()
    ...     recover(Path(folder))
    ...     list(Path(folder).iterdir())
    []
    """
    journal = folder / JOURNAL
    if journal.exists():
        for source, target in json.loads(journal.read_text()):
            _carry_out(folder, source, folder / target)
        journal.unlink()
    if (folder / STAGING).exists() and not is_locked(folder):
        shutil.rmtree(folder / STAGING, ignore_errors=True)


def _carry_out(folder: Path, source: str | None, target: Path) -> None:
    if source is None:
        target.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other files are there, or the folder is gone already
            target.parent.rmdir()
    elif (folder / source).exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / source).replace(target)


def is_locked(folder: Path) -> bool:
    """Say whether a living process is writing to the dataset.

    >>> is_locked(Path("no-such-folder"))
    False
    """
    lock = folder / STAGING / "pid"
    if not lock.exists():
        return False
    try:
        os.kill(int(lock.read_text()), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
