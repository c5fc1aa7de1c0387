"""Telemetry: who sent how much, by sign-up cohort, programme, plan, surface and model, useful with no campaign at all.

One pass folds the exchanges into a table of account × day × model × surface (:mod:`stillwatch.cases.activity`);
everything else is read from that small table. A column that is null throughout is reported as absent, never drawn
as zero. What counts as a departure is in :mod:`stillwatch.cases.baseline`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.cases import baseline
from stillwatch.cases.activity import DAY_US, NOT_GIVEN, OTHERS, account_facts, by_value, daily_activity
from stillwatch.cases.wording import iso_day
from stillwatch.tables import Dataset
from stillwatch.tables.engines import held
from stillwatch.types import Progress, silent

LONGEST_DAYS = 180
MOST_VALUES = 8
MOST_COHORTS = 16
MOST_LAUNCHES = 6
ADOPTION_DAYS = 14
DIMENSIONS = {
    "cohort": "sign-up week",
    "programme": "programme",
    "plan": "plan",
    "surface": "surface",
    "model": "model",
}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mark:
    """A departure of one series, in exchanges or in accounts."""

    unit: str
    departure: baseline.Departure


@dataclass(frozen=True, slots=True)
class Series:
    """Daily counts of one value of one dimension; ``fresh`` counts accounts in their first seven days.

    ``expectation`` is of the exchanges (of the sign-ups, for sign-ups).
    """

    title: str
    value: str
    days: list[str]
    exchanges: Floats
    accounts: Floats
    fresh: Floats
    expectation: baseline.Expectation
    of_accounts: baseline.Expectation
    unit: str = "exchanges"
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Dimension:
    """All series of one dimension; ``absent`` when the column is null throughout."""

    name: str
    title: str
    series: list[Series]
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Adoption:
    """How accounts took up a launched model: cumulative share of the accounts active since, by day after launch.

    ``shares`` maps a group of accounts (all, or in a campaign and others) to its curve; ``sizes`` to its accounts.
    """

    model: str
    released: str
    shares: dict[str, Floats]
    sizes: dict[str, int]


@dataclass(frozen=True, slots=True)
class FirstDay:
    """Volume of new accounts in their first 24 hours by day of sign-up: the median and the 90th percentile."""

    series: Series
    median: Floats
    ninetieth: Floats


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Everything the telemetry part of the report shows, by UTC day."""

    days: list[str]
    total: Series | None = None
    dimensions: tuple[Dimension, ...] = ()
    signups: Series | None = None
    first_day: FirstDay | None = None
    adoption: tuple[Adoption, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def marked(self) -> list[tuple[Series, Mark]]:
        """Every departure with its series, strongest first."""
        rows = [(series, mark) for series in self.series() for mark in series.marks]
        return sorted(rows, key=lambda row: (-abs(row[1].departure.z), row[0].title, row[0].value, row[1].unit))

    def series(self) -> Iterable[Series]:
        """Yield every series that is held against an expectation."""
        first_day = self.first_day.series if self.first_day else None
        yield from (series for series in (self.total, self.signups, first_day) if series is not None)
        for dimension in self.dimensions:
            yield from dimension.series


@dataclass(frozen=True, slots=True)
class _Span:
    """The log's first and last instant (epoch µs) and the day numbers that are shown."""

    first_us: int
    last_us: int
    days: npt.NDArray[np.int64]

    @property
    def names(self) -> list[str]:
        return [iso_day(day) for day in self.days]

    @property
    def part_days(self) -> list[int]:
        """Positions of days the log covers only in part: these cannot be said to have too little."""
        first = [0] if self.first_us % DAY_US > DAY_US // 12 and self.first_us // DAY_US == self.days[0] else []
        return first + ([len(self.days) - 1] if self.last_us % DAY_US < 11 * DAY_US // 12 else [])


def measure(
    dataset: Dataset, connection: Any, *, members: frozenset[str] = frozenset(), progress: Progress = silent
) -> Telemetry:
    """Measure the telemetry of a dataset; ``members`` are the accounts of campaigns, told apart in adoption curves.

    The folded table is temporary and lives as long as the connection.

    >>> import tempfile
    >>> from datetime import UTC, datetime
    >>> from stillwatch.tables import DatasetWriter
    >>> from stillwatch.tables.engines import connect
    >>> row = {"exchange_id": "e", "account_id": "a", "ts": datetime(2026, 1, 2, tzinfo=UTC), "model": "m"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with DatasetWriter(folder) as writer:
    ...         writer.add_exchanges(pa.Table.from_pylist([row]))
    ...         writer.commit()
    ...     found = measure(Dataset.open(folder), connect(threads=1))
    >>> found.days, [dimension.name for dimension in found.dimensions if dimension.absent]
    (['2026-01-02'], ['cohort', 'programme', 'plan', 'surface'])
    """
    if not dataset.count_exchanges():
        return Telemetry([], notes=("There are no exchanges in this data.",))
    accounts = dataset.accounts()
    activity = daily_activity(dataset.exchanges(connection), account_facts(accounts))
    daily = held(connection, activity)
    progress("telemetry", 1, 3, "steps")
    span = _span(daily)
    dimensions = tuple(_dimension(daily, span, name) for name in DIMENSIONS)
    progress("telemetry", 2, 3, "steps")
    found = Telemetry(
        days=span.names,
        total=_read(daily, span, None)[0],
        dimensions=dimensions,
        signups=_signups(accounts, span),
        first_day=_first_day(daily, span),
        adoption=tuple(_adoption(daily, span, launch, members) for launch in _launches(dataset, span)),
        notes=tuple(_notes(accounts, dataset, span, dimensions)),
    )
    progress("telemetry", 3, 3, "steps")
    return _marked(found)


def _span(daily: Any) -> _Span:
    row = daily.aggregate(first=daily.first_us.min(), last=daily.last_us.max()).to_pyarrow().to_pylist()[0]
    first, last = row["first"] // DAY_US, row["last"] // DAY_US
    return _Span(row["first"], row["last"], np.arange(max(first, last - LONGEST_DAYS + 1), last + 1))


def _dimension(daily: Any, span: _Span, name: str) -> Dimension:
    if not int(daily[name].count().to_pyarrow().as_py()):
        return Dimension(name, DIMENSIONS[name], [], absent=True)
    return Dimension(name, DIMENSIONS[name], _read(daily, span, name))


def _read(daily: Any, span: _Span, name: str | None) -> list[Series]:
    """Read the series of a dimension, the largest values first (cohorts by date), the rest pooled."""
    shown = daily.filter(daily.day >= int(span.days[0]))
    keep = None if name is None else _kept(shown, name)
    table = by_value(shown, name, keep).to_pyarrow()
    row_of = {value: i for i, value in enumerate([*(keep or []), OTHERS] if name else ["all traffic"])}
    rows = np.array([row_of[value] for value in table["value"].to_pylist()], dtype=np.int64)
    columns = table["day"].to_numpy() - span.days[0]
    cube = np.zeros((3, len(row_of), len(span.days)))
    for layer, column in enumerate(("exchanges", "accounts", "fresh")):
        cube[layer, rows, columns] = table[column].to_numpy()
    wanted = [i for i in row_of.values() if cube[0, i].any()]
    values = [value for value, i in row_of.items() if i in wanted]
    return _series(DIMENSIONS.get(name or "", "all traffic"), values, cube[:, wanted], span, name)


def _kept(shown: Any, name: str) -> list[str]:
    table = (
        shown.mutate(value=shown[name].fill_null(NOT_GIVEN)).group_by("value").agg(n=lambda t: t.n.sum()).to_pyarrow()
    )
    pairs = sorted(zip(table["value"].to_pylist(), table["n"].to_pylist(), strict=True), key=lambda p: (-p[1], p[0]))
    if name != "cohort":
        return [value for value, _ in pairs[:MOST_VALUES]]
    weeks = sorted(value for value, _ in pairs if value != NOT_GIVEN)
    return weeks[-MOST_COHORTS:] + ([NOT_GIVEN] if len(weeks) < len(pairs) else [])


def _series(title: str, values: list[str], cube: Floats, span: _Span, name: str | None) -> list[Series]:
    exchanges, accounts, fresh = cube
    expected, of_accounts = (_expect(counts, values, span, name) for counts in (exchanges, accounts))
    return [
        Series(title, value, span.names, exchanges[i], accounts[i], fresh[i], expected[i], of_accounts[i])
        for i, value in enumerate(values)
    ]


def _expect(counts: Floats, values: list[str], span: _Span, name: str | None) -> list[baseline.Expectation]:
    if name == "cohort":
        dated = [i for i, value in enumerate(values) if value not in (NOT_GIVEN, OTHERS)]
        births = np.array([int(np.datetime64(values[i]).astype(int)) for i in dated], dtype=np.int64) - span.days[0]
        peers = dict(zip(dated, baseline.expect_from_peers(counts[dated], births), strict=True))
        out = [peers.get(i) or baseline.expect_from_past(counts[i]) for i in range(len(values))]
        for expectation in out:  # a week with fewer sign-ups has fewer of everything: the sign-ups chart says that
            np.maximum(expectation.z, 0.0, out=expectation.z)
    else:
        begins = [int(np.argmax(row > 0)) if name == "model" else 0 for row in counts]
        out = [baseline.expect_from_past(row, start=begin) for row, begin in zip(counts, begins, strict=True)]
    for expectation in out:
        expectation.z[span.part_days] = np.maximum(expectation.z[span.part_days], 0.0)
    return out


def _signups(accounts: pa.Table, span: _Span) -> Series | None:
    """Count sign-ups a day over the log and what the accounts table knows before it."""
    created = accounts["created_at"].combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False) // DAY_US
    created = created[created <= span.days[-1]]
    if not len(created):
        return None
    first = max(int(created.min()), int(span.days[-1]) - LONGEST_DAYS + 1)
    days = np.arange(min(first, int(span.days[0])), span.days[-1] + 1)
    counts = np.bincount(created[created >= days[0]] - days[0], minlength=len(days)).astype(np.float64)
    expected = baseline.expect_from_past(counts, start=int(np.argmax(counts > 0)))
    if span.last_us % DAY_US < 11 * DAY_US // 12:
        expected.z[-1] = max(float(expected.z[-1]), 0.0)
    names = [iso_day(day) for day in days]
    return Series("sign-ups", "all accounts", names, counts, counts, counts, expected, expected, unit="sign-ups")


def _first_day(daily: Any, span: _Span) -> FirstDay | None:
    """Measure what accounts that signed up while the log ran sent in their first 24 hours."""
    whole = daily.filter((daily.created_us >= span.first_us) & (daily.created_us + DAY_US <= span.last_us))
    table = whole.group_by("account_id", "created_us").agg(n=whole.early.sum()).to_pyarrow()
    table = table.filter(pc.greater(table["n"], 0))
    if not table.num_rows:
        return None
    columns = table["created_us"].to_numpy() // DAY_US - span.days[0]
    volumes = table["n"].to_numpy().astype(np.float64)[columns >= 0]
    columns = columns[columns >= 0]
    days = len(span.days)
    total = np.bincount(columns, weights=volumes, minlength=days).astype(np.float64)
    accounts = np.bincount(columns, minlength=days).astype(np.float64)
    quantiles = np.zeros((2, days))
    for day in np.unique(columns):
        quantiles[:, day] = np.quantile(volumes[columns == day], [0.5, 0.9])
    seen = np.flatnonzero(accounts)
    start = int(seen[0])
    expected, of_accounts = (baseline.expect_from_past(row, start=start) for row in (total, accounts))
    for expectation in (expected, of_accounts):  # days too near the end of the log hold only some of their accounts
        expectation.z[-2:] = np.maximum(expectation.z[-2:], 0.0)
    series = Series("first 24 hours", "new accounts", span.names, total, accounts, accounts, expected, of_accounts)
    return FirstDay(series, quantiles[0], quantiles[1])


def _launches(dataset: Dataset, span: _Span) -> list[tuple[str, int]]:
    table = dataset.launches()
    pairs = zip(table["model"].to_pylist(), table["released_at"].cast(pa.int64()).to_pylist(), strict=True)
    there = [(model, at) for model, at in pairs if span.days[0] * DAY_US <= at <= span.last_us]
    return sorted(there, key=lambda pair: (pair[1], pair[0]))[-MOST_LAUNCHES:]


def _adoption(daily: Any, span: _Span, launch: tuple[str, int], members: frozenset[str]) -> Adoption:
    model, released = launch
    since = daily.filter(daily.last_us >= released)
    first = since.first_us.min(where=since.model == model)
    table = since.group_by("account_id").agg(first=first).to_pyarrow()
    inside = pc.is_in(table["account_id"], pa.array(sorted(members), pa.string()))
    groups = (
        {"accounts in campaigns": inside, "other accounts": pc.invert(inside)} if members else {"all accounts": None}
    )
    last = min(ADOPTION_DAYS, int((span.last_us - released) // DAY_US) + 1)
    shares, sizes = {}, {}
    for name, mask in groups.items():
        part = table if mask is None else table.filter(mask)
        days = (part["first"].drop_null().to_numpy() - released) // DAY_US
        sizes[name] = part.num_rows
        shares[name] = np.array([(days < after).sum() / max(part.num_rows, 1) for after in range(last + 1)])
    return Adoption(model, iso_day(released // DAY_US), shares, sizes)


def _notes(accounts: pa.Table, dataset: Dataset, span: _Span, dimensions: Iterable[Dimension]) -> Iterable[str]:
    absent = [dimension.title for dimension in dimensions if dimension.absent]
    if not accounts.num_rows:
        yield "The accounts table is empty or not in this data: nothing by sign-up, programme or plan can be shown."
    elif absent:
        yield f"Not in this data: {', '.join(absent)}."
    if not dataset.launches().num_rows:
        yield "Model launches are not in this data: adoption is not shown."
    if int(span.days[0]) > span.first_us // DAY_US:
        yield f"Only the last {LONGEST_DAYS} days are shown."
    if len(span.days) <= baseline.WARM_UP_DAYS:
        yield f"The log is {len(span.days)} days long; departures need more than {baseline.WARM_UP_DAYS} days before."


def _marked(found: Telemetry) -> Telemetry:
    """Mark departures, at a threshold that allows for the number of days looked at."""
    tests = sum(int(np.isfinite(s.expectation.z).sum() + np.isfinite(s.of_accounts.z).sum()) for s in found.series())
    bar = baseline.threshold(tests)

    def mark(series: Series) -> Series:
        marks = [Mark(series.unit, d) for d in baseline.departures(series.exchanges, series.expectation, bar)]
        if series.unit == "exchanges":
            marks += [Mark("accounts", d) for d in baseline.departures(series.accounts, series.of_accounts, bar)]
        return replace(series, marks=tuple(marks))

    return replace(
        found,
        total=found.total and mark(found.total),
        signups=found.signups and mark(found.signups),
        first_day=found.first_day and replace(found.first_day, series=mark(found.first_day.series)),
        dimensions=tuple(replace(d, series=[mark(s) for s in d.series]) for d in found.dimensions),
    )
