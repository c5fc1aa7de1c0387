"""Pool the measures of several worlds into figures with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from stillwatch.evaluate.calibration import calibration_error, reliability
from stillwatch.evaluate.intervals import clopper, resampled, wilson

Measures = Sequence[Mapping[str, Any]]


class Figure(msgspec.Struct, frozen=True):
    """One figure: its value, a 95 % interval (None: unknown), and which way is better (``higher`` or ``lower``)."""

    value: float
    interval: tuple[float, float] | None = None
    better: str = "higher"
    hits: int | None = None
    of: int | None = None

    def __str__(self) -> str:
        """Write a share as counts, anything else to three digits, with the interval.

        >>> str(Figure(0.75, (0.3, 0.95), hits=3, of=4)), str(Figure(0.0004, (0.0001, 0.0012))), str(Figure(0.75))
        ('3 of 4 (0.300–0.950)', '0.0004 (0.0001–0.0012)', '0.750')
        """
        head = _digits(self.value) if self.of is None else f"{self.hits:,} of {self.of:,}"
        return head if self.interval is None else f"{head} ({'–'.join(map(_digits, self.interval))})"


def _digits(value: float) -> str:
    """Write three decimals, or two significant digits of what is smaller than a hundredth."""
    return f"{value:.3f}" if value >= 0.01 else f"{value:.2g}"


def counted(hits: int, of: int, better: str = "higher", *, exact: bool = False) -> Figure | None:
    """Return a share with its interval; None when there was nothing to count.

    >>> counted(3, 4).value
    0.75
    """
    if not of:
        return None
    return Figure(hits / of, (clopper if exact else wilson)(hits, of), better, hits, of)


def _ratio(rows: Sequence[Sequence[float]], ratio: Callable[[Sequence[float]], float]) -> Figure | None:
    sums = [float(sum(column)) for column in zip(*rows, strict=True)]
    return Figure(ratio(sums), resampled(rows, ratio)) if any(sums) else None


def precision(sums: Sequence[float]) -> float:
    """Return precision of (right, wrong, missed); 1 when nothing was taken.

    >>> precision([3, 1, 0])
    0.75
    """
    return float(sums[0] / (sums[0] + sums[1])) if sums[0] + sums[1] else 1.0


def recall(sums: Sequence[float]) -> float:
    """Return recall of (right, wrong, missed); 1 when nothing was to be taken.

    >>> recall([3, 0, 1])
    0.75
    """
    return float(sums[0] / (sums[0] + sums[2])) if sums[0] + sums[2] else 1.0


def f1(sums: Sequence[float]) -> float:
    """Return the F1 of (right, wrong, missed); 1 when there was nothing to take and nothing was.

    >>> f1([2, 1, 1])
    0.6666666666666666
    """
    wrong = sums[1] + sums[2]
    return float(2 * sums[0] / (2 * sums[0] + wrong)) if sums[0] or wrong else 1.0


def _counts(results: Measures, *path: str) -> list[list[float]]:
    """Return (right, wrong, missed) of each world that has any."""
    rows = []
    for result in results:
        at: Any = result
        for name in path:
            at = at[name]
        rows.append([at["hit"], at["wrong"], at["missed"]])
    return rows


def campaigns_found(results: Measures) -> Figure | None:
    """Return the share of campaigns found. None without a campaign, as for all figures that need one.

    >>> str(campaigns_found([{"campaigns": [{"found": True}]}]))
    '1 of 1 (0.207–1.000)'
    """
    found = [one["found"] for result in results for one in result["campaigns"]]
    return counted(sum(found), len(found))


def innocents_swept(results: Measures) -> Figure | None:
    """Return the share of innocent accounts in a reported campaign.

    >>> innocents_swept([{"swept": {"office": (1, 8)}}]).value
    0.125
    """
    pairs = [pair for result in results for pair in result["swept"].values()]
    return counted(sum(hit for hit, _ in pairs), sum(of for _, of in pairs), "lower")


def reports_false(results: Measures) -> Figure | None:
    """Return the share of reported campaigns that are less than half a campaign's.

    >>> reports_false([{"groups": [{"verdict": "campaign", "false": True}]}]).value
    1.0
    """
    false = [one["false"] for result in results for one in result["groups"] if one["verdict"] == "campaign"]
    return counted(sum(false), len(false), "lower", exact=True)


def b_cubed_f1(results: Measures) -> Figure | None:
    """Return the B-cubed F1 over all accounts that belong to a campaign or are accused.

    >>> b_cubed_f1([{"alike": {"precision": 4.0, "recall": 2.0, "items": 4}}]).value
    0.6666666666666666
    """
    rows = [[one["alike"][name] for name in ("precision", "recall", "items")] for one in results]

    def score(sums: Sequence[float]) -> float:
        total = sums[0] + sums[1]
        return float(2 * sums[0] * sums[1] / total / sums[2]) if total else 0.0

    return _ratio(rows, score)


def membership_error(results: Measures) -> Figure | None:
    """Return the expected calibration error of membership probabilities, resampled over worlds.

    >>> round(membership_error([{"membership": [(0.9, 10, 8)]}]).value, 3)
    0.1
    """
    pools = [result["membership"] for result in results]

    def error(picked: Sequence[Sequence[Sequence[float]]]) -> float | None:
        rows = [(float(p), int(n), int(k)) for pool in picked for p, n, k in pool]
        return calibration_error(reliability(rows)) if rows else None

    value = error(pools)
    if value is None:
        return None
    draws = np.random.default_rng(0).integers(0, len(pools), (200, len(pools)))
    again = [e for e in (error([pools[i] for i in draw]) for draw in draws) if e is not None]
    low, high = np.quantile(again, [0.025, 0.975])
    return Figure(value, (float(low), float(high)) if len(pools) > 1 else None, "lower")


def ranked(name: str) -> Callable[[Measures], Figure | None]:
    """Return the figure that is the mean over worlds of a measure of ranking.

    >>> ranked("auc")([{"ranking": {"auc": 0.5}}, {"ranking": {"auc": 1.0}}]).value
    0.75
    """

    def figure(results: Measures) -> Figure | None:
        rows = [[result["ranking"][name], 1.0] for result in results if result["ranking"][name] is not None]
        return _ratio(rows, lambda sums: float(sums[0] / sums[1]))

    return figure


FIGURES: dict[str, Callable[[Measures], Figure | None]] = {
    "campaign recall": campaigns_found,
    "false reports": reports_false,
    "innocents swept": innocents_swept,
    "account precision": lambda results: _ratio(_counts(results, "accounts"), precision),
    "account recall": lambda results: _ratio(_counts(results, "accounts"), recall),
    "account F1": lambda results: _ratio(_counts(results, "accounts"), f1),
    "exchange precision": lambda results: _ratio(_counts(results, "exchanges", "all"), precision),
    "exchange recall": lambda results: _ratio(_counts(results, "exchanges", "all"), recall),
    "mixed precision": lambda results: _ratio(_counts(results, "exchanges", "mixed"), precision),
    "mixed recall": lambda results: _ratio(_counts(results, "exchanges", "mixed"), recall),
    "B-cubed F1": b_cubed_f1,
    "pair F1": lambda results: _ratio(_counts(results, "alike", "pairs"), f1),
    "AUC": ranked("auc"),
    "AUPRC": ranked("auprc"),
    "recall at 0.1 % false alarms": ranked("recall_0.001"),
    "recall at 1 % false alarms": ranked("recall_0.01"),
    "precision in 50": ranked("precision_50"),
    "precision in 200": ranked("precision_200"),
    "precision in 1000": ranked("precision_1000"),
    "membership error": membership_error,
}


def figures(results: Measures) -> dict[str, Figure]:
    """Return every figure that the results allow, pooled over their worlds.

    >>> figures([])
    {}
    """
    made = {name: pool(results) for name, pool in FIGURES.items()} if results else {}
    return {name: figure for name, figure in made.items() if figure is not None}


def daily_figures(results: Measures) -> dict[str, Figure]:
    """Return what following worlds day by day shows, pooled over campaigns.

    >>> daily_figures([])
    {}
    """
    lives = [life for result in results for life in result["lives"]]
    if not lives:
        return {}
    reported = [life for life in lives if life["days"] is not None]
    made = {
        "reported": counted(len(reported), len(lives)),
        "leaked": _mean([life["leaked"] for life in lives]),
        "unstopped": _mean([life["unstopped"] for life in lives]),
        "same id": counted(sum(life["lasting"] for life in reported), len(reported)),
        "same case": counted(sum(life["one_case"] for life in reported), len(reported)),
    }
    return {name: figure for name, figure in made.items() if figure is not None}


def _mean(values: Sequence[float]) -> Figure:
    """Return the mean of shares where less is better, resampled over campaigns."""
    rows = [[value, 1.0] for value in values]
    ratio = _ratio(rows, lambda sums: float(sums[0] / sums[1]))
    return Figure(0.0, better="lower") if ratio is None else msgspec.structs.replace(ratio, better="lower")
