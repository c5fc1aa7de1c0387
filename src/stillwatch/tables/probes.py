"""Search files for values that must not be there, in raw bytes and inside Parquet.

Identifiers are looked for as whole words (``acct-1`` is not found in ``acct-10``), texts as they stand and as JSON and
HTML write them. Each value is found by its last eight bytes, which a sorted array of 64-bit numbers holds, and then
compared whole; so the cost hardly grows with the number of values.
"""

from __future__ import annotations

import hashlib
import html
import json
import mmap
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.tables.schema import TEXT_COLUMNS

LEAST_RAW = 6  # identifiers shorter than this stand in compressed bytes by chance
LEAST_TEXT = 24  # texts shorter than this are anybody's
_WORD = re.compile(rb"[A-Za-z0-9_\-]")
_TAIL = 8
_WINDOW = 1 << 24
_ROWS = 8_192


@dataclass(frozen=True)
class Left:
    """A file that still holds values: in which column (None: raw bytes), how many different ids and texts."""

    file: Path
    column: str | None
    ids: int
    texts: int


class Probes:
    """Identifiers and texts to look for.

    >>> probes = Probes(["acct-1", "ann@b.example"])
    >>> sorted(probes.within(b"acct-1, acct-10 and ann@b.example")), probes.within(b"acct-12")
    ([b'acct-1', b'ann@b.example'], set())
    """

    def __init__(self, ids: Iterable[str], texts: Iterable[str] = ()) -> None:
        """Keep all identifiers, and the texts of at least 24 bytes."""
        self._ids = {value.encode("utf-8", "surrogatepass") for value in ids if value}
        self._texts = {form for text in texts for form in _forms(text)}
        short = {value for value in self._ids if len(value) < _TAIL}
        self._short = re.compile(b"|".join(map(re.escape, sorted(short)))) if short else None
        self._by_tail: dict[bytes, list[bytes]] = defaultdict(list)
        for value in (self._ids | self._texts) - short:
            self._by_tail[value[-_TAIL:]].append(value)
        self._tails = np.unique(np.frombuffer(b"".join(self._by_tail), dtype="<u8"))

    @property
    def digest(self) -> str:
        """The SHA-256 of all values, sorted, each with its length in front: what was searched, without saying it.

        >>> Probes(["b", "a"]).digest == Probes(["a", "b"]).digest != Probes(["ab"]).digest
        True
        """
        total = hashlib.sha256()
        for value in sorted(self._ids | self._texts):
            total.update(len(value).to_bytes(8, "big") + value)
        return total.hexdigest()

    def within(self, data: bytes | mmap.mmap, *, shortest: int = 1) -> set[bytes]:
        """Return the values that bytes hold; identifiers under ``shortest`` bytes are left out."""
        found = set()
        for value, at in self._candidates(data):
            if value in self._texts or (len(value) >= shortest and _is_whole_word(data, at, len(value))):
                found.add(value)
        return found

    def left(self, file: Path, column: str | None, found: set[bytes]) -> Left:
        """Count what was found by kind.

        >>> Probes(["a"]).left(Path("f"), None, {b"a"})
        Left(file=...Path('f'), column=None, ids=1, texts=0)
        """
        return Left(file, column, len(found & self._ids), len(found - self._ids))

    def _candidates(self, data: bytes | mmap.mmap) -> Iterator[tuple[bytes, int]]:
        if self._short:
            yield from ((match[0], match.start()) for match in self._short.finditer(data))
        for start in range(0, len(data) if len(self._tails) else 0, _WINDOW):
            window = data[start : start + _WINDOW + _TAIL - 1]
            for at in self._tail_places(window):
                end = start + at + _TAIL
                for value in self._by_tail[window[at : at + _TAIL]]:
                    if len(value) <= end and data[end - len(value) : end] == value:
                        yield value, end - len(value)

    def _tail_places(self, window: bytes) -> list[int]:
        """Return where eight bytes begin that end a value: one pass for each alignment."""
        places: list[int] = []
        for shift in range(min(_TAIL, max(0, len(window) - _TAIL + 1))):
            words = np.frombuffer(window, dtype="<u8", count=(len(window) - shift) // _TAIL, offset=shift)
            nearest = self._tails[np.minimum(np.searchsorted(self._tails, words), len(self._tails) - 1)]
            places += (np.flatnonzero(nearest == words) * _TAIL + shift).tolist()
        return places


def search(files: Iterable[Path], probes: Probes) -> Iterator[Left]:
    """Yield what files still hold: of every file the raw bytes, of Parquet also the values of every text column.

    Identifiers under six bytes are looked for in text files and in columns other than those of prompts and answers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pq.write_table(pa.table({"name": ["acct-1", "x"]}), Path(folder, "a.parquet"))
    ...     [left.column for left in search(Path(folder).iterdir(), Probes(["acct-1"])) if left.column]
    ['name']
    """
    for file in files:
        if not file.stat().st_size:
            continue
        is_parquet = file.suffix == ".parquet"
        with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            is_binary = is_parquet or b"\0" in data[:4096]
            found = probes.within(data, shortest=LEAST_RAW if is_binary else 1)
        if found:
            yield probes.left(file, None, found)
        if is_parquet:
            yield from _inside(file, probes)


def _inside(file: Path, probes: Probes) -> Iterator[Left]:
    parquet = pq.ParquetFile(file)
    columns = [field.name for field in parquet.schema_arrow if _holds_text(field.type)]
    found: dict[str, set[bytes]] = defaultdict(set)
    for batch in parquet.iter_batches(batch_size=_ROWS, columns=columns):
        for name in columns:
            shortest = LEAST_RAW if name in TEXT_COLUMNS else 1
            found[name] |= probes.within(_joined(batch.column(name)), shortest=shortest)
    yield from (probes.left(file, name, values) for name, values in found.items() if values)


def _holds_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_list(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def _joined(column: pa.Array) -> bytes:
    """Return all cells, a zero byte between them, so that no value is found across two."""
    flat = column.flatten() if pa.types.is_list(column.type) else column
    return "\0".join(pc.drop_null(flat).to_pylist()).encode()


def _forms(text: str) -> set[bytes]:
    """Return a text as it stands, and as JSON (plain and ASCII) and HTML write it."""
    if len(text.encode("utf-8", "surrogatepass")) < LEAST_TEXT:
        return set()
    forms = {text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1], html.escape(text)}
    return {form.encode("utf-8", "surrogatepass") for form in forms}


def _is_whole_word(data: bytes | mmap.mmap, at: int, length: int) -> bool:
    before, after = data[max(0, at - 1) : at], data[at + length : at + length + 1]
    return not (_WORD.match(before) or _WORD.match(after))
