"""Stillwatch itself as a detector that the scorecard measures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.cases.folder import ScanOutput
from stillwatch.cases.scan import ScanSettings, scan
from stillwatch.evaluate.findings import FOUND_ACCOUNTS, FOUND_GROUPS, Findings
from stillwatch.tables import Dataset
from stillwatch.tables.store import conform


@dataclass(frozen=True)
class Stillwatch:
    """The scan with given settings.

    >>> Stillwatch().settings.q
    0.1
    """

    settings: ScanSettings = field(default_factory=ScanSettings)
    name: str = "stillwatch"

    def fit(self, calibration: Dataset) -> Self:
        """Return itself: its thresholds come from the scanned data and never from labels."""
        return self

    def find(self, dataset: Dataset, work: Path) -> Findings:
        """Scan into ``work`` and read what was written."""
        return read_findings(scan(dataset, work, self.settings))


def read_findings(out: ScanOutput) -> Findings:
    """Return a scan's findings: members score their probability, one more in a group reported as a campaign.

    Other accounts score below every member, in the order of their log odds.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "campaigns.json").write_text("[]")
    ...     read_findings(ScanOutput.open(folder)).accounts.num_rows
    0
    """
    members, scores, taken = out.table("members"), out.table("scores"), out.table("campaign_exchanges")
    reported = pa.array([one.campaign_id for one in out.reported], pa.string())
    accused = pc.is_in(members["campaign_id"], value_set=reported).cast(pa.float64())
    ours = {
        "account_id": members["account_id"],
        "score": pc.add(members["probability"], accused),
        "probability": members["probability"],
        "group": members["campaign_id"],
    }
    rest = scores.filter(pc.invert(pc.is_in(scores["account_id"], value_set=members["account_id"].combine_chunks())))
    others = {"account_id": rest["account_id"], "score": pc.subtract(rest["log_odds"], 1.0)}
    tables = [conform(pa.table(columns), FOUND_ACCOUNTS) for columns in (ours, others)]
    return Findings(
        pa.concat_tables(tables),
        _groups(out),
        taken.rename_columns({"campaign_id": "group"}).select(["exchange_id", "group", "probability"]),
    )


def _groups(out: ScanOutput) -> pa.Table:
    """Return the groups; times are ISO 8601 text there, which the contract's cast reads."""
    names = ("campaign_id", "verdict", "q_value", "first_seen", "last_seen")
    columns = [[None if getattr(one, name) == "" else getattr(one, name) for one in out.campaigns] for name in names]
    cases = [one.lineage.case or None for one in out.campaigns]
    return pa.table(dict(zip(FOUND_GROUPS.names, [*columns, cases], strict=True)))
