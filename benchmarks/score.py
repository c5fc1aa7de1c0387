"""Score a scan's out folder against the truth of its world: what the documents quote.

A campaign is found when a reported campaign holds at least half its accounts and at least half of the reported accounts
are its own. Only the verdict ``campaign`` counts as reported.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stillwatch.tables import Dataset

Truth = tuple[Mapping[str, tuple[str, str | None]], Mapping[str, str]]


def labelled(dataset: Path) -> Truth:
    """Read a simulated dataset's labels: account -> (population, campaign), exchange -> campaign."""
    accounts, exchanges = Dataset.open(dataset).labels()
    rows = zip(*(accounts[c].to_pylist() for c in ("account_id", "population", "campaign_id")), strict=True)
    taken = zip(exchanges["exchange_id"].to_pylist(), exchanges["campaign_id"].to_pylist(), strict=True)
    return {a: (p, c) for a, p, c in rows}, {e: c for e, c in taken if c}


def score(out: Path, truth: Truth) -> dict[str, Any]:
    """Return campaign, account and exchange measures of one scan."""
    accounts, exchanges = truth
    verdicts = {c["campaign_id"]: c["verdict"] for c in json.loads((out / "campaigns.json").read_text())}
    members = _grouped(out / "members.parquet", "account_id", verdicts)
    taken = _grouped(out / "campaign_exchanges.parquet", "exchange_id", verdicts)
    guilty = {a for a, (_, c) in accounts.items() if c}
    accused = set().union(*members.values()) if members else set()
    swept = Counter(accounts[a][0] for a in accused - guilty)
    innocent = Counter(p for p, c in accounts.values() if not c)
    precision = len(accused & guilty) / len(accused) if accused else 1.0
    recall = len(accused & guilty) / len(guilty) if guilty else 1.0
    return {
        "campaigns": {
            name: _campaign(name, accounts, exchanges, members, taken)
            for name in sorted({c for _, c in accounts.values() if c})
        },
        "reported": len(members),
        "false_campaigns": sum(1 for m in members.values() if len(m & guilty) * 2 < len(m)),
        "needs_person": sum(1 for v in verdicts.values() if v == "needs_person"),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f1": round(2 * precision * recall / max(precision + recall, 1e-9), 4),
        "innocents": sum(innocent.values()),
        "innocents_swept": sum(swept.values()),
        "swept_by_population": {p: f"{n} of {innocent[p]}" for p, n in sorted(swept.items())},
        "seconds": round(sum(s["seconds"] for s in json.loads((out / "run.json").read_text())["stages"]), 1),
    }


def _grouped(path: Path, column: str, verdicts: Mapping[str, str]) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = {}
    for row in pq.read_table(path, columns=["campaign_id", column]).to_pylist():
        if verdicts[row["campaign_id"]] == "campaign":
            groups.setdefault(row["campaign_id"], set()).add(row[column])
    return groups


def _campaign(
    name: str,
    accounts: Mapping[str, tuple[str, str | None]],
    exchanges: Mapping[str, str],
    members: Mapping[str, set[str]],
    taken: Mapping[str, set[str]],
) -> dict[str, Any]:
    mine = {a for a, (_, c) in accounts.items() if c == name}
    asked = {e for e, c in exchanges.items() if c == name}
    best = max(members, key=lambda c: len(members[c] & mine), default=None)
    if best is None:
        return {"accounts": len(mine), "found": False, "recall": 0.0, "purity": 0.0}
    recall, purity = len(members[best] & mine) / len(mine), len(members[best] & mine) / len(members[best])
    theirs = taken.get(best, set())
    return {
        "accounts": len(mine),
        "found": recall >= 0.5 and purity >= 0.5,
        "recall": round(recall, 4),
        "purity": round(purity, 4),
        "exchange_recall": round(len(theirs & asked) / max(1, len(asked)), 4),
        "exchange_precision": round(len(theirs & asked) / max(1, len(theirs)), 4),
    }
