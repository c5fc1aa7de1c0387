"""A small dataset and the folder that a scan of it would write, made by hand: no detector runs here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.cases.folder import TABLES
from stillwatch.tables import Dataset, DatasetWriter

DAY = 86_400_000_000
START = 20_514 * DAY  # 2026-03-02, a Monday
SECRET = "please derive the recurrence for my customer Nightjar"


@dataclass
class Shape:
    """How large a made world is and what is odd about it."""

    accounts: int = 120
    days: int = 30
    campaigns: list[int] = field(default_factory=lambda: [25, 12])
    hostile: str = ""
    columns: bool = True  # surface, plan, programme … are filled
    text: bool = True


@dataclass
class World:
    """A dataset and the folder of its scan."""

    dataset: Dataset
    out: Path


def build_world(folder: Path, shape: Shape) -> World:
    """Write the dataset and the scan's folder of a made world."""
    rng = np.random.default_rng(7)
    names = [f"acct-{i:05d}" for i in range(shape.accounts + sum(shape.campaigns))]
    groups, begin = [], shape.accounts
    for size in shape.campaigns:
        groups.append(names[begin : begin + size])
        begin += size
    created = START - rng.integers(0, 120, len(names)) * DAY
    for at, group in enumerate(groups):
        first = int(group[0].removeprefix("acct-"))
        burst = START + (shape.days * (at + 1) // (len(groups) + 2)) * DAY
        created[first : first + len(group)] = burst + rng.integers(0, 2 * DAY, len(group))
    rows = _exchanges(shape, names, groups, created, rng)
    with DatasetWriter(folder / "data") as writer:
        if rows:
            writer.add_exchanges(pa.Table.from_pylist(rows))
        writer.set_accounts(_accounts(shape, names, created))
        if shape.columns:
            launch = {"model": ["lumen-2"], "released_at": [START + shape.days * DAY // 2]}
            writer.set_launches(pa.table(launch))
        writer.commit()
    out = folder / "out"
    out.mkdir()
    _scan(out, shape, groups, rows)
    return World(Dataset.open(folder / "data"), out)


def _accounts(shape: Shape, names: list[str], created: Any) -> pa.Table:
    columns: dict[str, Any] = {"account_id": names, "created_at": [int(at) for at in created]}
    if shape.columns:
        late = set(range(shape.accounts, len(names), 3))
        columns["plan"] = [("free", "pro", "team")[i % 3] for i in range(len(names))]
        columns["programme"] = [
            "research" if i >= shape.accounts else ("none", "education")[i % 2] for i in range(len(names))
        ]
        columns["closed_at"] = [START + (shape.days - 2) * DAY if i in late else None for i in range(len(names))]
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def _exchanges(shape: Shape, names: list[str], groups: list[list[str]], created: Any, rng: Any) -> list[dict[str, Any]]:
    model = f"lumen-1{shape.hostile}"
    member = {name: at for at, group in enumerate(groups) for name in group}
    rows = []
    for i, name in enumerate(names):
        for day in range(shape.days):
            busy = rng.poisson(1.2 if (START // DAY + day) % 7 in (2, 3) else 2.4)
            if name in member:
                busy = rng.poisson(7) if START + day * DAY >= created[i] else 0
            for _ in range(busy):
                at = START + day * DAY + int(rng.integers(0, DAY))
                later = at >= START + shape.days * DAY // 2 and (name in member or i % 4 == 0)
                row = {
                    "exchange_id": f"e{len(rows):07d}",
                    "account_id": name,
                    "ts": max(at, int(created[i])),
                    "model": "lumen-2" if later else model,
                }
                if shape.columns:
                    row |= {"surface": ("api", "web", "batch")[i % 3], "user_agent": shape.hostile or "sdk"}
                if shape.text:
                    row["prompt_text"] = f"{SECRET} {shape.hostile} {len(rows)}"
                rows.append(row)
    return rows


def _scan(out: Path, shape: Shape, groups: list[list[str]], rows: list[dict[str, Any]]) -> None:
    records = [_campaign(at, group, rows, shape) for at, group in enumerate(groups)]
    (out / "campaigns.json").write_text(json.dumps(records))
    cleared = {
        "group_id": "G-001",
        "accounts": 40,
        "exchanges": 900,
        "what": f"one agent framework's system prompt{shape.hostile}",
        "worth": 0.12,
        "views": {"NET": 0.4, "ID": 0.7, "LIFE": None, "TIME": 0.2},
        "cleared_by": "popular framework",
        "reason": "organic adoption, unrelated payments",
    }
    (out / "considered.json").write_text(json.dumps([cleared]))
    accounts = shape.accounts + sum(shape.campaigns)
    run = {
        "version": "0.1.0",
        "parameters": {"q": 0.1},
        "input_sha256": "ab" * 32,
        "rows": {"exchanges": len(rows), "accounts": accounts, "rejects": 0},
        "coverage": {"user_agent": 1.0 if shape.columns else 0.0, "tls_fingerprint": 0.0},
        "missing_evidence": ["tls_fingerprint"],
        "stages": [{"name": "signals", "seconds": 1.5, "peak_mb": 100, "rows": 5}],
        "seed": 0,
    }
    (out / "run.json").write_text(json.dumps(run))
    _tables(out, shape, groups, rows)


def _campaign(at: int, group: list[str], rows: list[dict[str, Any]], shape: Shape) -> dict[str, Any]:
    mine = [row for row in rows if row["account_id"] in set(group)]
    axes = [
        {"axis": "WHAT", "effect": 6.2, "p_value": 1e-9, "strength": 0.9, "missing": False, "text": "one construction"},
        {"axis": "NET", "effect": 2.4, "p_value": 2e-6, "strength": 0.6, "missing": False, "text": "few networks"},
        {"axis": "ID", "effect": 1.1, "p_value": 0.0004, "strength": 0.4, "missing": False, "text": "two issuers"},
        {"axis": "LIFE", "effect": 3.0, "p_value": 1e-7, "strength": 0.7, "missing": at == 1, "text": "burst"},
        {"axis": "TIME", "effect": 0.1, "p_value": 0.31, "strength": 0.05, "missing": False, "text": "own rhythms"},
        {"axis": "WORTH", "effect": 2.0, "p_value": 0.001, "strength": 0.8, "missing": False, "text": "no repeats"},
    ]
    return {
        "campaign_id": f"C-00{at + 1}",
        "verdict": "campaign" if at == 0 else "needs_person",
        "first_seen": "2026-03-09T00:00:00Z",
        "last_seen": "2026-03-31T00:00:00Z",
        "accounts": len(group),
        "exchanges": len(mine),
        "tokens": len(mine) * 1_500,
        "accounts_interval": [len(group) - 1, len(group) + 2],
        "exchanges_interval": [len(mine) - 9, len(mine) + 30],
        "tokens_interval": [len(mine) * 1_400, len(mine) * 1_600],
        "capabilities": ["reasoning", "rubric grading"],
        "capability_shares": {"reasoning": 0.61, "rubric grading": 0.3},
        "models": [f"lumen-1{shape.hostile}", "lumen-2"],
        "surfaces": ["api", "batch"],
        "q_value": 0.004,
        "axes": axes,
        "evidence": ["they ask alike"],
        "innocent_explanations": [
            {"name": "evaluation harness", "outcome": "excluded", "reason": "no benchmark items"},
            {"name": "class", "outcome": "possible", "reason": "signed up in term time"},
        ],
        "person_reason": None if at == 0 else "a class that distils as coursework looks the same",
        "lineage": {"event": "new", "previous": []},
    }


def _tables(out: Path, shape: Shape, groups: list[list[str]], rows: list[dict[str, Any]]) -> None:
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for at, group in enumerate(groups):
        campaign = {"campaign_id": f"C-00{at + 1}"}
        inside = set(group)
        for i, name in enumerate(group):
            made["members"].append(
                campaign
                | {"account_id": name, "probability": 1.0 - 0.4 * i / len(group), "role": "pool", "log_lr_what": 5.0}
                | {"log_lr_who": 3.5, "log_lr_worth": 1.0, "first_seen": START, "last_seen": START + 9 * DAY}
            )
            for axis, term, nats in (
                ("PRIOR", "prior odds", -4.0),
                ("WHAT", "construction", 5.0 - 4.0 * i / len(group)),
            ):
                made["member_terms"].append(campaign | {"account_id": name, "axis": axis, "term": term, "log_lr": nats})
            for axis, nats in (("NET", 2.0), ("ID", 1.5), ("WORTH", 1.0)):
                term = {"axis": axis, "term": f"{axis.lower()} shared", "detail": "with 3 others", "log_lr": nats}
                made["member_terms"].append(campaign | {"account_id": name} | term)
            for step, axis in ((1, "NET"), (5, "ID"), (2, "WHAT")):
                if i + step < len(group) and i % 3:
                    pair = {"account_a": name, "account_b": group[i + step], "axis": axis, "weight": 2.0 + step / 3}
                    made["links"].append(campaign | pair)
        for row in rows:
            if row["account_id"] in inside:
                made["campaign_exchanges"].append(campaign | {"exchange_id": row["exchange_id"], "probability": 0.9})
        for i in range(4):
            head = f"You are an expert in <word>. Solve step by step{shape.hostile}" if shape.text else None
            used = {"template_id": 2**63 + i, "head": head, "accounts": len(group) // (i + 1), "exchanges": 50 - i}
            made["templates"].append(campaign | used)
        line = {"axis": "NET", "name": "shared prefix", "text": f"7 share a prefix{shape.hostile}", "weight_nats": 2.4}
        made["evidence"].append(campaign | line | {"accounts": 7, "query": "exchanges where ip_prefix = '198.51.100'"})
    for name, kinds in TABLES.items():
        columns = {column: pa.array([row.get(column) for row in made[name]], kind) for column, kind in kinds.items()}
        pq.write_table(pa.table(columns), out / f"{name}.parquet")


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[[Shape], World]:
    """Build made worlds under the test's own folder."""
    return lambda shape: build_world(tmp_path, shape)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One made world with a campaign and a group that needs a person; tests only read it."""
    return build_world(tmp_path_factory.mktemp("world"), Shape())
