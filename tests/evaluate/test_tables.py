"""Tables say what was measured: targets met or missed, where detection is lost, what leaves a campaign unreported."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stillwatch.evaluate.bench import SCHEMA, Scorecard, Scored
from stillwatch.evaluate.cells import Cell, Scene
from stillwatch.evaluate.plots import Curve, plot
from stillwatch.evaluate.tables import for_a_person, null_worlds
from stillwatch.evaluate.targets import targets
from stillwatch.evaluate.trials import ablation, evasion, failures

COUNTS = {"hit": 90, "wrong": 0, "missed": 10}
BILL = {
    "campaign_id": "x",
    "skill": "competent",
    "accounts": 100,
    "money": 250.0,
    "harvest_exchanges": 3000,
    "cover_exchanges": 1000,
    "delay_s": 60.0,
}


def measured(
    *, found: bool = True, skill: str = "competent", swept: int = 0, verdict: str = "campaign"
) -> dict[str, Any]:
    """Return what a world with one campaign of 100 accounts gave."""
    campaign = {"campaign": "x", "accounts": 100, "exchanges": 3000, "group": "G", "found": found}
    group = {"group": "G", "verdict": verdict, "q_value": 0.01, "accounts": 90, "guilty": 90, "false": False}
    return {
        "campaigns": [{**campaign, "recall": 0.9 * found, "purity": 1.0 * found, "parts": 1, **COUNTS}],
        "groups": [{**group, "merged": False}] if found or verdict != "campaign" else [],
        "accounts": COUNTS,
        "swept": {"office": (swept, 100), "ordinary": (0, 100)},
        "victims": {"accounts": 0, "accused": 0, **COUNTS},
        "exchanges": {"all": {"hit": 2400, "wrong": 0, "missed": 600}, "mixed": COUNTS},
        "alike": {"items": 100, "precision": 100.0, "recall": 90.0, "pairs": COUNTS},
        "ranking": dict.fromkeys(
            ["auc", "auprc", "recall_0.001", "recall_0.01", "precision_50", "precision_200", "precision_1000"], 0.9
        ),
        "membership": [(0.9, 10, 9)],
        "bills": [{**BILL, "skill": skill}],
        "cost": {"seconds": 1.0, "cpu_seconds": 1.0, "peak_mb": 1.0, "exchanges": 10},
    }


def card(*cells: tuple[str, str, str, dict[str, Any]]) -> Scorecard:
    """Return a scorecard of cells: (part, row, level, result)."""
    cell = msgspec.to_builtins(Cell(Scene("tiny", 1)))
    scored = [Scored({"part": p, "row": r, "level": v, "cell": cell}, result) for p, r, v, result in cells]
    return Scorecard(SCHEMA, {}, {}, scored, {})


def row(made: Scorecard, name: str) -> tuple[str, ...]:
    """Return the row of a target."""
    return next(tuple(one) for one in targets(made).rows if one[0] == name)


def test_targets_are_held_missed_or_not_measured() -> None:
    """A found competent campaign holds its target, a lost careful one misses it, adaptive ones were not measured."""
    made = card(("worlds", "", "", measured()), ("worlds", "", "", measured(found=False, skill="careful")))
    assert row(made, "competent campaigns found")[-1] == "yes"
    assert row(made, "careful campaigns found")[-1] == "no"
    assert row(made, "adaptive campaigns under one id to the end")[-1] == "—"


def test_a_population_swept_in_misses_the_target_that_all_together_might_hide() -> None:
    """Two of a hundred offices are over 1 % of one population; none is under."""
    name = "innocent accounts of the worst population"
    assert row(card(("worlds", "", "", measured(swept=2))), name)[-1] == "no"
    assert row(card(("worlds", "", "", measured())), name)[-1] == "yes"


def test_small_campaigns_are_not_held_to_the_targets() -> None:
    """A campaign of 29 accounts counts in no target, found or not."""
    small = measured(found=False)
    small["campaigns"][0]["accounts"] = 29
    assert row(card(("worlds", "", "", small)), "competent campaigns found")[-1] == "—"


def test_evasion_says_where_detection_is_lost_and_what_it_costs() -> None:
    """Lost at guarded, where nothing is found; a knob that never loses it says so."""
    cells = [("sweep", "cover", level, measured(found=level == "competent")) for level in ("competent", "guarded")]
    made = evasion(card(*cells, ("sweep", "wording", "careful", measured())))
    lost = {one[0]: one[2] for one in made.rows if one[1] == "lost at"}
    assert lost == {"cover": "guarded", "wording": "no level tried"}
    priced = next(one for one in made.rows if one[:2] == ("cover", "competent"))
    assert priced[5:] == ("20.0 %", "2.50", "0.417", "1 min, 25.0 %")  # 250 $ for 100 accounts and 600 kept exchanges
    assert {curve.title for curve in made.curves} >= {"Campaigns found, by skill"}


def test_ablations_keep_the_order_of_the_plan() -> None:
    """The whole method comes first, then each part as planned."""
    made = ablation(card(*(("ablation", part, "", measured()) for part in ("", "TASK", "NET"))))
    assert [one[0] for one in made.rows] == ["nothing", "TASK", "NET"]


def test_a_report_in_a_null_world_is_named_and_a_doubt_is_not() -> None:
    """A report where there is nothing to report is a failure by name; a group left to a person is counted apart."""
    false, doubt = measured(), measured(verdict="needs_person")
    for one in (false, doubt):
        one["campaigns"] = []
        one["groups"][0] |= {"false": True, "guilty": 0}
    told, unsure = card(("null", "", "", false)), card(("null", "", "", doubt))
    assert "report G is false" in failures(told).rows[0][1]
    assert failures(unsure).rows == []
    assert null_worlds(unsure).rows[0][2].startswith("0 of 1")
    assert for_a_person(unsure).rows[0][-1] == "90"


def test_a_missed_campaign_is_named() -> None:
    """Where it fails names the campaign that was not found, and is silent when all is well."""
    missed = measured(found=False)
    missed["campaigns"][0]["group"] = None
    assert failures(card(("worlds", "", "", missed))).rows[0][1] == "campaign x (100 accounts) not found"
    assert failures(card(("worlds", "", "", measured()))).rows == []


@pytest.mark.parametrize("line", [[(0.5, 0.2)], [(1.0, 0.0), (2.0, 1.0)]])
def test_a_plot_draws_any_line(line: list[tuple[float, float]]) -> None:
    """One point or several: each has its dot and its words, and odd names are escaped."""
    drawn = plot(Curve("a <b>", "x", {"<i>": line}))
    assert drawn.count("<circle") == len(line)
    assert "<i>" not in drawn
