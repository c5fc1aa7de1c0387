"""Object storage through a real S3 server: what a path does for files, and scans of what lies there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stillwatch.cases.scan import scan
from stillwatch.cases.source import source
from stillwatch.errors import DatasetError
from stillwatch.tables import Dataset
from stillwatch.tables.objects import ObjectPath, located

from .results import results

Bucket = tuple[Path, ObjectPath]


def test_objects_are_found_read_and_measured_like_files(bucket: Bucket) -> None:
    """Existence, size, time of change, bytes from any place, and the names below a prefix."""
    folder, address = bucket
    file = folder / "data" / "exchanges" / "day=2026-01-02" / "part-ä.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"0123456789")
    (found,) = (address / "data" / "exchanges").glob("day=*/*.parquet")
    assert (found.name, found.parent.name) == (file.name, "day=2026-01-02")
    assert found.exists()
    assert (address / "data").exists()
    assert found.stat().st_size == 10
    assert abs(found.stat().st_mtime_ns - file.stat().st_mtime_ns) < 2 * 10**9
    with found.open() as handle:
        handle.seek(7)
        assert handle.read() == b"789"
    pq.write_table(Dataset(folder).accounts(), folder / "data" / "ü b.parquet")
    assert pq.read_table(address / "data" / "ü b.parquet").num_rows == 0


def test_what_is_not_there_is_said_to_be_missing(bucket: Bucket) -> None:
    """The innocent twin: no object, no size, no names, and a dataset error that names the address."""
    _, address = bucket
    assert not (address / "none").exists()
    assert list(address.glob("day=*/*.parquet")) == []
    with pytest.raises(FileNotFoundError):
        (address / "none").stat()
    with pytest.raises(DatasetError, match=f"^{address}/none holds no dataset"):
        Dataset.open(str(address / "none"))


def test_a_dataset_reads_the_same_from_storage(bucket: Bucket, tiny: Dataset) -> None:
    """Days, rows, accounts and launches are those of the folder that was uploaded."""
    folder, address = bucket
    shutil.copytree(tiny.path, folder / "data", ignore=shutil.ignore_patterns("labels"))
    there = Dataset.open(str(address / "data"))
    assert there.days() == tiny.days()
    assert there.count_exchanges() == tiny.count_exchanges()
    assert there.accounts().equals(tiny.accounts())
    assert there.launches().equals(tiny.launches())
    first = next(there.batches(["exchange_id", "prompt_text"]))
    assert first.equals(next(tiny.batches(["exchange_id", "prompt_text"])))


def test_a_scan_from_storage_finds_what_a_scan_of_the_folder_finds(
    bucket: Bucket, tiny: Dataset, tmp_path: Path
) -> None:
    """Byte for byte, template heads included; what was condensed before is not condensed again."""
    folder, address = bucket
    shutil.copytree(tiny.path, folder / "data", ignore=shutil.ignore_patterns("labels"))
    wanted = results(scan(tiny, tmp_path / "here").path)
    with source(str(address / "data"), keep=tmp_path / "kept") as found:
        assert results(scan(found.dataset, tmp_path / "there").path) == wanted
    kept = times(tmp_path / "kept")
    with source(str(address / "data"), keep=tmp_path / "kept") as again:
        assert times(again.dataset.path) == kept
        assert "prompt_text" not in pq.read_schema(again.dataset.exchange_files()[0]).names


def times(folder: Path) -> dict[str, int]:
    """Return when each file of exchanges was written."""
    return {file.name: file.stat().st_mtime_ns for file in Dataset(folder).exchange_files()}


def test_addresses_are_told_from_folders() -> None:
    """Only s3:// is storage; a folder that looks odd stays a folder."""
    assert isinstance(located("s3://a/b"), ObjectPath)
    assert isinstance(located("./s3/a"), Path)
