"""Progress of long work on stderr: one line a stage with rate and remaining time; nothing when quiet or piped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from stillwatch import types


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[types.Progress]:
    """Yield a :class:`stillwatch.types.Progress` that draws on stderr, or one that is silent.

    >>> with progress_bar(quiet=True) as progress:
    ...     progress("read", 1, 2)
    """
    if quiet or not sys.stderr.isatty():
        yield types.silent
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]} · {task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int | None = None, unit: str = "rows") -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, unit=unit, rate="")
            speed = bar.tasks[tasks[stage]].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            bar.update(tasks[stage], completed=done, total=total, unit=unit, rate=rate)

        yield report
