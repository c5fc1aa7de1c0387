"""Stories of the main job: campaigns found, innocents left alone, whatever way the same exchanges came in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stillwatch.simulate import load_world, simulate
from stillwatch.tables import Dataset

PLANTED = {"reasoning", "low_and_slow", "reseller_fleet"}
Result = Any


def test_a_tiny_worlds_campaigns_are_found(scanned: Result, truth: dict[str, str | None]) -> None:
    """Each planted campaign is reported as one: half its accounts or more in one group that is half pure or more."""
    sizes = Counter(truth.values())
    for name in sorted(PLANTED):
        hits = {
            campaign: sum(truth[a] == name for a in members) / max(sizes[name], 2 * len(members) * 0.5)
            for campaign, members in scanned.accused.items()
        }
        best = max(hits, key=lambda campaign: hits[campaign])
        found = sum(truth[a] == name for a in scanned.accused[best])
        assert found >= 0.5 * sizes[name], name
        assert found >= 0.5 * len(scanned.accused[best]), name


def test_no_innocent_group_is_accused(scanned: Result, truth: dict[str, str | None]) -> None:
    """Every accusation is mostly of a planted campaign, and hardly an innocent account is swept in."""
    assert set(scanned.truths(truth).values()) <= PLANTED
    innocent = sum(truth[a] is None for members in scanned.accused.values() for a in members)
    assert innocent <= 3


def test_every_account_is_ranked_members_first(scanned: Result, truth: dict[str, str | None]) -> None:
    """All accounts have log odds: members' positive, others' negative, missed members mostly above the innocent."""
    odds = {row["account_id"]: row["log_odds"] for row in pq.read_table(scanned.out / "scores.parquet").to_pylist()}
    members = set().union(*scanned.members.values())
    assert odds.keys() == truth.keys()
    assert all(odds[account] >= 0 for account in members)
    rest = sorted(truth.keys() - members, key=lambda account: -odds[account])
    missed = [place / len(rest) for place, account in enumerate(rest) if truth[account]]
    assert all(odds[account] < 0 for account in rest)
    assert sum(missed) <= 0.25 * len(missed)


def test_the_null_twin_of_that_world_reports_none(
    once: Callable[..., Path], command: Callable[..., Any], result: Callable[[Path], Result], tmp_path: Path
) -> None:
    """The same world without its campaigns: nobody is accused."""
    world = once("tiny-null", lambda folder: simulate(load_world("tiny-null"), folder, seed=2))
    done = command("scan", world, "--out", tmp_path / "out", "--quiet", "--no-report")
    assert done.returncode == 0, done.stderr
    assert result(tmp_path / "out").accused == {}


def test_what_was_taken_is_counted_about_right(scanned: Result, tiny: Dataset, truth: dict[str, str | None]) -> None:
    """The exchanges reported of each campaign are mostly its own, and most of its own are reported."""
    of = {row["exchange_id"]: row["campaign_id"] for row in tiny.labels()[1].to_pylist()}
    taken = pq.read_table(scanned.out / "campaign_exchanges.parquet").to_pylist()
    for campaign, name in scanned.truths(truth).items():
        mine = [of[row["exchange_id"]] for row in taken if row["campaign_id"] == campaign]
        assert mine.count(name) >= 0.9 * len(mine)
        assert mine.count(name) >= 0.6 * sum(value == name for value in of.values())


def test_content_free_gives_the_same_campaigns_as_text(scan_of: Callable[..., Result]) -> None:
    """Fingerprints alone: the same campaigns, ids, members and exchanges; no head of a prompt is shown."""
    with_text, without = scan_of("litellm"), scan_of("litellm", "--content-free")
    assert with_text.members == without.members
    assert [c["verdict"] for c in with_text.campaigns] == [c["verdict"] for c in without.campaigns]
    for name in ("members", "campaign_exchanges"):
        assert (with_text.out / f"{name}.parquet").read_bytes() == (without.out / f"{name}.parquet").read_bytes()
    assert (
        pq.read_table(without.out / "templates.parquet")["head"].null_count
        == pq.read_metadata(without.out / "templates.parquet").num_rows
    )


def test_a_content_free_dataset_holds_no_text(ingested: Callable[..., Path]) -> None:
    """No prompt, answer, system text or tool definition is on disk, in any column of any file."""
    folder = ingested("litellm", "--content-free")
    for file in folder.glob("exchanges/*/*.parquet"):
        table = pq.ParquetFile(file).read(columns=["prompt_text", "system_text", "tools_json", "response_text"])
        assert all(column.null_count == len(column) for column in table.columns)


@pytest.mark.parametrize("form", ["litellm", "otel"])
def test_raw_logs_give_the_campaigns_of_the_canonical_tables(
    form: str, scan_of: Callable[..., Result], scanned: Result
) -> None:
    """The same world through a reader: the same accused accounts but a few, and absent columns are named."""
    logs = scan_of(form)
    ours, theirs = (set().union(*r.accused.values()) for r in (scanned, logs))
    assert len(ours & theirs) >= 0.9 * len(ours | theirs)
    assert len(logs.accused) == len(scanned.accused)
    missing = {r: set(json.loads((r.out / "run.json").read_text())["missing_evidence"]) for r in (scanned, logs)}
    assert missing[scanned] <= missing[logs]


def test_ingesting_the_same_files_twice_leaves_identical_bytes(
    ingested: Callable[..., Path], raw: Callable[[str], Path], command: Callable[..., Any], tmp_path: Path
) -> None:
    """The second run counts every exchange as there already and changes no table."""
    source, folder = raw("litellm"), tmp_path / "again"
    day = sorted((source / "logs").iterdir())[0]
    arguments = ["ingest", day, "--accounts", source / "accounts.ndjson", "--into", folder, "--json"]
    first = command(*arguments)
    before = {f.relative_to(folder): f.read_bytes() for f in sorted(folder.rglob("*.parquet"))}
    second = command(*arguments)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert json.loads(second.stdout)["added"] == 0
    assert json.loads(second.stdout)["duplicates"] == json.loads(first.stdout)["added"] > 0
    assert {f.relative_to(folder): f.read_bytes() for f in sorted(folder.rglob("*.parquet"))} == before
