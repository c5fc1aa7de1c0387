"""The command line: each command parses, calls one public function and prints."""

from __future__ import annotations

import sys

from stillwatch.cli import (
    appeal,
    apply,
    audit,
    bench,
    case,
    demo,
    explain,
    forget,
    gateway,
    gateway_check,
    ingest,
    key,
    plan,
    replay,
    scan,
    serve,
    simulate,
)
from stillwatch.cli.app import app
from stillwatch.errors import StillwatchError

__all__ = [
    "app",
    "appeal",
    "apply",
    "audit",
    "bench",
    "case",
    "demo",
    "explain",
    "forget",
    "gateway",
    "gateway_check",
    "ingest",
    "key",
    "main",
    "plan",
    "replay",
    "scan",
    "serve",
    "simulate",
]


def main() -> None:
    """Run the command line; errors a user can mend are printed without a traceback.

    The exit code is the error's (:mod:`stillwatch.errors`).

    >>> from unittest.mock import patch
    >>> with patch("sys.argv", ["stillwatch", "explain", "no-such-folder", "SW-1"]):
    ...     main()
    Traceback (most recent call last):
    SystemExit: 2
    """
    try:
        app()
    except StillwatchError as error:
        sys.stderr.write(f"stillwatch: {error}\n")
        raise SystemExit(error.exit_code) from None
    except OSError as error:  # no room, no right to write, not a folder: the user's to mend as well
        place = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"stillwatch: {place}{error.strerror or error}\n")
        raise SystemExit(StillwatchError.exit_code) from None
