"""The main job as a function: settings checked, stages recorded, ids from the right folder, files moved at the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stillwatch.cases import scan as scanning
from stillwatch.cases.folder import TABLES, ScanOutput
from stillwatch.cases.inputs import DIGESTS, HEADS
from stillwatch.cases.scan import LEAST_ACCOUNTS, ScanSettings, Stages, scan
from stillwatch.cli import app
from stillwatch.errors import DatasetError
from stillwatch.signals import stored
from stillwatch.signals.stored import kept_files
from stillwatch.tables import Dataset

WriteDataset = Callable[..., Dataset]
START = 1_780_000_000_000_000


def small(n: int = 4) -> list[dict[str, Any]]:
    """Return a few exchanges of n accounts."""
    return [{"account_id": f"a{i:03d}", "ts": START + i * 10**9, "prompt_text": f"what of {i}"} for i in range(n)]


def test_the_out_folder_holds_the_files_of_the_contract(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """Campaigns, what was considered, the run and every table; nothing is left of the staging."""
    scan(write_dataset(small()), tmp_path / "out")
    wanted = {"campaigns.json", "cases.json", "considered.json", "run.json", *(f"{name}.parquet" for name in TABLES)}
    assert {path.name for path in (tmp_path / "out").iterdir()} == wanted


def test_the_run_says_what_was_scanned_and_how(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """Version, parameters, seed, input hash, rows, coverage, missing evidence, and time and memory by stage."""
    scan(write_dataset(small()), tmp_path / "out", ScanSettings(q=0.05, seed=9))
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["parameters"]["q"], run["seed"]) == (0.05, 9)
    assert run["rows"] == {"exchanges": 4, "accounts": 4, "rejects": 0}
    assert len(run["input_sha256"]) == 64
    assert "ip" in run["missing_evidence"]
    assert "prompt_text" not in run["missing_evidence"]
    assert all(stage["seconds"] >= 0 and stage["peak_mb"] > 0 for stage in run["stages"])


def test_rejects_beside_the_dataset_are_counted(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """Lines that ingest could not read are part of what the run reports."""
    data = write_dataset(small())
    (data.path / "rejects").mkdir()
    (data.path / "rejects" / "one.ndjson").write_text("{}\n{}\n")
    assert scan(data, tmp_path / "out").run.rows["rejects"] == 2


def test_the_input_hash_follows_the_input(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """The same rows have the same hash; one more row has another."""
    datasets = [write_dataset(small()), write_dataset(small()), write_dataset(small(5))]
    one, same, other = (scan(data, tmp_path / f"o{i}").run.input_sha256 for i, data in enumerate(datasets))
    assert one == same != other


def test_too_few_accounts_are_not_searched(
    write_dataset: WriteDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the least number there is no crowd to compare with: no search begins."""

    def searched(*_: Any, **__: Any) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr(scanning, "build_space", searched)
    assert scan(write_dataset(small(LEAST_ACCOUNTS - 1)), tmp_path / "out").campaigns == []
    with pytest.raises(AssertionError, match="searched"):
        scan(write_dataset(small(LEAST_ACCOUNTS)), tmp_path / "out")


@pytest.mark.parametrize(("previous", "asked"), [(None, "out"), ("before", "before")])
def test_ids_come_from_the_folder_named_or_else_the_out_folder(
    previous: str | None, asked: str, write_dataset: WriteDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`previous` names the earlier scan; without it, what is in the out folder is the earlier scan."""
    for name in ("out", "before"):
        scan(write_dataset(small()), tmp_path / name)
    seen: list[Path] = []
    monkeypatch.setattr(scanning, "known_campaigns", lambda folder: seen.append(folder) or [])
    settings = ScanSettings(previous=tmp_path / previous if previous else None)
    scan(write_dataset(small()), tmp_path / "out", settings)
    assert seen == [tmp_path / asked]


def test_an_earlier_scan_that_is_not_there_is_an_error(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """A mistyped `previous` must not quietly give every campaign a new id."""
    with pytest.raises(DatasetError, match="mistyped holds no scan"):
        scan(write_dataset(small()), tmp_path / "out", ScanSettings(previous=tmp_path / "mistyped"))


def results(out: Path) -> dict[str, bytes]:
    """Return the files of a scan, but for the run, which says how long it took."""
    return {file.name: file.read_bytes() for file in out.iterdir() if file.name != "run.json"}


def test_a_grown_dataset_costs_its_new_files_and_gives_the_same_bytes(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `keep` the scan of one day more, and of late rows of an old day, fingerprints these alone; campaigns keep
    their ids, and the files are those of a scan from nothing.
    """
    copy = tmp_path / "data"
    shutil.copytree(tiny.path, copy, ignore=shutil.ignore_patterns("labels"))
    files = Dataset.open(copy).exchange_files()
    old, new, late = files[3], files[-1], files[3].with_name("late.parquet")
    rows = pq.read_table(old)
    pq.write_table(rows.slice(0, 1000), old)
    new.rename(tmp_path / new.name)
    scan(Dataset.open(copy), tmp_path / "out", ScanSettings(keep=tmp_path / "kept"))
    before = {campaign.campaign_id for campaign in ScanOutput.open(tmp_path / "out").campaigns}
    (tmp_path / new.name).rename(new)
    pq.write_table(rows.slice(1000), late)
    fresh = pq.read_metadata(new).num_rows + len(rows) - 1000
    seen: list[int] = []
    marks = stored.marks

    def counting(table: pa.Table) -> pa.Table:
        seen.append(len(table))
        return marks(table)

    monkeypatch.setattr(stored, "marks", counting)
    shutil.copytree(tmp_path / "out", tmp_path / "again")
    grown, whole = Dataset.open(copy), tmp_path / "again"
    scan(grown, tmp_path / "out", ScanSettings(keep=tmp_path / "kept"))
    assert sum(seen) == fresh
    scan(grown, whole)
    assert sum(seen) == fresh + grown.count_exchanges()
    assert results(tmp_path / "out") == results(whole)
    assert before & {campaign.campaign_id for campaign in ScanOutput.open(whole).campaigns}


def test_a_redelivered_row_is_refused_and_nothing_is_lost(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """A file that holds an exchange of another is an error that names it; without the file all goes on as before."""
    dataset, out = write_dataset(small()), tmp_path / "out"
    kept = ScanSettings(keep=tmp_path / "kept")
    scan(dataset, out, kept)
    before, file = results(out), dataset.exchange_files()[0]
    again = file.with_name("again.parquet")
    pq.write_table(pq.read_table(file).slice(0, 1), again)
    with pytest.raises(DatasetError, match="more than once, such as"):
        scan(dataset, out, kept)
    assert results(out) == before
    again.unlink()
    scan(dataset, out, kept)
    assert results(out) == before


def test_a_day_delivered_anew_is_read_anew_and_forgotten_accounts_leave_nothing(tiny: Dataset, tmp_path: Path) -> None:
    """A file with other rows under its old name gives the scan of what is there now; after `forget` no partial result
    is kept, and the search of the folder finds nothing.
    """
    copy, kept, out = tmp_path / "data", tmp_path / "kept", tmp_path / "out"
    shutil.copytree(tiny.path, copy, ignore=shutil.ignore_patterns("labels"))
    scan(Dataset.open(copy), out, ScanSettings(keep=kept))
    file = Dataset.open(copy).exchange_files()[3]
    pq.write_table(pq.read_table(file).slice(500), file)
    shutil.copytree(out, tmp_path / "again")
    scan(Dataset.open(copy), out, ScanSettings(keep=kept))
    scan(Dataset.open(copy), tmp_path / "again")
    assert results(out) == results(tmp_path / "again")
    gone = ScanOutput.open(out).table("members")["account_id"][0].as_py()
    assert kept_files(kept)
    assert (kept / HEADS).exists()
    done = CliRunner().invoke(
        app, ["forget", str(copy), "--account", gone, "--scan", str(out), "--keep", str(kept), "--yes", "--json"]
    )
    assert (done.exit_code, json.loads(done.stdout)["left"]) == (0, [])
    assert {file.name for file in kept.iterdir()} == {DIGESTS}


def test_a_scan_since_a_day_is_one_of_a_dataset_that_begins_there(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier exchanges take no part, and what is kept of them stays: a scan of all days then reads no text."""
    copy, kept = tmp_path / "data", tmp_path / "kept"
    shutil.copytree(tiny.path, copy, ignore=shutil.ignore_patterns("labels"))
    whole = Dataset.open(copy)
    scan(whole, tmp_path / "all", ScanSettings(keep=kept))
    day = date.fromisoformat(whole.days()[2])
    since = scan(whole.since(day), tmp_path / "since", ScanSettings(keep=kept))
    monkeypatch.setattr(stored, "marks", None)
    scan(whole, tmp_path / "all again", ScanSettings(keep=kept))
    monkeypatch.undo()
    for earlier in whole.days()[:2]:
        shutil.rmtree(copy / "exchanges" / f"day={earlier}")
    scan(Dataset.open(copy), tmp_path / "begins", ScanSettings())
    assert results(tmp_path / "since") == results(tmp_path / "begins")
    assert results(tmp_path / "all") == results(tmp_path / "all again") != results(tmp_path / "since")
    assert since.run.parameters["since"] == day.isoformat()


def test_a_day_after_the_last_is_an_error_that_says_which_is_the_last(write_dataset: WriteDataset) -> None:
    """A mistyped day must not look like a scan that found nothing."""
    with pytest.raises(DatasetError, match="no exchange from 2099-01-01 on; the last is of 2026-05-"):
        write_dataset(small()).since(date(2099, 1, 1))


def test_nothing_is_kept_unless_asked(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """A plain scan leaves its out folder and no fingerprints."""
    before = set(tmp_path.iterdir())
    dataset = write_dataset(small())
    scan(dataset, tmp_path / "out")
    assert set(tmp_path.iterdir()) - before == {dataset.path, tmp_path / "out"}


@pytest.mark.parametrize("keep", [False, True])
def test_the_dataset_is_no_folder_to_write_to(write_dataset: WriteDataset, tmp_path: Path, keep: bool) -> None:
    """Results and fingerprints are not mixed into the data they come from."""
    dataset = write_dataset(small())
    before = sorted(dataset.path.rglob("*"))
    out, settings = (tmp_path / "out", ScanSettings(keep=dataset.path)) if keep else (dataset.path, ScanSettings())
    with pytest.raises(DatasetError, match="is the dataset itself"):
        scan(dataset, out, settings)
    assert sorted(dataset.path.rglob("*")) == before


@pytest.mark.parametrize("name", ["out", "kept"])
def test_a_folder_that_cannot_be_made_is_said_before_the_work(
    name: str, write_dataset: WriteDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stands where the folder should: one line, and nothing was read for it."""
    (tmp_path / name).write_text("a file")
    monkeypatch.setattr(scanning, "read_frame", None)
    with pytest.raises(DatasetError, match=f"{name} cannot be written"):
        scan(write_dataset(small()), tmp_path / "out", ScanSettings(keep=tmp_path / "kept"))


def test_other_files_of_the_out_folder_stay(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """A person's notes and an earlier report are not the scan's to remove."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    scan(write_dataset(small()), tmp_path / "out")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_what_an_interrupted_scan_left_is_cleared(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """A staging folder of a scan that died is in nobody's way."""
    (tmp_path / "out" / ".new").mkdir(parents=True)
    (tmp_path / "out" / ".new" / "members.parquet").write_bytes(b"half")
    scan(write_dataset(small()), tmp_path / "out")
    assert not (tmp_path / "out" / ".new").exists()
    assert ScanOutput.open(tmp_path / "out").table("members").num_rows == 0


def test_stages_are_timed_by_the_clock_given() -> None:
    """Seconds come from the clock that is passed in, in the order of the stages."""
    ticks = iter([1.0, 3.5, 10.0, 10.25])
    stages = Stages(clock=lambda: next(ticks))
    with stages.stage("read", 7):
        pass
    with stages.stage("write"):
        pass
    assert [(s["name"], s["seconds"], s["rows"]) for s in stages.done] == [("read", 2.5, 7), ("write", 0.25, 0)]


def test_a_scan_can_be_moved(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """The out folder names no place: a copy elsewhere opens the same."""
    scan(write_dataset(small()), tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    assert ScanOutput.open(tmp_path / "elsewhere").campaigns == []
    assert str(tmp_path) not in (tmp_path / "elsewhere" / "run.json").read_text()
