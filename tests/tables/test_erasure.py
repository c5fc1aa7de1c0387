"""Forgetting: nothing left of an account in any byte of any file, and every other row as it was."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.tables import Dataset, DatasetWriter
from stillwatch.tables.erasure import Wanted, erase, find
from stillwatch.tables.probes import Probes, search

DAY = 86_400_000_000
NAMES = ["acct-1", "acct-10", "acct-11", "x", "hmac-sha256:0011aabb:" + "7c" * 32]


def exchange(i: int, account: str, day: int, **more: Any) -> dict[str, Any]:
    """Return an exchange with a prompt that no other has."""
    prompt = f'Asked by number {i}: "{account}" is not my name,\nbut {i:040d} is'.replace(account, "nobody")
    return {
        "exchange_id": f"exch-{i}-of-them",
        "account_id": account,
        "ts": day * DAY + i,
        "model": "m",
        "prompt_text": prompt,
    } | more


def write(folder: Path, exchanges: list[dict[str, Any]], rejects: bytes = b"") -> Dataset:
    """Write a dataset with accounts, labels and rejects for exchanges."""
    names = sorted({row["account_id"] for row in exchanges})
    with DatasetWriter(folder) as writer:
        if exchanges:
            writer.add_exchanges(pa.Table.from_pylist(exchanges))
        referral = [names[0]] * len(names)
        writer.set_accounts(pa.table({"account_id": names, "created_at": [0] * len(names), "referral": referral}))
        writer.set_labels(
            pa.table({"account_id": names, "population": ["ordinary"] * len(names)}),
            pa.table({"exchange_id": pa.array([row["exchange_id"] for row in exchanges], pa.string())}),
        )
        if rejects:
            writer.add_file("rejects/r.ndjson", rejects)
            writer.add_file("rejects/fields/r.ndjson", rejects)
        writer.commit()
    return Dataset.open(folder)


def rows_of(dataset: Dataset) -> list[dict[str, Any]]:
    """Return all exchanges, in every column, by id."""
    rows = [row for file in dataset.exchange_files() for row in pq.ParquetFile(file).read().to_pylist()]
    return sorted(rows, key=lambda row: str(row["exchange_id"]))


def every_byte(folder: Path) -> bytes:
    """Return the bytes of all files, and of all cells of all Parquet files: the plain oracle of the search."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    cells = [json.dumps(pq.ParquetFile(f).read().to_pylist(), default=str) for f in files if f.suffix == ".parquet"]
    return b"\0".join(file.read_bytes() for file in files) + "\0".join(cells).encode()


exchanges_of = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(20_000, 20_003)), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(people=exchanges_of, gone=st.sets(st.sampled_from(NAMES), min_size=1, max_size=2))
def test_nothing_is_left_of_an_account_and_all_else_is_as_it_was(people: list[tuple[str, int]], gone: set[str]) -> None:
    """No id, exchange id or prompt in any byte of any file; the rows of others are equal, column for column."""
    with tempfile.TemporaryDirectory() as name:
        made = [exchange(i, account, day) for i, (account, day) in enumerate(people)]
        dataset, wanted = write(Path(name), made), Wanted(frozenset(gone))
        before, accounts, found = rows_of(dataset), dataset.accounts().to_pylist(), find(dataset, wanted)
        erase(dataset, wanted, found)
        assert rows_of(dataset) == [row for row in before if row["account_id"] not in gone]
        kept = [row for row in accounts if row["account_id"] not in gone]
        assert dataset.accounts().to_pylist() == [
            row | {"referral": None if row["referral"] in gone else row["referral"]} for row in kept
        ]
        assert [row["account_id"] for row in dataset.labels()[0].to_pylist()] == [row["account_id"] for row in kept]
        held, files = every_byte(Path(name)), [f for f in Path(name).rglob("*") if f.is_file()]
        for row in made:
            if row["account_id"] in gone:
                assert f'"{row["exchange_id"]}"'.encode() not in held
                assert row["prompt_text"].encode() not in held
        assert list(search(files, found.probes(wanted))) == []


@settings(max_examples=20, deadline=None)
@given(people=exchanges_of)
def test_the_search_finds_each_thing_before_it_goes(people: list[tuple[str, int]]) -> None:
    """The innocent twin of "nothing found": before, every account that is there is found, and no other."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), [exchange(i, account, day) for i, (account, day) in enumerate(people)])
        files = [f for f in Path(name).rglob("*") if f.is_file()]
        for account in NAMES:
            assert bool(list(search(files, Probes([account])))) == (account in {who for who, _ in people})


def test_only_the_files_that_hold_the_account_are_rewritten(tmp_path: Path) -> None:
    """A day without the account keeps its file, to the byte and the name."""
    dataset = write(tmp_path, [exchange(1, "acct-1", 20_000), exchange(2, "x", 20_000), exchange(3, "x", 20_001)])
    (untouched,) = [file for file in dataset.exchange_files() if file.parent.name == "day=2024-10-05"]
    was = untouched.stat().st_ino
    wanted = Wanted(frozenset({"acct-1"}))
    erase(dataset, wanted, find(dataset, wanted))
    assert untouched.stat().st_ino == was
    assert dataset.count_exchanges() == 2


def test_what_lies_before_a_day_goes_and_the_accounts_stay(tmp_path: Path) -> None:
    """Exchanges before midnight UTC go with their labels; the account that sent them stays."""
    dataset = write(tmp_path, [exchange(1, "acct-1", 20_000), exchange(0, "x", 20_001)])
    wanted = Wanted(before=date(2024, 10, 5))
    erase(dataset, wanted, find(dataset, wanted))
    assert [row["exchange_id"] for row in rows_of(dataset)] == ["exch-0-of-them"]
    assert dataset.labels()[1]["exchange_id"].to_pylist() == ["exch-0-of-them"]
    assert dataset.accounts()["account_id"].to_pylist() == ["acct-1", "x"]


def test_rejects_that_name_the_account_go_and_others_stay(tmp_path: Path) -> None:
    """As words in the raw record, escaped or in base64; a longer id that begins alike is another account's."""
    raw = base64.b64encode(b'{"user": "acct-1\xff"}').decode()
    lines = [
        json.dumps({"file": "a", "line": 1, "reason": "r", "raw": '{"user": "acct-1"'}),
        json.dumps({"file": "a", "line": 2, "reason": "r", "raw_base64": raw}),
        json.dumps({"file": "a", "line": 3, "reason": "r", "raw": '{"user": "acct-10"'}),
    ]
    dataset = write(tmp_path, [exchange(0, "acct-1", 20_000)], "".join(line + "\n" for line in lines).encode())
    wanted = Wanted(frozenset({"acct-1"}))
    erase(dataset, wanted, find(dataset, wanted))
    for folder in (tmp_path / "rejects", tmp_path / "rejects" / "fields"):
        assert (folder / "r.ndjson").read_text() == lines[2] + "\n"


def test_another_row_that_names_the_account_loses_the_name_only(tmp_path: Path) -> None:
    """A reseller's end user of that name becomes null; the rest of the row stays."""
    dataset = write(tmp_path, [exchange(1, "acct-1", 20_000), exchange(2, "x", 20_000, end_user_id="acct-1")])
    (_, before), wanted = rows_of(dataset), Wanted(frozenset({"acct-1"}))
    erase(dataset, wanted, find(dataset, wanted))
    assert rows_of(dataset) == [before | {"end_user_id": None}]


def test_nobody_of_that_name_changes_nothing(tmp_path: Path) -> None:
    """The innocent twin: an unknown account finds nothing."""
    dataset = write(tmp_path, [exchange(1, "acct-10", 20_000)])
    assert find(dataset, Wanted(frozenset({"acct-1"}))).is_empty()


values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(values, max_size=6), texts=st.lists(values, max_size=4), around=st.lists(values, max_size=6))
def test_the_search_agrees_with_a_plain_one(ids: list[str], texts: list[str], around: list[str]) -> None:
    """Values between zero bytes are found, whatever their length and letters; absent ones are not."""
    data = "\0".join([*around, *ids, *texts]).encode()
    found = Probes(ids, texts).within(data)
    assert {one.encode() for one in ids} <= found
    assert {one.encode() for one in texts if len(one.encode()) >= 24} <= found
    assert all(value in data for value in found)


_KILLED = """
import os, signal, sys
from pathlib import Path
from stillwatch.tables import Dataset
from stillwatch.tables.erasure import Wanted, erase, find
dataset, wanted, calls, fatal = Dataset.open(sys.argv[1]), Wanted(frozenset({"acct-1"})), 0, int(sys.argv[2])
def dying(original):
    def call(self, *arguments, **named):
        global calls
        calls += 1
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *arguments, **named)
    return call
found = find(dataset, wanted)
Path.replace, Path.unlink = dying(Path.replace), dying(Path.unlink)
erase(dataset, wanted, found)
"""


@pytest.mark.parametrize("fatal", [1, 2, 4, 6, 8, 50])
def test_a_kill_leaves_the_old_dataset_or_the_new_one(tmp_path: Path, fatal: int) -> None:
    """SIGKILL at any rename or removal: whoever opens the dataset next sees all of before or all of after."""
    people = [("acct-1", 20_000), ("x", 20_000), ("acct-1", 20_001), ("x", 20_002)]
    dataset = write(tmp_path, [exchange(i, account, day) for i, (account, day) in enumerate(people)])
    before = rows_of(dataset)
    run = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), str(fatal)], check=False, capture_output=True)
    assert run.returncode == (0 if fatal == 50 else -signal.SIGKILL), run.stderr
    after = rows_of(Dataset.open(tmp_path))
    assert after in (before, [row for row in before if row["account_id"] != "acct-1"])
    assert ("acct-1" in dataset.accounts()["account_id"].to_pylist()) == (after == before)
    assert not (tmp_path / ".commit.json").exists()
