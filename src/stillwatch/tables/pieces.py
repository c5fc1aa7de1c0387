"""A dataset in pieces: runs of rows of one exchange file, small enough to hold, so that work on them can be shared out.

Rows are numbered piece by piece in *file order*; a column of that order is what :func:`piece_column` gives, piece
after piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.errors import DatasetError
from stillwatch.tables.schema import EXCHANGES
from stillwatch.tables.store import Dataset, conform

MOST_ROWS = 1 << 18


@dataclass(frozen=True)
class Piece:
    """Some row groups of one exchange file: ``rows`` of them from row ``first`` (file order of the dataset) on.

    >>> Piece(Path("day=2026-01-01/part-0.parquet"), (0,), 0, 7).last
    7
    """

    file: Path
    groups: tuple[int, ...]
    first: int
    rows: int
    footer: pq.FileMetaData | None = field(default=None, compare=False, repr=False)

    @property
    def last(self) -> int:
        """Return the row behind the piece's last one.

        >>> Piece(Path("a.parquet"), (0,), 5, 2).last
        7
        """
        return self.first + self.rows


def pieces(dataset: Dataset, *, rows: int = MOST_ROWS) -> list[Piece]:
    """Cut a dataset into pieces of whole row groups, of at most ``rows`` rows where a single row group allows it.

    Raises :class:`DatasetError` for a file that is no Parquet.

    >>> pieces(Dataset(Path("no-such-folder")))
    []
    """
    found: list[Piece] = []
    first = 0
    for file in dataset.exchange_files():
        try:
            footer = pq.read_metadata(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(f"{file} is not a readable Parquet file: {error}") from error
        for groups, size in _runs([footer.row_group(g).num_rows for g in range(footer.num_row_groups)], rows):
            found.append(Piece(file, groups, first, size, footer))
            first += size
    return found


def _runs(sizes: list[int], most: int) -> Iterator[tuple[tuple[int, ...], int]]:
    groups: list[int] = []
    total = 0
    for number, size in enumerate(sizes):
        if groups and total + size > most:
            yield tuple(groups), total
            groups, total = [], 0
        groups.append(number)
        total += size
    if total:
        yield tuple(groups), total


def piece_batches(piece: Piece, columns: list[str], *, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
    """Yield a piece's rows in batches, columns typed as the contract says; a column that the file lacks is null.

    Raises :class:`DatasetError` as :func:`stillwatch.tables.store.conform` does.

    >>> list(piece_batches(Piece(Path("none.parquet"), (), 0, 0), ["model"]))
    []
    """
    if not piece.groups:
        return
    schema = pa.schema([EXCHANGES.field(name) for name in columns])
    with pq.ParquetFile(piece.file, metadata=piece.footer) as parquet:
        there = [name for name in columns if name in parquet.schema_arrow.names]
        if not there:
            nulls = {name: pa.nulls(piece.rows, schema.field(name).type) for name in columns}
            yield from conform(pa.table(nulls), schema).to_batches()
            return
        for batch in parquet.iter_batches(
            batch_size=rows, row_groups=list(piece.groups), columns=there, use_threads=False
        ):
            yield from conform(pa.Table.from_batches([batch]), schema).to_batches()


def piece_column(piece: Piece, name: str) -> pa.ChunkedArray:
    """Return one column of a piece, typed as the contract says.

    >>> len(piece_column(Piece(Path("none.parquet"), (), 0, 0), "model"))
    0
    """
    batches = piece_batches(piece, [name], rows=MOST_ROWS)
    return pa.chunked_array([batch.column(0) for batch in batches], EXCHANGES.field(name).type)


def check_columns(piece: Piece, columns: tuple[str, ...]) -> None:
    """Raise :class:`DatasetError` when the piece's file has a column of a type that the contract cannot read.

    >>> check_columns(Piece(Path("none.parquet"), (), 0, 0), ("model",))
    """
    if piece.footer is None:
        return
    found = piece.footer.schema.to_arrow_schema().empty_table()
    there = [name for name in columns if name in found.column_names]
    missing = [name for name in columns if name not in there and not EXCHANGES.field(name).nullable]
    if missing:
        raise DatasetError(f"column {missing[0]!r} is required and missing")
    conform(found.select(there), pa.schema([EXCHANGES.field(name) for name in there]))


def null_count(piece: Piece, name: str) -> int:
    """Return how many rows of a piece lack a column: from the file's statistics where it has them, else by reading.

    >>> null_count(Piece(Path("none.parquet"), (), 0, 0), "model")
    0
    """
    footer = piece.footer
    if footer is None:
        return int(piece_column(piece, name).null_count)
    leaves = [n for n in range(footer.num_columns) if footer.schema.column(n).path.split(".")[0] == name]
    if not leaves:
        return piece.rows
    if len(leaves) == 1 and footer.schema.column(leaves[0]).path == name:
        known = [footer.row_group(group).column(leaves[0]).statistics for group in piece.groups]
        if all(one is not None and one.has_null_count for one in known):
            return sum(int(one.null_count) for one in known)
    return int(piece_column(piece, name).null_count)
