"""What was delivered, on disk before anybody is told that it was accepted; each delivery once.

A spool is a folder of segments. A record of a segment is its length and CRC-32 (two uint32, big-endian), the BLAKE2b
digest of kind and body (16 bytes), and a MessagePack array (kind, source, body). A crash can only cut the record that
was being written, which nobody was told of: it is dropped when the spool is opened. Digests of segments that were
taken over into the dataset are kept in ``delivered``, so that a late repetition is still recognised.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from stillwatch.service.node import sync_folder, write_whole

_FRAME = struct.Struct(">II16s")
_REMEMBERED = 500_000
_MOST_RECORD = 1 << 30


class Delivery(NamedTuple):
    """One accepted request body: the format it is in, who sent it, and its bytes."""

    kind: str
    source: str
    body: bytes

    @property
    def digest(self) -> bytes:
        """Sixteen bytes that name the delivery by its content."""
        return hashlib.blake2b(self.body, digest_size=16, person=self.kind.encode()[:16]).digest()


class Spool:
    """The spool of one process; a single thread calls it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     spool = Spool(Path(folder))
    ...     print(spool.append([Delivery("litellm", "k", b"{}"), Delivery("litellm", "k", b"{}")]))
    ...     print([delivery.body for segment in spool.seal() for delivery in read_segment(segment)])
    [True, False]
    [b'{}']
    """

    def __init__(self, folder: Path, *, remembered: int = _REMEMBERED) -> None:
        """Open the folder, making it when needed; ``dropped_bytes`` says what an earlier crash had cut."""
        self.folder, self._remembered = folder, remembered
        folder.mkdir(parents=True, exist_ok=True)
        self.dropped_bytes = 0
        self._seen: dict[bytes, None] = {}
        self._recall()
        self._number = max((int(path.stem) for path in self.segments()), default=0)
        self._file: int | None = None
        self._length = 0

    @property
    def nbytes(self) -> int:
        """Bytes that wait to be taken over."""
        return sum(path.stat().st_size for path in self.segments())

    def segments(self) -> list[Path]:
        """Return all segments, oldest first."""
        return sorted(self.folder.glob("*.wal"))

    def append(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Write deliveries and sync them; says of each whether it is new. Raises :class:`OSError`, and none is kept."""
        fresh: dict[bytes, Delivery] = {}
        news = []
        for delivery in deliveries:
            digest = delivery.digest
            news.append(digest not in self._seen and digest not in fresh)
            if news[-1]:
                fresh[digest] = delivery
        if fresh:
            self._write(b"".join(_framed(digest, delivery) for digest, delivery in fresh.items()))
            self._remember(fresh)
        return news

    def seal(self) -> list[Path]:
        """End the current segment; returns all that wait, each complete."""
        self._close()
        return self.segments()

    def retire(self, segments: Iterable[Path]) -> None:
        """Forget segments whose content is safe elsewhere; their digests are remembered."""
        for segment in segments:
            digests = b"".join(digest for digest, _, _ in _frames(segment))
            with (self.folder / "delivered").open("ab") as file:
                file.write(digests)
                file.flush()
                os.fsync(file.fileno())
            segment.unlink()
        sync_folder(self.folder)

    def _write(self, data: bytes) -> None:
        handle = self._opened()
        try:
            written = 0
            while written < len(data):
                written += os.write(handle, data[written:])
            os.fsync(handle)
        except OSError:
            self._take_back(handle)
            raise
        self._length += len(data)

    def _opened(self) -> int:
        if self._file is None:
            self._number += 1
            path = self.folder / f"{self._number:012d}.wal"
            self._file, self._length = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600), 0
            sync_folder(self.folder)
        return self._file

    def _take_back(self, handle: int) -> None:
        """Cut what a failed write left, and go on in a new segment: after a failed sync a file is not trusted."""
        with contextlib.suppress(OSError):
            os.ftruncate(handle, self._length)
            os.fsync(handle)
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _recall(self) -> None:
        """Learn the digests of all that was delivered, cutting what a crash left unfinished."""
        delivered = self.folder / "delivered"
        if delivered.exists():
            data = delivered.read_bytes()
            whole = data[max(0, len(data) // 16 - self._remembered) * 16 : len(data) // 16 * 16]
            if len(whole) < len(data):
                write_whole(delivered, whole)
            self._remember(whole[at : at + 16] for at in range(0, len(whole), 16))
        for segment in self.segments():
            frames = [(digest, end) for digest, _, end in _frames(segment)]
            self._remember(digest for digest, _ in frames)
            self._cut(segment, frames[-1][1] if frames else 0)

    def _cut(self, segment: Path, end: int) -> None:
        """Set what follows the last good record aside (``.cut``): nobody was told that it was accepted."""
        data = segment.read_bytes()[end:]
        if data:
            self.dropped_bytes += len(data)
            write_whole(segment.with_suffix(".cut"), data)
            os.truncate(segment, end)
        if end == 0:
            segment.unlink()

    def _remember(self, digests: Iterable[bytes]) -> None:
        for digest in digests:
            self._seen[digest] = None
        while len(self._seen) > self._remembered:
            del self._seen[next(iter(self._seen))]


def read_segment(segment: Path) -> Iterator[Delivery]:
    """Yield the deliveries of a segment, up to the first that is not whole.

    >>> list(read_segment(Path("no-such-file")))
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    for _, packed, _ in _frames(segment):
        yield Delivery(*msgspec.msgpack.decode(packed, type=tuple[str, str, bytes]))


def _framed(digest: bytes, delivery: Delivery) -> bytes:
    packed = msgspec.msgpack.encode(tuple(delivery))
    return _FRAME.pack(len(packed), zlib.crc32(packed, zlib.crc32(digest)), digest) + packed


def _frames(segment: Path) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield (digest, packed delivery, where it ends) of each whole record."""
    with segment.open("rb") as file:
        end = 0
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            length, check, digest = _FRAME.unpack(frame)
            packed = file.read(length) if length <= _MOST_RECORD else b""
            if len(packed) < length or zlib.crc32(packed, zlib.crc32(digest)) != check:
                return
            end += _FRAME.size + length
            yield digest, packed, end
