"""Following a world: a prefix is what was known then, without labels; reports, leak and ids as counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stillwatch.evaluate.daily import DAY_US, HOUR_US, follow, lives, moments, prefix
from stillwatch.evaluate.findings import Findings
from stillwatch.evaluate.truth import Truth, compare
from stillwatch.tables import Dataset

PEOPLE = [("a", "campaign", "x"), ("b", "campaign", "x"), ("o", "ordinary", None)]
# ten exchanges of the campaign: two on the first day, eight on the second
ASKED = [*(("a", "x", 0.1), ("b", "x", 0.2)), *[("a", "x", 1.5)] * 4, *[("b", "x", 1.6)] * 4, ("o", None, 1.7)]


@pytest.mark.parametrize("hours", [10, 24, 37])
def test_a_prefix_is_what_was_known_at_the_moment(tiny: Dataset, tmp_path: Path, hours: float) -> None:
    """Exchanges, accounts, closures and launches of a prefix are those a filter by time keeps; labels are gone."""
    for moment in moments(tiny, hours)[:3]:
        known = prefix(tiny, moment, tmp_path / str(moment))
        then = pa.scalar(moment, pa.timestamp("us", "UTC"))
        rows = pa.Table.from_batches(tiny.batches(["exchange_id", "ts"]))
        expected = rows.filter(pc.less(rows["ts"], then))["exchange_id"].to_pylist()
        found = pa.Table.from_batches(known.batches(["exchange_id"]))["exchange_id"].to_pylist()
        assert sorted(found) == sorted(expected)
        people = known.accounts()
        assert pc.max(people["created_at"]).as_py() < then.as_py()
        ended = pc.max(people["closed_at"]).as_py()
        assert ended is None or ended < then.as_py()
        assert known.labels()[0].num_rows == 0


def test_the_last_moment_leaves_nothing_out(tiny: Dataset, tmp_path: Path) -> None:
    """The last prefix holds every exchange and every account, and still no label."""
    last = prefix(tiny, moments(tiny, 24)[-1], tmp_path / "all")
    assert last.count_exchanges() == tiny.count_exchanges()
    assert last.accounts().equals(tiny.accounts())
    assert not (last.path / "labels").exists()


def test_a_campaign_reported_on_the_second_day_leaks_the_first_two(
    truth_of: Callable[..., Truth], says: Callable[..., Findings]
) -> None:
    """Reports count at the moment of the scan: what was sent before is leaked, what is sent after is not."""
    truth = truth_of(PEOPLE, ASKED)
    nothing, half, all_ = (compare(truth, says(groups)) for groups in ({}, {"G": ["a"]}, {"G": ["a", "b"]}))
    noon = DAY_US + 15 * HOUR_US  # a's second-day exchanges are over (12:00), b's (14:24) too
    morning = DAY_US
    (late,) = lives(truth, [(morning, nothing), (noon, all_)])
    assert (late["leaked"], late["unstopped"]) == (1.0, 1.0)
    (early,) = lives(truth, [(morning, half), (noon, all_)])
    assert early["leaked"] == pytest.approx(0.2)
    assert early["unstopped"] == pytest.approx(0.6)  # b was reported after all of its five
    assert early["days"] == pytest.approx(0.9)
    assert early["lasting"]


def test_ids_that_change_or_vanish_do_not_last(truth_of: Callable[..., Truth], says: Callable[..., Findings]) -> None:
    """The id on the last scan must be that of the first report; a campaign lost at the end has none."""
    truth = truth_of(PEOPLE, ASKED)
    one, other, none = (compare(truth, says(groups)) for groups in ({"G": ["a"]}, {"H": ["a", "b"]}, {}))
    assert lives(truth, [(1, one), (2, none), (3, one)])[0]["lasting"]
    assert not lives(truth, [(1, one), (2, other)])[0]["lasting"]
    assert not lives(truth, [(1, one), (2, other)])[0]["one_case"]
    lost = lives(truth, [(1, one), (2, none)])[0]
    assert (lost["ids"], lost["lasting"]) == (["G", None], False)


def test_a_part_of_the_first_case_is_the_same_case_under_another_id(
    truth_of: Callable[..., Truth], says: Callable[..., Findings]
) -> None:
    """A later generation has an id of its own; that it is held to be of the first one's case is counted apart."""
    truth = truth_of(PEOPLE, ASKED)
    one, other = (compare(truth, says(groups)) for groups in ({"G": ["a"]}, {"H": ["a", "b"]}))
    (life,) = lives(truth, [(1, one), (2, replace(other, cases=["G"]))])
    assert (life["lasting"], life["one_case"]) == (False, True)


def test_strangers_reported_are_no_report_of_the_campaign(
    truth_of: Callable[..., Truth], says: Callable[..., Findings]
) -> None:
    """A report of which most accounts are innocent does not count as the campaign's first report, nor does a doubt."""
    people = [*PEOPLE, ("o2", "ordinary", None)]
    truth = truth_of(people, ASKED)
    wrong = compare(truth, says({"G": ["a", "o", "o2"]}))
    doubt = compare(truth, says({"G": ["a", "b"]}, person=["G"]))
    for found in (wrong, doubt):
        (life,) = lives(truth, [(2 * DAY_US, found)])
        assert (life["days"], life["leaked"]) == (None, 1.0)


def test_a_detector_keeps_its_folder_from_day_to_day(tiny: Dataset, tmp_path: Path) -> None:
    """Each prefix is larger than the one before, and what a detector wrote yesterday is there today."""
    seen: list[tuple[int, int]] = []

    class Diary:
        name = "diary"

        def fit(self, calibration: Dataset) -> Any:
            return self

        def find(self, dataset: Dataset, work: Path) -> Findings:
            work.mkdir(exist_ok=True)
            (work / str(len(seen))).touch()
            seen.append((len(list(work.iterdir())), dataset.count_exchanges()))
            return Findings(pa.table({"account_id": [], "score": []}))

    told = list(follow(Diary(), tiny, tmp_path, 72))
    assert [files for files, _ in seen] == [1, 2, 3, 4]
    assert [count for _, count in seen] == sorted(count for _, count in seen)
    assert told[-1][0] == moments(tiny, 24)[-1]
