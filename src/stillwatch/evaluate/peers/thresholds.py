"""Rules on single accounts: volume, prompt uniqueness, and a weighted sum of signals.

Volume and uniqueness restate the kind of rule that rule sets publish for model extraction: at least 100 queries, of
which at least nine in ten differ. The weighted sum restates the idea of a published monitor that adds the scores of
its signals under fixed weights and alerts at 0.35.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stillwatch.evaluate.peers.evidence import Floats, Scores
from stillwatch.evaluate.peers.features import account_features, unique_prompts
from stillwatch.evaluate.peers.peer import Method
from stillwatch.evaluate.peers.roster import peer_frame, roster
from stillwatch.tables import Dataset

# (feature, greater is more suspicious) -> weight, after the published monitor's worker of the same aim; its country
# factor is left out, since no nationality may count here, and so are the workers that nothing in the data can feed
WEIGHTS = {
    ("system shared by", True): 0.14,  # fingerprint: preamble and client shared by many accounts
    ("exchanges", True): 0.10,  # velocity
    ("cues", True): 0.09,  # reasoning elicitation
    ("high-value capability", True): 0.08,  # likeness to known extraction prompts
    ("ip_prefix shared by", True): 0.08,  # cluster by address
    ("payment_hash shared by", True): 0.07,  # cluster by payment
    ("log gap spread", False): 0.07,  # regular timing
    ("head shared by", True): 0.06,  # shared preamble
    ("launched models", True): 0.05,  # pivot to a launched model
    ("single turns", True): 0.04,  # no session
    ("output_tokens", True): 0.03,  # token budget
    ("refused", True): 0.02,  # refusals
}


@dataclass(frozen=True)
class Volume(Method):
    """Exchanges of an account: in all, or on its busiest day.

    >>> Volume().feature
    'exchanges'
    """

    feature: str = "exchanges"

    def observe(self, dataset: Dataset, work: Path) -> Scores:
        """Return each account's volume."""
        frame = peer_frame(dataset)
        return Scores(roster(frame), account_features(frame)[self.feature])


@dataclass(frozen=True)
class Uniqueness(Method):
    """Share of an account's prompts that never repeat; 0 for accounts of fewer than ``queries``.

    >>> Uniqueness().queries
    100
    """

    queries: int = 100

    def observe(self, dataset: Dataset, work: Path) -> Scores:
        """Return each account's share of unique prompts."""
        frame = peer_frame(dataset)
        enough = frame.volume() >= self.queries
        return Scores(roster(frame), np.where(enough, np.nan_to_num(unique_prompts(frame)), 0.0))


@dataclass(frozen=True)
class WeightedSum(Method):
    """Σ weight · signal, each signal from 0 to 1, absent ones 0 and not compensated, as the monitor does.

    A signal is its rank among the accounts (``ranked``), or the value over the 99th percentile, at most 1.

    >>> round(sum(WEIGHTS.values()), 2)
    0.83
    """

    ranked: bool = False

    def observe(self, dataset: Dataset, work: Path) -> Scores:
        """Return each account's weighted sum."""
        frame = peer_frame(dataset)
        features = account_features(frame)
        total = np.zeros(frame.n_accounts)
        for (name, greater), weight in WEIGHTS.items():
            signal = self._signal(np.nan_to_num(features[name]))
            total += weight * np.where(np.isfinite(features[name]), signal if greater else 1 - signal, 0.0)
        return Scores(roster(frame), total)

    def _signal(self, values: Floats) -> Floats:
        if self.ranked:
            order = np.sort(values)
            return np.searchsorted(order, values) / max(1, len(values) - 1)
        top = float(np.quantile(values, 0.99)) if len(values) else 0.0
        return np.clip(values / top, 0, 1) if top > 0 else np.zeros(len(values))
