"""The frame: coded by spelling, sorted by account and time, absent evidence as -1 or NaN, the same from any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import DatasetError
from stillwatch.signals.fingerprint import fingerprint
from stillwatch.signals.frame import Frame, Ragged, read_frame
from stillwatch.tables import Dataset

START = 1_780_000_000_000_000
FrameOf = Callable[..., Frame]


def ragged(lists: list[list[int]]) -> Ragged:
    """Return lists as a Ragged."""
    flat = np.array([value for values in lists for value in values], np.uint64)
    return Ragged(np.concatenate(([0], np.cumsum([len(v) for v in lists]))).astype(np.int64), flat)


def lists(rows: Ragged) -> list[list[int]]:
    """Return a Ragged as lists."""
    return [rows.flat[a:b].tolist() for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=4), max_size=8), st.randoms())
def test_take_is_indexing_a_list_of_lists(drawn: list[list[int]], random: Any) -> None:
    """Rows in any order, repeated or left out, empty ones among them."""
    order = [random.randrange(len(drawn)) for _ in range(random.randrange(12))] if drawn else []
    taken = ragged(drawn).take(np.array(order, np.int64))
    assert lists(taken) == [drawn[i] for i in order]
    assert taken.rows().tolist() == [row for row, i in enumerate(order) for _ in drawn[i]]


def test_rows_are_sorted_by_account_then_time_then_id(frame_of: FrameOf) -> None:
    """Whatever order the files have, account a's exchanges are a slice, oldest first, ties by id."""
    rows = [
        {"exchange_id": "z", "account_id": "b", "ts": START},
        {"exchange_id": "y", "account_id": "a", "ts": START + 5},
        {"exchange_id": "x", "account_id": "a", "ts": START + 5},
        {"exchange_id": "w", "account_id": "a", "ts": START + 1},
    ]
    frame = frame_of(rows)
    assert frame.exchange_ids.to_pylist() == ["w", "x", "y", "z"]
    assert frame.start.tolist() == [0, 3, 4]
    assert frame.volume().tolist() == [3, 1]


def test_the_order_of_rows_in_files_changes_nothing(frame_of: FrameOf) -> None:
    """Two datasets with the same rows in another order give the same frame."""
    rng = np.random.default_rng(3)
    rows = [
        {
            "exchange_id": f"e{i:03d}",
            "account_id": f"a{rng.integers(9)}",
            "ts": START + int(rng.integers(10**12)),
            "country": ["DE", None, "BR"][rng.integers(3)],
            "prompt_text": f"please explain item {rng.integers(40)} of the harbour rules",
        }
        for i in range(80)
    ]
    one, two = frame_of(rows), frame_of([rows[i] for i in rng.permutation(80)])
    assert one.exchange_ids.to_pylist() == two.exchange_ids.to_pylist()
    for name in ("account", "ts", "template", "capability"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert np.array_equal(one.code["country"], two.code["country"])
    assert np.array_equal(one.sketch.flat, two.sketch.flat)


def test_absent_is_not_zero(frame_of: FrameOf) -> None:
    """Null codes are -1, null numbers NaN, null flags -1; an empty string counts as absent; zero stays zero."""
    frame = frame_of(
        [
            {"account_id": "a", "ts": START, "country": None, "input_tokens": None, "refused": None},
            {"account_id": "a", "ts": START + 1, "country": "", "input_tokens": 0, "refused": False},
            {"account_id": "a", "ts": START + 2, "country": "DE", "input_tokens": 7, "refused": True},
        ]
    )
    assert frame.code["country"].tolist() == [-1, -1, 0]
    assert frame.names["country"] == ["DE"]
    assert np.isnan(frame.number["input_tokens"][0])
    assert frame.number["input_tokens"][1:].tolist() == [0.0, 7.0]
    assert frame.flag["refused"].tolist() == [-1, 0, 1]
    assert frame.created.tolist() == [-1]


def test_accounts_without_exchanges_and_exchanges_without_account_records_are_both_there(frame_of: FrameOf) -> None:
    """The frame's accounts are the union, in order; what a table lacks is absent."""
    frame = frame_of([{"account_id": "b"}], [{"account_id": "a", "plan": "pro"}, {"account_id": "c", "plan": None}])
    assert frame.account_ids.to_pylist() == ["a", "b", "c"]
    assert frame.volume().tolist() == [0, 1, 0]
    assert (frame.created >= 0).tolist() == [True, False, True]
    assert frame.attribute["plan"].tolist() == [0, -1, -1]


def test_an_account_named_twice_is_an_error(frame_of: FrameOf) -> None:
    """Two records of one account contradict each other: the reader says so."""
    with pytest.raises(DatasetError, match="names an account twice"):
        frame_of([{"account_id": "a"}], [{"account_id": "a"}, {"account_id": "a"}])


def test_stored_fingerprints_give_the_frame_that_text_gives(write_dataset: Callable[..., Dataset]) -> None:
    """A dataset whose text was dropped after fingerprinting reads the same as one with its text."""
    rows = [
        {
            "account_id": f"a{i % 4}",
            "ts": START + i,
            "prompt_text": f"grade the answer {i} by this rubric, step by step",
        }
        for i in range(20)
    ]
    rows.append({"account_id": "a1", "ts": START + 99, "prompt_text": None})
    made = fingerprint(pa.table({"prompt_text": [row["prompt_text"] for row in rows]}))
    stored = made.drop_columns(["prompt_text"]).to_pylist()
    whole = read_frame(write_dataset(rows))
    free = read_frame(
        write_dataset([{**row, **kept, "prompt_text": None} for row, kept in zip(rows, stored, strict=True)])
    )
    assert whole.sketch.flat.size
    for name in ("template", "capability"):
        assert np.array_equal(getattr(whole, name), getattr(free, name))
    assert lists(whole.sketch) == lists(free.sketch)
    assert lists(whole.cues) == lists(free.cues)


def test_an_empty_dataset_is_an_empty_frame(frame_of: FrameOf) -> None:
    """No accounts, no exchanges: every array is there, and empty."""
    frame = frame_of()
    assert (frame.n_accounts, frame.n_exchanges) == (0, 0)
    assert frame.volume().tolist() == []


def test_coverage_says_which_evidence_is_there(frame_of: FrameOf) -> None:
    """Shares of filled rows by column: what is absent is 0."""
    frame = frame_of([{"account_id": "a", "country": "DE"}, {"account_id": "a", "country": None}])
    assert frame.coverage["country"] == 0.5
    assert frame.coverage["ip"] == 0.0
