"""Stories of data that are hardly data: a scan ends cleanly with an empty result, or with one clear line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillwatch import cli
from stillwatch.cases.folder import TABLES, ScanOutput
from stillwatch.cases.scan import ScanSettings, scan
from stillwatch.errors import DatasetError
from stillwatch.tables import Dataset

START = 1_780_000_000_000_000
HOUR = 3_600_000_000
DAY = 24 * HOUR
WriteDataset = Callable[..., Dataset]


@pytest.fixture
def stillwatch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command line in this process: exit code, stdout, stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["stillwatch", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        return int(ended.value.code or 0), written.out, written.err

    return run


def crowd(n: int = 60, each: int = 6) -> list[dict[str, Any]]:
    """Return exchanges of unrelated accounts."""
    return [
        {
            "account_id": f"a{i:03d}",
            "ts": START + (i * 7 + j * 31) % 200 * HOUR + i * 1_000_000,
            "prompt_text": f"what should {i} people eat on day {j} in week {i * j}",
        }
        for i in range(n)
        for j in range(each)
    ]


def test_no_accounts_and_no_exchanges_find_nothing(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """An empty dataset is scanned: no campaign, and every table of the contract is there and empty."""
    out = scan(write_dataset(), tmp_path / "out")
    assert (out.campaigns, out.considered) == ([], [])
    assert all(out.table(name).num_rows == 0 for name in TABLES)
    assert out.run.rows == {"exchanges": 0, "accounts": 0, "rejects": 0}


@pytest.mark.parametrize("accounts", [0, 1, 50])
def test_accounts_without_exchanges_find_nothing(accounts: int, write_dataset: WriteDataset, tmp_path: Path) -> None:
    """Nobody who asked nothing is accused."""
    people = [{"account_id": f"a{i}"} for i in range(accounts)]
    assert scan(write_dataset((), people), tmp_path / "out").campaigns == []


def test_one_account_is_no_network(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """A single account, however busy, cannot be coordinated with anybody."""
    rows = [{"account_id": "a", "ts": START + i, "prompt_text": f"grade essay {i} by the rubric"} for i in range(200)]
    assert scan(write_dataset(rows), tmp_path / "out").campaigns == []


def test_logs_without_an_accounts_table_are_scanned(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """Absent identities and sign-ups are named as missing; unrelated people are not accused for it."""
    out = scan(write_dataset(crowd()), tmp_path / "out")
    assert out.reported == []
    assert out.run.rows["accounts"] == 60


def test_all_optional_columns_null_is_scanned(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """Only ids, times and models: nothing to link, nothing found, and the absent columns are named."""
    rows = [{k: row[k] for k in ("account_id", "ts")} for row in crowd()]
    out = scan(write_dataset(rows), tmp_path / "out")
    assert out.reported == []
    assert {"ip", "user_agent", "sketch", "input_tokens"} <= set(out.run.missing_evidence)


def test_stray_dates_do_not_upset_a_scan(
    write_dataset: WriteDataset, tmp_path: Path, stillwatch: Callable[..., tuple[int, str, str]]
) -> None:
    """A row of 1970 and one of 2200 among the rest: the scan and its report are done and nobody is accused."""
    rows = crowd()
    rows[0]["ts"], rows[1]["ts"] = 0, 230 * 365 * DAY
    data = write_dataset(rows, [{"account_id": "a000", "created_at": 230 * 365 * DAY}])
    code, _, error = stillwatch("scan", data.path, "--out", tmp_path / "out", "--quiet")
    assert (code, error) == (0, "")
    assert ScanOutput.open(tmp_path / "out").reported == []


def test_an_exchange_id_given_twice_is_a_clear_error(write_dataset: WriteDataset, tmp_path: Path) -> None:
    """An id names one exchange: two rows with one id are refused and named, not counted twice."""
    rows = [{"exchange_id": "twin", "account_id": "a", "ts": START + i} for i in range(2)]
    with pytest.raises(DatasetError, match="'twin'"):
        scan(write_dataset(rows), tmp_path / "out")
    assert not (tmp_path / "out" / "campaigns.json").exists()


@pytest.mark.parametrize("q", [0.0, 1.0, -1.0])
def test_a_rate_that_is_none_is_refused(q: float, write_dataset: WriteDataset, tmp_path: Path) -> None:
    """The bound on false groups lies between 0 and 1."""
    with pytest.raises(DatasetError, match="rate between 0 and 1"):
        scan(write_dataset(), tmp_path / "out", ScanSettings(q=q))


def test_no_dataset_is_one_line_and_exit_code_2(
    stillwatch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """`stillwatch scan nowhere --out x` says what is wrong on one line of stderr and makes nothing."""
    code, output, error = stillwatch("scan", tmp_path / "nowhere", "--out", tmp_path / "x")
    assert (code, output) == (2, "")
    assert error.count("\n") == 1
    assert "holds no dataset" in error
    assert not (tmp_path / "x").exists()


def test_a_wrong_option_is_a_readable_usage_error(stillwatch: Callable[..., tuple[int, str, str]]) -> None:
    """Usage errors name the option and exit with 2, without a traceback."""
    code, _, error = stillwatch("scan", "data", "--out", "x", "--depth", "3")
    assert code == 2
    assert "--depth" in error
    assert "Traceback" not in error


def test_json_is_campaigns_json_and_quiet_is_silent(
    write_dataset: WriteDataset, stillwatch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """`--json` prints the file itself for a program; `--quiet` prints nothing; both succeed without campaigns."""
    data, out = write_dataset(crowd(8)), tmp_path / "out"
    code, output, error = stillwatch("scan", data.path, "--out", out, "--json", "--no-report")
    assert (code, json.loads(output), error) == (0, [], "")
    assert output == (out / "campaigns.json").read_text()
    assert stillwatch("scan", data.path, "--out", out, "--quiet", "--no-report") == (0, "", "")


def test_a_scan_prints_what_it_found_and_where(
    write_dataset: WriteDataset, stillwatch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """Without options a person reads that nothing was found, and where the report is."""
    code, output, _ = stillwatch("scan", write_dataset(crowd(8)).path, "--out", tmp_path / "out")
    assert code == 0
    assert "report.html" in output
    assert (tmp_path / "out" / "report.html").exists()


def test_ctrl_c_is_exit_code_130(
    write_dataset: WriteDataset,
    stillwatch: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interrupt in a command becomes one line and 130, whatever Typer would make of it."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stillwatch.cases.scan.read_frame", interrupted)
    code, _, error = stillwatch("scan", write_dataset(crowd(8)).path, "--out", tmp_path / "out")
    assert code == 130
    assert error == "stillwatch: interrupted; what was there before is unchanged\n"


def test_a_folder_that_cannot_be_written_is_one_line(
    stillwatch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """The system's refusal is told like any other error, with the place and without a traceback."""
    log, key = tmp_path / "log.jsonl", tmp_path / "key"
    log.write_text("{}\n")
    key.write_text("k" * 32)
    code, out, said = stillwatch("ingest", log, "--format", "canonical", "--key-file", key, "--into", log)
    assert (code, out, said.count("\n")) == (2, "", 1)
    assert "log.jsonl" in said


@pytest.mark.parametrize("command", ["scan", "simulate", "demo"])
def test_a_seed_below_zero_is_refused(
    command: str, stillwatch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """Seeds are whole numbers from zero: said before any work."""
    first = {"scan": [tmp_path], "simulate": ["tiny"], "demo": []}[command]
    code, _, said = stillwatch(command, *first, "--seed", "-1", "--out", tmp_path / "out")
    assert code == 2
    assert "--seed" in said
