"""Broken inputs: each a clear error or counted rejects, the dataset as before."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stillwatch.errors import InputError, TooManyRejects
from stillwatch.ingest import Limits
from stillwatch.tables import Dataset


def lines(rows: list[Any]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_an_empty_source_is_an_error(ingest: Any, log: Any, into: Path) -> None:
    """When every source is empty there is nothing to read, and no dataset is made."""
    with pytest.raises(InputError, match="every source is empty"):
        ingest(log("", "a.jsonl"), log(gzip.compress(b""), "b.jsonl.gz"))
    assert not into.exists()


def test_an_empty_file_beside_a_full_one_is_no_error(ingest: Any, log: Any, row: Any) -> None:
    """The twin: log rotation leaves empty files, which are listed and passed over."""
    report = ingest(log("", "a.jsonl"), log([row()], "b.jsonl"))
    assert report.added == 1
    assert [file.format for file in report.files] == ["empty", "canonical"]


def test_truncated_gzip_is_an_error_and_changes_nothing(ingest: Any, log: Any, row: Any, snapshot: Any) -> None:
    """A truncated file ends the run, naming the file and the way out; what was stored stays."""
    ingest(log([row(999)], "first.jsonl"))
    before = snapshot()
    packed = gzip.compress("".join(lines([row(n, user_agent=f"{n * 7919:x}")]) for n in range(500)).encode())
    broken = log(packed[: len(packed) // 2], "x.jsonl.gz")
    with pytest.raises(InputError, match=r"x\.jsonl\.gz: the file is truncated .*--allow-truncated"):
        ingest(broken)
    assert snapshot() == before
    report = ingest(broken, allow_truncated=True)
    assert 0 < report.added < 500
    assert "x.jsonl.gz" in report.truncated[0]


def test_truncated_zstd_and_arrays_are_errors(ingest: Any, log: Any, row: Any) -> None:
    """A cut zstd stream and an array that stops inside a value are told as such."""
    packed = pa.compress(lines([row(n) for n in range(50)]).encode(), "zstd", asbytes=True)
    with pytest.raises(InputError, match="truncated or damaged"):
        ingest(log(packed[:-4], "x.jsonl.zst"))
    text = json.dumps([row(n) for n in range(50)])
    with pytest.raises(InputError, match="ends inside a value"):
        ingest(log(text[:-20], "x.json"))


def test_binary_content_is_an_error(ingest: Any, log: Any) -> None:
    """Bytes that are no known container are refused by name."""
    with pytest.raises(InputError, match=r"x\.log: binary content"):
        ingest(log(bytes(range(256)) * 4, "x.log"))
    with pytest.raises(InputError, match="not a readable Parquet file"):
        ingest(log(b"PAR1" + bytes(100), "x.parquet"))


def test_wrong_columns_are_an_error(ingest: Any, log: Any) -> None:
    """A CSV with other columns is not guessed at; rows with too many fields are rejected."""
    with pytest.raises(InputError, match=r"format not recognised .*members color, size"):
        ingest(log("size,color\n1,red\n", "x.csv"))
    with pytest.raises(InputError, match="repeated name"):
        ingest(log("account_id,account_id\n1,2\n", "y.csv"))


def test_csv_rows_of_the_wrong_width_are_rejected(ingest: Any, log: Any, rejects: Any) -> None:
    """A row with a field too many is rejected at its line; quoted line ends do not shift the count."""
    text = 'account_id,ts,model,prompt_text\na,2026-01-02,m,"two\nlines"\na,2026-01-02,m,x,y\na,2026-01-03,m,z\n'
    report = ingest(log(text, "x.csv"), max_reject_share=0.5)
    assert (report.added, report.rejected) == (2, 1)
    assert (rejects()[0]["line"], rejects()[0]["reason"]) == (4, "5 fields where the header has 4")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ts": "2031-01-01"}, "ts (from ts): 2031-01-01T00:00:00Z lies in the future"),
        ({"ts": 0}, "before 2015"),
        ({"ts": "1970-01-01T00:00:01Z"}, "before 2015"),
        ({"ts": "yesterday"}, "no time: 'yesterday'"),
        ({"ts": {"a": 1}}, "expected a time, got an object"),
        ({"ts": None}, "ts is missing"),
        ({"ts": 10**30}, "out of range"),
        ({"account_id": None}, "account_id is missing"),
        ({"account_id": ["a"]}, "account_id (from account_id): expected text, got a list"),
        ({"exchange_id": ["e7"]}, "exchange_id (from exchange_id): expected text, got a list"),
    ],
)
def test_a_bad_row_is_kept_with_its_reason(
    ingest: Any, log: Any, row: Any, rejects: Any, changes: dict[str, Any], says: str
) -> None:
    """Mixed types, wrong dates and missing columns reject the row, not its neighbours."""
    rows = [row(n) for n in range(30)]
    rows[7].update(changes)
    report = ingest(log(rows))
    assert (report.added, report.rejected) == (29, 1)
    (reject,) = rejects()
    assert (reject["file"], reject["line"]) == ("log.jsonl", 8)
    assert says in reject["reason"]
    assert "e7" in reject["raw"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"max_tokens": True}, "max_tokens (from max_tokens): expected a number, got true or false"),
        ({"input_tokens": "many"}, "input_tokens (from input_tokens): expected a number, got 'many'"),
        ({"input_tokens": 1.5}, "expected a whole number"),
        ({"input_tokens": -5}, "expected no negative number"),
        ({"input_tokens": 1 << 70}, "out of range"),
        ({"refused": "perhaps"}, "expected true or false"),
        ({"modalities": 3}, "expected a list"),
        ({"capability": 300}, "out of range"),
    ],
)
def test_an_odd_field_hides_no_exchange(
    ingest: Any, log: Any, row: Any, rejects: Any, stored: Any, into: Path, changes: dict[str, Any], says: str
) -> None:
    """An optional value that cannot be read is left out of its row, counted in the coverage, named by file and line."""
    rows = [row(n) for n in range(30)]
    rows[7].update(changes)
    report = ingest(log(rows), max_reject_share=0)
    assert (report.added, report.rejected, rejects()) == (30, 0, [])
    (name,) = changes
    assert name not in stored()[7]
    assert report.notes == {f"unreadable {name}, left out": 1}
    (coverage,) = (json.loads(file.read_text()) for file in (into / "coverage").iterdir())
    assert coverage["notes"] == report.notes
    (kept,) = (json.loads(file.read_text()) for file in (into / "rejects" / "fields").iterdir())
    assert (kept["file"], kept["line"], sorted(kept)) == ("log.jsonl", 8, ["file", "line", "reason"])
    assert says in kept["reason"]


def test_reading_a_row_with_an_odd_field_again_changes_nothing(ingest: Any, log: Any, row: Any, snapshot: Any) -> None:
    """The row is there already: neither it nor its field is kept twice."""
    source = log([row(0, max_tokens=True)])
    ingest(source)
    before = snapshot()
    assert ingest(source).duplicates == 1
    assert snapshot() == before


def test_an_odd_field_of_an_account_costs_only_itself(ingest: Any, log: Any, row: Any, into: Path) -> None:
    """An unreadable time of closure is left out; an unreadable sign-up rejects the account (the twin)."""
    accounts = [
        {"account_id": "a", "created_at": "2026-01-01", "closed_at": "soon"},
        {"account_id": "b", "created_at": "soon"},
    ]
    report = ingest(log([row()]), accounts=(log(accounts, "accounts.ndjson"),), max_reject_share=0.5)
    assert (report.accounts, report.rejected) == (1, 1)
    assert report.notes == {"unreadable closed_at, left out": 1}
    assert Dataset.open(into).accounts().column("account_id").to_pylist() == ["a"]


def test_a_card_without_its_issuer_is_counted(ingest: Any, log: Any, row: Any, into: Path) -> None:
    """A card number with a wrong check digit gives no issuer's range, and that is said; a token is no card."""
    accounts = [
        {"account_id": name, "created_at": "2026-01-01", "payment": payment}
        for name, payment in (("a", "4111 1111 1111 1112"), ("b", "4111 1111 1111 1111"), ("c", "pm_41111111111111112"))
    ]
    report = ingest(log([row()]), accounts=(log(accounts, "accounts.ndjson"),))
    assert report.notes == {"card numbers with a wrong check digit, payment_bin left out": 1}
    assert Dataset.open(into).accounts().column("payment_bin").to_pylist() == [None, "411111", None]


@pytest.mark.parametrize(
    "changes",
    [
        {"ts": "2026-02-01T20:00:00Z"},
        {"ts": 1767225600123},
        {"ts": "1767225600.5"},
        {"input_tokens": "12", "temperature": "NaN", "status": "N/A"},
        {"input_tokens": 7.0, "max_tokens": -1},
        {"account_id": 17},
        {"prompt_text": ""},
    ],
)
def test_odd_but_readable_values_are_no_rejects(ingest: Any, log: Any, row: Any, changes: dict[str, Any]) -> None:
    """The twin: a clock a little ahead, numbers as text, words for nothing are read."""
    assert ingest(log([row(0, **changes)])).rejected == 0


def test_broken_lines_are_rejected_with_their_column(ingest: Any, log: Any, row: Any, rejects: Any) -> None:
    """Broken JSON is rejected at line and column; the lines around it are read."""
    report = ingest(log(lines([row(0)]) + '{"a" 1}\n\n' + lines([row(1)])), max_reject_share=0.5)
    assert (report.added, report.rejected) == (2, 1)
    assert rejects() == [
        {"file": "log.jsonl", "line": 2, "column": 6, "reason": "not JSON: expecting ':' delimiter", "raw": '{"a" 1}'}
    ]


def test_a_broken_element_of_an_array_costs_only_itself(ingest: Any, log: Any, row: Any) -> None:
    """In an array with an object a line, one broken object does not hide the others."""
    text = "[" + ",\n".join([json.dumps(row(0)), '{"a" 1}', json.dumps(row(1))]) + "]"
    report = ingest(log(text, "x.json"), max_reject_share=0.5)
    assert (report.added, report.rejected) == (2, 1)


def test_bytes_that_are_no_utf8_are_kept_in_base64(ingest: Any, log: Any, row: Any, rejects: Any) -> None:
    """A line in another encoding is rejected and its bytes are kept, whatever they are."""
    for name, content in (("x.jsonl", lines([row(0)]).encode() + b'{"a": "\xff\xfe"}\n'),):
        report = ingest(log(content, name), max_reject_share=0.5)
        assert (report.added, report.rejected) == (1, 1)
    assert base64.b64decode(rejects()[0]["raw_base64"]) == b'{"a": "\xff\xfe"}'
    assert rejects()[0]["reason"] == "not UTF-8"


def test_unpaired_surrogates_are_replaced_and_counted(ingest: Any, log: Any, stored: Any) -> None:
    """Half an emoji becomes U+FFFD and is counted; a whole one, escaped in two halves, is left alone."""
    good = '{"exchange_id": "%s", "account_id": "a", "ts": "2026-01-02", "model": "m", "prompt_text": "%s"}\n'
    report = ingest(log(good % ("e1", "x\\ud83d") + good % ("e2", "\\ud83d\\ude00")))
    assert [row["prompt_text"] for row in stored()] == ["x\ufffd", "\U0001f600"]
    assert report.notes == {"texts with unpaired surrogates, replaced": 1}


def test_surrogates_inside_embedded_json_are_replaced(ingest: Any, log: Any, stored: Any) -> None:
    """Messages kept as JSON text may hide half an emoji too."""
    messages = '[{"role": "user", "content": "x\\ud83d"}]'
    ingest(log([{"request_id": "r", "api_key": "k", "startTime": "2026-01-02", "model": "m", "messages": messages}]))
    assert stored()[0]["prompt_text"] == "x\ufffd"


def test_a_line_over_the_limit_is_rejected_unread(ingest: Any, log: Any, row: Any, rejects: Any) -> None:
    """A 50 MB line costs its own row and little memory; the rows around it are read."""
    huge = b'{"prompt_text": "' + b"x" * (50 << 20) + b'"}\n'
    report = ingest(log(lines([row(0)]).encode() + huge + lines([row(1)]).encode()), max_reject_share=0.5)
    assert (report.added, report.rejected) == (2, 1)
    assert "longer than 32 MB" in rejects()[0]["reason"]
    assert len(rejects()[0]["raw"]) == 4096
    assert rejects()[0]["line"] == 2


def test_a_value_over_the_limit_in_an_array_is_an_error(ingest: Any, log: Any, row: Any) -> None:
    """Inside an array the end of an endless value cannot be found: the file is refused."""
    text = json.dumps([row(0, prompt_text="x" * 3_000_000)])
    with pytest.raises(InputError, match="longer than"):
        ingest(log(text, "x.json"), limits=Limits(line_bytes=1 << 20))


def test_a_deep_line_is_rejected(ingest: Any, log: Any, row: Any, rejects: Any) -> None:
    """Nesting meant to exhaust the reader rejects its line."""
    ingest(log(lines([row(0)]) + '{"a":' + "[" * 100_000 + "]" * 100_000 + "}\n"), max_reject_share=0.5)
    assert "nested too deeply" in rejects()[0]["reason"]


def test_over_the_limit_nothing_is_added_but_rejects_are_kept(
    ingest: Any, log: Any, row: Any, snapshot: Any, rejects: Any
) -> None:
    """Over the share the run ends in its own error; only rejects/ is new."""
    ingest(log([row(99)], "first.jsonl"))
    before = snapshot()
    with pytest.raises(TooManyRejects, match=r"2 of 10 rows for exchanges are bad, .*5\.0%.*ts is missing") as caught:
        ingest(log([row(n, **({"ts": None} if n < 2 else {})) for n in range(10)]))
    assert caught.value.exit_code == 3
    after = snapshot()
    assert {name: data for name, data in after.items() if not name.startswith("rejects/")} == before
    assert len(rejects()) == 2


def test_under_the_limit_the_good_rows_are_added(ingest: Any, log: Any, row: Any) -> None:
    """The twin: the same rows with a wider limit."""
    report = ingest(log([row(n, **({"ts": None} if n < 2 else {})) for n in range(10)]), max_reject_share=0.2)
    assert (report.added, report.rejected) == (8, 2)


def test_bad_accounts_do_not_hide_behind_many_exchanges(ingest: Any, log: Any, row: Any) -> None:
    """The share is taken for each table: three bad accounts of four end the run."""
    bad = log([{"account_id": f"a{n}", "created_at": "2026-01-01" if n else None} for n in range(2)], "acc.ndjson")
    with pytest.raises(TooManyRejects, match="rows for accounts"):
        ingest(log([row(n) for n in range(200)]), accounts=(bad,))


@pytest.mark.parametrize("accounts", ["account_id,created_at\n", "account_id,created_at\na,2026-01-01\n"])
def test_zero_and_one_account(ingest: Any, log: Any, row: Any, into: Path, accounts: str) -> None:
    """An accounts file with no row or one row is fine."""
    report = ingest(log([row()]), accounts=(log(accounts, "accounts.csv"),))
    assert report.accounts == Dataset.open(into).accounts().num_rows == accounts.count("\n") - 1
    assert report.accounts_without_record == 1 - report.accounts


def test_a_missing_source_is_an_error(ingest: Any, tmp_path: Path) -> None:
    """A path or pattern that names nothing, and a folder without logs, are refused."""
    with pytest.raises(InputError, match="no such file"):
        ingest(tmp_path / "nothing*")
    (tmp_path / "notes.md").touch()
    with pytest.raises(InputError, match="holds no log"):
        ingest(tmp_path)
