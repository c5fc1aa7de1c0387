"""Lines of evidence: each with a sentence, a weight and a query that rebuilds it from the tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stillwatch.campaigns.discover import Found, discover
from stillwatch.campaigns.harvest import harvest
from stillwatch.cases.evidence import Evidence, axis_records, evidence_lines
from stillwatch.cases.scan import scan
from stillwatch.linkage.groups import ViewResult, candidates
from stillwatch.linkage.space import Space
from stillwatch.tables import Dataset
from stillwatch.tables.engines import connect


@pytest.fixture(scope="module")
def found(tiny_space: Space) -> Found:
    """Return the most coordinated group of the tiny world."""
    return max(discover(tiny_space, candidates(tiny_space)), key=lambda one: one.coordinated)


@pytest.fixture(scope="module")
def lines(found: Found, tiny_space: Space) -> list[Evidence]:
    """Return its evidence."""
    return evidence_lines(tiny_space, found, harvest(tiny_space.frame, found))


def test_evidence_comes_strongest_first_and_weak_lines_are_left_out(lines: list[Evidence]) -> None:
    """Descending weight; a quarter of a nat at least, but for worth, which is always said."""
    assert [line.weight_nats for line in lines] == sorted((line.weight_nats for line in lines), reverse=True)
    assert all(line.weight_nats >= 0.25 or line.axis == "WORTH" for line in lines)
    assert {"WHAT", "WORTH"} <= {line.axis for line in lines}


def test_counts_in_sentences_are_counts_of_members(lines: list[Evidence], found: Found) -> None:
    """No line speaks of more accounts than the group has, and its number stands in its sentence."""
    for line in lines:
        assert 0 < line.accounts <= len(found.members)
        assert "," not in line.name
        if line.name.startswith("shared"):
            assert str(line.accounts) in line.text


def test_axes_carry_a_strength_and_say_what_is_missing(found: Found) -> None:
    """Strength is from 0 to 1, p-values are probabilities, and a view without data is missing, not ordinary."""
    for record in axis_records(found):
        assert 0 <= record["strength"] <= 1
        assert record["p_value"] is None or 0 < record["p_value"] <= 1
    blind: Any = found.__class__(**{
        **{name: getattr(found, name) for name in found.__dataclass_fields__},
        "views": {**found.views, "ID": ViewResult(0.0, 0.0, float("nan"), 0.0)},
    })  # fmt: skip
    missing = next(record for record in axis_records(blind) if record["axis"] == "ID")
    assert missing["missing"]
    assert (missing["p_value"], missing["strength"]) == (None, 0.0)
    assert "no evidence" in missing["text"]


@pytest.mark.parametrize(
    ("excess", "p_value", "said"),
    [
        (7.99, 1e-6, "stands out: 7.99 nats a member beyond chance, p = 1.0e-06"),
        (
            7.99,
            0.0099,
            "is not sure enough: 7.99 nats a member beyond chance, but p = 9.9e-03, not under 0.001: "
            "chance, or too few like accounts to be sure",
        ),
        (0.1, 0.0099, "is ordinary: 0.10 nats a member beyond chance, p = 9.9e-03"),
        (0.1, 1e-6, "is ordinary: 0.10 nats a member beyond chance, p = 1.0e-06"),
    ],
)
def test_a_large_view_that_chance_is_not_ruled_out_for_is_not_ordinary(
    found: Found, excess: float, p_value: float, said: str
) -> None:
    """Much in common among few like accounts is called unsure; little in common is ordinary whatever its p-value."""
    one: Any = replace(found, views={**found.views, "NET": ViewResult(excess + 0.1, 0.1, p_value, 1.0)})
    assert next(record for record in axis_records(one) if record["axis"] == "NET")["text"] == said


def test_each_query_rebuilds_its_line(tiny: Dataset, tmp_path: Path) -> None:
    """The stored SQL runs on the dataset and the out folder, gives rows, and speaks of the members alone."""
    shown = scan(tiny, tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "evidence.parquet").to_pylist()
    assert rows
    engine = connect(threads=1)
    engine.create_view("exchanges", tiny.exchanges(engine))
    engine.create_view("accounts", engine.read_parquet(tiny.path / "accounts.parquet"))
    members = shown.table("members")
    for row in rows:
        query = row["query"]
        for name in ("members", "campaign_exchanges"):
            query = query.replace(f"'{name}.parquet'", f"'{tmp_path / 'out' / name}.parquet'")
        (count,) = engine.raw_sql(f"SELECT count(*) FROM ({query})").fetchone()
        assert count > 0, row["name"]
        if row["name"].startswith("shared ") and row["axis"] in {"NET", "ID"}:
            size = sum(c == row["campaign_id"] for c in members["campaign_id"].to_pylist())
            (most,) = engine.raw_sql(f"SELECT max(accounts) FROM ({query})").fetchone()
            assert 2 <= most <= size
    assert np.isfinite([row["weight_nats"] for row in rows]).all()
