"""What any detector says about one dataset, in one form, so that all are measured alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import pyarrow as pa

from stillwatch.tables import Dataset
from stillwatch.tables.schema import TIMESTAMP
from stillwatch.tables.store import conform

FOUND_ACCOUNTS = pa.schema(
    [
        pa.field("account_id", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("probability", pa.float64()),
        pa.field("group", pa.string()),
    ]
)
FOUND_GROUPS = pa.schema(
    [
        pa.field("group", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("q_value", pa.float64()),
        pa.field("first_seen", TIMESTAMP),
        pa.field("last_seen", TIMESTAMP),
        pa.field("case", pa.string()),
    ]
)
FOUND_EXCHANGES = pa.schema(
    [
        pa.field("exchange_id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("probability", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Findings:
    """What a detector says: accounts with scores, the groups it reports, and the exchanges it lays to them.

    ``accounts``: ``account_id``, ``score`` (any scale, higher is more suspicious), ``probability`` (0 to 1 or null: of
    being in its group), ``group`` (null: in none). An account that is not listed scores lower than every listed one.
    ``groups``: ``group``, ``verdict`` (``campaign``, which alone counts as an accusation, or ``needs_person``),
    ``q_value``, ``first_seen``, ``last_seen``, ``case``: the group that it is held to be a part or later generation of
    (null when the detector has none). ``exchanges``: ``exchange_id``, ``group``, ``probability``; None when the
    detector judges accounts alone, and then all exchanges of a group's accounts count as laid to it. Missing nullable
    columns become null; what does not fit is a :class:`stillwatch.errors.DatasetError`.

    >>> found = Findings(pa.table({"account_id": ["a"], "score": [0.5]}))
    >>> found.accounts.column_names, len(found.groups), found.exchanges is None
    (['account_id', 'score', 'probability', 'group'], 0, True)
    """

    accounts: pa.Table
    groups: pa.Table = field(default_factory=FOUND_GROUPS.empty_table)
    exchanges: pa.Table | None = None

    def __post_init__(self) -> None:
        """Bring the tables into the contract's columns."""
        object.__setattr__(self, "accounts", conform(self.accounts, FOUND_ACCOUNTS))
        object.__setattr__(self, "groups", conform(self.groups, FOUND_GROUPS))
        if self.exchanges is not None:
            object.__setattr__(self, "exchanges", conform(self.exchanges, FOUND_EXCHANGES))


class Detector(Protocol):
    """What the scorecard can measure."""

    @property
    def name(self) -> str:
        """Return what the detector is called in tables."""

    def fit(self, calibration: Dataset) -> Self:
        """Return the detector tuned on a labelled world that is never the measured one; itself when it has no knobs."""

    def find(self, dataset: Dataset, work: Path) -> Findings:
        """Judge a dataset without its labels; ``work`` is a folder for whatever it writes.

        When a world is followed day by day it is the same folder each time, so that a detector may go on from there.
        """
