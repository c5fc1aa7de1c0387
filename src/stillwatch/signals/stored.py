"""Stored signals: fingerprints of a dataset piece by piece, made once and kept, so that a second scan reads no text.

A piece's file is named by what it depends on: the file it was made from, its rows, and the version of the kernels and
cue rules. A changed file or kernel has another name, and a scan of a grown dataset makes new pieces alone.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.signals.columns import Ragged
from stillwatch.signals.fingerprint import marks
from stillwatch.signals.hashing import FORMAT
from stillwatch.signals.postings import Postings, whole_prompts
from stillwatch.tables import EXCHANGES
from stillwatch.tables.pieces import Piece, piece_batches, piece_column
from stillwatch.tables.schema import FINGERPRINT_COLUMNS
from stillwatch.types import Progress, silent

IN_MEMORY_ROWS = 500_000
_TEXTS = ("system_text", "prompt_text", "tools_json")
_LAYOUT = 4
_LINES = 1 << 12
_MARKS = [EXCHANGES.field(name) for name in FINGERPRINT_COLUMNS if name != "novelty"]
_MADE = pa.schema([*_MARKS, pa.field("filled", pa.uint8())])
"""``filled`` has a bit for each of FINGERPRINT_COLUMNS that the row has."""
_SCHEMA = _MADE.append(pa.field("row", pa.uint32())).append(pa.field("prompt", pa.uint64()))
"""``row`` is the row of the piece that a line is of: lines lie by account, and an account's by row. ``prompt`` is the
hash of the whole prompt, 0 without one."""
_FILED = _SCHEMA.remove(_SCHEMA.get_field_index("sketch"))
"""A file holds no sketches: what a scan asks of them is in ``prompt`` and in the postings beside it."""
_Kept = tuple[pa.Table | Path, Postings | Path]


class Stored:
    """The fingerprint columns of a dataset, piece by piece: in memory or in files.

    The lines of a piece lie by account, so that those of some accounts are read together; ``row`` says which row each
    is of.

    >>> table = pa.table({"capability": pa.array([3, 9], pa.uint8())})
    >>> [t["capability"].to_pylist() for t in Stored([table]).tables(["capability"])]
    [[3, 9]]
    """

    def __init__(
        self, sources: list[pa.Table | Path], held: list[Postings | Path] | None = None, work: Path | None = None
    ) -> None:
        """Hold fingerprints and postings a piece, or their files; ``work`` is a folder that goes with this object."""
        self._sources, self._held = sources, held or []
        if work:
            weakref.finalize(self, shutil.rmtree, work, ignore_errors=True)

    @property
    def folder(self) -> Path | None:
        """Return where the files are, None when all is in memory.

        >>> Stored([]).folder is None
        True
        """
        there = [source for source in self._sources if isinstance(source, Path)]
        return there[0].parent if there else None

    def postings(self) -> Iterator[Postings]:
        """Yield the postings of one piece after the other.

        >>> list(Stored([]).postings())
        []
        """
        for held in self._held:
            yield Postings.read(held) if isinstance(held, Path) else held

    def tables(self, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the wanted columns, but sketches, of one piece after the other.

        >>> list(Stored([]).tables(["cues"]))
        []
        """
        for source in self._sources:
            yield source.select(columns) if isinstance(source, pa.Table) else _read(source, columns)

    def sketches(self, parts: list[Piece]) -> Iterator[pa.Table]:
        """Yield sketch and row of one piece after the other; files hold no sketches, so the text is read for them.

        >>> list(Stored([]).sketches([]))
        []
        """
        for piece, source in zip(parts, self._sources, strict=True):
            yield (source if isinstance(source, pa.Table) else _made(piece)).select(["sketch", "row"])

    def coverage(self) -> dict[str, float]:
        """Return the share of exchanges that have each fingerprint column, 1 without exchanges.

        >>> sorted(Stored([]).coverage())
        ['capability', 'cues', 'novelty', 'sketch', 'template_id']
        """
        filled = np.concatenate(
            [np.zeros(0, np.uint8), *(table["filled"].to_numpy() for table in self.tables(["filled"]))]
        )
        total = max(1, len(filled))
        return {
            name: 1 - np.count_nonzero(filled & (1 << bit) == 0) / total for bit, name in enumerate(FINGERPRINT_COLUMNS)
        }


def store(
    parts: list[Piece],
    folder: Path | None,
    *,
    others: list[Piece] | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> Stored:
    """Fingerprint every piece that ``folder`` does not hold yet, and drop what it holds of files that are gone.

    What it holds of ``others`` stays there, too. Without a folder the fingerprints stay in memory, or go to a
    temporary folder when there are many. ``threads`` (all processors when None) share the pieces and change no
    result.

    >>> store([], None).folder is None
    True
    """
    total = sum(piece.rows for piece in parts)
    work = Path(tempfile.mkdtemp(prefix="stillwatch-")) if folder is None and total > IN_MEMORY_ROWS else None
    into = work or folder
    if into:
        into.mkdir(parents=True, exist_ok=True)
    sources, held = [], []
    for made, index in _each(parts, into, threads, progress):
        sources.append(made)
        held.append(index)
    known = {piece_key(piece) for piece in (*parts, *(others or ()))} if into else set()
    for file in kept_files(into) if into else ():
        if file.stem not in known:
            file.unlink()
    return Stored(sources, held, work)


def kept_files(folder: Path) -> list[Path]:
    """Return the files of a folder that :func:`store` keeps there.

    >>> kept_files(Path("no-such-folder"))
    []
    """
    return sorted(file for ending in (".arrow", ".postings") for file in folder.glob("[0-9a-f]" * 32 + ending))


def _each(parts: list[Piece], folder: Path | None, threads: int | None, progress: Progress) -> Iterator[_Kept]:
    total = sum(piece.rows for piece in parts)
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        waiting: list[Future[_Kept]] = [pool.submit(_one, piece, folder) for piece in parts]
        try:
            for piece, future in zip(parts, waiting, strict=True):
                yield future.result()
                progress("read and fingerprint", piece.last, total, "exchanges")
        finally:
            for future in waiting:
                future.cancel()


def _one(piece: Piece, folder: Path | None) -> _Kept:
    if folder is None:
        made = _made(piece)
        return made, _postings(made)
    path = folder / f"{piece_key(piece)}.arrow"
    index = path.with_suffix(".postings")
    if not (_whole(path, piece.rows) and _readable(index)):
        made = _made(piece)
        _written(index, _postings(made).write)
        _written(path, partial(_write, made.drop_columns(["sketch"])))
    return path, index


def _written(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_suffix(f".new-{os.getpid()}-{path.suffix[1:]}")
    write(fresh)
    fresh.replace(path)


def _write(made: pa.Table, path: Path) -> None:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _FILED, options=options) as writer:
        writer.write_table(made, max_chunksize=_LINES)


def _postings(made: pa.Table) -> Postings:
    return Postings.of(Ragged.of(made["sketch"]), made["row"].to_numpy())


def _made(piece: Piece) -> pa.Table:
    order = pa.array(_by_account(piece))
    made = pa.Table.from_batches(fingerprints(piece), _MADE).combine_chunks().take(order)
    prompts = pa.array(whole_prompts(Ragged.of(made["sketch"])))
    return made.append_column(_SCHEMA.field("row"), order.cast(pa.uint32())).append_column("prompt", prompts)


def _by_account(piece: Piece) -> npt.NDArray[np.int64]:
    """Return the rows of a piece in the order of their accounts' spelling."""
    coded = piece_column(piece, "account_id").combine_chunks().dictionary_encode()
    rank = np.empty(len(coded.dictionary), np.int64)
    rank[pc.array_sort_indices(coded.dictionary).to_numpy()] = np.arange(len(rank))
    return np.argsort(rank[coded.indices.to_numpy()], kind="stable")


def fingerprints(piece: Piece) -> Iterator[pa.RecordBatch]:
    """Yield fingerprints made from text where there is text, and as the dataset stores them elsewhere.

    Batches are those of :func:`~stillwatch.tables.pieces.piece_batches`: 65,536 rows but the last.

    >>> list(fingerprints(Piece(Path("none.parquet"), (), 0, 0)))
    []
    """
    for batch in piece_batches(piece, [*_TEXTS, "modalities", *FINGERPRINT_COLUMNS]):
        table = pa.Table.from_batches([batch])
        table = _with(table, "novelty", pc.if_else(pc.is_valid(table["novelty"]), True, None))
        if any(table[name].null_count < len(table) for name in _TEXTS):
            table = _refingerprint(table)
        filled = np.zeros(len(table), np.uint8)
        for bit, name in enumerate(FINGERPRINT_COLUMNS):
            filled |= pc.is_valid(table[name]).to_numpy().astype(np.uint8) << np.uint8(bit)
        table = table.select([field.name for field in _MARKS]).append_column("filled", pa.array(filled))
        yield from table.cast(_MADE).to_batches()


def _refingerprint(table: pa.Table) -> pa.Table:
    """Fingerprint the rows with text; keep the stored fingerprint of rows without any."""
    has_text = pc.or_(
        pc.is_valid(table["prompt_text"]), pc.or_(pc.is_valid(table["system_text"]), pc.is_valid(table["tools_json"]))
    )
    made = marks(table.drop_columns(list(FINGERPRINT_COLUMNS)))
    for name in FINGERPRINT_COLUMNS:
        fresh = made[name].cast(table[name].type)
        if table[name].null_count < len(table):
            fresh = pc.if_else(has_text, fresh, table[name])
        table = _with(table, name, fresh)
    return table


def _with(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, column)


def piece_key(piece: Piece) -> str:
    """Name a piece by its file's footer, size and time of change, its row groups, and the kernels' version.

    >>> piece_key(Piece(Path("none.parquet"), (), 0, 0))
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    about = piece.file.stat()
    with piece.file.open("rb") as file:
        file.seek(max(0, about.st_size - 8))
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(0, about.st_size - 8 - length))
        footer = blake2b(file.read(length), digest_size=16).hexdigest()
    identity = [footer, about.st_size, about.st_mtime_ns, piece.groups, _kernels()]
    return blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()


@cache
def _kernels() -> list[object]:
    rules = sorted((file.name, file.read_bytes()) for file in (files("stillwatch.signals") / "rules").iterdir())
    return [_LAYOUT, FORMAT, blake2b(repr(rules).encode(), digest_size=16).hexdigest()]


def _whole(path: Path, rows: int) -> bool:
    """Say whether a file holds all the rows of its piece; a broken one is made anew."""
    if not path.exists():
        return False
    try:
        return len(_read(path, ["capability"])) == rows
    except (pa.ArrowInvalid, OSError):
        return False


def _readable(index: Path) -> bool:
    """Say whether postings are there and whole."""
    try:
        Postings.read(index)
    except (pa.ArrowInvalid, OSError):
        return False
    return True


def _read(path: Path, columns: list[str]) -> pa.Table:
    with _opened(path, columns) as reader:
        return reader.read_all().select(columns)


@contextmanager
def _opened(path: Path, columns: list[str]) -> Iterator[pa.RecordBatchFileReader]:
    places = sorted(_FILED.get_field_index(name) for name in columns)
    options = pa.ipc.IpcReadOptions(included_fields=places, use_threads=False)
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source, options=options) as reader:
        yield reader
