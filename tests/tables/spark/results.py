"""What two scans must have in common."""

from __future__ import annotations

from pathlib import Path


def results(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all that a scan found: everything but ``run.json``, which says how it was run."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.name != "run.json"}
