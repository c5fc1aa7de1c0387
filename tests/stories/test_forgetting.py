"""`stillwatch forget` as a user meets it: a dataset, its scan, its state, and a receipt."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from stillwatch.cases.folder import TABLES, ScanOutput
from stillwatch.cli import app
from stillwatch.ingest.privacy import Key
from stillwatch.response.appeals import verify
from stillwatch.response.store import State
from stillwatch.tables import Dataset, DatasetWriter

GONE, TWIN = "acct-17", "acct-170"
SECRET = "a secret of sixteen bytes and more"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a dataset of two accounts, a scan that names both, fingerprints and a state."""
    rows = [
        {
            "exchange_id": f"{who}-e{i}",
            "account_id": who,
            "ts": i,
            "model": "m",
            "prompt_text": f"{i}: words by {i} only",
        }
        for i, who in enumerate([GONE, TWIN, GONE])
    ]
    with DatasetWriter(tmp_path / "data") as writer:
        writer.add_exchanges(pa.Table.from_pylist(rows))
        writer.set_accounts(pa.table({"account_id": [GONE, TWIN], "created_at": [0, 0]}))
        writer.commit()
    (tmp_path / "out").mkdir()
    campaign = {"campaign_id": "SW-1", "verdict": "campaign", "evidence": [f"{GONE} and {TWIN} share a card"]}
    (tmp_path / "out" / "campaigns.json").write_text(json.dumps([campaign]))
    (tmp_path / "out" / "report.html").write_text(f"<p>{GONE}</p>")
    members = [{"campaign_id": "SW-1", "account_id": who, "probability": 1.0} for who in (GONE, TWIN)]
    schema = pa.schema(list(TABLES["members"].items()))
    pq.write_table(pa.Table.from_pylist(members, schema=schema), tmp_path / "out" / "members.parquet")
    (tmp_path / "kept").mkdir()
    for ending in ("arrow", "postings"):
        (tmp_path / "kept" / ("0a" * 16 + f".{ending}")).write_bytes(b"fingerprints")
    (tmp_path / "kept" / "heads.json").write_text(json.dumps({"file": [1, 2, {"e1": f"words of {GONE}"}]}))
    state = State.open(f"sqlite:///{tmp_path}/state.db", clock=lambda: datetime(2026, 9, 1, tzinfo=UTC))
    for who in (GONE, TWIN):
        verify(state, who, "email", succeeded=False, who="anna", why="mail bounced")
    state.close()
    return tmp_path


def forget(home: Path, *more: str) -> Result:
    """Run the command on everything that the home holds."""
    places = ["--scan", f"{home}/out", "--keep", f"{home}/kept", "--state", f"sqlite:///{home}/state.db"]
    return CliRunner().invoke(app, ["forget", f"{home}/data", *places, *more])


def accounts(home: Path) -> list[Any]:
    """Return the accounts of the dataset."""
    return list(Dataset.open(home / "data").accounts()["account_id"].to_pylist())


def test_the_receipt_says_what_went_and_that_nothing_is_left(home: Path) -> None:
    """Rows by file, the scan, fingerprints, state and search; and it names nobody."""
    done = forget(home, "--account", GONE, "--yes", "--json")
    assert done.exit_code == 0, done.output
    receipt = json.loads(done.stdout)
    assert (receipt["exchanges"], receipt["fingerprint_files"], receipt["left"]) == (2, 3, [])
    assert receipt["state"] == {"ended": 0, "rows": 1, "lines": 1}
    assert receipt["searched"]["ids"] == 3
    assert receipt["at"].endswith("+00:00")
    assert GONE not in done.stdout


def test_the_innocent_twin_stays_everywhere(home: Path) -> None:
    """The account whose id begins alike keeps its rows, its place in the scan and in the state."""
    forget(home, "--account", GONE, "--yes")
    assert accounts(home) == [TWIN]
    assert Dataset.open(home / "data").count_exchanges() == 1
    scan = ScanOutput.open(home / "out")
    assert scan.table("members")["account_id"].to_pylist() == [TWIN]
    assert (scan.campaigns[0].campaign_id, scan.campaigns[0].verdict) == ("SW-1", "needs_person")
    state = State.open(f"sqlite:///{home}/state.db")
    assert state.audit() == []
    assert TWIN in str([entry.subject for entry in state.entries()])
    state.close()


def test_a_dry_run_changes_no_byte(home: Path) -> None:
    """It says what would go."""
    before = {file: file.read_bytes() for file in home.rglob("*") if file.is_file()}
    done = forget(home, "--account", GONE, "--dry-run")
    assert "2 exchanges go" in done.output
    assert {file: file.read_bytes() for file in home.rglob("*") if file.is_file()} == before


def test_without_a_yes_nothing_happens(home: Path) -> None:
    """The question is answered by nobody."""
    assert forget(home, "--account", GONE).exit_code != 0
    assert accounts(home) == [GONE, TWIN]


def test_a_scan_that_does_not_name_the_account_is_left_alone(home: Path) -> None:
    """The innocent twin of shortening: the report of others stays."""
    for file in (home / "out").iterdir():
        file.unlink()
    (home / "out" / "campaigns.json").write_text("[]")
    (home / "out" / "report.html").write_text(f"<p>{TWIN}</p>")
    forget(home, "--account", GONE, "--yes")
    assert (home / "out" / "report.html").exists()


def test_what_is_left_in_a_copy_is_found_and_told(home: Path) -> None:
    """A folder that is only searched makes the command fail, with the file's name."""
    (home / "spool").mkdir()
    (home / "spool" / "1.wal").write_bytes(b"\0\1\2" + f'{{"user":"{GONE}"}}'.encode())
    done = forget(home, "--account", GONE, "--yes", "--also", f"{home}/spool")
    assert "1.wal raw bytes: 1 ids" in done.output
    assert str(done.exception) == "1 places still hold something; the receipt names them"


def test_an_e_mail_address_is_forgotten_under_its_hash(home: Path) -> None:
    """The raw address is enough, with the key it was hashed under."""
    stored = Key(SECRET.encode()).hash("email", "ann@b.example")
    with DatasetWriter(home / "data") as writer:
        writer.set_accounts(pa.table({"account_id": [stored, TWIN], "created_at": [0, 0]}))
        writer.commit()
    (home / "key").write_text(SECRET)
    done = forget(home, "--account", "ann@b.example", "--key-file", f"{home}/key", "--yes")
    assert done.exit_code == 0, done.output
    assert accounts(home) == [TWIN]


def test_all_before_a_day_goes_for_everybody(home: Path) -> None:
    """Exchanges of both accounts go; the accounts stay."""
    assert forget(home, "--before", "1970-01-02", "--yes").exit_code == 0
    assert Dataset.open(home / "data").count_exchanges() == 0
    assert accounts(home) == [GONE, TWIN]
