"""MMD windows: is an account's traffic drawn as benign traffic is?

After "an embarrassingly simple detector" (arXiv 2606.05725): the maximum mean discrepancy between a window of prompts
and benign history, with a threshold from benign against benign alone. Embeddings become hashed word n-grams, projected
and lifted by random Fourier features; windows are the prompts of one account. Gretton, Borgwardt, Rasch, Schölkopf,
Smola, "A Kernel Two-Sample Test" (JMLR 2012); Rahimi, Recht, "Random Features for Large-Scale Kernel Machines" (2007).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import ConfigError
from stillwatch.evaluate.peers.evidence import Floats, Scores
from stillwatch.evaluate.peers.learned import scikit_learn
from stillwatch.evaluate.peers.peer import Method, campaign_accounts
from stillwatch.evaluate.peers.roster import Roster, peer_frame, prompts, roster
from stillwatch.signals.frame import Ints
from stillwatch.tables import Dataset

FALSE_ALARMS = 0.003


@dataclass(frozen=True)
class History:
    """What benign windows look like: their mean embedding, and their discrepancies by window size.

    ``centre`` and ``scale`` are the median and spread of a benign window's discrepancy, by log₂ of its size;
    ``typical`` are the standardised discrepancies of benign accounts, ascending.

    >>> History(np.zeros(2), np.zeros(1), np.ones(1), np.array([0.0])).typical.tolist()
    [0.0]
    """

    mean: Floats
    centre: Floats
    scale: Floats
    typical: Floats


@dataclass(frozen=True)
class MmdWindows(Method):
    """Standardised MMD² of each account's first ``window`` prompts against benign history.

    A score of 1 is the greatest of 99.7 % of benign windows (``FALSE_ALARMS``, the published rate), the default cut.
    Accounts of fewer than ``least`` prompts score below every cut. With ``nearer``, windows are suspicious that are
    nearer to pooled benign traffic than one benign account's are: those of a broad curriculum.

    >>> MmdWindows().window
    64
    """

    learns: ClassVar[bool] = True
    window: int = 64
    least: int = 4
    features: int = 256
    seed: int = 0
    nearer: bool = False
    history: History | None = None

    def observe(self, dataset: Dataset, work: Path) -> Scores:
        """Return each account's score. Raises :class:`ConfigError` before benign history was read."""
        if self.history is None:
            raise ConfigError("MMD windows need benign history: calibrate on another world first")
        who, total, own, size = self._windows(dataset)
        return Scores(who, self._score(self.history, total, own, size))

    def calibrate(self, calibration: Dataset, work: Path) -> tuple[Self, Scores]:
        """Return the method with the benign accounts of a world as its history, and that world's scores.

        The history is a mean over some hundreds of windows, so that one account's part in it is slight.
        """
        who, total, own, size = self._windows(calibration)
        benign = ~campaign_accounts(calibration, who.ids) & (size >= self.least)
        mean = total[benign].sum(axis=0) / max(1, size[benign].sum())
        plain = self._apart(total, own, size, mean)
        bins = _bin(size)
        centre, scale = np.zeros(bins.max() + 1), np.ones(bins.max() + 1)
        for number in range(len(centre)):
            values = plain[benign & (bins == number)]
            if len(values) >= 8:
                centre[number], scale[number] = np.median(values), max(1e-6, np.std(values))
            elif number:
                centre[number], scale[number] = centre[number - 1], scale[number - 1]
        typical = np.sort(((plain - centre[bins]) / scale[bins])[benign])
        history = History(mean, centre, scale, typical)
        return replace(self, history=history), Scores(who, self._score(history, total, own, size))

    def _score(self, history: History, total: Floats, own: Floats, size: Ints) -> Floats:
        bins = np.minimum(_bin(size), len(history.centre) - 1)
        z = (self._apart(total, own, size, history.mean) - history.centre[bins]) / history.scale[bins]
        bar = max(1e-6, float(np.quantile(history.typical, 1 - FALSE_ALARMS)))
        return np.where(size >= self.least, z / bar, -1e6)

    def _apart(self, total: Floats, own: Floats, size: Ints, mean: Floats) -> Floats:
        apart = discrepancy(total, own, size, mean)
        return -apart if self.nearer else apart

    def _windows(self, dataset: Dataset) -> tuple[Roster, Floats, Floats, Ints]:
        """Return who, the sum of each one's embedded prompts, the sum of their squares, and the number of prompts."""
        scikit_learn()
        frame = peer_frame(dataset)
        place = np.arange(frame.n_exchanges) - frame.start[frame.account]
        text = prompts(dataset, frame)
        use = (place < self.window) & np.asarray(pc.is_valid(text).to_numpy(zero_copy_only=False), bool)
        owner = frame.account[use]
        points = self._embed(text.filter(pa.array(use)))
        total = np.zeros((frame.n_accounts, points.shape[1]))
        np.add.at(total, owner, points)
        own = np.asarray(np.bincount(owner, (points**2).sum(axis=1), frame.n_accounts), np.float64)
        return roster(frame), total, own, np.bincount(owner, minlength=frame.n_accounts).astype(np.int64)

    def _embed(self, text: pa.Array) -> Floats:
        """Return prompts × random Fourier features of hashed words and word pairs."""
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.kernel_approximation import RBFSampler
        from sklearn.random_projection import SparseRandomProjection

        if not len(text):
            return np.zeros((0, self.features))
        hashed = HashingVectorizer(ngram_range=(1, 2), n_features=2**16).transform(text.to_pylist())
        project = SparseRandomProjection(128, density=0.1, dense_output=True, random_state=self.seed)
        kernel = RBFSampler(gamma=0.5, n_components=self.features, random_state=self.seed)
        return np.asarray(kernel.fit_transform(project.fit_transform(hashed)), np.float64)


def discrepancy(total: Floats, own: Floats, size: Ints, mean: Floats) -> Floats:
    """Return the unbiased MMD² of each window against a mean embedding.

    ``total`` is windows × features (sums of embeddings), ``own`` the sum of their squared lengths, ``size`` the number
    of prompts. A window of one has no unbiased estimate and gets that of its mean.

    >>> discrepancy(np.array([[2.0]]), np.array([2.0]), np.array([2]), np.array([0.0])).tolist()
    [1.0]
    """
    m = np.maximum(size, 2)
    within = ((total**2).sum(axis=1) - own) / (m * (m - 1))
    return np.asarray(within - 2 * (total @ mean) / np.maximum(size, 1) + float(mean @ mean), np.float64)


def _bin(size: Ints) -> Ints:
    return np.log2(np.maximum(size, 1)).astype(np.int64)
