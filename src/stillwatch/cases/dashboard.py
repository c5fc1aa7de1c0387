"""The telemetry part of the report: charts and episodes out of measured telemetry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from markupsafe import Markup

from stillwatch.cases.charts import against_expectation, curves, heat
from stillwatch.cases.telemetry import Adoption, Dimension, Mark, Series, Telemetry
from stillwatch.cases.wording import count, plural, times, window

MOST_EPISODES = 12
MOST_SEEN_IN = 10


@dataclass(frozen=True, slots=True)
class Episode:
    """Departures of one direction at one time, seen in one or more series; the strongest first."""

    when: str
    direction: str
    headline: str
    seen_in: list[str]
    more: int


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart with a title, a caption and the number of marked departures."""

    title: str
    chart: Markup
    caption: str
    marks: int


def episodes(telemetry: Telemetry) -> list[Episode]:
    """Fold departures that happen together into episodes, strongest first.

    The strongest departure takes with it every other of its direction whose peak lies within its days, one day more
    on either side; then the strongest of the rest, and so on.

    >>> episodes(Telemetry([]))
    []
    """
    left = _without_doubles(telemetry.marked)
    out = []
    while left:
        lead_series, lead = left[0]
        first, last = _dates(lead_series, lead)
        reach = first - timedelta(days=1), last + timedelta(days=1)
        near = [pair for pair in left if _beside(pair, lead.departure.direction, reach)]
        left = [pair for pair in left if not _beside(pair, lead.departure.direction, reach)]
        chips = [_chip(series, mark) for series, mark in near[1:]]
        out.append(
            Episode(
                window(first.isoformat(), last.isoformat()),
                lead.departure.direction,
                _headline(lead_series, lead),
                chips[:MOST_SEEN_IN],
                max(0, len(chips) - MOST_SEEN_IN),
            )
        )
    return out


def _beside(pair: tuple[Series, Mark], direction: str, reach: tuple[date, date]) -> bool:
    series, mark = pair
    return mark.departure.direction == direction and reach[0] <= _day(series, mark.departure.peak) <= reach[1]


def _without_doubles(rows: list[tuple[Series, Mark]]) -> list[tuple[Series, Mark]]:
    """Drop a departure in accounts where the same series departs in exchanges on some of the same days."""
    kept: list[tuple[Series, Mark]] = []
    for series, mark in sorted(rows, key=lambda row: row[1].unit == "accounts"):
        own = [other.departure for held, other in kept if held is series]
        if not any(d.first <= mark.departure.last and mark.departure.first <= d.last for d in own):
            kept.append((series, mark))
    return sorted(kept, key=lambda row: -abs(row[1].departure.z))


def _day(series: Series, position: int) -> date:
    return date.fromisoformat(series.days[position])


def _dates(series: Series, mark: Mark) -> tuple[date, date]:
    return _day(series, mark.departure.first), _day(series, mark.departure.last)


def _name(series: Series) -> str:
    return series.title if series.value in ("all traffic", "all accounts", "new accounts") else _of(series)


def _of(series: Series) -> str:
    return f"{series.title} {series.value}"


def _headline(series: Series, mark: Mark) -> str:
    departure = mark.departure
    usual = f"about {count(departure.expected)}" if departure.expected >= 5 else "next to none"
    figures = f"{count(departure.observed)} {mark.unit} where {usual} were expected"
    figures += f" ({times(departure.ratio)})" if departure.expected >= 5 else ""
    who = ""
    if mark.unit != "sign-ups":
        accounts, fresh = int(series.accounts[departure.peak]), int(series.fresh[departure.peak])
        who = f"; {plural(accounts, 'account')} on the peak day, {fresh:,} of them under a week old"
    return f"{_name(series)}: {figures}{who}"


def _chip(series: Series, mark: Mark) -> str:
    unit = "" if mark.unit in ("exchanges", "sign-ups") else f" {mark.unit}"
    return f"{_name(series)}{unit} {times(mark.departure.ratio)}"


def marked_days(series: Series) -> dict[int, str]:
    """Return what is said of each marked day of a series, by position.

    >>> from stillwatch.cases.baseline import Departure, expect_from_past
    >>> flat = expect_from_past(np.ones(1))
    >>> mark = Mark("exchanges", Departure(0, 0, 0, "more", 90.0, 10.0, 9.0))
    >>> marked_days(Series("plan", "pro", ["2026-01-02"], *[np.ones(1)] * 3, flat, flat, marks=(mark,)))
    {0: '×9.0 what was expected'}
    """
    said: dict[int, str] = {}
    for mark in series.marks:
        departure = mark.departure
        unit = "accounts " if mark.unit == "accounts" else ""
        for position in range(departure.first, departure.last + 1):
            said.setdefault(position, f"{unit}{times(departure.ratio)} what was expected")
    return said


def panel(series: Series, *, flags: Mapping[str, str] | None = None) -> Panel:
    """Return a series as a chart against its expectation; large when ``flags`` are given.

    >>> from stillwatch.cases.baseline import expect_from_past
    >>> flat = expect_from_past(np.ones(1))
    >>> panel(Series("plan", "pro", ["2026-01-02"], *[np.ones(1)] * 3, flat, flat)).caption
    '1 exchange; at most 1 account on a day'
    """
    marked = marked_days(series)
    chart = against_expectation(
        series.days, series.exchanges, series.expectation, marked, unit=series.unit, flags=flags
    )
    total = int(series.exchanges.sum())
    if series.unit == "sign-ups":
        caption = plural(total, "sign-up")
    else:
        busiest = int(series.accounts.max(initial=0))
        caption = f"{plural(total, 'exchange')}; at most {plural(busiest, 'account')} on a day"
    return Panel(series.value, chart, caption, len(marked))


def cohort_grid(dimension: Dimension) -> Markup:
    """Draw sign-up weeks × days, newest week at the bottom, departures outlined.

    >>> cohort_grid(Dimension("cohort", "sign-up week", []))
    Markup('')
    """
    if not dimension.series:
        return Markup("")
    rows = sorted(dimension.series, key=lambda series: (series.value[:1].isdigit(), series.value))
    names = [f"week of {series.value}" if series.value[:1].isdigit() else series.value for series in rows]
    names = ["earlier weeks" if name == "all others" else name for name in names]
    marked = frozenset((r, position) for r, series in enumerate(rows) for position in marked_days(series))
    return heat(names, rows[0].days, np.vstack([series.exchanges for series in rows]), marked)


def adoption_panel(adoption: Adoption) -> Panel:
    """Draw how a launched model was taken up.

    >>> adoption_panel(Adoption("m", "2026-01-02", {"all accounts": np.array([0, 0.5])}, {"all accounts": 4})).caption
    'launched 2 Jan 2026; within a day: 50 % of 4 all accounts'
    """
    parts = [
        f"{100 * float(curve[min(1, len(curve) - 1)]):.0f} % of {adoption.sizes[name]:,} {name}"
        for name, curve in adoption.shares.items()
    ]
    launched = window(adoption.released, adoption.released)
    chart = curves(adoption.shares, unit=f"share of accounts that used {adoption.model}, by days since launch")
    return Panel(adoption.model, chart, f"launched {launched}; within a day: {', '.join(parts)}", 0)
