"""Compare a scorecard with an earlier one, with tolerance from the intervals of both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stillwatch.evaluate.bench import Scorecard
from stillwatch.evaluate.figures import Figure


class Change(NamedTuple):
    """A figure that left the baseline's interval while the baseline left its own: ``worse`` or better."""

    where: str
    name: str
    before: Figure
    now: Figure
    worse: bool

    def __str__(self) -> str:
        """Write the change as one line.

        >>> print(Change("worlds/tiny/stillwatch", "AUC", Figure(0.9, (0.8, 1)), Figure(0.5, (0.4, 0.6)), True))
        worse   worlds/tiny/stillwatch  AUC: 0.900 (0.800–1.000) → 0.500 (0.400–0.600)
        """
        word = "worse " if self.worse else "better"
        return f"{word}  {self.where}  {self.name}: {self.before} → {self.now}"


def changes(before: Scorecard, now: Scorecard) -> list[Change]:
    """Return the figures that changed beyond both intervals, the worse ones first; others are noise.

    Only what both scorecards measured (same part, world and detector) is compared.

    >>> changes(example_card(), example_card())
    []
    """
    return sorted(_changes(before, now), key=lambda change: (not change.worse, change.where, change.name))


def _changes(before: Scorecard, now: Scorecard) -> Iterator[Change]:
    for where in sorted(before.figures.keys() & now.figures.keys()):
        ours = now.figures[where]
        for name, then in before.figures[where].items():
            if name in ours and apart(then, ours[name]):
                worse = (ours[name].value < then.value) == (then.better == "higher")
                yield Change(where, name, then, ours[name], worse)


def apart(before: Figure, now: Figure) -> bool:
    """Say whether each of two figures lies outside the interval of the other.

    A figure without an interval is never apart: nobody knows how much it varies.

    >>> apart(Figure(0.9, (0.8, 1.0)), Figure(0.85, (0.7, 0.9))), apart(Figure(0.9, (0.8, 1)), Figure(0.5, (0.4, 0.6)))
    (False, True)
    """
    if before.interval is None or now.interval is None:
        return False
    (low, high), (least, most) = before.interval, now.interval
    return not (low <= now.value <= high or least <= before.value <= most)


def compared(before: Scorecard, now: Scorecard) -> str:
    """Return what a comparison says, for a person: what was compared, and each change on a line.

    >>> compared(example_card(), example_card()).endswith("2 in common: 0 worse, 0 better")
    True
    """
    shared = sorted(before.figures.keys() & now.figures.keys())
    if not shared:
        return "baseline: nothing in common (it measured other worlds or detectors)"
    found = changes(before, now)
    worse = sum(change.worse for change in found)
    head = (
        f"baseline of {before.made['date']}, revision {before.made['revision'] or 'unknown'}, {len(shared)} in common"
    )
    return "\n".join([f"{head}: {worse} worse, {len(found) - worse} better", *map(str, found)])
