"""Line plots of the scorecard as inline SVG, drawn with the report's axes, colours and escaping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stillwatch.cases.charts import Frame, figure, text

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """Lines over one axis: shares of one (0 to 1) upwards, ``across`` names the other axis.

    ``ticks`` names positions (levels of skill); without it the axis is numeric.
    """

    title: str
    across: str
    lines: Mapping[str, Points]
    ticks: Sequence[str] = ()


def plot(curve: Curve) -> Markup:
    """Draw a curve; each point says its figures in a ``<title>``.

    >>> drawn = plot(Curve("Recall", "skill", {"cover": [(0, 1.0), (1, 0.5)]}, ("careless", "careful")))
    >>> "cover, careful: 50.0 %" in drawn, drawn.startswith("<svg")
    (True, True)
    """
    places = [float(i) for i in range(len(curve.ticks))] or [x for line in curve.lines.values() for x, _ in line]
    low, high = min(places), max(places)
    frame = Frame(520, 240, top=1.0, above=12, right=30, below=36)
    room = (frame.width - frame.left - frame.right) / ((high - low) or 1)

    def across(x: float) -> float:
        return frame.left + (x - low) * room

    marks = places if curve.ticks else [low + (high - low) * i / 4 for i in range(5)]
    body = [_grid(frame), _names(frame, curve, [across(x) for x in marks], marks)]
    for number, (name, line) in enumerate(curve.lines.items()):
        path = "L".join(f"{across(x):.1f} {frame.y(y):.1f}" for x, y in line)
        body.append(f'<path class="line c{number % 8}" d="M{path}"/>')
        body += [
            f'<circle class="dot e{number % 8}" cx="{across(x):.1f}" cy="{frame.y(y):.1f}" r="3.5">'
            f"<title>{text(f'{name}, {_at(curve, x)}: {100 * y:.1f} %')}</title></circle>"
            for x, y in line
        ]
    return figure(frame, body, curve.title)


def _at(curve: Curve, x: float) -> str:
    return curve.ticks[int(x)] if curve.ticks else f"{x:.3g}"


def _grid(frame: Frame) -> str:
    lines = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = frame.y(value)
        lines.append(f'<path class="grid" d="M{frame.left:g} {y:.1f}H{frame.width - frame.right:g}"/>')
        lines.append(f'<text class="tick end" x="{frame.left - 6:g}" y="{y + 3.5:.1f}">{100 * value:g} %</text>')
    return "".join(lines)


def _names(frame: Frame, curve: Curve, places: Sequence[float], values: Sequence[float]) -> str:
    low = frame.height - frame.below
    named = [
        f'<text class="tick mid" x="{x:.1f}" y="{low + 15:g}">{text(_at(curve, value))}</text>'
        for x, value in zip(places, values, strict=True)
    ]
    middle = (frame.left + frame.width - frame.right) / 2
    return "".join(named) + f'<text class="tick mid" x="{middle:.1f}" y="{low + 31:g}">{text(curve.across)}</text>'
