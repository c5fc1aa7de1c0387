"""How records lie in a file: JSON lines, JSON values, CSV, Parquet, OTLP protobuf; told by content, not by name."""

from __future__ import annotations

import csv
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.ingest.decode import NotJson, decode
from stillwatch.ingest.otlp import proto_items
from stillwatch.ingest.reader import Record, Rejected
from stillwatch.ingest.sources import PACKED, SourceFile
from stillwatch.ingest.streams import Broken, Line, chunks, lines
from stillwatch.ingest.values import json_values

Found = Record | Rejected
_PROTO_SUFFIXES = (".pb", ".binpb", ".otlp")
_HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file may be in memory at once: ``line_bytes`` of one line, value or message."""

    line_bytes: int = 32 << 20


def container_of(file: SourceFile) -> str:
    """Tell the container: ``ndjson``, ``json``, ``csv``, ``tsv``, ``parquet``, ``protobuf`` or ``empty``.

    Raises :class:`InputError` for binary content that is none of these and files that cannot be read.
    """
    try:
        head = next((block for block in chunks(file.path) if block), b"")[:_HEAD]
    except Broken as error:
        raise Broken(f"{error.message}; no row could be read", path=file.name) from error
    if not head:
        return "empty"
    if head[:4] == b"PAR1":
        return "parquet"
    suffixes = [suffix.lower() for suffix in file.path.suffixes if suffix.lower() not in PACKED]
    if (suffixes and suffixes[-1] in _PROTO_SUFFIXES) or (head[:1] == b"\x0a" and b"\x00" in head):
        return "protobuf"
    if b"\x00" in head:
        raise InputError("binary content: no text, no Parquet, no OTLP protobuf", path=file.name)
    return _text_container(head, suffixes[-1] if suffixes else "")


def _text_container(head: bytes, suffix: str) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        return "empty"
    if suffix in (".jsonl", ".ndjson") and text[:1] != b"[":
        return "ndjson"
    if text[:1] == b"[" and suffix not in (".csv", ".tsv"):
        return "json"
    if text[:1] == b"{":
        line, end, _ = text.partition(b"\n")
        return "ndjson" if not end or _is_json(line) else "json"
    if suffix == ".tsv" or (suffix != ".csv" and b"\t" in text.partition(b"\n")[0]):
        return "tsv"
    return "csv"


def _is_json(line: bytes) -> bool:
    try:
        decode(line.strip())
    except NotJson as error:
        return line.rstrip()[-1:] == b"}" or error.reason == "not UTF-8"
    return True


def records(
    file: SourceFile, container: str, limits: Limits, moved: Callable[[int], None] = lambda _: None
) -> Iterator[Found]:
    """Yield the records of a file, and rejects for what is none; ``moved`` hears the bytes read.

    Raises :class:`~stillwatch.ingest.streams.Broken` after the last record of a truncated file, and
    :class:`InputError` when the whole file cannot be read.
    """
    if container == "parquet":
        yield from _parquet(file, moved)
        return
    blocks = chunks(file.path, moved)
    try:
        if container == "ndjson":
            yield from _json_lines(file.name, blocks, limits)
        elif container == "json":
            yield from json_values(file.name, blocks, limits.line_bytes)
        elif container == "protobuf":
            yield from _protobuf(file.name, blocks, limits)
        elif container != "empty":
            yield from _csv(file.name, blocks, limits, "\t" if container == "tsv" else None)
    except Broken as error:
        raise Broken(error.message, path=file.name, line=error.line, column=error.column) from error


def _json_lines(name: str, blocks: Iterator[bytes], limits: Limits) -> Iterator[Found]:
    for line in lines(blocks, limits.line_bytes):
        yield from json_line(name, line, limits)


def json_line(name: str, line: Line, limits: Limits) -> Iterator[Found]:
    """Yield the records of a line of JSON: one, none when it is blank, or the items of a list; or a reject.

    >>> [found.value for found in json_line("a.jsonl", Line(1, b'[{"a": 1}, {"a": 2}]'), Limits())]
    [{'a': 1}, {'a': 2}]
    """
    number, data, too_long = line
    if too_long:
        yield Rejected(Record(None, name, number, data), _long(limits))
    elif data and not data.isspace():
        try:
            value = decode(data)
        except NotJson as error:
            yield Rejected(Record(None, name, number, data), error.reason, error.column)
            return
        for part in value if isinstance(value, list) else (value,):
            yield Record(part, name, number, data)


def _long(limits: Limits) -> str:
    return f"the line is longer than {limits.line_bytes / (1 << 20):g} MB (--max-line-mb)"


def _csv(name: str, blocks: Iterator[bytes], limits: Limits, delimiter: str | None) -> Iterator[Found]:
    """Read CSV with a header; a row's line is where it begins, for quoted line ends."""
    csv.field_size_limit(limits.line_bytes)
    texts = _csv_lines(name, blocks, limits)
    head = next(texts, None)
    if head is None:
        return
    delimiter = delimiter or max(",;|\t", key=head.count)
    reader = csv.reader(chain([head], texts), delimiter=delimiter)
    header = next(reader)
    if len(set(header)) < len(header) or not all(header):
        raise InputError("the CSV header has an empty or repeated name", path=name, line=1)
    line = reader.line_num
    while True:
        line, start = reader.line_num, line + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Rejected(Record(None, name, start), f"not CSV: {error}")
            continue
        start, line = line + 1, reader.line_num
        if row:
            yield _csv_row(row, header, Record(None, name, start))


def _csv_row(row: list[str], header: list[str], place: Record) -> Found:
    raw = ",".join(row).encode("utf-8", "surrogateescape")
    if len(row) != len(header):
        return Rejected(place._replace(raw=raw), f"{len(row)} fields where the header has {len(header)}")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return Rejected(place._replace(raw=raw), "not UTF-8", error.start + 1)
    return place._replace(value={key: value for key, value in zip(header, row, strict=True) if value})


def _csv_lines(name: str, blocks: Iterator[bytes], limits: Limits) -> Iterator[str]:
    for number, data, too_long in lines(blocks, limits.line_bytes):
        if too_long:
            raise InputError(_long(limits), path=name, line=number)
        yield data.decode("utf-8", "surrogateescape") + "\n"


def _parquet(file: SourceFile, moved: Callable[[int], None]) -> Iterator[Found]:
    try:
        parquet = pq.ParquetFile(file.path)
        total, size = parquet.metadata.num_rows, file.path.stat().st_size
        row = 0
        for batch in parquet.iter_batches(batch_size=4096):
            for value in batch.to_pylist():
                row += 1
                yield Record(value, file.name, row)
            moved(size * batch.num_rows // max(1, total))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"not a readable Parquet file: {error}", path=file.name) from error


def _protobuf(name: str, blocks: Iterator[bytes], limits: Limits) -> Iterator[Found]:
    """Read one export request, or many with the four-byte length that the collector's file exporter writes."""
    buffer, taken = b"", 0
    framed: bool | None = None
    for block in blocks:
        buffer += block
        if framed is None:
            framed = _is_framed(buffer)
        while framed and len(buffer) >= 4 and len(buffer) >= 4 + (size := struct.unpack(">I", buffer[:4])[0]):
            taken += 1
            yield from _message(name, taken, buffer[4 : 4 + size])
            buffer = buffer[4 + size :]
        if len(buffer) > limits.line_bytes + 4:
            raise InputError(f"a message {_long(limits).removeprefix('the line ')}", path=name, line=taken + 1)
    if framed and buffer:
        raise Broken("the file ends inside a message", path=name, line=taken + 1)
    if buffer:
        yield from _message(name, 1, buffer)


def _is_framed(buffer: bytes) -> bool:
    """Tell whether lengths stand in front: a bare request begins with field 1 (0x0A), else that is the fifth byte."""
    return len(buffer) > 4 and buffer[4] == 0x0A and (buffer[0] != 0x0A or buffer[:3] == b"\x00\x00\x00")


def _message(name: str, number: int, data: bytes) -> Iterator[Found]:
    try:
        found: list[Any] = list(proto_items(data))
    except InputError as error:
        yield Rejected(Record(None, name, number, data), error.message)
        return
    if data and not found:
        yield Rejected(Record(None, name, number, data), "no spans and no log records in the protobuf message")
    for item in found:
        yield Record(item, name, number)


def first_values(file: SourceFile, container: str, limits: Limits, count: int = 20) -> list[Any]:
    """Return the first values of a file, to recognise its format by; fewer of long lines; stops at anything broken.

    Raises :class:`~stillwatch.ingest.streams.Broken` when the file breaks before its first value.
    """
    found: list[Any] = []
    try:
        size = 0
        for seen, record in enumerate(records(file, container, limits)):
            if isinstance(record, Record):
                found.append(record.value)
                size += len(record.raw or b"")
            if len(found) == count or size > 4 * _HEAD or seen >= count * 50:
                break
    except Broken:
        if not found:
            raise
    return found
