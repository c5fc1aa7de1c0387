"""Every detector keeps the promises of ``stillwatch.evaluate.peers.checks``, and the checks catch who does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.evaluate.peers.conftest import Plan
from tests.evaluate.peers.test_planted import alike, one_hand

from stillwatch.evaluate.detectors import DETECTORS, detector
from stillwatch.evaluate.findings import Findings
from stillwatch.evaluate.peers.catalogue import PEERS
from stillwatch.evaluate.peers.checks import PromiseBroken, check_detector
from stillwatch.tables import Dataset

# a tuned peer runs the same method, and the toolkit's second window the same code
CHECKED = [name for name in DETECTORS if not name.endswith("-tuned") and name != "toolkit-600s"]
Write = Callable[..., Dataset]


@pytest.mark.parametrize("name", CHECKED)
def test_keeps_its_promises(name: str, write: Write, need: Callable[[str], None], tmp_path: Path) -> None:
    """Findings are well formed and depend on no label, no spelling of an id and no order of rows."""
    need(name)
    fitted = detector(name).fit(write(Plan(alike, one_hand), 7))
    check_detector(fitted, write(Plan(alike, one_hand), 8), tmp_path / "checks")


@dataclass(frozen=True)
class Liar:
    """Says the same of everybody, unless ``lie`` changes it."""

    lie: Callable[[Dataset, list[str]], dict[str, Any]]
    name: str = "liar"

    def fit(self, calibration: Dataset) -> Liar:
        """Learn nothing."""
        return self

    def find(self, dataset: Dataset, work: Path) -> Findings:
        """Accuse all, after the lie."""
        ids = dataset.accounts()["account_id"].to_pylist()
        said = {"account_id": ids, "score": [1.0] * len(ids), "group": ["g"] * len(ids), **self.lie(dataset, ids)}
        return Findings(pa.table(said), pa.table({"group": ["g"], "verdict": ["campaign"]}))


@pytest.mark.parametrize(
    ("lie", "promise"),
    [
        (lambda dataset, ids: {"account_id": [ids[0]] * len(ids)}, "twice"),
        (lambda dataset, ids: {"account_id": [f"{i}?" for i in ids]}, "not of the dataset"),
        (lambda dataset, ids: {"score": [float("nan")] * len(ids)}, "not finite"),
        (lambda dataset, ids: {"group": ["other"] * len(ids)}, "described differ"),
        (lambda dataset, ids: {"score": [float(len(dataset.labels()[0]))] * len(ids)}, "labels"),
        (lambda dataset, ids: {"group": ["g" if i < "a5" else None for i in ids]}, "spelling of ids"),
        (lambda dataset, ids: {"score": [float(n) for n in range(len(ids))]}, "order of rows|spelling"),
    ],
)
def test_a_broken_promise_is_caught(lie: Any, promise: str, write: Write, tmp_path: Path) -> None:
    """The checks do fail, and name the detector and what its answer depends on."""
    with pytest.raises(PromiseBroken, match=promise) as caught:
        check_detector(Liar(lie), write(Plan()), tmp_path / "checks")
    assert str(caught.value).startswith("liar: ")


def test_an_honest_detector_passes(write: Write, tmp_path: Path) -> None:
    """Accusing everybody is useless and within the contract."""
    check_detector(Liar(lambda dataset, ids: {}), write(Plan()), tmp_path / "checks")


def test_every_peer_comes_at_its_default_and_tuned() -> None:
    """Each name has its tuned form, of the same choices."""
    for name, peer in PEERS.items():
        if not name.endswith("-tuned"):
            assert PEERS[f"{name}-tuned"] == replace(peer, name=f"{name}-tuned", tunes=True)
