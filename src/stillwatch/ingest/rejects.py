"""Rejected rows, and fields left out of rows that were added, kept beside the dataset with file, line and reason."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections import Counter
from pathlib import Path
from typing import IO, Any, Protocol

from stillwatch.ingest.decode import canonical_bytes, compact
from stillwatch.ingest.privacy import Key, scrub
from stillwatch.ingest.reader import Rejected

KEPT_BYTES = 4096
_PART_BYTES = 64 << 20
_REASONS_KEPT = 1000


class Folder(Protocol):
    """Where finished parts go: a dataset writer."""

    def add_file(self, target: str, content: bytes) -> None:
        """Stage a file of the dataset."""


def reject_line(rejected: Rejected, key: Key, *, content_free: bool = False) -> dict[str, Any]:
    """Return a reject as it is stored: place, reason, and the raw record cut to 4 kB with personal values hashed.

    Raw bytes that are not UTF-8 are in base64; with ``content_free`` none are kept.

    >>> from stillwatch.ingest.reader import Record
    >>> reject_line(Rejected(Record(None, "a.jsonl", 3, b"{x"), "not JSON", 2), Key(b"0123456789abcdef"))
    {'file': 'a.jsonl', 'line': 3, 'column': 2, 'reason': 'not JSON', 'raw': '{x'}
    """
    record = rejected.record
    line: dict[str, Any] = {"file": record.source, "line": record.line}
    if rejected.column is not None:
        line["column"] = rejected.column
    line["reason"] = rejected.reason
    if content_free:
        return line
    raw = record.raw if record.raw is not None else b"" if record.value is None else canonical_bytes(record.value)
    if not raw:
        return line
    kept = scrub(key, raw[:KEPT_BYTES])
    try:
        line["raw"] = kept.decode()
    except UnicodeDecodeError as error:
        if error.start >= len(kept) - 4 and len(raw) > KEPT_BYTES:  # cut inside a character
            line["raw"] = kept[: error.start].decode()
        else:
            line["raw_base64"] = base64.b64encode(kept).decode()
    if len(raw) > KEPT_BYTES:
        line["cut_from_bytes"] = len(raw)
    return line


class RejectLog:
    """Rejects of one run, on disk until the run knows where they go; counts by table and reason.

    Rows go to ``rejects/``, fields of rows that were added to ``rejects/fields/`` (place and reason, no raw bytes).
    Use as a context manager; ``store`` names each part by its content, so the same rejects give the same file.
    """

    def __init__(self, key: Key, *, content_free: bool) -> None:
        """Keep raw bytes unless ``content_free``."""
        self.reasons: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._key, self._content_free = key, content_free
        self._parts: dict[str, list[IO[bytes]]] = {"rejects": [], "rejects/fields": []}

    def __enter__(self) -> RejectLog:
        return self

    def __exit__(self, *_: object) -> None:
        for part in (part for parts in self._parts.values() for part in parts):
            part.close()

    def add(self, rejected: Rejected, table: str) -> None:
        """Keep one reject."""
        self.counts[table] += 1
        if rejected.reason in self.reasons or len(self.reasons) < _REASONS_KEPT:
            self.reasons[rejected.reason] += 1
        bare = self._content_free or table == "accounts"  # account rows are personal in every field
        self._write("rejects", rejected, bare=bare)

    def add_field(self, rejected: Rejected) -> None:
        """Keep why a field of an added row was left out."""
        self._write("rejects/fields", rejected, bare=True)

    def _write(self, folder: str, rejected: Rejected, *, bare: bool) -> None:
        parts = self._parts[folder]
        if not parts or parts[-1].tell() > _PART_BYTES:
            parts.append(tempfile.TemporaryFile())  # noqa: SIM115 - closed by __exit__
        line = reject_line(rejected, self._key, content_free=bare)
        parts[-1].write(compact(line).encode("utf-8", "replace") + b"\n")

    def store(self, folder: Folder, dataset: Path) -> list[str]:
        """Stage the parts that the dataset does not hold yet; returns the names of all."""
        names = []
        for place, part in ((place, part) for place, parts in self._parts.items() for part in parts):
            part.seek(0)
            content = part.read()
            name = f"{place}/{hashlib.sha256(content).hexdigest()[:16]}.ndjson"
            names.append(name)
            if not (dataset / name).exists():
                folder.add_file(name, content)
        return names
