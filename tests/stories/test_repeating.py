"""Stories of scanning again: the same bytes, the same ids as data grow, nothing lost when interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stillwatch.cases import scan as scanning
from stillwatch.cases.folder import ScanOutput
from stillwatch.cases.scan import scan
from stillwatch.tables import Dataset, DatasetWriter

Result = Any
FIRST_DAYS = 7


def files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of a scan's files; of run.json all but the timings."""
    found = {f.name: f.read_bytes() for f in sorted(folder.iterdir()) if f.is_file()}
    about = json.loads(found["run.json"])
    about.pop("stages")
    return {**found, "run.json": json.dumps(about).encode()}


def test_scanning_twice_gives_the_same_bytes(scanned: Result, tiny: Dataset, tmp_path: Path) -> None:
    """Another process, another folder: every file the same but for the timings (the report aside)."""
    again = files(scan(tiny, tmp_path / "out").path)
    before = files(scanned.out)
    assert {name: before[name] for name in again} == again


@pytest.fixture(scope="module")
def early(tiny: Dataset, once: Callable[..., Path]) -> Path:
    """Return the first days of the tiny world, as the provider knew it then: later accounts and closures unknown."""

    def build(folder: Path) -> None:
        day = tiny.days()[FIRST_DAYS]
        for file in tiny.exchange_files():
            if file.parent.name < f"day={day}":
                target = folder / "exchanges" / file.parent.name
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
        accounts = tiny.accounts()
        cut = pa.scalar(f"{day}T00:00:00Z", pa.string()).cast(accounts.schema.field("created_at").type)
        accounts = accounts.filter(pc.less(accounts["created_at"], cut))
        closed = accounts["closed_at"]
        known = pc.if_else(pc.less(closed, cut), closed, None).cast(closed.type)
        accounts = accounts.set_column(accounts.schema.get_field_index("closed_at"), "closed_at", known)
        with DatasetWriter(folder) as writer:
            writer.set_accounts(accounts)
            writer.commit()

    return once("early", build)


def test_campaigns_keep_their_ids_as_data_grow(
    early: Path, tiny: Dataset, truth: dict[str, str | None], result: Callable[[Path], Result], tmp_path: Path
) -> None:
    """A scan after a week and one of everything: the same planted campaign has the same id, and newcomers join it."""
    out = tmp_path / "out"
    scan(Dataset.open(early), out)
    first = result(out)
    assert first.accused
    scan(tiny, out)
    second = result(out)
    names = second.truths(truth)
    for campaign, planted in first.truths(truth).items():
        assert names[campaign] == planted
    events = {c["campaign_id"]: c["lineage"] for c in second.campaigns}
    changed = [campaign for campaign, members in first.accused.items() if second.accused[campaign] != members]
    assert changed
    assert all(events[campaign]["event"] in {"continued", "merged"} for campaign in changed)


def test_successors_of_closed_accounts_join_their_campaign(
    tiny: Dataset, scanned: Result, truth: dict[str, str | None]
) -> None:
    """Of the accounts that signed up during the log to replace closed ones half or more are where they belong."""
    first = datetime.fromisoformat(f"{tiny.days()[0]}T00:00:00+00:00")
    late = [row["account_id"] for row in tiny.accounts().to_pylist() if row["created_at"] > first]
    wanted = [account for account in late if truth[account]]
    names = scanned.truths(truth)
    joined = [a for a in wanted if any(a in m and names[c] == truth[a] for c, m in scanned.accused.items())]
    assert wanted
    assert len(joined) >= 0.5 * len(wanted)


def test_newcomers_who_replace_nobody_stay_out(tiny: Dataset, scanned: Result, truth: dict[str, str | None]) -> None:
    """The twin: ordinary people who sign up in the same days are no successors."""
    first = datetime.fromisoformat(f"{tiny.days()[0]}T00:00:00+00:00")
    late = [row["account_id"] for row in tiny.accounts().to_pylist() if row["created_at"] > first]
    innocent = [account for account in late if truth[account] is None]
    swept = [a for a in innocent if any(a in members for members in scanned.accused.values())]
    assert innocent
    assert len(swept) <= 0.02 * len(innocent)


def test_an_interrupted_scan_leaves_the_earlier_folder(
    scanned: Result, early: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan that dies when all is written and nothing moved changes no file of the scan before."""
    out = tmp_path / "out"
    shutil.copytree(scanned.out, out)
    before = files(out)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(scanning, "_judge_all", lambda *_: ([], None))
    monkeypatch.setattr(scanning, "_replace", die)
    with pytest.raises(KeyboardInterrupt):
        scan(Dataset.open(early), out)
    assert files(out) == before
    assert ScanOutput.open(out).campaigns


def test_ctrl_c_prints_a_line_and_leaves_nothing_behind(tiny: Dataset, tmp_path: Path) -> None:
    """SIGINT during a scan: exit code 130, one line on stderr, no traceback, no half an out folder."""
    out = tmp_path / "out"
    arguments = [sys.executable, "-m", "stillwatch.cli", "scan", str(tiny.path), "--out", str(out)]
    slow = {**os.environ, "PYTHONPATH": str(tmp_path)}
    (tmp_path / "sitecustomize.py").write_text(_WAITING)
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=slow)
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert error.count("\n") == 1
    assert "interrupted" in error
    assert not out.exists()


_WAITING = """
import os, time
import pyarrow.parquet as pq
def waiting(*args, **named):
    os.write(1, b"reading\\n")  # whole lines: several threads read
    time.sleep(60)
pq.ParquetFile = waiting
"""
