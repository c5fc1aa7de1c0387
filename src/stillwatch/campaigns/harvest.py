"""What a campaign took: accounts, exchanges and tokens with intervals, capabilities, models, surfaces, time span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwatch.campaigns.discover import Found
from stillwatch.signals.cues import capability_name
from stillwatch.signals.frame import Codes, Frame

Floats = npt.NDArray[np.float64]
Z95 = 1.959964


@dataclass(frozen=True)
class Harvest:
    """Counts at probability ≥ 0.5 beside 95 % intervals of the expected counts; times are microseconds UTC."""

    accounts: int
    accounts_interval: tuple[int, int]
    exchanges: int
    exchanges_interval: tuple[int, int]
    tokens: int
    tokens_interval: tuple[int, int]
    first_seen: int
    last_seen: int
    capability_shares: dict[str, float]
    models: dict[str, int]
    surfaces: dict[str, int]


def harvest(frame: Frame, found: Found) -> Harvest:
    """Count what a campaign took.

    Token counts that are absent count as 0; times are 0 when no exchange is the campaign's.

    >>> from types import SimpleNamespace
    >>> split = SimpleNamespace(rows=np.array([0, 1]), probability=np.array([1.0, 0.0]))
    >>> found = SimpleNamespace(split=split, members=np.array([0]), profile=SimpleNamespace(probability=np.ones(1)))
    >>> tokens, one = {"input_tokens": np.array([10, 9]), "output_tokens": np.array([90, 9])}, np.zeros(2, int)
    >>> frame = SimpleNamespace(n_accounts=1, number=tokens, capability=one, ts=np.array([5, 7]))
    >>> frame.code, frame.names = {"model": one, "surface": one}, {"model": ["m"], "surface": ["api"]}
    >>> taken = harvest(frame, found)
    >>> taken.exchanges, taken.tokens, taken.last_seen, taken.models
    (1, 100, 5, {'m': 1})
    """
    split = found.split
    taken = split.probability >= 0.5
    rows = split.rows[taken]
    tokens = np.nan_to_num(frame.number["input_tokens"][split.rows])
    tokens += np.nan_to_num(frame.number["output_tokens"][split.rows])
    total = int(tokens[taken].sum())
    ones = np.ones(len(split.rows))
    shares = np.bincount(frame.capability[rows], minlength=1) / max(1, len(rows))
    named = {capability_name(i): round(float(s), 4) for i, s in enumerate(shares) if s >= 0.02 and i > 0}
    return Harvest(
        accounts=len(found.members),
        accounts_interval=interval(found.profile.probability, np.ones(frame.n_accounts), len(found.members)),
        exchanges=len(rows),
        exchanges_interval=interval(split.probability, ones, len(rows)),
        tokens=total,
        tokens_interval=interval(split.probability, tokens, total),
        first_seen=int(frame.ts[rows].min()) if len(rows) else 0,
        last_seen=int(frame.ts[rows].max()) if len(rows) else 0,
        capability_shares=dict(sorted(named.items(), key=lambda item: (-item[1], item[0]))),
        models=_counted(frame, "model", frame.code["model"][rows]),
        surfaces=_counted(frame, "surface", frame.code["surface"][rows]),
    )


def interval(probability: Floats, size: Floats, count: int) -> tuple[int, int]:
    """Return a 95 % interval of Σ size over independent memberships (normal approximation of the Poisson binomial).

    It is widened to hold ``count``, the number that is reported at probability ≥ 0.5.

    >>> interval(np.array([1.0, 1.0]), np.array([3.0, 4.0]), 7)
    (7, 7)
    """
    mean = float((probability * size).sum())
    spread = Z95 * float(np.sqrt((probability * (1 - probability) * size**2).sum()))
    low, high = int(np.floor(mean - spread + 1e-6)), int(np.ceil(mean + spread - 1e-6))
    return max(0, min(low, count)), max(high, count)


def _counted(frame: Frame, column: str, codes: Codes) -> dict[str, int]:
    counts = np.bincount(codes[codes >= 0], minlength=len(frame.names[column]))
    order = np.lexsort((np.arange(len(counts)), -counts))
    return {frame.names[column][i]: int(counts[i]) for i in order if counts[i]}
