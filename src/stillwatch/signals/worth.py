"""The frame -> how much a trainer would want each exchange, and each account's share of such exchanges.

WORTH never accuses by itself: a synthetic-data start-up and an evaluation harness are worth as much. It keeps groups of
colleagues, classes and resellers' customers, who share everything *but* this, from being mistaken for a campaign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwatch.signals.cues import CAPABILITIES
from stillwatch.signals.frame import Frame, Ints
from stillwatch.signals.sketch import Kind
from stillwatch.signals.tasks import Tasks

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

WEIGHTS = {
    "novel inputs": 0.20,
    "single turns": 0.10,
    "output to input": 0.15,
    "elicitation": 0.20,
    "high-value capability": 0.20,
    "systematic coverage": 0.15,
}
_COVERAGE_DRAWS = 8
_LEAST = 4


@dataclass(frozen=True)
class Worth:
    """Worth by exchange (exchanges × 5 shares, NaN when absent) and by account, and the scale to read a group on.

    ``scale[i]`` are the sorted account values of feature i over accounts with at least four exchanges; ``account`` is
    the weighted mean percentile (0 to 1, NaN for quieter accounts).

    >>> measured = Worth(np.zeros((2, 5)), (np.array([0.0]),) * 6, np.array([0.4, np.nan]))
    >>> measured.names[0], len(measured.names)
    ('novel inputs', 6)
    """

    exchange: Floats
    scale: tuple[Floats, ...]
    account: Floats
    names: tuple[str, ...] = tuple(WEIGHTS)


def worth(frame: Frame, labels: Tasks, *, high_value: frozenset[int]) -> Worth:
    """Measure worth over all exchanges; ``high_value`` are the capability ids a trainer pays for.

    An entry of ``scale`` is empty where the data lack the feature, and it is left out of the account's mean.

    >>> from types import SimpleNamespace
    >>> from stillwatch.signals.frame import Ragged
    >>> frame = SimpleNamespace(account=np.repeat([0, 1], 4), n_accounts=2, n_exchanges=8, capability=np.arange(8))
    >>> frame.sketch, frame.volume = Ragged(np.zeros(9, np.int64), np.zeros(0, np.uint64)), lambda: np.array([4, 4])
    >>> frame.code, frame.number = {"session_id": np.arange(8)}, {"input_tokens": np.ones(8)}
    >>> frame.number["output_tokens"] = np.ones(8)
    >>> labels = Tasks(None, None, frame.account > 0, np.arange(8), 8)
    >>> worth(frame, labels, high_value=frozenset({5, 6, 7})).account.round(2).tolist()
    [0.37, 0.62]
    """
    exchange = np.stack(
        [
            _novelty(frame),
            _single_turns(frame),
            _answer_share(frame),
            labels.elicits.astype(float),
            np.isin(frame.capability, np.array(sorted(high_value), np.uint8)).astype(float),
        ],
        axis=1,
    )
    everyone = np.ones(frame.n_exchanges, bool)
    features = _by_account(frame, labels, exchange, everyone)
    loud = frame.volume() >= _LEAST
    scale = tuple(np.sort(column[loud & np.isfinite(column)]) for column in features.T)
    score = _percentiles(features, scale)
    return Worth(exchange, scale, np.where(loud, score, np.nan))


def group_worth(frame: Frame, labels: Tasks, measured: Worth, rows: Mask) -> tuple[float, dict[str, float]]:
    """Return the pooled worth of some exchanges (0 to 1; 0.5 is the middle account) and its features' percentiles.

    Accounts count alike, however much they sent; a feature that the data lack is left out of the mean.

    ``rows`` is a mask over the exchanges. NaN when no feature is known.

    >>> from types import SimpleNamespace
    >>> frame, labels = SimpleNamespace(account=np.zeros(4, int), n_accounts=1), SimpleNamespace(cell=np.zeros(4, int))
    >>> measured = Worth(np.ones((4, 5)), (np.array([0.0, 0.5]),) * 6, np.array([0.9]))
    >>> value, parts = group_worth(frame, labels, measured, np.ones(4, bool))
    >>> round(value, 3), parts["elicitation"], parts["systematic coverage"]
    (0.925, 1.0, 0.5)
    """
    features = _by_account(frame, labels, measured.exchange, rows)
    there = np.bincount(frame.account[rows], minlength=frame.n_accounts) > 0
    parts: dict[str, float] = {}
    for name, column, scale in zip(measured.names, features.T, measured.scale, strict=True):
        values = column[there & np.isfinite(column)]
        if len(values) and len(scale):
            parts[name] = float(_rank(scale, values).mean())
    weight = sum(WEIGHTS[name] for name in parts)
    return (sum(WEIGHTS[name] * part for name, part in parts.items()) / weight if weight else float("nan")), parts


def high_value_ids() -> frozenset[int]:
    """Return the ids of the capabilities that the public disclosures say were harvested.

    >>> sorted(high_value_ids())
    [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 19, 20]
    """
    wanted = ("reason", "grad", "rewrit", "coding", "tool", "computer", "vision", "clean", "synthesis", "data")
    return frozenset(number for number, name in CAPABILITIES.items() if any(word in name for word in wanted))


def repeats(frame: Frame) -> tuple[Floats, Floats]:
    """Return how often each exchange's whole prompt occurs in its account and in all the data; NaN without a prompt.

    >>> from types import SimpleNamespace
    >>> from stillwatch.signals.frame import Ragged
    >>> prompt = np.full(3, int(Kind.PAYLOAD) << 60, np.uint64)
    >>> frame = SimpleNamespace(sketch=Ragged(np.array([0, 1, 2, 3, 3]), prompt), account=np.array([0, 0, 1, 1]))
    >>> frame.n_accounts, frame.n_exchanges = 2, 4
    >>> [counts.tolist() for counts in repeats(frame)]
    [[2.0, 2.0, 1.0, nan], [3.0, 3.0, 3.0, nan]]
    """
    whole = (frame.sketch.flat >> np.uint64(60)) == np.uint64(Kind.PAYLOAD)
    rows = frame.sketch.rows()[whole]
    _, prompt, everywhere = np.unique(frame.sketch.flat[whole], return_inverse=True, return_counts=True)
    key = prompt.reshape(-1).astype(np.int64) * max(1, frame.n_accounts) + frame.account[rows]
    _, inverse, here = np.unique(key, return_inverse=True, return_counts=True)
    counts = np.full((2, frame.n_exchanges), np.nan)
    counts[0, rows], counts[1, rows] = here[inverse.reshape(-1)], everywhere[prompt.reshape(-1)]
    return counts[0], counts[1]


def _novelty(frame: Frame) -> Floats:
    """Return 1 / (times the account asks the whole prompt): 1 for a prompt asked once; NaN without a prompt.

    Repeats over accounts are left to the evaluation test: a harvest that draws from a fixed corpus repeats there too.
    """
    return 1.0 / repeats(frame)[0]


def _single_turns(frame: Frame) -> Floats:
    """Return 1 where the exchange is alone in its session; an exchange without a session counts as alone."""
    session = frame.code["session_id"]
    if not len(session) or session.max() < 0:
        return np.full(frame.n_exchanges, np.nan)
    size = np.bincount(session[session >= 0])
    return np.where(session < 0, 1.0, (size[np.clip(session, 0, None)] == 1).astype(float))


def _answer_share(frame: Frame) -> Floats:
    """Return output tokens over all tokens; NaN where tokens are absent."""
    given, asked = frame.number["output_tokens"], frame.number["input_tokens"]
    return np.asarray(given / np.maximum(given + asked, 1.0))


def _by_account(frame: Frame, labels: Tasks, exchange: Floats, rows: Mask) -> Floats:
    """Average the exchange features by account and add systematic coverage (accounts × 6, NaN when absent)."""
    account, n = frame.account[rows], frame.n_accounts
    columns = []
    for feature in exchange[rows].T:
        fine = np.isfinite(feature)
        total = np.bincount(account[fine], weights=feature[fine], minlength=n)
        count = np.bincount(account[fine], minlength=n).astype(float)
        columns.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    columns[0] = _coarse(columns[0])
    columns.append(_coverage(account, labels.cell[rows], n))
    return np.stack(columns, axis=1)


def _coverage(account: npt.NDArray[np.int32], cell: npt.NDArray[np.int32], n: int) -> Floats:
    """Return the expected number of distinct task cells in eight draws with replacement, over eight.

    Rarefaction (Hurlbert 1971) makes busy and quiet accounts comparable; NaN below four exchanges.
    """
    width = int(cell.max()) + 1 if len(cell) else 1
    keys, counts = np.unique(account.astype(np.int64) * width + cell, return_counts=True)
    owner: Ints = keys // width
    volume = np.bincount(account, minlength=n).astype(float)
    share = counts / volume[owner]
    seen = np.bincount(owner, weights=1.0 - (1.0 - share) ** _COVERAGE_DRAWS, minlength=n)
    return np.where(volume >= _LEAST, seen / _COVERAGE_DRAWS, np.nan)


def _coarse(share: Floats) -> Floats:
    """Round a share down to tenths, nine tenths and more being one: a chance repeat is no habit."""
    return np.where(share >= 0.9, 1.0, np.floor(share * 10) / 10)


def _rank(scale: Floats, values: Floats) -> Floats:
    """Return the mid-rank percentile of values on a sorted scale."""
    return (np.searchsorted(scale, values, "left") + np.searchsorted(scale, values, "right")) / (2.0 * len(scale))


def _percentiles(features: Floats, scale: tuple[Floats, ...]) -> Floats:
    total, weight = np.zeros(len(features)), np.zeros(len(features))
    for (_, importance), column, reference in zip(WEIGHTS.items(), features.T, scale, strict=True):
        if not len(reference):
            continue
        fine = np.isfinite(column)
        total[fine] += importance * _rank(reference, column[fine])
        weight[fine] += importance
    return np.where(weight > 0, total / np.maximum(weight, 1e-9), np.nan)
