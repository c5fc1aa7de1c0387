"""The fast lane takes what it takes as the mapper would, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.ingest import IngestReport, load_identity
from stillwatch.ingest.catalogue import READERS
from stillwatch.ingest.cells import Desk, finish_exchange
from stillwatch.ingest.columns import Column, Columns, finish_columns
from stillwatch.ingest.identity import IdentityMap, default_identity
from stillwatch.ingest.litellm import payload_cells
from stillwatch.ingest.litellm_lane import payload_lane
from stillwatch.ingest.privacy import Key
from stillwatch.ingest.reader import Cells, Plan, RowError

NOW_US = 1_800_000_000_000_000
HOSTILE: list[Any] = [None, "", 0, 7, -1, 1.5, True, "x", "12", [], {}, [1], {"a": 1}, '{"user_api_key_hash": "k"}']
TEXT = [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "u"}}]
USAGES: list[Any] = [
    {"prompt_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}},
    {"cache_read_input_tokens": 4, "output_tokens_details": {"thinking_tokens": 5}},
    {"prompt_tokens_details": {"cached_tokens": 1}, "input_tokens_details": {"cached_tokens": 9}},
]
CHOICES: list[Any] = [
    [{"finish_reason": "stop", "message": {"content": "Hello"}}],
    [{"finish_reason": None, "message": {"content": None, "refusal": "no"}}, {"message": {"content": TEXT}}],
    [{"finish_reason": "content_filter", "message": {"content": ""}}],
    [{"message": {"text": "no content"}}],
    [],
]
USUAL: dict[str, list[Any]] = {
    "id": ["e1", "é"],
    "litellm_call_id": ["c1"],
    "startTime": [1767225600, 1767225600.25, "2026-01-01T00:00:00Z"],
    "model_group": ["m"],
    "model": ["deployment"],
    "prompt_tokens": [3],
    "completion_tokens": [4],
    "response_time": [0.5, 2],
    "call_type": ["acompletion"],
    "status": ["success", "failure"],
    "end_user": ["u@example.com", "u"],
    "session_id": ["s"],
    "trace_id": ["t"],
    "requester_ip_address": ["10.1.2.3", "none"],
    "error_information": [{"error_code": "429"}, {"error_code": 500}, {"error_code": "x"}],
    "messages": [
        [{"role": "user", "content": "Hi"}],
        [{"role": "system", "content": "S"}, {"role": "user", "content": TEXT}],
    ],
    "response": [{"choices": choices, "usage": usage} for choices in CHOICES for usage in (*USAGES, None)],
    "model_parameters": [{"temperature": 0.5, "max_tokens": 9, "n": 2, "logprobs": True}, {"tools": [{"a": "é"}]}],
    "metadata": [
        {"user_api_key_user_id": "a", "user_api_key_hash": "k", "usage_object": USAGES[0]},
        {
            "user_api_key_team_id": "t",
            "requester_custom_headers": {"x-asn": "64500", "X_JA4": "t13", "x-country": "de"},
        },
        {"user_api_key_request_route": "/v1", "requester_metadata": {"session_id": "s2"}, "usage_object": USAGES[1]},
        {"requester_metadata": None, "requester_custom_headers": None},
    ],
}
MEMBERS = {name: st.sampled_from(usual * (200 // len(usual)) + HOSTILE) for name, usual in USUAL.items()}
REQUIRED = ("id", "startTime", "prompt_tokens", "completion_tokens")
PAYLOADS = st.fixed_dictionaries(
    {name: MEMBERS[name] for name in REQUIRED}, optional={n: m for n, m in MEMBERS.items() if n not in REQUIRED}
)


def cells_of(columns: Columns, row: int) -> Cells:
    """Return one row of columns as the mapper gives it."""
    there = {name: (column.values[row], column.origins[row] or "") for name, column in columns.items()}
    return {name: cell for name, cell in there.items() if cell[0] is not None}


@given(st.lists(PAYLOADS, min_size=1, max_size=6), st.booleans())
def test_what_the_lane_takes_is_what_the_mapper_gives(payloads: list[dict[str, Any]], mapped_by_user: bool) -> None:
    """Each line that the lane takes has the mapper's cells: values, types and where they were found."""
    plan = Plan(users_map() if mapped_by_user else default_identity())
    lane = payload_lane(plan)
    assert lane is not None
    taken = [(p, value) for p in payloads if (value := lane.takes(json.dumps(p).encode())) is not None]
    if taken:
        columns = lane.columns([value for _, value in taken])
        for row, (payload, _) in enumerate(taken):
            wanted = payload_cells(json.loads(json.dumps(payload)), plan.identity)
            assert repr(sorted(cells_of(columns, row).items())) == repr(sorted(wanted.items()))


def users_map() -> IdentityMap:
    """Return the shipped map with a constant for a column."""
    shipped = default_identity().lookups["litellm"].columns
    changed = [(name, places, ("api", "constant") if name == "surface" else None) for name, places, _ in shipped]
    return IdentityMap({"litellm": replace(default_identity().lookups["litellm"], columns=tuple(changed))})


def test_a_line_with_a_path_as_one_flat_key_is_left_to_the_mapper() -> None:
    """A flat key wins over the path, which only the mapper knows; the same line without it is taken."""
    lane = payload_lane(Plan(default_identity()))
    assert lane is not None
    assert lane.takes(payload(1).encode()) is not None
    assert lane.takes(payload(1, **{"metadata.user_api_key_user_id": "b"}).encode()) is None


CELLS: dict[str, list[Any]] = {
    "account_id": ["a", "sk-0123456789abcdef0123", "x@y.example"],
    "ts": [1767225600, "2026-01-01", 1.8e18, 5],
    "model": ["m", "a\ud800", "é"],
    "ip": ["10.1.2.3", "10.1.2.3:80", "no address", "hmac-sha256:k:0"],
    "ip_prefix": ["10.9.9.0/24"],
    "asn": ["AS64500", 64500, "-"],
    "country": ["de", "N/A"],
    "input_tokens": [1, -1, -2, "7", 1 << 63],
    "temperature": [0.5, float("inf"), 1],
    "refused": [True, "no"],
    "modalities": [["text"], '["text"]', "text"],
    "prompt_text": ["p", "a\ud800", 3],
}
ROW = st.fixed_dictionaries(
    {name: st.sampled_from(CELLS[name][:1] * 6 + CELLS[name]) for name in ("account_id", "ts", "model")},
    optional={
        name: st.sampled_from(values) for name, values in CELLS.items() if name not in ("account_id", "ts", "model")
    },
)


@given(st.lists(ROW, min_size=1, max_size=5))
def test_columns_are_finished_as_rows_are(rows: list[dict[str, Any]]) -> None:
    """Many rows at once give the values, origins and notes of one after another; one not read whole fails all."""
    one, many = Desk(Key(b"0123456789abcdef"), NOW_US), Desk(Key(b"0123456789abcdef"), NOW_US)
    names = sorted(set[str]().union(*rows))
    columns = {
        name: Column([row.get(name) for row in rows], [name if name in row else None for row in rows]) for name in names
    }
    try:
        wanted = [finish_exchange({name: (value, name) for name, value in row.items()}, one) for row in rows]
        if any(name.startswith("unreadable") for name in one.notes):
            raise RowError("a field was left out")
    except RowError:
        with pytest.raises(RowError):
            finish_columns(columns, many)
        return
    finish_columns(columns, many)
    assert [sorted(cells_of(columns, row).items()) for row in range(len(rows))] == [sorted(w.items()) for w in wanted]
    assert one.notes == many.notes


def payload(number: int, **changes: Any) -> str:
    """Return a line of the usual shape, with changes."""
    good = {
        "id": f"e{number}", "startTime": 1767225600 + number, "call_type": "acompletion", "model": "m",
        "status": "success", "prompt_tokens": 3, "completion_tokens": 4, "metadata": {"user_api_key_user_id": "a"},
        "messages": [{"role": "user", "content": f"Question {number}"}],
    }  # fmt: skip
    return json.dumps({**good, **changes})


def mixed() -> str:
    """Return a log in which usual lines stand between every kind of other line."""
    lines = [payload(number) for number in range(700)]
    lines[3] = payload(3, startTime="never")
    lines[40] = "{broken"
    lines[41] = payload(41, messages='[{"role": "user", "content": "as text"}]')
    lines[90] = ""
    lines[91] = payload(90)
    lines[92] = payload(90)
    lines[200] = payload(200, id=None)
    lines[201] = payload(200, id=None)
    lines[300] = json.dumps([json.loads(payload(300)), 7])
    lines[400] = payload(400, prompt_tokens=-5)
    lines[620] = payload(619)  # again, among nothing but usual lines
    lines[500] = payload(500, requester_ip_address="10.1.2.3", prompt_tokens="12")
    return "\n".join(lines) + "\n"


def test_a_log_gives_the_same_dataset_with_and_without_the_lane(
    log: Callable[..., Path],
    ingest: Callable[..., IngestReport],
    stored: Callable[[], list[dict[str, Any]]],
    into: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows, their order, ids, rejects, coverage and the report do not tell which way the lines went."""
    file = log(mixed())
    found = []
    for lane in (READERS["litellm"].lane, None):
        monkeypatch.setitem(READERS, "litellm", replace(READERS["litellm"], lane=lane))
        report = ingest(file)
        rejects = {path.name: path.read_bytes() for path in into.rglob("rejects/**/*.ndjson")}
        found.append((report, stored(), rejects, (into / "coverage.json").read_bytes()))
        into.rename(into.with_name(f"done-{len(found)}"))
    assert found[0] == found[1]
    assert (found[0][0].added, found[0][0].duplicates, found[0][0].rejected) == (695, 2, 3)


def test_a_lane_that_cannot_follow_the_identity_map_is_none(log: Callable[..., Path]) -> None:
    """A map that takes a whole object where others look inside it leaves the work to the mapper."""
    path = log('[litellm]\nsession_id = ["metadata"]\n', "identity.toml")
    assert payload_lane(Plan(load_identity(path))) is None
    usual = log('[litellm]\nsession_id = ["trace_id"]\n', "other.toml")
    assert payload_lane(Plan(load_identity(usual))) is not None
