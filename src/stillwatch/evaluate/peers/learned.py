"""Models on account features: isolation forest without labels, gradient boosting trained on another labelled world.

Liu, Ting, Zhou, "Isolation Forest" (ICDM 2008); Friedman, "Greedy Function Approximation: A Gradient Boosting Machine"
(2001), in the histogram form of scikit-learn. Both come from the extra ``bench``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from stillwatch.errors import ConfigError, MissingExtra
from stillwatch.evaluate.peers.evidence import Floats, Scores
from stillwatch.evaluate.peers.features import matrix
from stillwatch.evaluate.peers.peer import Method, campaign_accounts
from stillwatch.evaluate.peers.roster import peer_frame, roster
from stillwatch.tables import Dataset

FOLDS = 5


def scikit_learn() -> None:
    """Raise :class:`MissingExtra` when scikit-learn is not installed.

    >>> scikit_learn()
    """
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtra("scikit-learn", extra="bench", purpose="learned baselines") from error


def known_columns(values: Floats) -> Floats:
    """Return accounts × features with 0 in the features that are known of nobody.

    >>> known_columns(np.array([[np.nan, 1.0], [np.nan, np.nan]])).tolist()
    [[0.0, 1.0], [0.0, nan]]
    """
    return np.where(np.isfinite(values).any(axis=0), values, 0.0)


@dataclass(frozen=True)
class Isolation(Method):
    """Isolation forest on the measured accounts' own features; its default accuses scores above 0.5, as published.

    >>> Isolation().trees
    300
    """

    trees: int = 300
    seed: int = 0

    def observe(self, dataset: Dataset, work: Path) -> Scores:
        """Return how easily each account is set apart, 0 to 1; 0.5 is what the method calls ordinary."""
        scikit_learn()
        from sklearn.ensemble import IsolationForest

        frame = peer_frame(dataset)
        values = known_columns(matrix(frame))
        filled = np.where(np.isfinite(values), values, np.nanmedian(values, axis=0))
        forest = IsolationForest(n_estimators=self.trees, random_state=self.seed).fit(filled)
        return Scores(roster(frame), -forest.score_samples(filled))


@dataclass(frozen=True)
class Boosting(Method):
    """Gradient boosting on account features, trained on a calibration world's labels; the score is a probability.

    The threshold is tuned on predictions for accounts that were held out (five folds), never on those learnt from.

    >>> Boosting().model is None
    True
    """

    learns: ClassVar[bool] = True
    model: Any = None
    seed: int = 0

    def observe(self, dataset: Dataset, work: Path) -> Scores:
        """Return each account's probability. Raises :class:`ConfigError` before the method has learnt."""
        if self.model is None:
            raise ConfigError("boosting must be trained on a labelled world before it can judge another")
        frame = peer_frame(dataset)
        guilt = self.model.predict_proba(known_columns(matrix(frame)))[:, 1]
        return Scores(roster(frame), guilt, probable=True)

    def calibrate(self, calibration: Dataset, work: Path) -> tuple[Self, Scores]:
        """Return the model trained on all accounts, and each account's probability from models that never saw it."""
        scikit_learn()
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from threadpoolctl import threadpool_limits

        frame = peer_frame(calibration)
        guilty = campaign_accounts(calibration, frame.account_ids)
        values = known_columns(matrix(frame))
        plain = HistGradientBoostingClassifier(random_state=self.seed)
        folds = StratifiedKFold(min(FOLDS, int(guilty.sum())), shuffle=True, random_state=self.seed)
        with threadpool_limits(1):  # at these sizes threads wait for each other longer than they work
            held_out: Floats = cross_val_predict(plain, values, guilty, cv=folds, method="predict_proba")[:, 1]
            return replace(self, model=plain.fit(values, guilty)), Scores(roster(frame), held_out, probable=True)
