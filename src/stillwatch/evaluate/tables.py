"""The scorecard's tables: what was measured, in rows that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from stillwatch.evaluate.bench import EVERY, Scorecard, Scored
from stillwatch.evaluate.calibration import false_share, reliability
from stillwatch.evaluate.figures import Figure, counted, figures
from stillwatch.evaluate.plots import Curve

Q_LEVELS = (0.0001, 0.001, 0.01, 0.05, 0.1)
_NONE = "—"


@dataclass(frozen=True)
class Section:
    """A table with its heading, what it says, and curves beside it. An empty one is left out of the pages."""

    title: str
    about: str
    header: Sequence[str]
    rows: list[Sequence[str]]
    curves: list[Curve] = field(default_factory=list)


def said(made: Mapping[str, Figure], name: str) -> str:
    """Write a figure, or a dash when the data did not allow it.

    >>> said({}, "AUC")
    '—'
    """
    return str(made[name]) if name in made else _NONE


def share(value: float | None) -> str:
    """Write a share of one in per cent, to a tenth.

    >>> share(0.0213), share(None)
    ('2.1 %', '—')
    """
    return _NONE if value is None else f"{100 * value:.1f} %"


def _figure_table(card: Scorecard, part: str, names: Sequence[str]) -> list[Sequence[str]]:
    """Return a row a world and detector; all worlds together come first, where there are several."""
    several = len({one.world for one in card.of(part)}) > 1
    rows: list[Sequence[str]] = []
    for key, made in card.figures.items():
        kind, _, rest = key.partition("/")
        world, _, detector = rest.rpartition("/")
        if kind == part and (several or world != EVERY):
            worlds = [one.world for one in card.of(part) if one.detector == detector]
            seeds = len(worlds) if world == EVERY else worlds.count(world)
            rows.append((world, detector, str(seeds), *(said(made, name) for name in names)))
    return sorted(rows, key=lambda row: (row[0] != EVERY, row[0]))


_KINDS = {
    "Detection": (
        "campaign recall",
        "account precision",
        "account recall",
        "account F1",
        "innocents swept",
        "false reports",
    ),
    "Exchanges and grouping": (
        "exchange precision",
        "exchange recall",
        "mixed precision",
        "mixed recall",
        "B-cubed F1",
        "pair F1",
    ),
    "Ranking": (
        "AUC",
        "AUPRC",
        "recall at 0.1 % false alarms",
        "recall at 1 % false alarms",
        "precision in 50",
        "precision in 200",
        "precision in 1000",
    ),
}
_ABOUT = {
    "Detection": "A campaign is found when half of its accounts or more are in one reported campaign, and half of "
    "that one's or more are its own. Only the verdict `campaign` counts. Without a report, precision is 1.",
    "Exchanges and grouping": "An exchange is laid to a reported campaign from probability 0.5 on. Mixed: accounts "
    "with campaign exchanges and exchanges of their own. B-cubed and pairs compare the grouping of all accounts "
    "that belong to a campaign or are accused.",
    "Ranking": "Means over worlds of how the account score ranks; ties count as ties.",
}


def detection(card: Scorecard) -> list[Section]:
    """Return the tables that compare detectors on the worlds: detection, exchanges and grouping, ranking.

    >>> [section.title for section in detection(example_card())]
    ['Detection', 'Exchanges and grouping', 'Ranking']
    """
    header = ("world", "detector", "seeds")
    return [
        Section(title, _ABOUT[title], (*header, *names), _figure_table(card, "worlds", names))
        for title, names in _KINDS.items()
    ]


def grouped(cells: Iterable[Scored], *names: str) -> Iterator[tuple[tuple[str, ...], list[Scored]]]:
    """Yield cells grouped by attributes, in the order of the attributes.

    >>> [(world, len(cells)) for (world,), cells in grouped(example_card().cells, "world")]
    [('tiny', 1)]
    """

    def key(one: Scored) -> tuple[str, ...]:
        return tuple(getattr(one, name) for name in names)

    for value, group in groupby(sorted(cells, key=key), key):
        yield value, list(group)


def results(cells: Iterable[Scored]) -> list[dict[str, Any]]:
    """Return the results of cells, those without one left out.

    >>> results([Scored({}, {"lives": []}), Scored({}, error="no memory")])
    [{'lives': []}]
    """
    return [one.result for one in cells if one.result is not None]


def ours(card: Scorecard, part: str) -> list[Scored]:
    """Return the measured cells of a part in which Stillwatch judged.

    >>> len(ours(example_card(), "worlds")), len(ours(example_card(), "null"))
    (1, 0)
    """
    return [one for one in card.of(part) if one.detector == "stillwatch"]


def campaigns(card: Scorecard) -> Section:
    """Return Stillwatch's result for each campaign of the worlds.

    >>> campaigns(example_card()).rows[0][1:4:2]
    ('low_and_slow', '1 of 1')
    """
    rows: list[Sequence[str]] = []
    for (world,), cells in grouped(ours(card, "worlds"), "world"):
        by_name: dict[str, list[dict[str, Any]]] = {}
        for result in results(cells):
            merged = {one["group"] for one in result["groups"] if one["merged"]}
            for one in result["campaigns"]:
                by_name.setdefault(one["campaign"], []).append({**one, "merged": one["group"] in merged})
        rows += [_campaign_row(world, name, ones) for name, ones in sorted(by_name.items())]
    about = "Merged: its report holds half or more of another campaign too. Split: a tenth or more of its accounts in "
    return Section(
        "Stillwatch by campaign",
        about + "each of several reports. Recall, purity and exchange recall are means over seeds.",
        ("world", "campaign", "accounts", "found", "recall", "purity", "exchange recall", "merged", "split"),
        rows,
    )


def _campaign_row(world: str, name: str, ones: list[dict[str, Any]]) -> Sequence[str]:
    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(ones)

    asked = mean(one["hit"] / max(1, one["hit"] + one["missed"]) for one in ones)
    return (
        world,
        name,
        f"{mean(one['accounts'] for one in ones):,.0f}",
        f"{sum(one['found'] for one in ones)} of {len(ones)}",
        share(mean(one["recall"] for one in ones)),
        share(mean(one["purity"] for one in ones)),
        share(asked),
        f"{sum(one['merged'] for one in ones)} of {len(ones)}",
        f"{sum(one['parts'] > 1 for one in ones)} of {len(ones)}",
    )


def swept_in(card: Scorecard) -> dict[str, tuple[int, int]]:
    """Return by innocent population how many accounts Stillwatch swept in, over all worlds and null worlds, of all.

    >>> sum(hit for hit, _ in swept_in(example_card()).values())
    1
    """
    sums: dict[str, tuple[int, int]] = {}
    for result in results([*ours(card, "worlds"), *ours(card, "null")]):
        for name, (hit, of) in result["swept"].items():
            before = sums.get(name, (0, 0))
            sums[name] = before[0] + hit, before[1] + of
    return sums


def populations(card: Scorecard) -> Section:
    """Return the innocent accounts that Stillwatch swept in, by population.

    >>> populations(example_card()).rows[0][1].split(" of ")[0]
    '1'
    """
    sums = swept_in(card)
    made = {name: counted(*pair, "lower") for name, pair in sums.items()}
    order = sorted((figure.value, name) for name, figure in made.items() if figure is not None)
    rows: list[Sequence[str]] = [(name, str(made[name])) for _, name in reversed(order)]
    total = counted(sum(hit for hit, _ in sums.values()), sum(of for _, of in sums.values()), "lower")
    about = "Accounts in a reported campaign, of all of the population, with Wilson's 95 % interval; worst first."
    return Section(
        "Innocent accounts in Stillwatch's reports",
        about,
        ("population", "accounts"),
        [("all", str(total)), *rows] if total else [],
    )


def for_a_person(card: Scorecard) -> Section:
    """Return the groups that a detector left to a person, which are no accusation, and who is in them.

    >>> for_a_person(example_card()).rows
    []
    """
    rows: list[Sequence[str]] = []
    for (world, detector), cells in grouped([*card.of("worlds"), *card.of("null")], "world", "detector"):
        left = [one for result in results(cells) for one in result["groups"] if one["verdict"] == "needs_person"]
        guilty, everyone = sum(one["guilty"] for one in left), sum(one["accounts"] for one in left)
        true = sum(not one["false"] for one in left)
        if left:
            rows.append((world, detector, f"{len(left)}", f"{true}", f"{guilty:,}", f"{everyone - guilty:,}"))
    return Section(
        "Left to a person",
        "Groups with the verdict `needs_person`. They count in no measure above.",
        ("world", "detector", "groups", "of which a campaign's", "campaign accounts", "innocent accounts"),
        rows,
    )


def victims(card: Scorecard) -> Section:
    """Return what befalls the owners of stolen keys.

    >>> victims(example_card()).rows
    []
    """
    rows: list[Sequence[str]] = []
    for (world, detector), cells in grouped(card.of("worlds"), "world", "detector"):
        ones = [result["victims"] for result in results(cells) if result["victims"]["accounts"]]
        if ones:
            hit, wrong, missed = (sum(one[name] for one in ones) for name in ("hit", "wrong", "missed"))
            reported = counted(sum(one["accused"] for one in ones), sum(one["accounts"] for one in ones))
            rows.append((world, detector, str(reported), f"{hit:,} of {hit + missed:,}", f"{wrong:,}"))
    return Section(
        "Stolen keys",
        "Innocent owners whose key a campaign uses. Their accounts count neither as hits nor as innocents swept.",
        ("world", "detector", "accounts in a report", "foreign exchanges laid to it", "own exchanges laid to it"),
        rows,
    )


def false_discovery(card: Scorecard) -> Section:
    """Return the realised share of false groups against the nominal q, over all worlds and null worlds.

    >>> false_discovery(example_card()).rows[-1][1]
    '0 of 3 (0–0.708)'
    """
    groups = [g for r in results([*ours(card, "worlds"), *ours(card, "null")]) for g in r["groups"]]
    graded = [(g["q_value"], g["false"], g["verdict"]) for g in groups if g["q_value"] is not None]
    rows: list[Sequence[str]] = []
    lines: list[tuple[float, float]] = []
    for level in Q_LEVELS:
        told = counted(*false_share([(q, f) for q, f, v in graded if v == "campaign"], level), "lower", exact=True)
        any_ = counted(*false_share([(q, f) for q, f, _ in graded], level), "lower", exact=True)
        rows.append((f"{level:g}", str(told or _NONE), str(any_ or _NONE)))
        lines += [(level, told.value)] if told else []
    about = "Groups with a q-value of at most the nominal one that are false (less than half of the accounts are a "
    return Section(
        "Realised false discovery against nominal q",
        about + "campaign's), with the exact 95 % interval. Groups left to a person are no accusation.",
        ("nominal q", "false among reported campaigns", "false among all groups, those left to a person included"),
        rows if graded else [],
        [
            Curve(
                "False share of reported campaigns by nominal q",
                "nominal q",
                {"realised": lines, "nominal": _nominal()},
            )
        ]
        if lines
        else [],
    )


def _nominal() -> list[tuple[float, float]]:
    return [(level, level) for level in Q_LEVELS]


def membership(card: Scorecard) -> Section:
    """Return the reliability of Stillwatch's membership probabilities.

    >>> membership(example_card()).rows[0][0]
    '0.90000'
    """
    cells = ours(card, "worlds")
    pool = [(float(p), int(n), int(k)) for r in results(cells) for p, n, k in r["membership"]]
    curve = reliability(pool)
    error = said(figures(results(cells)), "membership error")
    points = [(one.stated, one.true / one.of) for one in curve]
    return Section(
        "Membership probabilities",
        f"Bins of about equal mass over reported members (0.5 and above). Expected calibration error {error}.",
        ("stated", "accounts", "came true"),
        [(f"{one.stated:.5f}", f"{one.of:,}", str(counted(one.true, one.of))) for one in curve],
        [Curve("Reliability of membership", "stated", {"came true": points, "ideal": [(0.5, 0.5), (1.0, 1.0)]})]
        if curve
        else [],
    )


def null_worlds(card: Scorecard) -> Section:
    """Return what is reported where there is nothing to report.

    >>> null_worlds(example_card()).rows
    []
    """
    rows: list[Sequence[str]] = []
    for (world, detector), cells in grouped(card.of("null"), "world", "detector"):
        verdicts = [[group["verdict"] for group in result["groups"]] for result in results(cells)]
        wrong = counted(sum("campaign" in one for one in verdicts), len(verdicts), "lower", exact=True)
        person = sum(one.count("needs_person") for one in verdicts)
        swept = said(figures(results(cells)), "innocents swept")
        rows.append(
            (world, detector, str(wrong), str(sum(one.count("campaign") for one in verdicts)), str(person), swept)
        )
    return Section(
        "Null worlds",
        "Worlds without a campaign: every report is false. Exact 95 % interval over worlds; nominal q is 0.1.",
        ("world", "detector", "worlds with a report", "reports", "left to a person", "innocents swept"),
        rows,
    )
