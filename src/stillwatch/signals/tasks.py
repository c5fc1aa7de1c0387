"""The frame -> what kind of work each account asks for: task cells, vocabulary, and how they spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from stillwatch.signals.frame import Codes, Frame
from stillwatch.signals.sketch import Kind

TOPICS, FORMS, CAPABILITY_CUES, ELICITATION = (300, 500), (500, 600), (100, 300), (1, 100)
WORD_BUCKETS = 256


@dataclass(frozen=True)
class Tasks:
    """Task labels of every exchange: ``topic`` and ``form`` are cue ids (0 none), ``elicits`` a bool.

    Every array has an entry an exchange; ``cell`` numbers the pairs of capability and topic, below ``n_cells``.

    >>> none = np.zeros(2, np.int32)
    >>> Tasks(none, none, none > 0, np.array([0, 1], np.int32), 2).n_cells
    2
    """

    topic: Codes
    form: Codes
    elicits: npt.NDArray[np.bool_]
    cell: Codes
    n_cells: int


def tasks(frame: Frame) -> Tasks:
    """Label every exchange with its topic, form of answer, whether it elicits, and its cell (capability × topic).

    Where several cues of one span hit, the one with the highest id counts.

    >>> from types import SimpleNamespace
    >>> from stillwatch.signals.frame import Ragged
    >>> cues = Ragged(np.array([0, 2, 3]), np.array([7, 301, 505]))
    >>> labels = tasks(SimpleNamespace(cues=cues, capability=np.array([1, 1], np.uint8), n_exchanges=2))
    >>> labels.topic.tolist(), labels.form.tolist(), labels.elicits.tolist(), labels.cell.tolist()
    ([301, 0], [0, 505], [True, False], [1, 0])
    """
    rows = frame.cues.rows()
    cue = frame.cues.flat.astype(np.int64)
    topic = _pick(rows, cue, TOPICS, frame.n_exchanges)
    form = _pick(rows, cue, FORMS, frame.n_exchanges)
    elicits = np.zeros(frame.n_exchanges, bool)
    elicits[rows[(cue >= ELICITATION[0]) & (cue < ELICITATION[1])]] = True
    key = frame.capability.astype(np.int64) * 1000 + topic
    kinds, cell = np.unique(key, return_inverse=True)
    return Tasks(topic, form, elicits, cell.reshape(-1).astype(np.int32), len(kinds))


def _pick(rows: npt.NDArray[np.int64], cue: npt.NDArray[np.int64], span: tuple[int, int], n: int) -> Codes:
    chosen = np.zeros(n, np.int32)
    inside = (cue >= span[0]) & (cue < span[1])
    chosen[rows[inside]] = cue[inside]
    return chosen


def task_vectors(
    frame: Frame, labels: Tasks, rows: npt.NDArray[np.bool_] | None = None, *, least: int = 4
) -> npt.NDArray[np.float32]:
    """Return one unit vector an account (accounts × dimensions) of what it asks for; zero below ``least`` exchanges.

    Square roots of shares (Hellinger) over capability, topic, form of answer and hashed vocabulary, centred on the mean
    account and shrunk by n / (n + 5), so that the cosine of two accounts says how alike their work is beyond fashion.

    ``rows`` is a mask over the exchanges (all when None).

    >>> from types import SimpleNamespace
    >>> from stillwatch.signals.frame import Ragged
    >>> frame = SimpleNamespace(account=np.repeat([0, 1, 2], 5), capability=np.repeat([1, 1, 2], 5), n_accounts=3)
    >>> frame.n_exchanges, frame.sketch = 15, Ragged(np.zeros(16, np.int64), np.zeros(0, np.uint64))
    >>> v = task_vectors(frame, Tasks(frame.capability * 0, frame.capability * 0, None, None, 1))
    >>> bool(v[0] @ v[1] > 0), bool(v[0] @ v[2] < 0)
    (True, True)
    """
    use = np.ones(frame.n_exchanges, bool) if rows is None else rows
    account, n = frame.account[use], frame.n_accounts
    blocks = [
        (_shares(account, frame.capability[use].astype(np.int64), n, 256), 1.0),
        (_shares(account, labels.topic[use].astype(np.int64), n, 600), 1.0),
        (_shares(account, labels.form[use].astype(np.int64), n, 600), 0.7),
        (_vocabulary(frame, use), 1.0),
    ]
    volume = np.bincount(account, minlength=n).astype(np.float32)
    vectors = np.concatenate([_dense(block) * weight for block, weight in blocks], axis=1)
    there = volume >= least
    if there.any():
        vectors -= vectors[there].mean(axis=0)
    norm = np.linalg.norm(vectors, axis=1)
    norm[norm < 1e-9] = 1.0
    vectors *= (np.sqrt(volume / (volume + 5.0)) / norm)[:, None]
    vectors[~there] = 0.0
    return np.asarray(vectors, np.float32)


def _shares(account: Codes, value: npt.NDArray[np.int64], n: int, width: int) -> sp.csr_matrix:
    counts = sp.csr_matrix((np.ones(len(value), np.float32), (account, value)), shape=(n, width))
    total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)
    return sp.csr_matrix((sp.diags(1.0 / total) @ counts).sqrt())


def _vocabulary(frame: Frame, use: npt.NDArray[np.bool_]) -> sp.csr_matrix:
    words = (frame.sketch.flat >> np.uint64(60)) == np.uint64(Kind.WORD)
    rows = frame.sketch.rows()[words]
    inside = use[rows]
    bucket = (frame.sketch.flat[words][inside] % np.uint64(WORD_BUCKETS)).astype(np.int64)
    return _shares(frame.account[rows[inside]], bucket, frame.n_accounts, WORD_BUCKETS)


def _dense(block: sp.csr_matrix) -> npt.NDArray[np.float32]:
    used = np.flatnonzero(np.asarray(block.sum(axis=0)).ravel() > 0)
    return np.asarray(block[:, used].toarray(), np.float32)
