"""The snapshot in force on one machine: newer signed ones take its place whole, anything else is refused."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from stillwatch.errors import SnapshotRefused
from stillwatch.service.delta import DELTA_MAGIC, apply_delta
from stillwatch.service.signing import Trust
from stillwatch.service.snapshot import Snapshot, open_snapshot


class Node:
    """Holds the current snapshot; ``store`` is the file that it survives a restart in (None: memory only).

    ``refused`` counts what was offered and not taken, by reason: corrupt, unsigned, foreign, older, unfit.

    >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    >>> from stillwatch.service.signing import Signer
    >>> from stillwatch.service.snapshot import build
    >>> signer = Signer(Ed25519PrivateKey.generate())
    >>> node = Node(Trust.of(signer.public))
    >>> node.offer(build([], version=2, created_at=0.0, signer=signer)), node.current.version
    (True, 2)
    >>> node.offer(build([], version=1, created_at=0.0, signer=signer))
    Traceback (most recent call last):
    stillwatch.errors.SnapshotRefused: older: version 1 after version 2
    """

    def __init__(self, trust: Trust, store: Path | None = None) -> None:
        """Begin with the stored snapshot when there is a good one."""
        self.trust, self.store = trust, store
        self.current: Snapshot | None = None
        self.refused: Counter[str] = Counter()
        self.unstored = 0
        if store is not None and store.exists():
            self._restore(store)

    def _restore(self, store: Path) -> None:
        try:
            self.current = open_snapshot(store.read_bytes(), self.trust)
        except SnapshotRefused as error:
            self.refused[error.why] += 1

    def offer(self, data: bytes) -> bool:
        """Take a snapshot or a delta; says whether it is new here (the version in force again is not).

        Raises :class:`SnapshotRefused`, and the snapshot in force stays.
        """
        try:
            offered = self._opened(data)
        except SnapshotRefused as error:
            self.refused[error.why] += 1
            raise
        if self.current is not None and offered.version == self.current.version:
            return False
        if self.store is not None:
            self._keep(self.store, offered)
        self.current = offered
        return True

    def _opened(self, data: bytes) -> Snapshot:
        if data[:8] == DELTA_MAGIC:
            offered = apply_delta(self.current, data, self.trust)
        else:
            offered = open_snapshot(data, self.trust)
        held = self.current
        if held is None or offered.version > held.version:
            return offered
        if offered.version == held.version and offered.head.digest == held.head.digest:
            return held
        raise SnapshotRefused("older", f"version {offered.version} after version {held.version}")

    def _keep(self, store: Path, snapshot: Snapshot) -> None:
        """Store the snapshot; a full disk costs the restart its newest snapshot, not the decisions."""
        try:
            write_whole(store, snapshot.data)
        except OSError:
            self.unstored += 1


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in the place of another, whole or not at all, on disk before this returns.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder, "a"), b"one")
    ...     [file.name for file in Path(folder).iterdir()]
    ['a']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    >>> sync_folder(Path("."))
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
