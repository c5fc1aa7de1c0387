"""The records of a scan: rows that fit the contract, orders that repeat, nothing invented where evidence is absent."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.attribution.verdict import Judged, judge
from stillwatch.campaigns.discover import discover
from stillwatch.campaigns.harvest import harvest
from stillwatch.campaigns.lineage import Lineage
from stillwatch.cases.evidence import evidence_lines
from stillwatch.cases.exchanges import exchange_table
from stillwatch.cases.folder import AXES, TABLES
from stillwatch.cases.inputs import prompt_heads
from stillwatch.cases.record import (
    Recorded,
    campaign_record,
    cleared_record,
    evidence_rows,
    iso,
    link_rows,
    member_rows,
    ordered_accounts,
    significant,
    template_rows,
    term_rows,
)
from stillwatch.cases.scan import _add_heads
from stillwatch.linkage.groups import candidates
from stillwatch.linkage.space import Space
from stillwatch.signals.text import masked_head
from stillwatch.tables import Dataset


@pytest.fixture(scope="module")
def judged(tiny_space: Space) -> Judged:
    """Judge the largest group of the tiny world."""
    found = discover(tiny_space, candidates(tiny_space))
    return judge(tiny_space, max(found, key=lambda one: len(one.members)))


@pytest.fixture(scope="module")
def recorded(judged: Judged, tiny_space: Space) -> Recorded:
    """Put together what the writers need of that group."""
    taken = harvest(tiny_space.frame, judged.found)
    return Recorded(judged, Lineage("SW-1", "new", ()), taken, evidence_lines(tiny_space, judged.found, taken))


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows under the contract's schema; a column it does not know is an error."""
    assert all(set(row) == set(TABLES[name]) for row in rows)
    return pa.Table.from_pylist(rows, schema=pa.schema(list(TABLES[name].items())))


def test_all_rows_fit_the_contract(recorded: Recorded, tiny_space: Space) -> None:
    """Every table's rows have exactly its columns, and types that fit."""
    assert table("members", member_rows(recorded, tiny_space)).num_rows == len(recorded.judged.found.members)
    assert table("member_terms", term_rows(recorded, tiny_space)).num_rows > 0
    assert table("evidence", evidence_rows(recorded)).num_rows >= 2
    assert table("links", link_rows(recorded, tiny_space)).num_rows > 0
    assert exchange_table([recorded], tiny_space).column_names == list(TABLES["campaign_exchanges"])


def test_a_campaign_record_says_what_the_contract_asks(recorded: Recorded, tiny_space: Space) -> None:
    """Keys, six axes in order, every explanation with its outcome, counts inside their intervals."""
    record = campaign_record(recorded, tiny_space)
    wanted = {
        "campaign_id", "verdict", "first_seen", "last_seen", "accounts", "exchanges", "tokens", "capabilities",
        "q_value", "evidence", "innocent_explanations",
    }  # fmt: skip
    assert wanted <= set(record)
    assert [axis["axis"] for axis in record["axes"]] == list(AXES)
    assert all(e["outcome"] in {"explains", "possible", "excluded", "no data"} for e in record["innocent_explanations"])
    low, high = record["exchanges_interval"]
    assert low <= high
    assert record["first_seen"] < record["last_seen"]
    assert record["accounts"] == len(recorded.judged.found.members)


def test_terms_add_up_to_the_membership(recorded: Recorded, tiny_space: Space) -> None:
    """Prior and block terms of each member sum to the log odds of its probability (within the fit's limits)."""
    total: dict[str, float] = {}
    for row in term_rows(recorded, tiny_space):
        total[row["account_id"]] = total.get(row["account_id"], 0.0) + row["log_lr"]
    for row in member_rows(recorded, tiny_space):
        assert row["probability"] == pytest.approx(
            1 / (1 + np.exp(-np.clip(total[row["account_id"]], -30, 30))), abs=0.01
        )


def test_members_come_likeliest_first_and_within_their_own_time(recorded: Recorded, tiny_space: Space) -> None:
    """Descending probability; first seen never after last seen; roles are of the vocabulary."""
    rows = member_rows(recorded, tiny_space)
    assert [r["probability"] for r in rows] == sorted((r["probability"] for r in rows), reverse=True)
    assert all(r["first_seen"] is None or r["first_seen"] <= r["last_seen"] for r in rows)
    assert {r["role"] for r in rows} <= {"mixed", "closed", "successor", "pool", "reserve"}


def test_closed_accounts_have_their_role(recorded: Recorded, tiny_space: Space) -> None:
    """The role follows the accounts table: closed just when a closure is on record."""
    frame = tiny_space.frame
    closed = {frame.account_ids[int(a)].as_py() for a in recorded.judged.found.members if frame.closed[a] >= 0}
    assert {r["account_id"] for r in member_rows(recorded, tiny_space) if r["role"] == "closed"} == closed


def test_exchanges_are_the_members_and_sorted(recorded: Recorded, tiny_space: Space) -> None:
    """Ids in order, each once, each of a member, each at least one half."""
    taken = exchange_table([recorded], tiny_space)
    ids = taken["exchange_id"].to_pylist()
    assert ids == sorted(set(ids))
    assert min(taken["probability"].to_pylist()) >= 0.5
    owner = dict(zip(tiny_space.frame.exchange_ids.to_pylist(), tiny_space.frame.account.tolist(), strict=True))
    assert {owner[i] for i in ids} <= set(recorded.judged.found.members.tolist())
    assert taken.num_rows == recorded.harvest.exchanges


def test_links_are_between_members_with_positive_weight(recorded: Recorded, tiny_space: Space) -> None:
    """Both ends are members, strongest first, no pair twice on an axis."""
    rows = link_rows(recorded, tiny_space)
    members = {tiny_space.frame.account_ids[int(a)].as_py() for a in recorded.judged.found.members}
    assert {r["account_a"] for r in rows} | {r["account_b"] for r in rows} <= members
    assert [r["weight"] for r in rows] == sorted((r["weight"] for r in rows), reverse=True)
    assert all(r["weight"] > 0 for r in rows)
    assert len({(r["account_a"], r["account_b"], r["axis"]) for r in rows}) == len(rows)


def test_templates_show_the_masked_head_of_an_exchange_that_has_them(
    recorded: Recorded, tiny: Dataset, tiny_space: Space
) -> None:
    """The exchange named carries the template; counts of accounts never exceed those of exchanges."""
    rows = template_rows(recorded, tiny_space)
    template = dict(zip(tiny_space.frame.exchange_ids.to_pylist(), tiny_space.frame.template.tolist(), strict=True))
    assert all(template[row["exchange_id"]] == row["template_id"] for row in rows)
    assert all(1 <= row["accounts"] <= row["exchanges"] for row in rows)
    columns = [pa.Table.from_batches([batch]) for batch in tiny.batches(["exchange_id", "prompt_text"])]
    texts = {row["exchange_id"]: row["prompt_text"] for part in columns for row in part.to_pylist()}
    heads = [masked_head(texts[row["exchange_id"]]) for row in rows]
    _add_heads(rows, partial(prompt_heads, tiny))
    assert table("templates", rows)["head"].to_pylist() == heads


def test_without_text_a_template_has_no_head(recorded: Recorded, tiny_space: Space, tmp_path: Path) -> None:
    """A dataset that holds no prompt shows none."""
    rows = template_rows(recorded, tiny_space)
    _add_heads(rows, partial(prompt_heads, Dataset(tmp_path)))
    assert rows
    assert {row["head"] for row in rows} == {None}


def test_accounts_are_ordered_by_their_first_exchange(recorded: Recorded, tiny_space: Space) -> None:
    """The order of an id: who came first, whatever the codes are."""
    rows = {row["account_id"]: row["first_seen"] for row in member_rows(recorded, tiny_space)}
    first = [rows[name] for name in ordered_accounts(recorded.judged, tiny_space) if rows[name] is not None]
    assert first == sorted(first)
    assert len(ordered_accounts(recorded.judged, tiny_space)) == len(rows)


def test_a_cleared_group_says_by_what(judged: Judged, tiny_space: Space) -> None:
    """The record of a group looked at and left alone names the test and the reason."""
    cleared = Judged(judged.found, "cleared", "because", "hackathon or event", [])
    record = cleared_record(cleared, tiny_space, 7)
    assert (record["group_id"], record["cleared_by"], record["reason"]) == ("G-007", "hackathon or event", "because")
    held = {tiny_space.frame.account_ids[int(one)].as_py() for one in cleared.found.members}
    assert record["members"] == sorted(held)


@given(st.floats(-1e300, 1e300) | st.sampled_from([float("nan"), float("inf")]))
def test_significant_is_a_number_json_can_hold(value: float) -> None:
    """Three digits, and None for what is no number."""
    rounded = significant(value)
    assert rounded is None if not np.isfinite(value) else rounded == pytest.approx(value, rel=0.006)


@given(st.integers(0, 4_102_444_800))
def test_iso_reads_back(seconds: int) -> None:
    """ISO 8601 in UTC, to the second here."""
    assert datetime.fromisoformat(iso(seconds * 1_000_000)).timestamp() == seconds


def test_a_template_is_shown_by_its_first_exchange(recorded: Recorded, tiny_space: Space) -> None:
    """A later exchange changes no head, whichever account it is of: so a grown dataset shows the same."""
    frame, split = tiny_space.frame, recorded.judged.found.split
    place = {name: row for row, name in enumerate(frame.exchange_ids.to_pylist())}
    rows = split.rows[split.probability >= 0.5]
    for row in template_rows(recorded, tiny_space):
        alike = rows[frame.template[rows] == row["template_id"]]
        assert frame.ts[place[row["exchange_id"]]] == frame.ts[alike].min()
