"""What a scan reads of its input beside the frame, and what of it is kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stillwatch.cases import inputs
from stillwatch.cases.inputs import DIGESTS, HEADS, input_sha256, prompt_heads
from stillwatch.signals.text import masked_head
from stillwatch.tables import Dataset
from stillwatch.tables.pieces import piece_column

DAY = 86_400_000_000
WriteDataset = Callable[..., Dataset]


def some_rows(days: int) -> list[dict[str, Any]]:
    """Three exchanges a day, the last of each without a prompt."""
    return [
        {
            "exchange_id": f"e{day}-{n}",
            "account_id": f"a{n}",
            "ts": day * DAY + n,
            "model": "m",
            "prompt_text": f"Explain case {day}.{n} in detail" if n < 2 else None,
        }
        for day in range(days)
        for n in range(3)
    ]


def plain_sha256(dataset: Dataset) -> str:
    """Names and digests of all files, one after the other."""
    digest = hashlib.sha256()
    for file in [*dataset.exchange_files(), dataset.path / "accounts.parquet"]:
        if file.exists():
            digest.update(str(file.relative_to(dataset.path)).encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def test_the_hash_of_the_input_is_that_of_all_bytes(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """With digests kept or not, with a changed file or a broken folder of digests, it is the hash of what is there."""
    dataset, keep = write_dataset(some_rows(3)), tmp_path / "kept"
    keep.mkdir()
    assert input_sha256(dataset) == input_sha256(dataset, keep) == input_sha256(dataset, keep) == plain_sha256(dataset)
    file = dataset.exchange_files()[0]
    file.write_bytes(file.read_bytes() + b"more")
    assert input_sha256(dataset, keep) == plain_sha256(dataset)
    (keep / DIGESTS).write_text("broken")
    assert input_sha256(dataset, keep) == plain_sha256(dataset)


def test_an_unchanged_file_is_hashed_once(
    write_dataset: WriteDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With digests kept, only the file that changed is read."""
    dataset = write_dataset(some_rows(3))
    input_sha256(dataset, tmp_path)
    read: list[Path] = []
    sha256 = inputs._sha256

    def counting(file: Path) -> str:
        read.append(file)
        return sha256(file)

    monkeypatch.setattr(inputs, "_sha256", counting)
    input_sha256(dataset, tmp_path)
    assert not read
    changed = dataset.exchange_files()[1]
    changed.write_bytes(changed.read_bytes() + b"more")
    input_sha256(dataset, tmp_path)
    assert read == [changed]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the days whose prompt texts are read from now on, as they are."""
    days: list[str] = []

    def counting(piece: Any, name: str) -> pa.ChunkedArray:
        if name == "prompt_text":
            days.append(piece.file.parent.name)
        return piece_column(piece, name)

    monkeypatch.setattr(inputs, "piece_column", counting)
    return days


def test_heads_are_those_of_the_prompts_and_read_no_other_text(write_dataset: WriteDataset, read: list[str]) -> None:
    """Prompts of the wanted exchanges are masked; the text of other days is not read; no prompt, no head."""
    dataset = write_dataset(some_rows(4))
    heads = prompt_heads(dataset, ["e1-0", "e1-2", "e3-1", "unknown"])
    assert heads == {e: masked_head(f"Explain case {e[1]}.{e[3]} in detail") for e in ("e1-0", "e3-1")}
    assert sorted(read) == ["day=1970-01-02", "day=1970-01-04"]


def test_heads_that_are_kept_are_not_read_again(write_dataset: WriteDataset, tmp_path: Path, read: list[str]) -> None:
    """With a folder, a second call reads new exchanges and changed files alone; a broken folder is read past."""
    dataset = write_dataset(some_rows(4))
    first = prompt_heads(dataset, ["e1-0", "e1-2", "e3-1"], tmp_path)
    read.clear()
    assert prompt_heads(dataset, ["e1-0", "e1-2", "e3-1"], tmp_path) == first
    assert not read
    more = prompt_heads(dataset, ["e1-0", "e2-0"], tmp_path)
    assert (set(more), read) == ({"e1-0", "e2-0"}, ["day=1970-01-03"])
    os.utime(dataset.exchange_files()[1], ns=(0, 0))
    assert prompt_heads(dataset, ["e1-0", "e2-0"], tmp_path) == more
    assert read[1:] == ["day=1970-01-02"]
    (tmp_path / HEADS).write_text("[]")
    assert prompt_heads(dataset, ["e1-0", "e2-0"], tmp_path) == more
