"""Ingest and scan a written world with the ordinary commands, and compare what was reported with the truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.outside.world import Setting
from benchmarks.real_input import label, run
from stillwatch.cases.folder import ScanOutput
from stillwatch.evaluate.measures import campaigns
from stillwatch.evaluate.ours import read_findings
from stillwatch.evaluate.truth import Comparison, compare, read_truth
from stillwatch.tables import Dataset

Found = dict[str, Any]


def ingest(folder: Path, setting: Setting) -> None:
    """Ingest ``folder/raw`` into ``folder/dataset`` as a user would."""
    raw, key = folder / "raw", folder / "key"
    key.write_text("a key for this benchmark only\n")
    files = ["--accounts", str(raw / "accounts.ndjson"), "--launches", str(raw / "launches.ndjson")]
    flags = ["--content-free"] if setting.content_free else []
    into = ["--into", str(folder / "dataset"), "--key-file", str(key), "--quiet"]
    run("ingest", str(raw / "logs"), *into, *files, *flags)


def scan(folder: Path) -> Found:
    """Scan ``folder/dataset``, put the truth beside it afterwards, and return what was found."""
    dataset, out = folder / "dataset", folder / "scan"
    run("scan", str(dataset), "--out", str(out), "--quiet")
    label(dataset, folder / "raw" / "truth.json")
    return scored(compare(read_truth(Dataset.open(dataset)), read_findings(ScanOutput.open(out))))


def scored(found: Comparison) -> Found:
    """Return one world's record: sizes, what became of each campaign, purity, and innocents by kind.

    A campaign is accused, or left to a person, when at least half of its accounts are, in groups of that verdict;
    else it is missed. Purity is the share of the accused accounts that belong to any campaign.
    """
    truth = found.truth
    accused, innocent = found.reported >= 0, truth.belongs < 0
    person = (found.group >= 0) & ~accused
    fates: dict[str, list[str]] = {"accused": [], "person": [], "missed": []}
    for code, name in enumerate(truth.campaigns):
        mine = truth.belongs == code
        fate = "accused" if accused[mine].mean() >= 0.5 else "person" if person[mine].mean() >= 0.5 else "missed"
        fates[fate].append(name)
    kinds = np.array(truth.population)
    return {
        "accounts": len(kinds),
        "exchanges": len(truth.asked),
        **fates,
        "campaigns": campaigns(found),
        "purity": float((accused & ~innocent).sum() / accused.sum()) if accused.any() else None,
        "innocents_accused": dict(Counter(kinds[accused & innocent].tolist())),
        "innocents_to_person": dict(Counter(kinds[person & innocent].tolist())),
    }


HEADINGS = (
    "world", "accounts", "exchanges", "accused", "left to a person", "missed", "purity", "innocents accused",
    "innocents left to a person",
)  # fmt: skip


def table(records: dict[str, Found]) -> str:
    """Return the records as one Markdown table."""
    rows = [HEADINGS, *(_row(name, one) for name, one in records.items())]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(HEADINGS) + "|", *lines[1:]])


def _row(name: str, one: Found) -> tuple[str, ...]:
    fates = [", ".join(one[fate]) or "–" for fate in ("accused", "person", "missed")]
    purity = "–" if one["purity"] is None else f"{one['purity']:.3f}"
    kinds = [_counts(one[part]) for part in ("innocents_accused", "innocents_to_person")]
    return (name, f"{one['accounts']:,}", f"{one['exchanges']:,}", *fates, purity, *kinds)


def _counts(kinds: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items(), key=lambda one: -one[1])) or "0"
