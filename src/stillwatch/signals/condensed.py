"""A dataset -> the same dataset without its text: fingerprints stand for it, and a scan of it finds the same.

What is far away (object storage) or too much for one machine is read once, a piece at a time, by whoever has hands:
the threads of this machine or the executors of a cluster. What they write is a dataset like any other, and stays as
long as its folder does (docs/decisions/0011-spark.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.errors import DatasetError
from stillwatch.signals.stored import fingerprints, piece_key
from stillwatch.tables import EXCHANGES, Dataset
from stillwatch.tables.pieces import Piece, piece_batches, pieces
from stillwatch.tables.schema import FINGERPRINT_COLUMNS, TEXT_COLUMNS
from stillwatch.tables.threads import mapped
from stillwatch.types import Progress, silent

T = TypeVar("T")
NOTE = "condensed.json"
_MADE = tuple(name for name in FINGERPRINT_COLUMNS if name != "novelty")
_LIGHT = [name for name in EXCHANGES.names if name not in (*TEXT_COLUMNS, *FINGERPRINT_COLUMNS)]
_SCHEMA = pa.schema([EXCHANGES.field(name) for name in (*_LIGHT, *_MADE)])


class Share(Protocol):
    """Who does the work: yields ``work(piece)`` of every piece in order (threads, or a cluster's executors)."""

    def __call__(self, parts: list[Piece], work: Callable[[Piece], T], /) -> Iterable[T]:
        """Do the work of each piece."""


def condense(dataset: Dataset, folder: Path, *, share: Share = mapped, progress: Progress = silent) -> Dataset:
    """Write a dataset without text into ``folder`` and return it; only files that are new are read.

    ``folder`` is this dataset's alone. Files whose source has changed or gone are removed. ``novelty`` is left out: it
    depends on what is fingerprinted together. Accounts and launches come along; labels, rejects and coverage do not.
    Raises :class:`DatasetError` when the dataset breaks the contract, or ``folder`` holds anything else.

    >>> import tempfile
    >>> from stillwatch.tables import DatasetWriter
    >>> row = {"exchange_id": "e", "account_id": "a", "ts": 0, "model": "m", "prompt_text": "Explain gravity to me"}
    >>> with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as folder:
    ...     with DatasetWriter(data) as writer:
    ...         writer.add_exchanges(pa.Table.from_pylist([row]))
    ...         writer.commit()
    ...     small = condense(Dataset.open(data), Path(folder))
    ...     [batch.to_pylist() for batch in small.batches(["account_id", "prompt_text", "capability"])]
    [[{'account_id': 'a', 'prompt_text': None, 'capability': 0}]]
    """
    _take(folder, dataset)
    parts = pieces(dataset)
    total = sum(piece.rows for piece in parts)
    done = 0
    made = set()
    for piece, file in zip(parts, share(parts, partial(_condensed, folder)), strict=True):
        made.add(folder / file)
        done += piece.rows
        progress("fingerprint", done, total, "exchanges")
    for stale in set(Dataset(folder).exchange_files()) - made:
        stale.unlink()
    for name, table in (("accounts", dataset.accounts()), ("launches", dataset.launches())):
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    return Dataset(folder, origin=dataset)


def _take(folder: Path, dataset: Dataset) -> None:
    """Note whose folder this is; what is not ours is never written over or removed."""
    folder.mkdir(parents=True, exist_ok=True)
    note, mine = folder / NOTE, {"condensed_from": str(dataset.path.resolve())}
    there = json.loads(note.read_text()) if note.exists() else None
    if there not in (None, mine) or (there is None and (folder / "exchanges").exists()):
        whose = "another dataset" if there is None else there["condensed_from"]
        raise DatasetError(f"{folder} holds {whose}; choose a folder for {dataset.path} alone")
    note.write_text(json.dumps(mine))


def _condensed(folder: Path, piece: Piece) -> str:
    """Write a piece's file unless it is there; return its name in the folder."""
    name = f"exchanges/{piece.file.parent.name}/part-{piece_key(piece)}.parquet"
    path = folder / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".new-{os.getpid()}")
        with pq.ParquetWriter(fresh, _SCHEMA, compression="zstd", use_dictionary=_LIGHT) as writer:
            for light, made in zip(piece_batches(piece, _LIGHT), fingerprints(piece), strict=True):
                writer.write_batch(pa.record_batch([*light.columns, *made.select(list(_MADE)).columns], _SCHEMA))
        fresh.replace(path)
    return name
