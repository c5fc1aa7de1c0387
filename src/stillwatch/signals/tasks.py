"""The frame -> what kind of work each account asks for: task cells, vocabulary, and how they spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from stillwatch.signals.columns import U64, Codes, rested, slices
from stillwatch.signals.compiled import compiled, whole
from stillwatch.signals.frame import Frame
from stillwatch.signals.postings import postings_of
from stillwatch.signals.sketch import Kind
from stillwatch.signals.traits import incidence

Labels = npt.NDArray[np.int16]
TOPICS, FORMS, CAPABILITY_CUES, ELICITATION = (300, 500), (500, 600), (100, 300), (1, 100)
WORD_BUCKETS = 256
_BUCKETS = np.uint64(WORD_BUCKETS)
_FIRST_WORD, _LAST_WORD = (np.uint64((int(Kind.WORD) << 60) + low) for low in (0, (1 << 60) - 1))


@dataclass(frozen=True)
class Tasks:
    """Task labels of every exchange: ``topic`` and ``form`` are cue ids (0 none), ``elicits`` a bool.

    Every array has an entry an exchange; ``cell`` numbers the pairs of capability and topic, below ``n_cells``.

    >>> none = np.zeros(2, np.int16)
    >>> Tasks(none, none, none > 0, np.array([0, 1], np.int32), 2).n_cells
    2
    """

    topic: Labels
    form: Labels
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
    topic, form = np.zeros(frame.n_exchanges, np.int16), np.zeros(frame.n_exchanges, np.int16)
    elicits = np.zeros(frame.n_exchanges, bool)
    for place, lists in frame.cues:
        rows, cue = place[lists.rows()], lists.flat.astype(np.int16)
        for out, (low, high) in ((topic, TOPICS), (form, FORMS), (elicits, ELICITATION)):
            inside = (cue >= low) & (cue < high)
            out[rows[inside]] = cue[inside]
    cell, kinds = _cells(frame.capability, topic)
    return Tasks(rested(topic), rested(form), rested(elicits), rested(cell), kinds)


def _cells(capability: npt.NDArray[np.uint8], topic: Labels) -> tuple[Codes, int]:
    """Return a number for each pair of capability and topic that occurs, in order, and how many there are."""
    key, there = np.empty(len(topic), np.int32), np.zeros(1 << 18, bool)
    for some in slices(len(topic)):
        key[some] = capability[some].astype(np.int32) * 1000 + topic[some]
        there[key[some]] = True
    dense = (np.cumsum(there) - 1).astype(np.int32)
    for some in slices(len(topic)):
        key[some] = dense[key[some]]
    return key, int(dense[-1]) + 1


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
    use = slice(None) if rows is None else rows
    account, n = frame.account[use], frame.n_accounts
    parts = [
        (_shares(account, frame.capability[use], n, 256), 1.0),
        (_shares(account, labels.topic[use], n, 600), 1.0),
        (_shares(account, labels.form[use], n, 600), 0.7),
        (_vocabulary(frame, rows), 1.0),
    ]
    volume = np.bincount(account, minlength=n).astype(np.float32)
    vectors = np.concatenate([_dense(part) * weight for part, weight in parts], axis=1)
    there = volume >= least
    if there.any():
        vectors -= vectors[there].mean(axis=0)
    norm = np.linalg.norm(vectors, axis=1)
    norm[norm < 1e-9] = 1.0
    vectors *= (np.sqrt(volume / (volume + 5.0)) / norm)[:, None]
    vectors[~there] = 0.0
    return np.asarray(vectors, np.float32)


def _shares(account: Codes, value: npt.NDArray[np.integer], n: int, width: int) -> sp.csr_matrix:
    pairs = incidence(account, value.astype(np.int16), n)
    counts = (pairs.count.astype(np.float32), pairs.value, pairs.start)
    return _roots(sp.csr_matrix(counts, shape=(n, width)))


def _roots(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return the square roots of each account's shares."""
    total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)
    return sp.csr_matrix((sp.diags(1.0 / total) @ counts).sqrt())


def _vocabulary(frame: Frame, use: npt.NDArray[np.bool_] | None) -> sp.csr_matrix:
    counts = np.zeros((frame.n_accounts, WORD_BUCKETS), np.float32)
    for place, held in postings_of(frame.sketch):
        words = held.within(_FIRST_WORD, _LAST_WORD)
        there = np.ones(len(place), bool) if use is None else use[place]
        _count_words(words.values, (words.start, words.rows), frame.account[place], there, counts)
    return _roots(sp.csr_matrix(counts))


@compiled
def _count_words(
    values: U64, held: tuple[Codes, npt.NDArray[np.uint32]], account: Codes, use: npt.NDArray[np.bool_],
    counts: npt.NDArray[np.float32],
) -> None:  # fmt: skip
    """Add the words of the rows to use to the buckets of their accounts."""
    start, rows = held
    for i in range(len(values)):
        bucket = whole(values[i] % _BUCKETS)
        for k in range(start[i], start[i + 1]):
            if use[rows[k]]:
                counts[account[rows[k]], bucket] += np.float32(1.0)


def _dense(block: sp.csr_matrix) -> npt.NDArray[np.float32]:
    used = np.flatnonzero(np.asarray(block.sum(axis=0)).ravel() > 0)
    return np.asarray(block[:, used].toarray(), np.float32)
