"""Tuning sees only the calibration world, and what is found is told in the common form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.evaluate.peers.conftest import START, Plan, singled_out
from tests.evaluate.peers.test_planted import alike, one_hand

from stillwatch.errors import ConfigError, DatasetError, InputError, StillwatchError
from stillwatch.evaluate.detectors import detector
from stillwatch.evaluate.peers.catalogue import PEERS
from stillwatch.evaluate.peers.evidence import Scores
from stillwatch.evaluate.peers.glasswally import OPTIONAL, REQUIRED, export_events, read_audit
from stillwatch.evaluate.peers.packages import run
from stillwatch.evaluate.peers.peer import Method, Peer
from stillwatch.evaluate.peers.roster import peer_frame, prompts, roster
from stillwatch.tables import Dataset

Write = Callable[..., Dataset]


@dataclass(frozen=True)
class Guess(Method):
    """Scores the planted accounts by their volume, or everybody alike."""

    blind: bool = False

    def observe(self, dataset: Dataset, work: Path) -> Scores:
        """Return the guess."""
        frame = peer_frame(dataset)
        volume = frame.volume().astype(float)
        return Scores(roster(frame), np.ones(len(volume)) if self.blind else volume)


def test_tuning_takes_the_choice_with_the_best_f1(write: Write) -> None:
    """Of a blind method and one that sees, and of all thresholds, the one that parts the groups is taken."""
    loud = write(Plan(each=40))
    tuned = Peer("guess", (Guess(blind=True), Guess()), cut=9.0, tunes=True).fit(loud)
    assert tuned.methods == (Guess(),)
    assert tuned.cut == 40


def test_a_default_peer_stays_as_it_was_shipped(write: Write) -> None:
    """Without tuning, a labelled world changes nothing for a method that learns nothing."""
    peer = Peer("guess", (Guess(),), cut=9.0)
    assert peer.fit(write(Plan(each=40))) is peer


def test_a_method_that_helps_nothing_stays_at_its_default(write: Write) -> None:
    """Where no choice is better than another, the default method is kept."""
    tuned = Peer("guess", (Guess(blind=True), Guess(blind=True)), cut=9.0, tunes=True).fit(write(Plan()))
    assert tuned.methods == (Guess(blind=True),)


def test_a_world_without_campaign_cannot_tune(write: Write, tmp_path: Path) -> None:
    """Tuning on innocent data is an error that says so, and not a threshold."""
    world = write(Plan())
    (world.path / "labels" / "accounts.parquet").unlink()
    with pytest.raises(DatasetError, match="no labelled campaign to tune on"):
        Peer("guess", (Guess(),), cut=9.0, tunes=True).fit(world)


@pytest.mark.parametrize("name", ["boosting", "mmd-windows"])
def test_a_method_that_learns_says_so(name: str, write: Write, tmp_path: Path) -> None:
    """Before it has learnt it gives no answer but what is missing."""
    with pytest.raises(ConfigError, match=r"trained|history"):
        detector(name).find(write(Plan()), tmp_path)


def test_groups_say_when_they_were_active(write: Write, tmp_path: Path) -> None:
    """A group is first and last seen with its accounts' exchanges."""
    dataset = write(Plan(alike, one_hand))
    found = detector("shared-indicators").find(dataset, tmp_path)
    assert singled_out(found, dataset)
    begin = found.groups["first_seen"].cast("int64")[0].as_py()
    assert begin == START
    assert found.groups["last_seen"][0].as_py() > found.groups["first_seen"][0].as_py()


def test_a_dataset_without_text_is_judged_by_what_is_left(write: Write, tmp_path: Path) -> None:
    """No prompt, no text evidence; the method says that nobody stands out and does not fail."""
    bare = write(Plan(lambda row, member, number: row | {"prompt_text": None}, everyone=True))
    assert prompts(bare, peer_frame(bare)).null_count == bare.count_exchanges()
    for name in ("copycatch", "uniqueness", "weighted-sum"):
        assert len(detector(name).find(bare, tmp_path).groups) == 0


@pytest.mark.parametrize("name", [name for name in PEERS if not name.endswith("-tuned")])
def test_of_no_exchange_nothing_is_said(name: str, write_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    """The first day of a log, still empty, is no error."""
    found = PEERS[name].find(write_dataset(), tmp_path)
    assert len(found.accounts) == len(found.groups) == 0


def test_a_runner_that_fails_says_why(need: Callable[[str], None], tmp_path: Path) -> None:
    """The end of what the package said comes with the error."""
    need("splink")
    with pytest.raises(StillwatchError, match=r"(?s)splink failed in .*no-such"):
        run("splink", tmp_path / "no-such.csv", tmp_path / "pairs.csv", 1)


def test_missing_environment_says_how_to_make_it(monkeypatch: pytest.MonkeyPatch, write: Write, tmp_path: Path) -> None:
    """Where the packages are not installed, the error names the command."""
    monkeypatch.setenv("STILLWATCH_PEERS", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="make peers"):
        detector("splink").find(write(Plan()), tmp_path)


def test_glasswally_events_have_its_fields(write: Write, tmp_path: Path) -> None:
    """Every required field is there with its type, nothing it does not know, in the order of time."""
    dataset = write(Plan(alike, one_hand))
    assert export_events(dataset, tmp_path / "events.jsonl") == dataset.count_exchanges()
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    for event in events:
        assert set(REQUIRED) <= set(event) <= {*REQUIRED, *OPTIONAL}
        assert isinstance(event["header_order"], list)
        assert isinstance(event["token_count"], int)
    assert [e["timestamp"] for e in events] == sorted(e["timestamp"] for e in events)
    assert {e["payment_method_hash"] for e in events} >= {"card"}


def test_glasswally_answer_is_read_back(write: Write, tmp_path: Path) -> None:
    """Alerts accuse in their cluster at the greatest score, silence scores nothing, and a bad line has a place."""
    dataset = write(Plan(alike, one_hand))
    export_events(dataset, tmp_path / "events.jsonl")
    planted = [row["account_id"] for row in dataset.labels()[0].to_pylist() if row["campaign_id"]]
    alerts = [{"account_id": a, "composite_score": s, "cluster_id": 3} for a in planted for s in (0.4, 0.5)]
    log = tmp_path / "audit_log.jsonl"
    log.write_text("".join(json.dumps(alert) + "\n" for alert in alerts))
    found = read_audit(log, dataset)
    assert singled_out(found, dataset)
    scores = dict(zip(*(found.accounts[name].to_pylist() for name in ("account_id", "score")), strict=True))
    assert {score for name, score in scores.items() if name in planted} == {0.5}
    assert {score for name, score in scores.items() if name not in planted} == {0.0}
    log.write_text(json.dumps(alerts[0]) + "\n{}\n")
    with pytest.raises(InputError, match=r"audit_log.jsonl:2: an alert needs"):
        read_audit(log, dataset)


def test_a_quiet_audit_log_accuses_nobody(write: Write, tmp_path: Path) -> None:
    """The twin: no alert, no group."""
    (tmp_path / "audit_log.jsonl").write_text("")
    assert len(read_audit(tmp_path / "audit_log.jsonl", write(Plan())).groups) == 0
