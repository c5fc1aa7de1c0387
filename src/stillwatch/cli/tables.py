"""What `stillwatch scan` prints when it is done."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from stillwatch.cases.folder import ScanOutput
from stillwatch.cases.summary import summarise


def print_summary(out: str | Path, *, as_json: bool = False, console: Console | None = None) -> None:
    """Print what a scan found: tables for a person, or ``campaigns.json`` itself for a program.

    Raises :class:`stillwatch.errors.DatasetError` when ``out`` holds no scan.

    >>> print_summary("no-such-folder")
    Traceback (most recent call last):
    stillwatch.errors.DatasetError: no-such-folder holds no scan: ...
    """
    scan = ScanOutput.open(out)
    if as_json:
        sys.stdout.write((scan.path / "campaigns.json").read_text(encoding="utf-8"))
        return
    screen = console or Console()
    screen.print(summarise(scan, screen.width))
