"""Read the folder that a scan wrote: everything a person is shown comes from here and from the dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.errors import DatasetError

AXES = ("WHAT", "NET", "ID", "LIFE", "TIME", "WORTH")
LEAST_ACCOUNTS = 30  # fewer are not searched: there is nobody to compare them with
WHO_AXES = ("NET", "ID", "LIFE", "TIME")

_S, _F, _I = pa.string(), pa.float64(), pa.int64()
TABLES: dict[str, dict[str, pa.DataType]] = {
    "members": {
        "campaign_id": _S,
        "account_id": _S,
        "probability": _F,
        "role": _S,
        "log_lr_what": _F,
        "log_lr_who": _F,
        "log_lr_worth": _F,
        "first_seen": pa.timestamp("us", tz="UTC"),
        "last_seen": pa.timestamp("us", tz="UTC"),
    },
    "scores": {"account_id": _S, "campaign_id": _S, "log_odds": _F},
    "member_terms": {"campaign_id": _S, "account_id": _S, "axis": _S, "term": _S, "detail": _S, "log_lr": _F},
    "campaign_exchanges": {"campaign_id": _S, "exchange_id": _S, "probability": _F},
    "evidence": {
        "campaign_id": _S,
        "axis": _S,
        "name": _S,
        "text": _S,
        "weight_nats": _F,
        "accounts": _I,
        "query": _S,
    },
    "links": {"campaign_id": _S, "account_a": _S, "account_b": _S, "axis": _S, "weight": _F},
    "templates": {"campaign_id": _S, "template_id": pa.uint64(), "head": _S, "accounts": _I, "exchanges": _I},
}


class Axis(msgspec.Struct, frozen=True):
    """One kind of evidence about one campaign: ``effect`` in nats a member, ``strength`` 0 to 1."""

    axis: str
    effect: float | None = None
    p_value: float | None = None
    strength: float | None = 0.0
    missing: bool = False
    text: str | None = ""


class InnocentExplanation(msgspec.Struct, frozen=True):
    """An innocent explanation that was tested: excluded, possible, explains or no data, and why."""

    name: str
    outcome: str
    reason: str | None = ""


class Lineage(msgspec.Struct, frozen=True):
    """How a campaign follows from those known before: new, continued, split or merged, because of what.

    ``case`` is the id of the first report of what one operator does, the campaign's own where it is that or unknown.
    """

    event: str = "new"
    previous: list[str] = []
    case: str = ""
    because: list[str] = []


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """One record of ``campaigns.json``; counts are of accounts, exchanges and tokens, times ISO 8601."""

    campaign_id: str
    verdict: str
    first_seen: str = ""
    last_seen: str = ""
    accounts: int = 0
    exchanges: int = 0
    tokens: int | None = None
    accounts_interval: list[float] | None = None
    exchanges_interval: list[float] | None = None
    tokens_interval: list[float] | None = None
    capabilities: list[str] = []
    capability_shares: dict[str, float] = {}
    models: list[str] = []
    surfaces: list[str] = []
    about: list[str] = []
    q_value: float | None = None
    axes: list[Axis] = []
    evidence: list[str] = []
    innocent_explanations: list[InnocentExplanation] = []
    person_reason: str | None = None
    decided_by: str | None = None
    lineage: Lineage = Lineage()

    def axis(self, name: str) -> Axis:
        """Return the evidence of one axis; one that the scan did not list counts as missing.

        >>> Campaign(campaign_id="c", verdict="campaign").axis("NET").missing
        True
        """
        return next((axis for axis in self.axes if axis.axis == name), Axis(axis=name, missing=True))


class Cleared(msgspec.Struct, frozen=True):
    """A group that was looked at and not reported; ``worth`` 0 to 1, ``views`` p-values, ``members`` account ids."""

    group_id: str
    accounts: int = 0
    exchanges: int = 0
    what: str | None = ""
    worth: float | None = None
    views: dict[str, float | None] = {}
    cleared_by: str | None = ""
    reason: str | None = ""
    members: list[str] = []


class Run(msgspec.Struct, frozen=True):
    """What the scan says of itself in ``run.json`` (its timings are left alone: they differ from run to run)."""

    version: str = ""
    parameters: dict[str, Any] = {}
    input_sha256: str = ""
    rows: dict[str, Any] = {}
    coverage: dict[str, Any] = {}
    missing_evidence: list[str] = []
    seed: int | None = None

    def number(self, name: str, default: float) -> float:
        """Return a numeric parameter of the scan, or the default when the scan did not record it.

        >>> Run(parameters={"q": 0.05}).number("q", 0.1)
        0.05
        """
        value = self.parameters.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


@dataclass(frozen=True, slots=True)
class ScanOutput:
    """The folder of one scan, opened for reading."""

    path: Path
    campaigns: list[Campaign]
    considered: list[Cleared]
    run: Run

    @classmethod
    def open(cls, path: str | Path) -> ScanOutput:
        """Open the folder that ``stillwatch scan --out`` wrote.

        Raises :class:`DatasetError` when ``campaigns.json`` is missing or a file is not what the contract says.

        >>> ScanOutput.open("no-such-folder")
        Traceback (most recent call last):
        stillwatch.errors.DatasetError: no-such-folder holds no scan: campaigns.json is not there; ...
        """
        folder = Path(path)
        if not (folder / "campaigns.json").exists():
            hint = "run `stillwatch scan DATASET --out DIR` first"
            raise DatasetError(f"{folder} holds no scan: campaigns.json is not there; {hint}")
        return cls(
            folder,
            decode(folder / "campaigns.json", list[Campaign], []),
            decode(folder / "considered.json", list[Cleared], []),
            decode(folder / "run.json", Run, Run()),
        )

    def table(self, name: str, campaign_id: str | None = None) -> pa.Table:
        """Return one table of the scan (a key of ``TABLES``), all of it or one campaign's rows.

        A file that is not there is an empty table and a column that is not there is null.
        """
        table = _fit(self.path / f"{name}.parquet", TABLES[name])
        return table if campaign_id is None else table.filter(pc.equal(table["campaign_id"], campaign_id))

    @property
    def reported(self) -> list[Campaign]:
        """The groups reported as campaigns: the only accusation a scan makes."""
        return [campaign for campaign in self.campaigns if campaign.verdict == "campaign"]

    @property
    def undecided(self) -> list[Campaign]:
        """The groups that the data cannot decide and a person must."""
        return [campaign for campaign in self.campaigns if campaign.verdict != "campaign"]


_T = TypeVar("_T")


def decode(path: Path, kind: type[_T], default: _T) -> _T:
    """Return a JSON file of a scan, ``default`` when it is not there; :class:`DatasetError` when it is another thing.

    >>> decode(Path("no-such-file"), list[str], [])
    []
    """
    if not path.exists():
        return default
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is not what a scan writes: {error}") from error


def _fit(path: Path, columns: dict[str, pa.DataType]) -> pa.Table:
    """Read a Parquet file into the columns asked for, in file order."""
    schema = pa.schema(list(columns.items()))
    if not path.exists():
        return schema.empty_table()
    try:
        table = pq.ParquetFile(path).read()
        arrays = [
            table[name].cast(kind) if name in table.column_names else pa.nulls(table.num_rows, kind)
            for name, kind in columns.items()
        ]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DatasetError(f"{path} is not what a scan writes: {error}") from error
    return pa.Table.from_arrays(arrays, schema=schema)
