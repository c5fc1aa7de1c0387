"""`stillwatch explain`: why, term by term, and what would change it."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stillwatch.cases.explanation import Term, explain_account, fewest_terms, log_odds, odds_to_probability
from stillwatch.cases.folder import Axis, Campaign, InnocentExplanation, ScanOutput
from stillwatch.cases.reasons import removals, why, would_change
from stillwatch.cli import app
from stillwatch.errors import StillwatchError

from .conftest import Shape, World

runner = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"})


def campaign(**p_values: float) -> Campaign:
    """Make a campaign whose WHO views have these p-values, all with good effects."""
    who = [Axis(name, effect=2.0, p_value=p) for name, p in p_values.items()]
    return Campaign(
        campaign_id="c", verdict="campaign", q_value=0.01, axes=[Axis("WHAT", 5.0), *who, Axis("WORTH", 1.0)]
    )


def test_with_two_views_each_of_them_is_needed() -> None:
    """Two views hold: without either the report falls."""
    falls = {r.axis: r.falls for r in removals(campaign(NET=1e-6, ID=1e-6, LIFE=0.6, TIME=0.5))}
    assert falls == {"WHAT": True, "NET": True, "ID": True, "LIFE": False, "TIME": False, "WORTH": True}


def test_with_three_views_any_one_can_be_spared() -> None:
    """The twin: a third strong view carries the conclusion when one is taken away."""
    found = removals(campaign(NET=1e-6, ID=1e-6, LIFE=1e-6, TIME=0.5))
    assert [r.axis for r in found if r.falls] == ["WHAT", "WORTH"]


def test_a_view_that_is_certain_but_tiny_does_not_count() -> None:
    """Three views are beyond chance, one by next to nothing: the other two are both needed."""
    case = campaign(NET=1e-6, ID=1e-6)
    tiny = msgspec.structs.replace(case, axes=[*case.axes, Axis("TIME", effect=0.01, p_value=1e-9)])
    assert [r.axis for r in removals(tiny) if r.falls] == ["WHAT", "NET", "ID", "WORTH"]


def test_a_fleet_of_one_owner_is_explained_by_its_owner_and_its_work() -> None:
    """No view carries it and none would take it away; the twin that a test brought up stands on its views."""
    reason = {"verdict": "needs_person", "decided_by": "one customer's own fleet", "person_reason": "ask the owner"}
    fleet = msgspec.structs.replace(campaign(NET=0.4, ID=0.3, LIFE=0.6), q_value=1.0, **reason)
    said = " ".join((*why(fleet), *would_change(fleet)))
    assert "openly belong together" in said
    assert "A person must decide (one customer's own fleet): ask the owner." in said
    assert not re.search(r"no longer be reported|beyond chance|q = ", said)
    assert [r.axis for r in removals(fleet) if r.falls] == ["WHAT", "ID", "WORTH"]
    assert all(r.why.startswith("falls" if r.falls else "stands") for r in removals(fleet))
    tested = msgspec.structs.replace(fleet, q_value=0.01)
    assert "no longer be reported" in " ".join(would_change(tested))
    assert "(q = 0.01)" in " ".join(why(tested))


@pytest.mark.parametrize(("outcome", "said"), [("possible", True), ("excluded", False)])
def test_owners_who_may_be_victims_are_named_among_the_first_sentences(outcome: str, said: bool) -> None:
    """A campaign on stolen or lent keys accuses people who were robbed: whoever reads of it reads that too."""
    keys = InnocentExplanation("stolen keys", outcome, "91% of members had their own traffic first")
    case = msgspec.structs.replace(campaign(NET=1e-6, TIME=1e-6), innocent_explanations=[keys])
    assert ("The accounts may be stolen or lent: 91% of members" in " ".join(why(case))) is said


def test_an_open_innocent_explanation_is_named(world: World) -> None:
    """What is still possible would change the conclusion; what is excluded is not named."""
    said = " ".join(would_change(ScanOutput.open(world.out).campaigns[0]))
    assert "Still open: class." in said
    assert "evaluation harness" not in said


def test_the_running_total_ends_at_the_reported_probability(world: World) -> None:
    """Start and terms add up to the log-odds of the membership probability."""
    case = explain_account(ScanOutput.open(world.out), "C-001", "acct-00140")
    assert case.probability is not None
    assert math.isclose(odds_to_probability(case.terms[-1].running), case.probability, abs_tol=0.006)
    assert case.start + sum(term.nats for term in case.terms) == pytest.approx(case.terms[-1].running)


def test_the_prior_is_the_start_and_never_evidence(world: World) -> None:
    """The recorded prior is not listed among the terms that can be taken away."""
    case = explain_account(ScanOutput.open(world.out), "C-001", "acct-00120")
    assert "PRIOR" not in {term.axis for term in case.terms}
    assert case.start == pytest.approx(-4.0)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-3, 5), min_size=1, max_size=7), st.floats(-6, 2))
def test_the_fewest_terms_are_as_few_as_any_choice(nats: list[float], start: float) -> None:
    """No smaller set of supporting terms reaches the bar (every subset tried as the oracle)."""
    terms = [Term("NET", str(i), "", value, 0.0) for i, value in enumerate(nats)]
    against = start + sum(value for value in nats if value < 0)
    for_it = [value for value in nats if value > 0]
    sizes = [
        bin(mask).count("1")
        for mask in range(2 ** len(for_it))
        if against + sum(v for i, v in enumerate(for_it) if mask >> i & 1) >= log_odds(0.5) + 1e-9
    ]
    chosen = fewest_terms(terms, start, 0.5)
    assert len(chosen) <= (min(sizes) if sizes else 0) + (0 if sizes else len(for_it))


def test_explain_a_campaign_prints_why_and_what_would_change(world: World) -> None:
    """The command names the evidence, what is left without it, and the innocent explanations."""
    result = runner.invoke(app, ["explain", str(world.out), "C-001"])
    assert result.exit_code == 0, result.output
    for words in (
        "25 accounts (likely 24–27) sent",
        "two issuers",
        "evaluation harness",
        "What would change this",
        "q = 0.004",
    ):
        assert words in result.output


def test_explain_an_account_prints_terms_with_running_total(world: World) -> None:
    """Each term has nats, the running total and the probability so far."""
    result = runner.invoke(app, ["explain", str(world.out), "C-001", "acct-00121"])
    assert result.exit_code == 0, result.output
    for words in ("net shared", "+2.00", "running", "Smallest evidence that decides", "with 3 others"):
        assert words in result.output


def test_explain_prints_json_for_programs(world: World) -> None:
    """Both forms have a JSON twin."""
    about = json.loads(runner.invoke(app, ["explain", str(world.out), "C-001", "--json"]).stdout)
    assert {"why", "without", "would_change", "axes"} <= set(about)
    account = json.loads(runner.invoke(app, ["explain", str(world.out), "C-001", "acct-00121", "--json"]).stdout)
    assert account["member"] is True
    assert account["terms"][0]["nats"] >= account["terms"][1]["nats"]


def test_an_unknown_campaign_names_the_nearest_and_exits_2(world: World) -> None:
    """The installed command prints one line on stderr, no traceback, exit code 2."""
    code = "import sys; from stillwatch.cli import main; sys.argv = ['stillwatch', *sys.argv[1:]]; main()"
    command = [sys.executable, "-c", code, "explain", str(world.out), "C-01"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nearest: C-00" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_account_names_the_nearest(world: World) -> None:
    """The error says that accounts in no campaign are not listed."""
    with pytest.raises(StillwatchError, match=r"accounts in no campaign are not listed there\); nearest: acct-00"):
        explain_account(ScanOutput.open(world.out), "C-001", "acct-0012x")


def test_an_account_of_another_campaign_is_said_to_be_there(world: World) -> None:
    """Not in this campaign, but in that one: no error."""
    case = explain_account(ScanOutput.open(world.out), "C-001", "acct-00146")
    assert not case.member
    assert case.sentences == ["Account acct-00146 is not in campaign C-001; it is in C-002."]


def test_a_cleared_group_is_explained_as_cleared(world: World) -> None:
    """Asking for a group that was cleared says by what."""
    result = runner.invoke(app, ["explain", str(world.out), "G-001"])
    assert "looked at and cleared" in str(result.exception)
    assert "popular framework" in str(result.exception)


def test_an_empty_scan_says_it_reported_none(make_world: Callable[[Shape], World]) -> None:
    """No campaign at all: the error says so instead of offering nearest ids."""
    world = make_world(Shape(accounts=3, days=2, campaigns=[]))
    result = runner.invoke(app, ["explain", str(world.out), "C-001"])
    assert "this scan reported none" in str(result.exception)
