"""The truth of a labelled world beside what a detector said of it, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import DatasetError
from stillwatch.evaluate.findings import Findings
from stillwatch.tables import Dataset

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
LAID = 0.5  # an exchange is laid to a group from this probability on


@dataclass(frozen=True)
class Truth:
    """Who and what a campaign's is: one entry an account, one an exchange; a campaign code below 0 is nobody's.

    ``owner`` is the campaign whose account it is; ``carried`` the one most of whose exchanges it carries when it is
    innocent (a stolen key: the owner is a victim). ``asker`` and ``asked`` are an exchange's account and campaign,
    ``ts`` its time and ``closed`` an account's end in microseconds since 1970 UTC (-1: open).
    """

    campaigns: list[str]
    account_ids: pa.Array
    population: list[str]
    owner: Ints
    carried: Ints
    closed: Ints
    exchange_ids: pa.Array
    asker: Ints
    asked: Ints
    ts: Ints

    @property
    def belongs(self) -> Ints:
        """The campaign that an account is worked by: its owner's, or the one that stole its key."""
        return np.where(self.owner >= 0, self.owner, self.carried)

    @property
    def victim(self) -> Bools:
        """Whether an innocent account carries a campaign's exchanges."""
        return (self.owner < 0) & (self.carried >= 0)


def read_truth(dataset: Dataset) -> Truth:
    """Read a simulated dataset's labels. Raises :class:`DatasetError` when it has none.

    >>> read_truth(example_dataset()).campaigns
    ['low_and_slow', 'reasoning', 'reseller_fleet']
    """
    people, taken = dataset.labels()
    if not len(people):
        raise DatasetError(f"{dataset.path} has no labels: only a simulated world can be measured")
    rows = pa.Table.from_batches(dataset.batches(["exchange_id", "account_id", "ts"]), _ROWS)
    campaigns = sorted({*_names(people["campaign_id"]), *_names(taken["campaign_id"])})
    account_ids = people["account_id"].combine_chunks()
    exchange_ids = rows["exchange_id"].combine_chunks()
    asked = np.append(_codes(taken["campaign_id"], campaigns), -1)[_find(exchange_ids, taken["exchange_id"])]
    asker = _find(rows["account_id"], account_ids)
    owner = _codes(people["campaign_id"], campaigns)
    return Truth(
        campaigns,
        account_ids,
        people["population"].to_pylist(),
        owner,
        np.where(owner >= 0, -1, _most(asker, asked, len(owner))),
        _closed(dataset, account_ids),
        exchange_ids,
        asker,
        asked,
        rows["ts"].cast(pa.int64()).to_numpy(),
    )


_ROWS = pa.schema(
    [
        pa.field("exchange_id", pa.string(), nullable=False),
        pa.field("account_id", pa.string(), nullable=False),
        pa.field("ts", pa.timestamp("us", "UTC"), nullable=False),
    ]
)


def _names(column: Any) -> list[str]:
    return [name for name in pc.unique(column).to_pylist() if name is not None]


def _find(values: Any, among: Any) -> Ints:
    """Return the place of each value, -1 when it is not there."""
    place = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(place.to_numpy(zero_copy_only=False) if isinstance(place, pa.Array) else place.to_numpy(), int)


def _codes(column: Any, names: list[str]) -> Ints:
    return _find(column, pa.array(names, pa.string()))


def _most(item: Ints, code: Ints, items: int) -> Ints:
    """Return the commonest code (of those from 0 on) of each item, the lower of equals; -1 when it has none."""
    kept = (code >= 0) & (item >= 0)
    pairs, count = np.unique(np.stack([item[kept], code[kept]]), axis=1, return_counts=True)
    order = np.lexsort((-pairs[1], count))
    most = np.full(items, -1)
    most[pairs[0][order]] = pairs[1][order]  # the last write is the largest count
    return most


def _closed(dataset: Dataset, account_ids: pa.Array) -> Ints:
    people = dataset.accounts()
    ends = pc.fill_null(people["closed_at"].cast(pa.int64()), -1).to_numpy()
    place = _find(account_ids, people["account_id"])
    return np.where(place >= 0, ends[place], -1) if len(ends) else np.full(len(account_ids), -1)


@dataclass(frozen=True)
class Comparison:
    """A detector's findings on the rows of the truth: one entry an account, one an exchange, one a group.

    ``group`` and ``laid`` are an account's and an exchange's group (below 0: none); ``score`` is -inf and
    ``probability`` NaN where the detector said nothing. ``accused`` says whether a group is reported as a campaign,
    ``cases`` which group it is a part of: itself where the detector names none.
    """

    truth: Truth
    groups: list[str]
    cases: list[str]
    accused: Bools
    q_value: Floats
    score: Floats
    probability: Floats
    group: Ints
    laid: Ints

    @property
    def reported(self) -> Ints:
        """An account's group when that is reported as a campaign, else below 0."""
        return _only(self.group, self.accused)

    @property
    def taken(self) -> Ints:
        """An exchange's group when that is reported as a campaign, else below 0."""
        return _only(self.laid, self.accused)

    @property
    def majority(self) -> Ints:
        """The campaign that most accounts of a group belong to; below 0 when none does.

        >>> Comparison.majority.fget(example_comparison()).tolist()
        [0, 1, 2]
        """
        return _most(self.group, self.truth.belongs, len(self.groups))


def _only(codes: Ints, wanted: Bools) -> Ints:
    return np.where(np.append(wanted, False)[codes], codes, -1)  # code -1 reads the last entry: not wanted


def compare(truth: Truth, findings: Findings) -> Comparison:
    """Lay findings beside the truth.

    Raises :class:`DatasetError` when an account is listed twice, or a group is named that is not listed.

    >>> truth = read_truth(example_dataset())
    >>> nobody = compare(truth, Findings(pa.table({"account_id": [], "score": []})))
    >>> bool((nobody.reported < 0).all())
    True
    """
    listed, groups = findings.accounts, findings.groups["group"].to_pylist()
    if len(pc.unique(listed["account_id"])) < len(listed):
        raise DatasetError("a detector lists an account twice; an account is in one group at most")
    group = _codes(listed["group"], groups)
    if (group < 0).sum() > listed["group"].null_count:
        raise DatasetError("a detector puts an account into a group that it does not list")
    place = _find(truth.account_ids, listed["account_id"])
    members = np.append(group, -1)[place]
    q_value = findings.groups["q_value"].to_numpy()
    return Comparison(
        truth,
        groups,
        [case or group for case, group in zip(findings.groups["case"].to_pylist(), groups, strict=True)],
        np.array([verdict == "campaign" for verdict in findings.groups["verdict"].to_pylist()], bool),
        q_value.astype(float),
        np.append(listed["score"].to_numpy(), -np.inf)[place],
        np.append(listed["probability"].to_numpy(), np.nan)[place],
        members,
        _laid(truth, findings, groups, members),
    )


def _laid(truth: Truth, findings: Findings, groups: list[str], members: Ints) -> Ints:
    if findings.exchanges is None:
        return np.append(members, -1)[truth.asker]
    sure = pc.greater_equal(pc.fill_null(findings.exchanges["probability"], 1.0), LAID)
    kept = findings.exchanges.filter(sure)
    place = _find(truth.exchange_ids, kept["exchange_id"])
    return np.append(_codes(kept["group"], groups), -1)[place]
