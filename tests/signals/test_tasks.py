"""Kind of work: labels from cues, and vectors in which alike work is near and strangers' work is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stillwatch.signals.frame import Frame
from stillwatch.signals.tasks import ELICITATION, FORMS, TOPICS, task_vectors, tasks

START = 1_780_000_000_000_000
FrameOf = Callable[..., Frame]
DOMAINS = ["tax law", "pastry", "tides", "knitting", "football", "beekeeping", "sailing", "algebra"]


def work(account: str, texts: list[str]) -> list[dict[str, object]]:
    """Return one account's exchanges."""
    return [{"account_id": account, "ts": START + i, "prompt_text": text} for i, text in enumerate(texts)]


@pytest.fixture
def made(frame_of: FrameOf) -> Frame:
    """Make two accounts with one curriculum and thirty with a hobby each."""
    grade = "grade the answer against this rubric and explain your reasoning step by step: essay {} on question {}"
    rows = [row for name in ("x1", "x2") for row in work(name, [grade.format(name, i) for i in range(12)])]
    for person in range(30):
        hobby = DOMAINS[person % 8]
        texts = [f"what should i know about {hobby} in week {i} for {person} friends" for i in range(12)]
        rows += work(f"y{person:02d}", texts)
    return frame_of(rows + work("z", ["hello"]))


def test_labels_come_from_the_cues_of_the_same_exchange(made: Frame) -> None:
    """Topic, form and elicitation of each row are those of its own cue list (checked row by row)."""
    labels = tasks(made)
    offsets = made.cues.offsets
    for row in range(made.n_exchanges):
        cues = made.cues.flat[offsets[row] : offsets[row + 1]].astype(int).tolist()
        assert labels.topic[row] == max([c for c in cues if TOPICS[0] <= c < TOPICS[1]], default=0)
        assert labels.form[row] == max([c for c in cues if FORMS[0] <= c < FORMS[1]], default=0)
        assert labels.elicits[row] == any(ELICITATION[0] <= c < ELICITATION[1] for c in cues)


def test_a_cell_is_a_capability_and_a_topic(made: Frame) -> None:
    """Two exchanges are in one cell just when both agree."""
    labels = tasks(made)
    pairs = list(zip(made.capability.tolist(), labels.topic.tolist(), strict=True))
    assert len(set(pairs)) == labels.n_cells == len(set(zip(pairs, labels.cell.tolist(), strict=True)))


def test_alike_work_is_near_and_other_work_is_not(made: Frame) -> None:
    """Accounts with one curriculum have a cosine far above those with hobbies of their own."""
    vectors = task_vectors(made, tasks(made))
    same = float(vectors[0] @ vectors[1])
    others = vectors[0] @ vectors[2:32].T
    assert same > 0.5
    assert others.max() < same - 0.3


def test_accounts_with_little_work_have_no_vector(made: Frame) -> None:
    """Below four exchanges nothing is claimed; nobody's vector is longer than one."""
    vectors = task_vectors(made, tasks(made))
    assert not vectors[-1].any()
    assert np.linalg.norm(vectors, axis=1).max() <= 1 + 1e-5


def test_limiting_the_rows_limits_the_work(made: Frame) -> None:
    """With only some exchanges in view, accounts without any of them have no vector."""
    rows = made.account < 12
    vectors = task_vectors(made, tasks(made), rows)
    assert np.abs(vectors[:12]).sum(axis=1).all()
    assert not vectors[12:].any()
