"""What detection should reach, and whether a run reached it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stillwatch.evaluate.bench import Scorecard
from stillwatch.evaluate.calibration import false_share
from stillwatch.evaluate.figures import Figure, counted, figures
from stillwatch.evaluate.tables import Section, ours, results, swept_in

ACCOUNTS, EXCHANGES = 30, 2_000  # campaigns from this size on are held to the targets


class Target(NamedTuple):
    """A figure with the value that it should reach; ``better`` of the figure says from which side."""

    name: str
    bar: float
    figure: Figure | None

    @property
    def row(self) -> Sequence[str]:
        """Return the target as cells of the table.

        >>> Target("innocents in reports", 0.01, Figure(0.001, better="lower")).row
        ('innocents in reports', 'at most 0.01', '0.001', 'yes')
        """
        if self.figure is None:
            return self.name, f"{self.bar:g}", "not in this run", "—"
        higher = self.figure.better == "higher"
        holds = self.figure.value >= self.bar if higher else self.figure.value <= self.bar
        return (
            self.name,
            f"{'at least' if higher else 'at most'} {self.bar:g}",
            str(self.figure),
            "yes" if holds else "no",
        )


def targets(card: Scorecard) -> Section:
    """Return what Stillwatch should reach beside what it reached in this run.

    >>> targets(example_card()).rows[-1][0]
    'membership probabilities: expected calibration error'
    """
    measured, null = results(ours(card, "worlds")), results(ours(card, "null"))
    everywhere = [*measured, *null]
    groups = [group for result in everywhere for group in result["groups"] if group["verdict"] == "campaign"]
    graded = [(group["q_value"], group["false"]) for group in groups if group["q_value"] is not None]
    reported = [any(group["verdict"] == "campaign" for group in result["groups"]) for result in null]
    rows = [
        Target("competent campaigns found", 0.95, _found(card, "competent")),
        Target("account F1 of competent campaigns", 0.95, _f1(card, "competent")),
        Target("careful campaigns found", 0.80, _found(card, "careful")),
        Target("adaptive campaigns under one id to the end", 1.0, _same_id(card)),
        Target("innocent accounts in reports", 0.0001, figures(everywhere).get("innocents swept")),
        Target("innocent accounts of the worst population", 0.01, _worst(card)),
        Target("worlds without a campaign that have a report", 0.1, counted(sum(reported), len(reported), "lower")),
        Target("false reports at q 0.1", 0.1, counted(*false_share(graded, 0.1), "lower", exact=True)),
        Target("membership probabilities: expected calibration error", 0.05, figures(measured).get("membership error")),
    ]
    return Section(
        "Targets",
        f"Campaigns of {ACCOUNTS} accounts and {EXCHANGES:,} exchanges or more; skills are those of the simulator.",
        ("what", "target", "measured", "holds"),
        [target.row for target in rows] if everywhere else [],
    )


def _campaigns(card: Scorecard, skill: str) -> Iterator[tuple[bool, float]]:
    """Yield for each large campaign of a skill whether it was found, and the F1 of its recall and purity."""
    for result in results(ours(card, "worlds")):
        skills = {bill["campaign_id"]: bill["skill"] for bill in result["bills"]}
        for one in result["campaigns"]:
            large = one["accounts"] >= ACCOUNTS and one["exchanges"] >= EXCHANGES
            if large and skills.get(one["campaign"]) == skill:
                both = one["recall"] + one["purity"]
                yield one["found"], 2 * one["recall"] * one["purity"] / both if both else 0.0


def _found(card: Scorecard, skill: str) -> Figure | None:
    found = [one for one, _ in _campaigns(card, skill)]
    return counted(sum(found), len(found))


def _f1(card: Scorecard, skill: str) -> Figure | None:
    scores = [score for _, score in _campaigns(card, skill)]
    return Figure(sum(scores) / len(scores)) if scores else None


def _same_id(card: Scorecard) -> Figure | None:
    lives = [
        life
        for result in results(ours(card, "daily"))
        for life in result["lives"]
        if {bill["campaign_id"]: bill["skill"] for bill in result["bills"]}.get(life["campaign"]) == "adaptive"
    ]
    return counted(sum(life["lasting"] for life in lives), len(lives))


def _worst(card: Scorecard) -> Figure | None:
    """Return the largest share of a population swept in, pooled over the worlds."""
    shares = [counted(hit, of, "lower") for hit, of in swept_in(card).values()]
    return max((share for share in shares if share), key=lambda share: share.value, default=None)
