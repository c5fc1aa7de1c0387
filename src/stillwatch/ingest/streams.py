"""Bytes of a file, plain or packed, in chunks; and its lines, never more of one in memory than the limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from stillwatch.errors import InputError

CHUNK = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_KEPT_OF_LONG_LINE = 4096


class Broken(InputError):  # noqa: N818 - named after what happened
    """The file ends or breaks before its end; what came before was readable."""


class Line(NamedTuple):
    """A line without its end; ``too_long`` lines hold only their first bytes."""

    number: int
    data: bytes
    too_long: bool = False


def packing(path: Path) -> str:
    """Tell how a file is packed by its first bytes, not its name: ``gzip``, ``zstd`` or ``plain``.

    Raises :class:`InputError` when the file cannot be opened.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(4)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    return "gzip" if head[:2] == _GZIP else "zstd" if head == _ZSTD else "plain"


def chunks(path: Path, moved: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """Yield the unpacked bytes of a file; ``moved`` hears how many bytes of the file itself were read.

    Raises :class:`Broken` after the last readable byte of a truncated or damaged file.

    >>> import gzip, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.gz")
    ...     _ = file.write_bytes(gzip.compress(b"one") + gzip.compress(b"two"))
    ...     b"".join(chunks(file))
    b'onetwo'
    """
    unpack = {"gzip": _gunzip, "zstd": _unzstd, "plain": _plain}[packing(path)]
    with path.open("rb") as handle:
        try:
            yield from unpack(handle, moved)
        except (zlib.error, OSError, EOFError) as error:
            raise Broken(f"the file is truncated or damaged: {error}", path=path) from error


def _plain(handle: BinaryIO, moved: Callable[[int], None]) -> Iterator[bytes]:
    while block := handle.read(CHUNK):
        moved(len(block))
        yield block


def _gunzip(handle: BinaryIO, moved: Callable[[int], None]) -> Iterator[bytes]:
    """Unpack members one after another, giving out everything before a break."""
    engine = zlib.decompressobj(31)
    fresh = True
    while block := handle.read(CHUNK):
        moved(len(block))
        while block:
            if engine.eof:
                engine, fresh = zlib.decompressobj(31), True
            data = engine.decompress(block, 4 * CHUNK)
            fresh = False
            if data:
                yield data
            block = engine.unused_data if engine.eof else engine.unconsumed_tail
    if not fresh and not engine.eof:
        raise EOFError("the gzip stream stops before its end mark")


def _unzstd(handle: BinaryIO, moved: Callable[[int], None]) -> Iterator[bytes]:
    stream = pa.CompressedInputStream(pa.PythonFile(handle, mode="r"), "zstd")
    before = 0
    while block := stream.read(CHUNK):
        position = handle.tell()
        moved(position - before)
        before = position
        yield block


def lines(blocks: Iterator[bytes], limit: int) -> Iterator[Line]:
    r"""Split chunks into lines (``\n`` or ``\r\n``), holding at most ``limit`` bytes of one.

    >>> [line.data for line in lines(iter([b"a\r\nb", b"c\n", b"d"]), 10)]
    [b'a', b'bc', b'd']
    >>> [line.too_long for line in lines(iter([b"12345", b"678\n9"]), 4)]
    [True, False]
    """
    held: list[bytes] = []
    number, size, long_head = 1, 0, b""
    for block in blocks:
        parts = block.split(b"\n")
        for part in parts[:-1]:
            if not long_head and not held:
                yield _line(number, part, limit)
            elif long_head:
                yield Line(number, long_head, too_long=True)
            else:
                held.append(part)
                yield _line(number, b"".join(held), limit)
            number, held, size, long_head = number + 1, [], 0, b""
        if parts[-1] and not long_head:
            held.append(parts[-1])
            size += len(parts[-1])
            if size > limit:
                long_head, held = b"".join(held)[:_KEPT_OF_LONG_LINE], []
    if long_head:
        yield Line(number, long_head, too_long=True)
    elif held:
        yield _line(number, b"".join(held), limit)


def _line(number: int, data: bytes, limit: int) -> Line:
    if len(data) > limit:
        return Line(number, data[:_KEPT_OF_LONG_LINE], too_long=True)
    if data.endswith(b"\r"):
        data = data[:-1]
    return Line(number, data.removeprefix(b"\xef\xbb\xbf") if number == 1 else data)
