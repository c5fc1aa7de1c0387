"""Charts as small inline SVG: static, readable without scripts, coloured by the page's own light and dark palette.

Every chart is one string. Colours are CSS classes (``s0`` … ``s8`` for series), never values, and every text goes
through :func:`stillwatch.cases.wording.clean` and HTML escaping. A transparent column a day carries a ``<title>``
that names the day and its figures: the tooltip, and what a screen reader says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from stillwatch.cases.baseline import Expectation
from stillwatch.cases.wording import clean, count, day, short

Floats = npt.NDArray[np.float64]
SERIES_COLOURS = 8
WIDE, NARROW = (1080, 220), (350, 112)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a chart draws: outer size and margins in CSS pixels, ``top`` the largest value."""

    width: float
    height: float
    top: float
    left: float = 46
    right: float = 8
    above: float = 22
    below: float = 22

    def y(self, value: float) -> float:
        """Return the height at which a value lies.

        >>> Frame(100, 144, 10.0).y(10.0), Frame(100, 144, 10.0).y(0.0)
        (22.0, 122.0)
        """
        room = self.height - self.above - self.below
        return self.above + room * (1 - min(max(value / self.top, 0.0), 1.0))

    def step(self, columns: int) -> float:
        """Return the width of one of so many columns.

        >>> Frame(154, 144, 10.0).step(10)
        10.0
        """
        return (self.width - self.left - self.right) / max(columns, 1)


def text(value: object) -> Markup:
    r"""Return text made safe for a reader and for HTML.

    >>> text("<b>\x1b")
    Markup('&lt;b&gt;�')
    """
    return escape(clean(value))


def nice_top(largest: float) -> float:
    """Return a round number at or above the largest value, so that the axis has clean ticks.

    >>> nice_top(0), nice_top(87), nice_top(1234)
    (1.0, 100.0, 1500.0)
    """
    if largest <= 1:
        return 1.0
    power = float(10 ** np.floor(np.log10(largest)))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 8, 10) if largest <= step * power * 1.0000001)


def figure(frame: Frame, body: Iterable[str], label: str, kind: str = "") -> Markup:
    """Wrap drawing in an ``<svg>`` that says what it shows to a screen reader.

    >>> figure(Frame(10, 10, 1.0), [], "nothing").startswith('<svg class="chart "')
    True
    """
    head = f'<svg class="chart {kind}" viewBox="0 0 {frame.width:g} {frame.height:g}" role="img"'
    return Markup(f'{head} aria-label="{text(label)}">{"".join(body)}</svg>')


def _rect(x: float, y: float, width: float, height: float) -> str:
    return f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z"


def _bars(frame: Frame, low: Floats, high: Floats) -> str:
    """Return one path that draws a bar for each column from ``low`` to ``high``."""
    step = frame.step(len(high))
    gap = min(1.5, step * 0.2)
    out = []
    for i in np.flatnonzero(high > low):
        top, bottom = frame.y(float(high[i])), frame.y(float(low[i]))
        out.append(_rect(frame.left + i * step + gap / 2, top, step - gap, max(bottom - top, 0.5)))
    return "".join(out)


def _axes(frame: Frame, days: Sequence[str], ticks: int = 2) -> str:
    """Return grid lines with values, and dates along the bottom."""
    out = []
    for value in np.linspace(0, frame.top, ticks + 1):
        y = frame.y(float(value))
        out.append(f'<path class="grid" d="M{frame.left:g} {y:.1f}H{frame.width - frame.right:g}"/>')
        out.append(f'<text class="tick end" x="{frame.left - 6:g}" y="{y + 3.5:.1f}">{short(float(value))}</text>')
    return "".join(out) + _dates(frame, days)


def _dates(frame: Frame, days: Sequence[str]) -> str:
    """Return dates along the bottom, as many as fit."""
    out = []
    step = frame.step(len(days))
    every = max(1, int(np.ceil(78 / step)))
    for i in range(0, len(days), every):
        x = frame.left + (i + 0.5) * step
        if x < frame.width - 30:
            name = day(days[i]).rsplit(" ", 1)[0]
            out.append(f'<text class="tick mid" x="{x:.1f}" y="{frame.height - 6:g}">{name}</text>')
    return "".join(out)


def _columns(frame: Frame, titles: Sequence[str]) -> str:
    """Return a transparent column for each title: the place to hover over."""
    step = frame.step(len(titles))
    height = frame.height - frame.above - frame.below
    return "".join(
        f'<rect class="hit" x="{frame.left + i * step:.1f}" y="{frame.above:g}" width="{step:.1f}" '
        f'height="{height:g}"><title>{text(title)}</title></rect>'
        for i, title in enumerate(titles)
    )


def _flags(frame: Frame, days: Sequence[str], flags: Mapping[str, str]) -> str:
    """Return a dashed line with a name for each flagged day (a model's launch)."""
    out = []
    for date in sorted(set(flags) & set(days)):
        x = frame.left + (list(days).index(date) + 0.5) * frame.step(len(days))
        side = "end" if x > frame.width * 0.8 else "start"
        shift = -5 if side == "end" else 5
        out.append(f'<path class="flag" d="M{x:.1f} 4V{frame.height - frame.below:g}"/>')
        out.append(f'<text class="flagname {side}" x="{x + shift:.1f}" y="13">{text(clean(flags[date], 60))}</text>')
    return "".join(out)


def stacked_days(
    days: Sequence[str], layers: Mapping[str, Floats], *, flags: Mapping[str, str], closures: Floats | None = None
) -> Markup:
    """Draw exchanges by day, stacked, with launches flagged and account closures counted under the bars.

    ``layers`` maps a name (a model) to one count a day, drawn from the bottom in order; ``flags`` maps a day to text.

    >>> drawn = stacked_days(["2026-01-02"], {"m": np.array([3.0])}, flags={"2026-01-02": "m launched"})
    >>> "m launched" in drawn and "2 Jan 2026: 3 exchanges" in drawn
    True
    """
    total = sum(layers.values(), np.zeros(len(days)))
    frame = Frame(*WIDE, top=nice_top(float(total.max(initial=0))), below=34 if closures is not None else 22)
    body, below = [_axes(frame, days)], np.zeros(len(days))
    for i, counts in enumerate(layers.values()):
        body.append(f'<path class="bar s{min(i, SERIES_COLOURS)}" d="{_bars(frame, below, below + counts)}"/>')
        below = below + counts
    titles = []
    for i, date in enumerate(days):
        parts = [f"{name} {count(counts[i])}" for name, counts in layers.items() if counts[i]]
        closed = f"; {count(closures[i])} accounts closed" if closures is not None and closures[i] else ""
        titles.append(f"{day(date)}: {count(total[i])} exchanges ({', '.join(parts) or 'none'}){closed}")
    body += [_closed(frame, closures), _flags(frame, days, flags), _columns(frame, titles)]
    return figure(frame, body, f"Exchanges by day and model, {count(float(total.sum()))} in all")


def _closed(frame: Frame, closures: Floats | None) -> str:
    if closures is None:
        return ""
    step, y, out = frame.step(len(closures)), frame.height - frame.below + 5, []
    for i in np.flatnonzero(closures):
        x = frame.left + (i + 0.5) * step
        size = 2.5 + 2.5 * float(np.sqrt(closures[i] / closures.max()))
        out.append(f"M{x - size:.1f} {y:g}h{2 * size:.1f}l-{size:.1f} {size * 1.5:.1f}z")
    return f'<path class="closed" d="{"".join(out)}"/>'


def against_expectation(
    days: Sequence[str],
    counts: Floats,
    expectation: Expectation,
    marked: Mapping[int, str],
    *,
    unit: str = "exchanges",
    flags: Mapping[str, str] | None = None,
) -> Markup:
    """Draw daily counts over the band in which 95 % of days were expected; marked days stand out.

    ``marked`` maps positions of days to what is said of them. Small when no ``flags`` are given.

    >>> from stillwatch.cases.baseline import expect_from_past
    >>> counts = np.array([50.0] * 10 + [900.0])
    >>> days = [f"2026-01-{i + 1:02d}" for i in range(11)]
    >>> "a spike" in against_expectation(days, counts, expect_from_past(counts), {10: "a spike"})
    True
    """
    largest = max(float(counts.max(initial=0)), float(np.nanmax(np.append(expectation.expected, 0))))
    size = NARROW if flags is None else WIDE
    frame = Frame(*size, top=nice_top(largest), above=14 if flags is None else 22)
    loud = np.isin(np.arange(len(counts)), list(marked))
    zero = np.zeros(len(counts))
    band, middle = _band(frame, expectation)
    body = [
        _axes(frame, days, ticks=1 if flags is None else 2),
        band,
        f'<path class="bar quiet" d="{_bars(frame, zero, np.where(loud, 0, counts))}"/>',
        f'<path class="bar loud" d="{_bars(frame, zero, np.where(loud, counts, 0))}"/>',
        middle,
        _pins(frame, counts, marked),
        _flags(frame, days, flags or {}),
        _columns(frame, [_told(i, days, counts, expectation, unit, marked) for i in range(len(days))]),
    ]
    return figure(frame, body, f"{unit} by day, {len(marked)} days marked")


def _told(
    i: int, days: Sequence[str], counts: Floats, expectation: Expectation, unit: str, marked: Mapping[int, str]
) -> str:
    expected = expectation.expected[i]
    against = (
        "too little history to say"
        if np.isnan(expected)
        else f"expected about {count(expected)} ({count(expectation.low[i])}–{count(expectation.high[i])})"
    )
    return f"{day(days[i])}: {count(counts[i])} {unit}; {against}" + (f"; {marked[i]}" if i in marked else "")


def _band(frame: Frame, expectation: Expectation) -> tuple[str, str]:
    """Return the expected band and its edges and middle, broken where nothing could be expected."""
    step = frame.step(len(expectation.expected))
    there = np.flatnonzero(np.isfinite(expectation.expected))
    if not len(there):
        return "", ""
    runs = np.split(there, np.flatnonzero(np.diff(there) > 1) + 1)
    area, line, edge = [], [], []
    for run in runs:
        x = frame.left + (run + 0.5) * step
        upper = [f"{a:.1f} {frame.y(float(expectation.high[i])):.1f}" for a, i in zip(x, run, strict=True)]
        lower = [f"{a:.1f} {frame.y(float(expectation.low[i])):.1f}" for a, i in zip(x, run, strict=True)]
        middle = [f"{a:.1f} {frame.y(float(expectation.expected[i])):.1f}" for a, i in zip(x, run, strict=True)]
        area.append(f"M{'L'.join(upper)}L{'L'.join(reversed(lower))}z")
        line.append(f"M{'L'.join(middle)}")
        edge.append(f"M{'L'.join(lower)}")
    lines = f'<path class="edge" d="{"".join(edge)}"/><path class="middle" d="{"".join(line)}"/>'
    return f'<path class="band" d="{"".join(area)}"/>', lines


def _pins(frame: Frame, counts: Floats, marked: Mapping[int, str]) -> str:
    step, out = frame.step(len(counts)), []
    for i in sorted(marked):
        x, y = frame.left + (i + 0.5) * step, max(frame.y(float(counts[i])) - 3, 8.0)
        out.append(f"M{x:.1f} {y:.1f}l-4 -6h8z")
    return f'<path class="pin" d="{"".join(out)}"/>'


def heat(rows: Sequence[str], days: Sequence[str], values: Floats, marked: frozenset[tuple[int, int]]) -> Markup:
    """Draw a grid of rows × days, darker for more (by square root), marked cells outlined.

    >>> "outlined" in heat(["week of 5 Jan"], ["2026-01-06"], np.array([[9.0]]), frozenset({(0, 0)}))
    True
    """
    row_height = 18
    frame = Frame(1080, 28 + row_height * len(rows), top=1.0, left=128, above=2, below=26)
    step, largest = frame.step(len(days)), max(float(values.max(initial=0)), 1.0)
    body = [_dates(frame, days)]
    for r, name in enumerate(rows):
        y = frame.above + r * row_height
        body.append(f'<text class="tick end" x="{frame.left - 8:g}" y="{y + 13:g}">{text(clean(name, 24))}</text>')
        for c in np.flatnonzero(values[r]):
            shade = 0.06 + 0.94 * float(np.sqrt(values[r, c] / largest))
            kind = "cell outlined" if (r, int(c)) in marked else "cell"
            title = f"{name}, {day(days[int(c)])}: {count(values[r, c])} exchanges"
            body.append(
                f'<rect class="{kind}" x="{frame.left + c * step + 0.5:.1f}" y="{y + 1:g}" width="{step - 1:.1f}" '
                f'height="{row_height - 2}" fill-opacity="{shade:.2f}"><title>{text(title)}</title></rect>'
            )
    return figure(frame, body, "Exchanges by sign-up week and day", "heat")


def curves(lines: Mapping[str, Floats], *, unit: str) -> Markup:
    """Draw cumulative shares (0 to 1) by day since a launch, one line a group.

    >>> "day 1: 50 %" in curves({"all accounts": np.array([0.0, 0.5])}, unit="share of accounts")
    True
    """
    longest = max((len(line) for line in lines.values()), default=1)
    top = nice_top(100 * max((float(line.max(initial=0)) for line in lines.values()), default=1.0)) / 100
    frame = Frame(350, 150, top=min(top, 1.0), above=12)
    step = (frame.width - frame.left - frame.right - 10) / max(longest - 1, 1)
    body = []
    for value in (0.0, frame.top / 2, frame.top):
        body.append(f'<path class="grid" d="M{frame.left:g} {frame.y(value):.1f}H{frame.width - frame.right:g}"/>')
        body.append(
            f'<text class="tick end" x="{frame.left - 6:g}" y="{frame.y(value) + 3.5:.1f}">{100 * value:.3g} %</text>'
        )
    for after in range(0, longest, max(1, longest // 5)):
        x = frame.left + after * step
        body.append(f'<text class="tick mid" x="{x:.1f}" y="{frame.height - 6:g}">{after} d</text>')
    for i, (name, line) in enumerate(lines.items(), start=0 if len(lines) > 1 else 2):
        points = [f"{frame.left + x * step:.1f} {frame.y(float(y)):.1f}" for x, y in enumerate(line)]
        body.append(f'<path class="line l{i}" d="M{"L".join(points)}"/>')
        for x, y in enumerate(line):
            title = f"{name}, day {x}: {100 * y:.0f} %"
            body.append(
                f'<circle class="dot d{i}" cx="{frame.left + x * step:.1f}" cy="{frame.y(float(y)):.1f}" r="3">'
                f"<title>{text(title)}</title></circle>"
            )
    return figure(frame, body, unit)
