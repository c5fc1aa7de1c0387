"""The frame -> how much a trainer would want each exchange, and each account's share of such exchanges.

WORTH never accuses by itself: a synthetic-data start-up and an evaluation harness are worth as much. It keeps groups of
colleagues, classes and resellers' customers, who share everything *but* this, from being mistaken for a campaign.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stillwatch.signals.columns import Codes, Ints, blocks, rested, tallies
from stillwatch.signals.cues import CAPABILITIES
from stillwatch.signals.frame import Frame
from stillwatch.signals.postings import prompts_of
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
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class ByExchange:
    """What each exchange is worth, in few bytes: indexing gives floats, NaN where a feature is absent.

    ``times`` is for how many tasks the account asks the prompt (0 without one), ``alone`` whether its session holds
    one task (-1 unknown or an agent's), ``asked`` and ``given`` are input tokens not sent before and output tokens.
    ``of[rows]`` is rows × 5 features, ``of[rows, k]`` the k-th.

    >>> times, alone, tokens = np.array([2, 0], np.uint32), np.array([1, -1], np.int8), np.array([9.0, 1.0], np.float32)
    >>> of = ByExchange(times, alone, tokens, np.array([1.0, 1.0]), np.ones(2, bool), np.ones(2, bool))
    >>> of[:, 0].tolist(), of[:, 1].tolist(), of[:, 2].tolist()
    ([0.5, nan], [1.0, nan], [0.1, 0.5])
    """

    times: npt.NDArray[np.uint32]
    alone: npt.NDArray[np.int8]
    asked: npt.NDArray[np.float32]
    given: Floats
    elicits: Mask
    valued: Mask

    def __getitem__(self, key: Any) -> Floats:
        if isinstance(key, tuple):
            return self._feature(*key)
        return np.stack([self._feature(key, k) for k in range(5)], axis=1)

    def _feature(self, rows: Any, k: int) -> Floats:
        if k == 0:
            times = self.times[rows]
            return np.asarray(np.where(times > 0, 1.0 / np.maximum(times, 1), np.nan), np.float64)
        if k == 1:
            alone = self.alone[rows].astype(float)
            return np.where(alone < 0, np.nan, alone)
        if k == 2:
            given, asked = self.given[rows], self.asked[rows].astype(float)
            return np.asarray(given / np.maximum(given + asked, 1.0))
        return np.asarray((self.elicits if k == 3 else self.valued)[rows].astype(float), np.float64)


@dataclass(frozen=True)
class Worth:
    """Worth by exchange (exchanges × 5 shares, NaN when absent) and by account, and the scale to read a group on.

    ``scale[i]`` are the sorted account values of feature i over accounts with at least four exchanges; ``account`` is
    the weighted mean percentile (0 to 1, NaN for quieter accounts).

    >>> measured = Worth(np.zeros((2, 5)), (np.array([0.0]),) * 6, np.array([0.4, np.nan]))
    >>> measured.names[0], len(measured.names)
    ('novel inputs', 6)
    """

    exchange: Floats | ByExchange
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
    >>> frame.digest, frame.number = {"session_id": np.arange(1, 9, dtype=np.uint64)}, {"input_tokens": np.ones(8)}
    >>> frame.number["output_tokens"] = np.ones(8)
    >>> labels = Tasks(None, None, frame.account > 0, np.arange(8), 8)
    >>> worth(frame, labels, high_value=frozenset({5, 6, 7})).account.round(2).tolist()
    [0.37, 0.62]
    """
    valued = np.zeros(256, bool)
    valued[list(high_value)] = True
    first = _first(frame)
    asked, given = rested(_anew(frame)), frame.number["output_tokens"]
    times, alone = rested(_here(frame, first)), rested(_alone(frame, first))
    exchange = ByExchange(times, alone, asked, given, labels.elicits, rested(valued[frame.capability]))
    parts = ((frame.account[block], block) for block in blocks(frame.account))
    features = _by_account(parts, frame.n_accounts, labels, exchange)
    loud = frame.volume() >= _LEAST
    scale = tuple(np.sort(column[loud & np.isfinite(column)]) for column in features.T)
    score = _percentiles(features, scale)
    return Worth(exchange, scale, np.where(loud, score, np.nan))


def group_worth(
    frame: Frame, labels: Tasks, measured: Worth, rows: Mask | Ints | Codes
) -> tuple[float, dict[str, float]]:
    """Return the pooled worth of some exchanges (0 to 1; 0.5 is the middle account) and its features' percentiles.

    Accounts count alike, however much they sent; a feature that the data lack is left out of the mean.

    ``rows`` is a mask over the exchanges, or their numbers. NaN when no feature is known.

    >>> from types import SimpleNamespace
    >>> frame, labels = SimpleNamespace(account=np.zeros(4, int), n_accounts=1), SimpleNamespace(cell=np.zeros(4, int))
    >>> measured = Worth(np.ones((4, 5)), (np.array([0.0, 0.5]),) * 6, np.array([0.9]))
    >>> value, parts = group_worth(frame, labels, measured, np.ones(4, bool))
    >>> round(value, 3), parts["elicitation"], parts["systematic coverage"]
    (0.925, 1.0, 0.5)
    """
    at = np.flatnonzero(rows) if rows.dtype == bool else rows
    account = frame.account[at]
    there = np.zeros(frame.n_accounts, bool)
    there[account] = True
    owner = (np.cumsum(there, dtype=np.int32) - 1)[account]
    some = ((owner[block], at[block]) for block in blocks(owner))
    features = _by_account(some, int(there.sum()), labels, measured.exchange)
    parts: dict[str, float] = {}
    for name, column, scale in zip(measured.names, features.T, measured.scale, strict=True):
        values = column[np.isfinite(column)]
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


def agentic_ids() -> list[int]:
    """Return the ids of the capabilities in whose sessions an agent works on by itself.

    >>> agentic_ids()
    [4, 5, 6, 21]
    """
    wanted = ("agentic coding", "tool use", "computer use", "planning")
    return [number for number, name in CAPABILITIES.items() if name in wanted]


def repeats(frame: Frame) -> npt.NDArray[np.uint32]:
    """Return how often each exchange's whole prompt occurs in all the data, 0 without a prompt.

    >>> from types import SimpleNamespace
    >>> from stillwatch.signals.frame import Ragged
    >>> from stillwatch.signals.sketch import Kind
    >>> prompt = np.full(3, int(Kind.PAYLOAD) << 60, np.uint64)
    >>> repeats(SimpleNamespace(sketch=Ragged(np.array([0, 1, 2, 3, 3]), prompt), n_exchanges=4)).tolist()
    [3, 3, 3, 0]
    """
    return tallies(prompts_of(frame.sketch))


def _here(frame: Frame, first: Mask) -> npt.NDArray[np.uint32]:
    """Return for how many tasks its account asks each exchange's whole prompt, 0 without a prompt.

    Repeats over accounts are left to the evaluation test: a harvest that draws from a fixed corpus repeats there too.
    """
    prompts = prompts_of(frame.sketch)
    found = [tallies(prompts[block], frame.account[block], counted=first[block]) for block in blocks(frame.account)]
    return np.concatenate(found)


def _alone(frame: Frame, first: Mask) -> npt.NDArray[np.int8]:
    """Return 1 where the session holds one task (or there is none), else 0; -1 in an agent's and without sessions.

    What an agent reads of its tools comes as turns whoever sends it on, so turns say nothing there.
    """
    session = frame.digest["session_id"]
    if not session.any():
        return np.full(frame.n_exchanges, -1, np.int8)
    agent = np.isin(frame.capability, agentic_ids())
    agent |= tallies(session, counted=agent) > 0
    alone = (tallies(session, counted=first) <= 1).astype(np.int8)
    alone[agent] = -1
    return alone


def _first(frame: Frame) -> Mask:
    """Return whether an exchange begins a task: false where its session has asked that very prompt on less input.

    An agent sends its user's words again with each step and all that came between, so a task of twenty steps is no
    prompt asked twenty times. The same words on the same input are.
    """
    session, first = frame.digest["session_id"], np.ones(frame.n_exchanges, bool)
    if session.any():
        prompts, tokens = prompts_of(frame.sketch), frame.number["input_tokens"]
        for block in blocks(frame.account):
            whole = (session[block] != 0) & (prompts[block] != 0) & np.isfinite(tokens[block])
            rows = np.flatnonzero(whole) + block.start
            pair = session[rows] * _ODD ^ prompts[rows]
            first[rows] = _begins(pair * _ODD ^ tokens[rows].astype(np.uint64), pair)
    return first


def _anew(frame: Frame) -> npt.NDArray[np.float32]:
    """Return the input tokens of each exchange less the most that its session had sent before, where it sends more.

    What a conversation or an agent sends again with each turn is not asked again.
    """
    session, tokens = frame.digest["session_id"], frame.number["input_tokens"]
    asked = tokens.astype(np.float32)
    for block in blocks(frame.account) if session.any() else []:
        rows = np.flatnonzero((session[block] != 0) & np.isfinite(tokens[block])) + block.start
        rows = rows[np.argsort(session[rows], kind="stable")]
        if not len(rows):
            continue
        mine, sent = session[rows], tokens[rows]
        turn = np.concatenate([[False], mine[1:] == mine[:-1]])
        step = np.cumsum(~turn) * (float(sent.max()) + 1.0)
        most = np.maximum.accumulate(step + sent) - step
        before = np.concatenate([[0.0], most[:-1]]) * turn
        asked[rows] = np.where(sent > before, sent - before, sent)
    return asked


def _begins(step: npt.NDArray[np.uint64], task: npt.NDArray[np.uint64]) -> Mask:
    """Return which steps are the first of their task, or were taken before."""
    begins = np.ones(len(step), bool)
    begins[np.unique(step, return_index=True)[1]] = False
    begins[np.unique(task, return_index=True)[1]] = True
    return begins


def _by_account(
    parts: Iterable[tuple[npt.NDArray[np.integer], Any]], n: int, labels: Tasks, exchange: Floats | ByExchange
) -> Floats:
    """Average the exchange features by account and add systematic coverage (accounts × 6, NaN when absent).

    Each part names some exchanges by number (or mask, or slice) and says which of ``n`` accounts each belongs to.
    """
    total, count = np.zeros((5, n)), np.zeros((5, n))
    seen, volume = np.zeros(n), np.zeros(n)
    for owner, some in parts:
        for k in range(5):
            feature = exchange[some, k]
            fine = np.isfinite(feature)
            total[k] += np.bincount(owner[fine], weights=feature[fine], minlength=n)
            count[k] += np.bincount(owner[fine], minlength=n)
        seen += _seen(owner, labels.cell[some], n)
        volume += np.bincount(owner, minlength=n)
    columns = [np.where(c > 0, t / np.maximum(c, 1), np.nan) for t, c in zip(total, count, strict=True)]
    columns[0] = _coarse(columns[0])
    columns.append(np.where(volume >= _LEAST, seen / _COVERAGE_DRAWS, np.nan))
    return np.stack(columns, axis=1)


def _seen(account: npt.NDArray[np.integer], cell: npt.NDArray[np.int32], n: int) -> Floats:
    """Return the expected number of distinct task cells in eight draws with replacement, by account.

    Rarefaction (Hurlbert 1971) makes busy and quiet accounts comparable.
    """
    width = int(cell.max()) + 1 if len(cell) else 1
    keys, counts = np.unique(account.astype(np.int64) * width + cell, return_counts=True)
    owner: Ints = keys // width
    share = counts / np.bincount(account, minlength=n)[owner]
    return np.asarray(np.bincount(owner, weights=1.0 - (1.0 - share) ** _COVERAGE_DRAWS, minlength=n), np.float64)


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
