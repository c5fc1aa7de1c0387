"""What counts as found, merged, split, false, swept and stolen, on worlds small enough to count by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from stillwatch.errors import DatasetError
from stillwatch.evaluate.findings import Findings
from stillwatch.evaluate.measures import measure
from stillwatch.evaluate.truth import Truth, compare, read_truth

TruthOf = Callable[..., Truth]
Says = Callable[..., Findings]
OWN = [("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("p", "y"), ("q", "y")]
PEOPLE = [
    *((name, "campaign", campaign) for name, campaign in OWN),
    ("o1", "ordinary", None),
    ("o2", "office", None),
    ("o3", "office", None),
]
ASKED = [*((name, campaign, 0.5) for name, campaign in OWN), ("a", None, 0.6), ("o1", None, 0.7)]


@pytest.fixture
def judge(truth_of: TruthOf, says: Says) -> Callable[..., dict[str, Any]]:
    """Return a function that measures groups on the small world."""
    return lambda groups, **more: measure(compare(truth_of(PEOPLE, ASKED), says(groups, **more)))


def test_half_of_a_campaign_in_a_pure_report_is_found(judge: Callable[..., Any]) -> None:
    """Two of four accounts, nobody else: found; one of four: not found."""
    assert [one["found"] for one in judge({"G": ["a", "b"]})["campaigns"]] == [True, False]
    assert not judge({"G": ["a"]})["campaigns"][0]["found"]


def test_a_report_of_mostly_others_finds_nothing(judge: Callable[..., Any]) -> None:
    """All of campaign y among more strangers is a false report that finds nothing; left to a person it is no report."""
    groups = {"G": ["p", "q", "o1", "o2", "o3"]}
    told = judge(groups)
    assert not told["campaigns"][1]["found"]
    assert told["groups"][0]["false"]
    assert told["swept"] == {"office": (2, 2), "ordinary": (1, 1)}
    quiet = judge(groups, person=["G"])
    assert quiet["accounts"] == {"hit": 0, "wrong": 0, "missed": 6}
    assert all(hit == 0 for hit, _ in quiet["swept"].values())


def test_two_campaigns_in_one_report_are_merged(judge: Callable[..., Any]) -> None:
    """One report with all accounts of both is merged; the larger campaign is found in it, the smaller is not."""
    told = judge({"G": ["a", "b", "c", "d", "p", "q"]})
    assert told["groups"][0]["merged"]
    assert [one["found"] for one in told["campaigns"]] == [True, False]
    assert told["alike"]["pairs"] == {"hit": 7, "wrong": 8, "missed": 0}


def test_a_campaign_in_two_reports_is_split(judge: Callable[..., Any]) -> None:
    """Two halves in two reports: found by half, in two parts, and not merged."""
    told = judge({"G": ["a", "b"], "H": ["c", "d"]})
    assert told["campaigns"][0] | {"parts": 2, "found": True, "recall": 0.5} == told["campaigns"][0]
    assert not any(one["merged"] for one in told["groups"])


def test_without_exchanges_of_its_own_a_detector_takes_all_of_its_accounts(judge: Callable[..., Any]) -> None:
    """A mixed account's own exchange is laid to the report wrongly, and counted among mixed accounts."""
    told = judge({"G": ["a", "b", "c", "d"]})
    assert told["exchanges"] == {
        "all": {"hit": 4, "wrong": 1, "missed": 2},
        "mixed": {"hit": 1, "wrong": 1, "missed": 0},
    }


def test_exchanges_count_from_one_half_on(truth_of: TruthOf, says: Says) -> None:
    """An exchange laid to a report with less than one half is not taken."""
    laid = pa.table({"exchange_id": ["e0000", "e0006"], "group": ["G", "G"], "probability": [0.9, 0.4]})
    told = measure(compare(truth_of(PEOPLE, ASKED), says({"G": ["a", "b"]}, exchanges=laid)))
    assert told["exchanges"]["all"] == {"hit": 1, "wrong": 0, "missed": 5}


def test_the_owner_of_a_stolen_key_is_neither_hit_nor_innocent(truth_of: TruthOf, says: Says) -> None:
    """A victim in a report counts apart; the campaign that stole the keys is found through them."""
    people = [("v", "stolen_key_victim", None), ("w", "stolen_key_victim", None), ("o", "ordinary", None)]
    asked = [("v", "z", 0.1), ("v", None, 0.2), ("w", "z", 0.1), ("o", None, 0.1)]
    told = measure(compare(truth_of(people, asked), says({"G": ["v", "w"]})))
    assert told["accounts"] == {"hit": 0, "wrong": 0, "missed": 0}
    assert told["swept"] == {"ordinary": (0, 1)}
    assert told["victims"] == {"accounts": 2, "accused": 2, "hit": 2, "wrong": 1, "missed": 0}
    assert told["campaigns"][0]["found"]


def test_membership_comes_true_in_the_campaign_of_the_group(judge: Callable[..., Any]) -> None:
    """An account of another campaign in the report is not a member of this one, innocent or not."""
    assert judge({"G": ["a", "b", "p", "o1"]})["membership"] == [(0.9, 4, 2)]


def test_a_detector_that_says_nothing_misses_all(judge: Callable[..., Any]) -> None:
    """No report: nothing found, nobody swept, and ranking at chance."""
    told = judge({})
    assert told["accounts"] == {"hit": 0, "wrong": 0, "missed": 6}
    assert told["ranking"]["auc"] == 0.5
    assert told["ranking"]["recall_0.01"] == 0.0


def test_a_world_without_campaigns_has_no_ranking(truth_of: TruthOf, says: Says) -> None:
    """With nobody to find there is no ranking; innocents swept are still counted."""
    people = [("o1", "ordinary", None), ("o2", "ordinary", None)]
    told = measure(compare(truth_of(people, [("o1", None, 0.1)]), says({"G": ["o1"]})))
    assert set(told["ranking"].values()) == {None}
    assert told["swept"] == {"ordinary": (1, 2)}
    assert told["campaigns"] == []


def test_contradictory_findings_are_refused(truth_of: TruthOf, says: Says) -> None:
    """An account listed twice and a group that is not listed are errors."""
    truth = truth_of(PEOPLE, ASKED)
    with pytest.raises(DatasetError, match="lists an account twice"):
        compare(truth, says({"G": ["a"], "H": ["a"]}))
    with pytest.raises(DatasetError, match="a group that it does not list"):
        compare(truth, Findings(pa.table({"account_id": ["a"], "score": [1.0], "group": ["G"]})))


def test_a_dataset_without_labels_cannot_be_measured(write_dataset: Any, truth_of: TruthOf) -> None:
    """Truth is asked of simulated worlds alone."""
    with pytest.raises(DatasetError, match="has no labels"):
        read_truth(write_dataset([{"account_id": "a"}]))
