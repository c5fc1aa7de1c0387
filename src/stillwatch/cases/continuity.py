"""What a scan leaves for the next one to recognise campaigns by: ``cases.json``, all that were ever reported."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.attribution.verdict import Judged
from stillwatch.campaigns.kinship import Kinship, kinship_of_members
from stillwatch.campaigns.lineage import Event, Kin, Lineage, Trace, remembered, trace_lineage
from stillwatch.cases.folder import ScanOutput, decode
from stillwatch.errors import StillwatchError
from stillwatch.linkage.space import Space

CASES = "cases.json"


class Known(msgspec.Struct, frozen=True):
    """A campaign that was reported once: ``latest`` are the accounts of its last report, ``earlier`` others before.

    ``lent`` are those of the latest that another campaign was known by first: they count for that one.
    """

    campaign_id: str
    case: str
    event: Event
    previous: list[str] = []
    because: list[str] = []
    into: str = ""
    decided: bool = False
    templates: list[int] = []
    latest: list[str] = []
    earlier: list[str] = []
    lent: list[str] = []

    def trace(self) -> Trace:
        """Return what it is recognised by."""
        line = Lineage(self.campaign_id, self.event, tuple(self.previous), self.case, tuple(self.because))
        latest = frozenset(self.latest)
        templates = frozenset(self.templates)
        accounts = (latest | frozenset(self.earlier)) - frozenset(self.lent)
        return Trace(self.campaign_id, accounts, templates, line, latest, self.into, self.decided)


def known_campaigns(folder: Path) -> list[Trace]:
    """Return the campaigns that a scan's folder knows, the oldest first; none when it holds no scan.

    Raises :class:`DatasetError` when a file is not what the contract says.

    >>> known_campaigns(Path("no-such-folder"))
    []
    """
    if (folder / CASES).exists():
        return [one.trace() for one in decode(folder / CASES, list[Known], [])]
    return _reported(ScanOutput.open(folder)) if (folder / "campaigns.json").exists() else []


def _reported(before: ScanOutput) -> list[Trace]:
    """Return the campaigns of a scan by a version that remembered none but these."""
    members, templates = before.table("members"), before.table("templates")
    traces = []
    for one in before.campaigns:
        mine = members.filter(pc.equal(members["campaign_id"], one.campaign_id))["account_id"].to_pylist()
        shared = templates.filter(pc.equal(templates["campaign_id"], one.campaign_id))
        shared = shared.filter(pc.greater_equal(shared["accounts"], 2)) if len(shared) else shared
        ids = [int(t) for t in shared["template_id"].to_pylist()]
        line: Any = one.lineage.event
        known = Known(one.campaign_id, one.campaign_id, line, list(one.lineage.previous), templates=ids, latest=mine)
        traces.append(known.trace())
    return traces


def lineages(
    reported: Sequence[Judged], now: Sequence[tuple[Trace, Sequence[str]]], then: Sequence[Trace], space: Space
) -> list[Lineage]:
    """Return the lineage of each group that is reported, by what was known before."""
    there = frozenset(space.frame.account_ids.to_pylist()) if then else frozenset()
    visible = [replace(one, accounts=one.accounts & there) for one in then]
    return trace_lineage(now, visible, kin_of(space, reported))


def kin_of(space: Space, reported: Sequence[Judged]) -> Kin:
    """Return what measures a reported group (by number) against accounts that are known as another's."""

    def kin(number: int, accounts: AbstractSet[str]) -> Kinship | None:
        wanted = pa.array(sorted(accounts), pa.string())
        others = np.flatnonzero(pc.is_in(space.frame.account_ids, value_set=wanted).to_numpy(zero_copy_only=False))
        found = reported[number].found
        return kinship_of_members(space, found.profile, found.members, others)

    return kin


def case_records(now: Sequence[Trace], then: Sequence[Trace], lines: Sequence[Lineage]) -> list[dict[str, Any]]:
    """Return the records of ``cases.json`` after a scan, the oldest campaign first.

    >>> line = Lineage("SW-1", "new", ())
    >>> case_records([Trace("", frozenset("a"), frozenset())], [], [line])[0]["latest"]
    ['a']
    """
    return [_record(one) for one in remembered(now, then, lines)]


def _record(one: Trace) -> dict[str, Any]:
    line, latest = one.lineage or Lineage(one.campaign_id, "new", ()), one.latest or frozenset()
    known = Known(
        one.campaign_id,
        line.case,
        line.event,
        list(line.previous),
        list(line.because),
        one.into,
        one.decided,
        sorted(one.templates),
        sorted(latest),
        sorted(one.accounts - latest),
        sorted(latest - one.accounts),
    )
    return msgspec.structs.asdict(known)


def without_accounts(folder: Path, accounts: Collection[str]) -> list[dict[str, Any]] | None:
    """Return the records of ``cases.json`` without some accounts; None when there is no such file.

    >>> without_accounts(Path("no-such-folder"), ["a"]) is None
    True
    """
    if not (folder / CASES).exists():
        return None
    gone = frozenset(accounts)
    cut = [
        replace(one, accounts=one.accounts - gone, latest=(one.latest or frozenset()) - gone)
        for one in known_campaigns(folder)
    ]
    return [_record(one) for one in cut]


def choose_case(folder: Path, campaign_id: str, case: str) -> None:
    """Lay a campaign to the case of another, or to its own id, because a person says so; scans keep to it.

    ``case`` is the id of a known campaign: its case is taken. Raises :class:`StillwatchError` when the folder knows no
    such campaign, or when others are parts of the one that is to become a part.

    >>> choose_case(Path("no-such-folder"), "SW-1", "SW-2")
    Traceback (most recent call last):
    stillwatch.errors.StillwatchError: no-such-folder knows no campaign SW-1
    """
    known = {one.campaign_id: one for one in known_campaigns(folder)}
    for name in (campaign_id, case):
        if name not in known:
            raise StillwatchError(f"{folder} knows no campaign {name}")
    root = case if case == campaign_id else _case_of(known[case])
    parts = [name for name, one in known.items() if name != campaign_id and _case_of(one) == campaign_id]
    if parts and root != campaign_id:
        raise StillwatchError(f"{campaign_id} is itself the case of {', '.join(parts)}; lay these to {root} first")
    line = known[campaign_id].lineage or Lineage(campaign_id, "new", ())
    known[campaign_id] = replace(known[campaign_id], lineage=replace(line, case=root), decided=True)
    put_json(folder / CASES, [_record(one) for one in known.values()])
    reported = json.loads((folder / "campaigns.json").read_text(encoding="utf-8"))
    for record in reported:
        if record["campaign_id"] == campaign_id:
            record.setdefault("lineage", {"event": "new", "previous": []})["case"] = root
    put_json(folder / "campaigns.json", reported)


def _case_of(one: Trace) -> str:
    return one.lineage.case if one.lineage else one.campaign_id


def put_json(file: Path, records: list[dict[str, Any]]) -> None:
    r"""Replace a JSON file of a scan whole.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     put_json(Path(folder) / "cases.json", [])
    ...     (Path(folder) / "cases.json").read_text()
    '[]\n'
    """
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(file)
