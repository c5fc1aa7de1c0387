"""Take forgotten accounts out of a scan's folder: what lends campaign ids to the next scan stays, all else goes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.cases.continuity import CASES, put_json, without_accounts
from stillwatch.cases.folder import TABLES, ScanOutput
from stillwatch.tables.probes import Probes, search

_FILES = (
    *(f"{name}.parquet" for name in TABLES),
    "campaigns.json",
    "considered.json",
    CASES,
    "report.html",
    "run.json",
)
_STAY = ("campaigns.json", CASES, "members.parquet", "templates.parquet")
SCAN_AGAIN = "somebody was forgotten after this scan: scan again"


def scan_files(folder: Path) -> list[Path]:
    """Return the files of a folder that a scan wrote.

    >>> scan_files(Path("no-such-folder"))
    []
    """
    return [folder / name for name in _FILES if (folder / name).exists()]


def holds(folder: Path, probes: Probes) -> bool:
    """Say whether a scan's files hold any of the values.

    >>> holds(Path("no-such-folder"), Probes(["a"]))
    False
    """
    return any(True for _ in search(scan_files(folder), probes))


def shorten_scan(folder: Path, accounts: Collection[str]) -> list[str]:
    """Reduce a scan to what the next scan takes ids from, without the accounts; return the files removed or rewritten.

    What stays: of each campaign ever reported its id and lineage; its other members; its template ids without words.
    All campaigns become ``needs_person``, so that no plan acts on a scan that is no longer whole. Figures, evidence and
    the report counted the forgotten account and go. Each file is replaced or removed whole; doing it again after a
    crash ends the same.

    >>> shorten_scan(Path("no-such-folder"), ["a"])
    []
    """
    there = scan_files(folder)
    if not there:
        return []
    scan = ScanOutput.open(folder)
    members, templates = scan.table("members"), scan.table("templates")
    gone = pc.is_in(members["account_id"], value_set=pa.array(sorted(accounts), pa.string()))
    heads = pa.nulls(templates.num_rows, pa.string())
    bare = templates.set_column(templates.schema.get_field_index("head"), "head", heads)
    campaigns = [
        {
            "campaign_id": one.campaign_id,
            "verdict": "needs_person",
            "person_reason": SCAN_AGAIN,
            "lineage": msgspec.to_builtins(one.lineage),
        }
        for one in scan.campaigns
    ]
    known = without_accounts(folder, accounts)
    if known is not None:
        put_json(folder / CASES, known)
    put_json(folder / "campaigns.json", campaigns)
    _put(folder / "members.parquet", members.filter(pc.invert(gone)))
    _put(folder / "templates.parquet", bare)
    for file in there:
        if file.name not in _STAY:
            file.unlink()
    return [file.name for file in there]


def _put(file: Path, content: pa.Table) -> None:
    fresh = file.with_name(f".{file.name}.new")
    pq.write_table(content, fresh)
    fresh.replace(file)
