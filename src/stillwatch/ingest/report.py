"""What a run did, as values and as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file: how it was read and what became of its rows."""

    name: str
    format: str
    container: str
    bytes: int


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run did. Counts are rows; ``coverage`` is of the rows this run added.

    ``duplicates`` were in the dataset or came earlier in the run; ``skipped`` records are rightly no exchange;
    ``notes`` count what was mended or left out; ``truncated`` names files that broke before their end.

    >>> IngestReport().as_json()["added"]
    0
    """

    files: tuple[FileReport, ...] = ()
    added: int = 0
    duplicates: int = 0
    rejected: int = 0
    skipped: int = 0
    accounts: int = 0
    accounts_without_record: int = 0
    launches: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    skips: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    truncated: tuple[str, ...] = ()
    reject_files: tuple[str, ...] = ()
    coverage: dict[str, Any] = field(default_factory=dict)
    key_id: str = ""
    key_origin: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain data, as ``--json`` prints it."""
        return asdict(self)
