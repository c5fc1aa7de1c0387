"""The scorecard's further tables: day by day, other seeds, evasions, ablations, cost, and where it fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillwatch.evaluate.bench import Scorecard, Scored
from stillwatch.evaluate.figures import Figure, figures
from stillwatch.evaluate.plan import ALL, LEVELS
from stillwatch.evaluate.plots import Curve
from stillwatch.evaluate.tables import Section, grouped, ours, results, said, share

LOST = 0.5  # detection is lost where fewer campaigns than this share are found


def day_by_day(card: Scorecard) -> Section:
    """Return for each campaign of the worlds followed how long and how much it took until it was reported.

    >>> day_by_day(example_card()).rows
    []
    """
    rows: list[Sequence[str]] = []
    for one in card.of("daily"):
        for life in (one.result or {})["lives"]:
            ids = [name for name in life["ids"] if name]
            rows.append(
                (
                    _place(one),
                    one.detector,
                    life["campaign"],
                    f"{life['exchanges']:,}",
                    "never" if life["days"] is None else f"{life['days']:.1f}",
                    share(life["leaked"]),
                    share(life["unstopped"]),
                    str(len(set(ids))),
                    "yes" if life["lasting"] else "no",
                    "yes" if life["one_case"] else "no",
                    f"{life['closed_since']:,}",
                )
            )
    return Section(
        "Day by day",
        "The world is scanned as it grows. Days since the campaign's first exchange; leaked: the share of its "
        "exchanges before the first report of which half or more of the accounts are its own; unstopped: the share "
        "sent before the sending account was itself reported. Ids it went by, whether the last is the first or is held "
        "to be part of its case, and its accounts closed since.",
        (
            "world",
            "detector",
            "campaign",
            "exchanges",
            "days",
            "leaked",
            "unstopped",
            "ids",
            "same id",
            "same case",
            "closed since",
        ),
        rows,
    )


def _place(one: Scored) -> str:
    return f"{one.world}:{one.entry['cell']['scene']['seed']}"


def reseeding(card: Scorecard) -> Section:
    """Return how alike scans of the same data are when only the seed of the scan differs.

    >>> reseeding(example_card()).header[0]
    'world'
    """
    rows: list[Sequence[str]] = []
    for one in card.of("reseed"):
        both = (one.result or {})["agreement"]
        accused = sum(b["accused_by_both"] for b in both), sum(b["accused_by_any"] for b in both)
        pairs = sum(b["pairs"] for b in both), sum(b["pairs"] + b["apart"] for b in both)
        rows.append((_place(one), *(share(a / b if b else 1.0) for a, b in (accused, pairs))))
    return Section(
        "Other seeds of the scan",
        "The same data scanned with three seeds: accounts accused by both of two scans of those accused by either, and "
        "pairs of accounts that both put into one campaign of those that either does. Means over pairs of scans.",
        ("world", "accounts accused alike", "pairs grouped alike"),
        rows,
    )


def evasion(card: Scorecard) -> Section:
    """Return how detection falls as campaigns take more care, one knob at a time and with all, and what that costs.

    >>> evasion(example_card()).rows
    []
    """
    points: dict[str, dict[str, Point]] = {}
    for (knob, level), cells in grouped(card.of("sweep"), "row", "level"):
        points.setdefault(knob, {})[level] = _point(results(cells))
    rows: list[Sequence[str]] = []
    for knob, by_level in points.items():
        rows += [(knob, level, *by_level[level].cells()) for level in LEVELS if level in by_level]
        rows.append((knob, "lost at", lost_at(by_level), *[""] * 6))
    return Section(
        "Evasion",
        "One knob of all campaigns at a time moves from careless to careful, the others stay competent; `all` moves "
        "all. Kept: the share of the campaigns' exchanges that no report holds. Cost by the declared price list "
        "(docs/simulate.md): dollars an account and a kept exchange, mean wait of a request, and requests spent on "
        "cover. Lost: the first level at which fewer than half of the campaigns are found.",
        (
            "knob",
            "level",
            "campaigns found",
            "account precision",
            "account recall",
            "kept",
            "$ an account",
            "$ a kept exchange",
            "wait, cover",
        ),
        rows,
        _evasion_curves(points) if points else [],
    )


@dataclass(frozen=True)
class Point:
    """A level of a knob: figures of detection, and what the campaigns of its worlds cost together."""

    made: Mapping[str, Figure]
    bill: Mapping[str, float]

    @property
    def found(self) -> float | None:
        """The share of campaigns found."""
        return self.made["campaign recall"].value if "campaign recall" in self.made else None

    @property
    def kept(self) -> float | None:
        """The share of the campaigns' exchanges that no report holds."""
        return 1 - self.made["exchange recall"].value if "exchange recall" in self.made else None

    @property
    def dollars(self) -> float:
        """What an account costs."""
        return self.bill["money"] / max(1.0, self.bill["accounts"])

    def cells(self) -> Sequence[str]:
        """Return the point as cells of the table."""
        harvest = self.bill["harvest_exchanges"]
        kept = (self.kept or 0.0) * harvest
        return (
            *(said(self.made, name) for name in ("campaign recall", "account precision", "account recall")),
            share(self.kept),
            f"{self.dollars:,.2f}",
            f"{self.bill['money'] / kept:,.3f}" if kept else "—",
            f"{self.bill['waiting_s'] / max(1.0, harvest) / 60:,.0f} min, "
            + share(self.bill["cover_exchanges"] / max(1.0, harvest + self.bill["cover_exchanges"])),
        )


def _point(measured: Sequence[Mapping[str, Any]]) -> Point:
    bills = [bill for result in measured for bill in result["bills"]]
    names = ("accounts", "money", "harvest_exchanges", "cover_exchanges")
    waits = sum(bill["delay_s"] * bill["harvest_exchanges"] for bill in bills)
    return Point(figures(measured), {**{name: sum(bill[name] for bill in bills) for name in names}, "waiting_s": waits})


def _evasion_curves(points: Mapping[str, Mapping[str, Point]]) -> list[Curve]:
    """Return campaigns found and exchanges kept by level of skill, and by dollars an account where all knobs move."""
    by_level = {
        title: {
            knob: [(float(x), value) for x, level in enumerate(LEVELS) if (value := get(by.get(level))) is not None]
            for knob, by in points.items()
        }
        for title, get in (("Campaigns found", _found), ("Exchanges kept by the evader", _kept))
    }
    curves = [Curve(f"{title}, by skill", "skill", lines, LEVELS) for title, lines in by_level.items()]
    everything = [point for level in LEVELS if (point := points.get(ALL, {}).get(level)) is not None]
    if everything:
        lines = {
            name: [(point.dollars, value) for point in everything if (value := get(point)) is not None]
            for name, get in (("campaigns found", _found), ("exchanges kept", _kept))
        }
        curves.append(Curve("What care buys, all knobs together", "dollars an account", lines))
    return curves


def _found(point: Point | None) -> float | None:
    return point.found if point else None


def _kept(point: Point | None) -> float | None:
    return point.kept if point else None


def lost_at(by_level: Mapping[str, Point]) -> str:
    """Return the first level of skill at which detection is lost, or that it is not.

    >>> found, lost = Point({"campaign recall": Figure(1.0)}, {}), Point({"campaign recall": Figure(0.0)}, {})
    >>> lost_at({"careless": found, "careful": lost}), lost_at({"careless": found})
    ('careful', 'no level tried')
    """
    shares = {level: by_level[level].found for level in LEVELS if level in by_level}
    return next((level for level, found in shares.items() if found is not None and found < LOST), "no level tried")


def ablation(card: Scorecard) -> Section:
    """Return what detection loses when one part of the method is left out.

    >>> ablation(example_card()).header[:2]
    ('left out', 'campaign recall')
    """
    made = {row: figures(results(cells)) for (row,), cells in grouped(card.of("ablation"), "row")}
    names = ("campaign recall", "account precision", "account recall", "exchange recall", "innocents swept")
    order = dict.fromkeys(one.row for one in card.of("ablation"))
    return Section(
        "Ablations",
        "The same worlds with one part of the method left out.",
        ("left out", *names),
        [(row or "nothing", *(said(made[row], name) for name in names)) for row in order],
    )


def cost(card: Scorecard) -> Section:
    """Return what a detector costs.

    >>> cost(example_card()).rows[0][-1]
    '300'
    """
    rows: list[Sequence[str]] = []
    for (world, detector), cells in grouped([*card.of("worlds"), *card.of("null")], "world", "detector"):
        spent = [result["cost"] for result in results(cells)]
        million = sum(one["exchanges"] for one in spent) / 1e6
        rows.append(
            (
                world,
                detector,
                f"{million * 1e6 / len(spent):,.0f}",
                f"{sum(one['seconds'] for one in spent) / len(spent):.1f}",
                f"{sum(one['seconds'] for one in spent) / million:,.0f}",
                f"{sum(one['cpu_seconds'] for one in spent) / million:,.0f}",
                f"{max(one['peak_mb'] for one in spent):,.0f}",
            )
        )
    return Section(
        "Cost",
        "Of the judging alone, in a fresh process that loads its compiled kernels; other processes ran beside it.",
        ("world", "detector", "exchanges", "seconds", "seconds a million", "CPU seconds a million", "peak MiB"),
        rows,
    )


def failures(card: Scorecard) -> Section:
    """Return every failure of Stillwatch in the worlds by name: what it missed and whom it wronged.

    >>> [what for _, what in failures(example_card()).rows]
    []
    """
    rows: list[Sequence[str]] = []
    for one in [*ours(card, "worlds"), *ours(card, "null")]:
        rows += [(_place(one), what) for what in _wrong(one.result or {})]
    rows += [
        (_place(one), f"{one.detector} did not finish ({one.part}): {one.error}")
        for one in card.cells
        if one.result is None
    ]
    return Section("Where it fails", "Every failure of this run by name.", ("world", "what"), rows)


def _wrong(result: Mapping[str, Any]) -> Iterable[str]:
    """Say each campaign missed and each report that is false or holds two campaigns."""
    for one in result["campaigns"]:
        if not one["found"]:
            best = (
                f"; the best report holds {share(one['recall'])}, {share(one['purity'])} pure" if one["group"] else ""
            )
            yield f"campaign {one['campaign']} ({one['accounts']:,} accounts) not found{best}"
    for one in result["groups"]:
        if one["verdict"] == "campaign" and one["false"]:
            yield f"report {one['group']} is false: {one['guilty']} of {one['accounts']} accounts are a campaign's"
        if one["verdict"] == "campaign" and one["merged"]:
            yield f"report {one['group']} holds two campaigns or more in one"
    for name, (hit, of) in result["swept"].items():
        if hit > 0.01 * of:
            yield f"{hit} of {of} accounts of {name} in a report"
