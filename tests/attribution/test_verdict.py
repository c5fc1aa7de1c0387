"""The ladder from a group to a verdict: coordination and worth and no better explanation, else a person or nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillwatch.attribution import verdict
from stillwatch.attribution.explanations import Explanation
from stillwatch.attribution.verdict import LEAST_ACCUSED, Judged, judge
from stillwatch.campaigns.discover import discover
from stillwatch.campaigns.fleets import FLEET
from stillwatch.linkage.groups import Candidate, candidates
from stillwatch.linkage.space import build_space
from stillwatch.signals.frame import read_frame
from stillwatch.simulate import load_world, simulate
from stillwatch.tables import Dataset


@pytest.fixture
def ladder(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that judges a group with these properties and outcomes of the innocent tests."""

    def judged(outcomes: dict[str, str] | None = None, **properties: Any) -> Judged:
        tried = [Explanation(name, outcome, f"because {name}") for name, outcome in (outcomes or {}).items()]  # type: ignore[arg-type]
        monkeypatch.setattr(verdict, "explanations", lambda space, found: tried)
        found = {
            "coordinated": 3,
            "connected": True,
            "steered": True,
            "taken_in": False,
            "likeness": 8.0,
            "construction": 0.5,
            "cohesion": 4.0,
            "worth": 0.9,
            "floor": 0.6,
            **properties,
        }
        found.setdefault("members", np.arange(40))
        found.setdefault("seed", SimpleNamespace(candidate=Candidate("B", "alike work", np.arange(8))))
        space: Any = SimpleNamespace(without=frozenset(), hashes=np.ones(1, np.uint64))
        return judge(space, SimpleNamespace(**found))  # type: ignore[arg-type]

    return judged


def test_coordinated_worth_and_unexplained_is_a_campaign(ladder: Any) -> None:
    """Only all three together accuse."""
    judged = ladder({"nightly or scheduled job": "excluded", "evaluation harness": "no data"})
    assert judged.verdict == "campaign"
    assert len(judged.explanations) == 2


@pytest.mark.parametrize("views", [0, 1])
def test_fewer_than_two_views_of_who_clear(ladder: Any, views: int) -> None:
    """Nobody is convicted by one kind of evidence, whatever the worth."""
    judged = ladder(coordinated=views, worth=1.0)
    assert (judged.verdict, judged.decided_by) == ("cleared", "coordination")


def test_loose_ties_are_left_to_a_person(ladder: Any) -> None:
    """Careful campaigns and the innocents who ask alike hang together by little: a machine does not accuse them."""
    judged = ladder(cohesion=1.5)
    assert (judged.verdict, judged.decided_by) == ("needs_person", "loosely tied")
    assert ladder(cohesion=2.5).verdict == "campaign"


def test_one_time_alone_is_left_to_a_person(ladder: Any) -> None:
    """Strangers too sign up and ask in the same hours: without networks or identities a machine does not accuse."""
    judged = ladder(connected=False, coordinated=2)
    assert (judged.verdict, judged.decided_by) == ("needs_person", "one time")
    assert ladder(connected=True, coordinated=2).verdict == "campaign"


def test_several_groups_at_once_are_left_to_a_person(ladder: Any) -> None:
    """Members who ask for unlike things may be an event and its neighbours; those who ask alike are one campaign."""
    judged = ladder(likeness=4.3, coordinated=4)
    assert (judged.verdict, judged.decided_by) == ("needs_person", "several groups")
    assert ladder(likeness=6.0, coordinated=4).verdict == "campaign"


def test_a_group_that_does_not_ask_alike_is_cleared(ladder: Any) -> None:
    """Strangers of one network and bank are many people, whatever the rest says."""
    judged = ladder(likeness=0.7, coordinated=4)
    assert (judged.verdict, judged.decided_by) == ("cleared", "likeness")
    assert ladder(likeness=1.5, coordinated=4).verdict == "needs_person"


def test_networks_and_sign_ups_alone_are_left_to_a_person(ladder: Any) -> None:
    """A hosted product's customers share its servers and the weeks since its launch; a campaign shares more."""
    judged = ladder(steered=False, coordinated=2)
    assert (judged.verdict, judged.decided_by) == ("needs_person", "one service")
    assert ladder(coordinated=2).verdict == "campaign"


def test_strangers_taken_in_together_are_left_to_a_person(ladder: Any) -> None:
    """A school hands out cards of one issuer and opens all accounts in one lesson; a campaign shares more than that."""
    judged = ladder(taken_in=True, coordinated=3)
    assert (judged.verdict, judged.decided_by) == ("needs_person", "taken in together")
    assert ladder(taken_in=False, coordinated=3).verdict == "campaign"


def test_one_construction_of_their_own_makes_a_group_one(ladder: Any) -> None:
    """A group that shares little on average, but most of which holds what hardly anybody else does, is one group."""
    assert ladder(likeness=4.3, coordinated=4, construction=0.7).verdict == "campaign"
    assert ladder(likeness=4.3, coordinated=4, construction=0.6).decided_by == "several groups"


def test_little_worth_clears(ladder: Any) -> None:
    """A coordinated fleet that asks nothing a trainer wants is no campaign."""
    judged = ladder(worth=0.58, coordinated=2)
    assert (judged.verdict, judged.decided_by) == ("cleared", "worth")
    assert ladder(worth=0.62, coordinated=2).verdict == "campaign"


@pytest.mark.parametrize("worth", [0.595, 0.605])
def test_worth_too_near_the_bar_waits_for_a_person(ladder: Any, worth: float) -> None:
    """The bar is learnt from some hundred groups: a hair above it accuses nobody, and a hair below clears nobody."""
    judged = ladder(worth=worth, coordinated=2)
    assert (judged.verdict, judged.decided_by) == ("needs_person", "near the bar")


def test_strong_coordination_lowers_the_bar_of_worth_and_does_not_remove_it(ladder: Any) -> None:
    """With all four views of WHO a little less worth is enough, with three it is not, nor is the middle account's."""
    assert ladder(worth=0.58, coordinated=4).verdict == "campaign"
    assert ladder(worth=0.58, coordinated=3).decided_by == "worth"
    assert ladder(worth=0.5, coordinated=4).decided_by == "worth"


def test_a_group_that_only_what_holds_together_is_cleared(ladder: Any) -> None:
    """A few tied accounts among many look-alikes make two views stand out; the members still are no network."""
    assert ladder(cohesion=0.4).decided_by == "cohesion"
    assert ladder(cohesion=2.2).verdict == "campaign"


def test_an_explanation_that_explains_clears_and_is_named(ladder: Any) -> None:
    """The reason of the explanation is the reason of the verdict, whatever else is possible."""
    judged = ladder({"one customer's own fleet": "possible", "hackathon or event": "explains"})
    assert (judged.verdict, judged.decided_by) == ("cleared", "hackathon or event")
    assert judged.reason == "because hackathon or event"


@pytest.mark.parametrize(
    "name",
    [
        "one customer's own fleet",
        "office, campus or class",
        "evaluation harness",
        "permitted synthetic-data, evaluation or distillation work",
    ],
)
def test_a_possible_innocent_reading_needs_a_person(ladder: Any, name: str) -> None:
    """What the data cannot tell apart is never an accusation."""
    judged = ladder({name: "possible"})
    assert (judged.verdict, judged.decided_by) == ("needs_person", name)


def test_stolen_keys_do_not_clear_the_campaign(ladder: Any) -> None:
    """The owner of a stolen key is a victim of the campaign, which goes on being one."""
    assert ladder({"stolen keys": "possible"}).verdict == "campaign"


def test_a_small_group_needs_a_person(ladder: Any) -> None:
    """Below ten accounts no machine decides; at ten it may (the twin)."""
    assert ladder(members=np.arange(LEAST_ACCUSED - 1)).verdict == "needs_person"
    assert ladder(members=np.arange(LEAST_ACCUSED)).verdict == "campaign"


def test_every_verdict_gives_a_reason(ladder: Any) -> None:
    """Whatever the outcome, a sentence says why."""
    for judged in (ladder(), ladder(coordinated=0), ladder(worth=0.1), ladder(members=np.arange(5))):
        assert len(judged.reason) > 10


def test_a_fleet_that_hides_nothing_is_for_a_person(ladder: Any) -> None:
    """Whatever its views say: one owner's accounts are asked about, never accused by a machine."""
    fleet = SimpleNamespace(candidate=Candidate("C", FLEET, np.arange(40)))
    for coordinated in (0, 4):
        judged = ladder(seed=fleet, coordinated=coordinated)
        assert (judged.verdict, judged.decided_by) == ("needs_person", "one customer's own fleet")


def test_a_large_fleet_is_accused_whole(once: Callable[..., Path]) -> None:
    """Hundreds of accounts on pools of networks and cards are one campaign, however many quiet ones are missed."""
    folder = once("fleet", lambda folder: simulate(load_world("small", scale=0.3), folder, seed=3))
    world = Dataset.open(folder)
    of = {row["account_id"]: row["campaign_id"] or "" for row in world.labels()[0].to_pylist()}
    space = build_space(read_frame(world))
    owner = np.array([of[name] for name in space.frame.account_ids.to_pylist()])
    accused = [one.members for one in discover(space, candidates(space)) if judge(space, one).verdict == "campaign"]
    fleet = max(accused, key=len)
    assert (owner[fleet] == "reseller_fleet").sum() >= 0.8 * (owner == "reseller_fleet").sum() > 400
    assert (owner[np.concatenate(accused)] == "").sum() <= 2


NAMED: list[dict[str, Any]] = [
    {"coordinated": 1}, {"cohesion": 0.4}, {"likeness": 0.7}, {"worth": 0.1}, {"likeness": 4.3}, {"cohesion": 1.5},
    {"connected": False}, {"steered": False}, {"members": np.arange(5)},
]  # fmt: skip


def test_every_name_of_a_verdict_is_explained(ladder: Any) -> None:
    """The page on attribution has a row for each name that can decide, with the verdict it leads to."""
    page = (Path(__file__).parents[2] / "docs" / "attribution.md").read_text(encoding="utf-8")
    decided = [ladder(**properties) for properties in NAMED]
    assert len({judged.decided_by for judged in decided}) == len(NAMED)
    for judged in decided:
        assert f"| {judged.decided_by} | {judged.verdict} |" in page
