"""A condensed dataset: no text in it, the same frame from it, and nobody else's files touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import DatasetError
from stillwatch.signals.condensed import NOTE, condense
from stillwatch.signals.frame import CODED, NUMBERS, read_frame
from stillwatch.tables import Dataset, DatasetWriter
from stillwatch.tables.pieces import Piece
from stillwatch.tables.schema import TEXT_COLUMNS

WriteDataset = Callable[..., Dataset]
DAY = 86_400_000_000
SECRET = "my secret recipe for soup with ¼ onion"
ROWS = [
    {"account_id": f"a{i % 5}", "ts": 20_600 * DAY + i * DAY // 4, "prompt_text": SECRET if i % 3 else None, "ip": "p"}
    for i in range(40)
]


def test_the_frame_of_a_condensed_dataset_is_the_frame_of_the_dataset(
    write_dataset: WriteDataset, tmp_path: Path
) -> None:
    """Codes, numbers, sketches, templates and cues; only novelty, which depends on the company, is left out."""
    data = write_dataset(ROWS, [{"account_id": "a1", "plan": "free"}], [{"model": "m", "released_at": 0}])
    small, whole = read_frame(condense(data, tmp_path / "small")), read_frame(data)
    assert small.account_ids.equals(whole.account_ids)
    assert small.exchange_ids.to_pylist() == whole.exchange_ids.to_pylist()
    for name in CODED:
        assert np.array_equal(small.code[name], whole.code[name])
    for name in NUMBERS:
        assert np.array_equal(small.number[name], whole.number[name], equal_nan=True)
    for name in ("ts", "template", "capability", "start"):
        assert np.array_equal(getattr(small, name), getattr(whole, name))
    assert np.array_equal(small.sketch.flat, whole.sketch.flat)
    assert (small.launches, small.attribute.keys()) == (whole.launches, whole.attribute.keys())
    assert {n for n, share in whole.coverage.items() if small.coverage[n] != share} == {"novelty"}


def test_nothing_of_the_text_is_in_the_folder(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """Neither a column nor a byte of it; where the text is stays known."""
    data = write_dataset(ROWS)
    small = condense(data, tmp_path / "small")
    for file in small.exchange_files():
        assert not set(TEXT_COLUMNS) & set(pq.read_schema(file).names)
        assert SECRET.encode() not in b"".join(repr(row).encode() for row in pq.read_table(file).to_pylist())
    assert small.texts.path == data.path


def test_only_new_files_are_read_and_gone_ones_dropped(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """A second call does no work; a new file costs itself alone; a removed source takes its file along."""
    data = write_dataset(ROWS)
    first = {file: file.stat().st_mtime_ns for file in condense(data, tmp_path / "small").exchange_files()}
    with DatasetWriter(data.path) as writer:
        writer.add_exchanges(pa.table({"exchange_id": ["new"], "account_id": ["a1"], "ts": [0], "model": ["m"]}))
        writer.commit()
    second = {file: file.stat().st_mtime_ns for file in condense(data, tmp_path / "small").exchange_files()}
    assert len(second) == len(first) + 1
    assert first.items() <= second.items()
    data.exchange_files()[0].unlink()
    assert len(condense(data, tmp_path / "small").exchange_files()) == len(first)


def test_a_folder_of_somebody_else_is_refused_and_left_alone(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """The dataset itself, another dataset, and what was condensed from another one."""
    one, two = write_dataset(ROWS), write_dataset(ROWS[:7])
    condense(two, tmp_path / "small")
    before = sorted(tmp_path.rglob("*"))
    for folder in (one.path, two.path, tmp_path / "small"):
        with pytest.raises(DatasetError, match="choose a folder for"):
            condense(one, folder)
    assert sorted(tmp_path.rglob("*")) == before
    assert not (one.path / NOTE).exists()


def test_whoever_does_the_work_gives_the_same_files(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """Hands that take the pieces backwards write the same bytes."""
    data = write_dataset(ROWS)

    def backwards(parts: list[Piece], work: Callable[[Piece], str]) -> list[str]:
        return [work(piece) for piece in reversed(parts)][::-1]

    ours, theirs = condense(data, tmp_path / "ours"), condense(data, tmp_path / "theirs", share=backwards)
    assert [f.read_bytes() for f in ours.exchange_files()] == [f.read_bytes() for f in theirs.exchange_files()]
