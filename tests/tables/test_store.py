"""Datasets on disk: nothing between before and after, one writer, the whole contract whatever the files hold."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import DatasetError
from stillwatch.tables import ACCOUNTS, EXCHANGES, Dataset, DatasetWriter
from stillwatch.tables.engines import connect
from stillwatch.tables.redo import recover
from stillwatch.tables.store import conform

DAY = 86_400_000_000
_CONNECTION = connect(threads=1)


def rows(*ids: str, day: int = 20_000) -> pa.Table:
    """Return bare exchanges with these ids."""
    n = len(ids)
    return pa.table({"exchange_id": ids, "account_id": ["a"] * n, "ts": [day * DAY] * n, "model": ["m"] * n})


def write(folder: Path, table: pa.Table, accounts: list[str]) -> None:
    """Commit exchanges and accounts together."""
    with DatasetWriter(folder) as writer:
        writer.add_exchanges(table)
        writer.set_accounts(pa.table({"account_id": accounts, "created_at": [0] * len(accounts)}))
        writer.commit()


def seen(folder: Path) -> tuple[set[str], set[str]]:
    """Return the exchange and account ids of a dataset."""
    dataset = Dataset.open(folder)
    exchanges = {i for batch in dataset.batches(["exchange_id"]) for i in batch["exchange_id"].to_pylist()}
    return exchanges, set(dataset.accounts()["account_id"].to_pylist())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"account_id": ["a"], "created_at": [0], "shoe": [1]}), "unknown column 'shoe'"),
        (pa.table({"account_id": ["a"]}), "'created_at' is required and missing"),
        (pa.table({"account_id": ["a", None], "created_at": [0, 0]}), "'account_id' is required and has 1 nulls"),
        (pa.table({"account_id": ["a"], "created_at": ["yesterday"]}), "'created_at' is not timestamp"),
        (pa.table({"account_id": [["a"]], "created_at": [0]}), "'account_id' is not string"),
    ],
)
def test_a_table_that_breaks_the_contract_names_the_column(table: pa.Table, message: str) -> None:
    """Unknown, missing, null and wrongly typed columns are errors that say which."""
    with pytest.raises(DatasetError, match=message):
        conform(table, ACCOUNTS)


def test_conform_fills_absent_columns_with_nulls_and_keeps_their_order() -> None:
    """A table of the required columns, in any order, comes out with the whole contract."""
    table = conform(pa.table({"created_at": [5], "account_id": ["a"]}), ACCOUNTS)
    assert table.schema == ACCOUNTS
    assert table["plan"].null_count == 1


def test_leaving_without_commit_leaves_nothing(tmp_path: Path) -> None:
    """What was staged and not committed is dropped at the end of the block."""
    write(tmp_path, rows("e1"), ["a"])
    with DatasetWriter(tmp_path) as writer:
        writer.add_exchanges(rows("e2"))
    assert seen(tmp_path) == ({"e1"}, {"a"})
    assert not (tmp_path / ".staging").exists()


def test_a_second_writer_is_refused_while_the_first_is_open(tmp_path: Path) -> None:
    """Two writers at once are an error for the second; the first goes on."""
    with DatasetWriter(tmp_path) as first:
        first.add_exchanges(rows("e1"))
        with pytest.raises(DatasetError, match="being written by another run"):
            DatasetWriter(tmp_path)
        first.commit()
    assert Dataset.open(tmp_path).count_exchanges() == 1


def test_reading_does_not_disturb_a_writer(tmp_path: Path) -> None:
    """A reader that comes while a writer stages sees the state before."""
    write(tmp_path, rows("e1"), ["a"])
    with DatasetWriter(tmp_path) as writer:
        writer.add_exchanges(rows("e2"))
        assert seen(tmp_path)[0] == {"e1"}
        writer.commit()
    assert seen(tmp_path)[0] == {"e1", "e2"}


_KILLED = """
import os, signal, sys
from pathlib import Path
import pyarrow as pa
from stillwatch.tables import DatasetWriter
folder, fatal, accounts = sys.argv[1], int(sys.argv[2]), ["a", "b"]
calls, replace = 0, Path.replace
def dying(self, target):
    global calls
    calls += 1
    if calls == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = dying
writer = DatasetWriter(folder)
ids = ["e2", "e3"]
days = [20_000 * 86_400_000_000, 20_001 * 86_400_000_000]
writer.add_exchanges(pa.table({"exchange_id": ids, "account_id": accounts, "ts": days, "model": ["m", "m"]}))
writer.set_accounts(pa.table({"account_id": accounts, "created_at": [0, 0]}))
writer.commit()
"""


@pytest.mark.parametrize("fatal", [1, 2, 3, 4])
def test_a_killed_commit_is_before_or_after_and_never_between(tmp_path: Path, fatal: int) -> None:
    """SIGKILL at each rename of a commit: before the journal nothing is new, from the journal on everything is."""
    write(tmp_path, rows("e1"), ["a"])
    died = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), str(fatal)], check=False)
    assert died.returncode == -signal.SIGKILL
    before, after = ({"e1"}, {"a"}), ({"e1", "e2", "e3"}, {"a", "b"})
    assert seen(tmp_path) == (before if fatal == 1 else after)
    with DatasetWriter(tmp_path) as writer:
        writer.add_exchanges(rows("e4"))
        writer.commit()
    assert "e4" in seen(tmp_path)[0]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_a_staging_of_a_dead_process_is_dropped(tmp_path: Path) -> None:
    """What a writer that died before its journal left is removed, and its lock does not bar the next."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    staging = tmp_path / ".staging"
    staging.mkdir(parents=True)
    (staging / "pid").write_text(gone.stdout.decode())
    (staging / "2024-10-04.parquet").write_bytes(b"half a file")
    write(tmp_path, rows("e1"), ["a"])
    assert seen(tmp_path) == ({"e1"}, {"a"})


def test_recover_is_repeatable(tmp_path: Path) -> None:
    """A recovery that itself was interrupted after some renames goes on where it stopped."""
    (tmp_path / ".staging").mkdir()
    for name in ("one", "two"):
        (tmp_path / ".staging" / name).write_text(name)
    journal = [[".staging/one", "a/one"], [".staging/two", "a/two"]]
    (tmp_path / ".commit.json").write_text(json.dumps(journal))
    (tmp_path / "a").mkdir()
    (tmp_path / ".staging" / "one").replace(tmp_path / "a" / "one")
    recover(tmp_path)
    recover(tmp_path)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["one", "two"]
    assert not (tmp_path / ".staging").exists()


def test_the_same_rows_written_twice_give_the_same_bytes(tmp_path: Path) -> None:
    """Names and bytes of the files depend on the rows alone."""
    for name in ("one", "two"):
        write(tmp_path / name, rows("e1", "e2"), ["a"])
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder, by path."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_days_are_utc_days(tmp_path: Path) -> None:
    """The last microsecond of a day and the first of the next go to two partitions, whatever the local zone."""
    table = rows("e1", "e2").set_column(2, "ts", pa.array([20_001 * DAY - 1, 20_001 * DAY]))
    with DatasetWriter(tmp_path) as writer:
        writer.add_exchanges(table)
        writer.commit()
    assert Dataset.open(tmp_path).days() == ["2024-10-04", "2024-10-05"]


def test_files_of_an_older_contract_read_with_nulls(tmp_path: Path) -> None:
    """Columns that an old file lacks come as typed nulls, by batches and by Ibis, beside files that have them."""
    write(tmp_path, rows("e1"), ["a"])
    old = pa.Table.from_pylist([{"exchange_id": "old", "account_id": "a", "ts": 0, "model": "m"}])
    old = old.set_column(2, "ts", pa.array([0], pa.timestamp("us", "UTC")))
    (tmp_path / "exchanges" / "day=1970-01-01").mkdir()
    pq.write_table(old, tmp_path / "exchanges" / "day=1970-01-01" / "part-old.parquet")
    dataset = Dataset.open(tmp_path)
    batches = pa.Table.from_batches(dataset.batches(EXCHANGES.names))
    assert batches.schema.equals(EXCHANGES)
    assert batches["sketch"].null_count == 2
    shown = dataset.exchanges(connect(threads=1)).select("exchange_id", "country", "input_tokens").to_pyarrow()
    assert sorted(shown["exchange_id"].to_pylist()) == ["e1", "old"]
    assert shown["country"].null_count == shown["input_tokens"].null_count == 2


def test_a_folder_without_tables_is_a_clear_error(tmp_path: Path) -> None:
    """Opening what is no dataset says so and writes nothing."""
    with pytest.raises(DatasetError, match="holds no dataset"):
        Dataset.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_accounts_file_is_a_clear_error(tmp_path: Path) -> None:
    """Bytes that are no Parquet are named, not raised as an Arrow traceback."""
    write(tmp_path, rows("e1"), ["a"])
    (tmp_path / "accounts.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DatasetError, match=r"accounts\.parquet is not a readable Parquet file"):
        Dataset.open(tmp_path).accounts()


def test_no_accounts_file_is_an_empty_table(tmp_path: Path) -> None:
    """Logs alone are a dataset: accounts and launches are then empty, with the contract's columns."""
    with DatasetWriter(tmp_path) as writer:
        writer.add_exchanges(rows("e1"))
        writer.commit()
    dataset = Dataset.open(tmp_path)
    assert (dataset.accounts().num_rows, dataset.launches().num_rows) == (0, 0)
    assert dataset.accounts().schema == ACCOUNTS


_values: dict[str, st.SearchStrategy[Any]] = {
    "account_id": st.sampled_from(["a", "b", "é"]),
    "ts": st.integers(19_999 * DAY, 20_002 * DAY),
    "model": st.sampled_from(["m", "n"]),
    "country": st.one_of(st.none(), st.sampled_from(["", "DE"])),
    "input_tokens": st.one_of(st.none(), st.integers(0, 10)),
    "cues": st.one_of(st.none(), st.lists(st.integers(0, 600), max_size=3)),
}
_exchange = st.fixed_dictionaries(_values)


@settings(max_examples=10, deadline=None)
@given(st.lists(_exchange, min_size=1, max_size=12))
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, drawn: list[dict[str, Any]]) -> None:
    """Rows come back whole by batches and by Ibis: empty strings stay empty, nulls stay null."""
    folder = tmp_path_factory.mktemp("roundtrip")
    written = [{"exchange_id": f"e{i}", **row} for i, row in enumerate(drawn)]
    names = ["exchange_id", *_values]
    with DatasetWriter(folder) as writer:
        writer.add_exchanges(pa.table({n: pa.array([r[n] for r in written], EXCHANGES.field(n).type) for n in names}))
        writer.commit()
    dataset = Dataset.open(folder)
    by_batch = pa.Table.from_batches(dataset.batches(names, rows=4))
    by_ibis = dataset.exchanges(_CONNECTION).select(*(n for n in names if n != "ts")).to_pyarrow().to_pylist()
    by_id: Callable[[dict[str, Any]], str] = lambda row: row["exchange_id"]  # noqa: E731
    as_read = sorted(by_batch.cast(by_batch.schema.set(2, pa.field("ts", pa.int64()))).to_pylist(), key=by_id)
    assert as_read == sorted(written, key=by_id)
    timeless = [{name: value for name, value in row.items() if name != "ts"} for row in as_read]
    assert sorted(by_ibis, key=by_id) == timeless


def test_writing_needs_no_more_than_the_folder(tmp_path: Path) -> None:
    """Other files of the dataset ride on the same commit."""
    with DatasetWriter(tmp_path) as writer:
        writer.add_exchanges(rows("e1"))
        writer.add_file("rejects/one.ndjson", b"{}\n")
        writer.commit()
    assert (tmp_path / "rejects" / "one.ndjson").read_bytes() == b"{}\n"
    assert [path.name for path in (tmp_path / "exchanges").iterdir()] == ["day=2024-10-04"]


def test_a_day_of_many_exchanges_is_cut_into_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is closed when it holds enough, day by day, and nothing is lost."""
    monkeypatch.setattr("stillwatch.tables.store.ROWS_PER_FILE", 4)
    with DatasetWriter(tmp_path) as writer:
        for number in range(5):
            writer.add_exchanges(pa.concat_tables([rows(f"a{number}", f"b{number}"), rows(f"c{number}", day=20_001)]))
        writer.commit()
    files = [file.parent.name for file in Dataset.open(tmp_path).exchange_files()]
    assert [files.count(day) for day in sorted(set(files))] == [3, 2]
    ids = [row for batch in Dataset.open(tmp_path).batches(["exchange_id"]) for row in batch["exchange_id"].to_pylist()]
    assert sorted(ids) == sorted(f"{letter}{number}" for number in range(5) for letter in "abc")


def test_the_truth_may_be_written_batch_by_batch(tmp_path: Path) -> None:
    """A reader of batches gives the labels that one table gives."""
    people = pa.table({"account_id": ["a"], "population": ["ordinary"], "campaign_id": pa.nulls(1, pa.string())})
    truth = pa.table({"exchange_id": ["1", "2", "3"], "campaign_id": [None, "c", None]})
    for name, labels in (("table", truth), ("reader", truth.to_reader(max_chunksize=2))):
        with DatasetWriter(tmp_path / name) as writer:
            writer.set_accounts(pa.table({"account_id": ["a"], "created_at": [0]}))
            writer.set_labels(people, labels)
            writer.commit()
    assert Dataset.open(tmp_path / "reader").labels()[1] == Dataset.open(tmp_path / "table").labels()[1]
