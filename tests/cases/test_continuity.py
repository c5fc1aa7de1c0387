"""What a scan remembers for the next: a person's word on cases holds, and the forgotten are not remembered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stillwatch.campaigns.lineage import Lineage, Trace, remembered, trace_lineage
from stillwatch.cases.continuity import CASES, case_records, choose_case, known_campaigns
from stillwatch.cases.folder import ScanOutput
from stillwatch.cases.forgetting import shorten_scan
from stillwatch.cases.reasons import history
from stillwatch.cli import app
from stillwatch.response.store import State


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Make a folder that knows two campaigns."""
    lines = [Lineage("SW-1", "new", ()), Lineage("SW-2", "new", ())]
    traces = [Trace("", frozenset("abcd"), frozenset()), Trace("", frozenset("xyz"), frozenset({2**63}))]
    (tmp_path / CASES).write_text(json.dumps(case_records(traces, [], lines)))
    reported = [{"campaign_id": line.campaign_id, "verdict": "campaign"} for line in lines]
    (tmp_path / "campaigns.json").write_text(json.dumps(reported))
    return tmp_path


def cases(folder: Path) -> dict[str, str]:
    """Return the case of every campaign that a folder knows."""
    return {one.campaign_id: one.lineage.case for one in known_campaigns(folder) if one.lineage}


def test_what_is_written_is_read(out: Path) -> None:
    """Accounts, templates of 64 bits and lineage come back as they were, the oldest first."""
    first, second = known_campaigns(out)
    assert (first.accounts, first.latest) == (frozenset("abcd"), frozenset("abcd"))
    assert second.templates == frozenset({2**63})


def test_an_account_of_two_campaigns_counts_for_the_first_after_reading_too(out: Path) -> None:
    """What one scan ran together is apart in the file, so that it comes apart under the old ids."""
    known = known_campaigns(out)
    both = Trace("", frozenset("abcdxyz"), frozenset())
    lines = trace_lineage([(both, "abcdxyz")], known)
    (out / CASES).write_text(json.dumps(case_records([both], known, lines)))
    again = known_campaigns(out)
    assert [sorted(one.accounts) for one in again] == [list("abcd"), list("xyz")]
    assert again[0].latest == both.accounts
    parts = [Trace("", frozenset("xyz"), frozenset()), Trace("", frozenset("abcd"), frozenset())]
    lines = trace_lineage([(part, sorted(part.accounts)) for part in parts], again)
    assert [line.campaign_id for line in lines] == ["SW-2", "SW-1"]


def test_a_person_joins_and_parts_cases_and_the_journal_says_who(out: Path) -> None:
    """The report says so at once; the reason is in the journal."""
    state = ["--state", f"sqlite:///{out}/state.db", "--as", "anna"]
    done = CliRunner().invoke(app, ["case", "join", f"{out}", "SW-2", "SW-1", "--why", "same queue", *state])
    assert done.exit_code == 0, done.output
    assert cases(out) == {"SW-1": "SW-1", "SW-2": "SW-1"}
    assert history(ScanOutput.open(out).campaigns[1]) == ["It counts as part of case SW-1."]
    done = CliRunner().invoke(app, ["case", "part", f"{out}", "SW-2", "--why", "two payers", *state])
    assert done.exit_code == 0, done.output
    assert cases(out) == {"SW-1": "SW-1", "SW-2": "SW-2"}
    opened = State.open(f"sqlite:///{out}/state.db")
    assert [(line.who, line.action, line.why) for line in opened.entries()] == [
        ("anna", "case join SW-2 SW-1", "same queue"),
        ("anna", "case part SW-2", "two payers"),
    ]
    assert opened.audit() == []
    opened.close()


def test_without_a_reason_nothing_changes(out: Path) -> None:
    """The twin: no reason, no other campaign, or one that is not known, leaves the cases as they are."""
    state = ["--state", f"sqlite:///{out}/state.db"]
    for told in (["SW-2", "SW-1"], ["SW-2", "--why", "x"], ["SW-2", "SW-9", "--why", "x"]):
        assert CliRunner().invoke(app, ["case", "join", f"{out}", *told, *state]).exit_code != 0
    assert cases(out) == {"SW-1": "SW-1", "SW-2": "SW-2"}


def test_a_case_is_not_made_a_part_of_its_own_part(out: Path) -> None:
    """Cases are one deep, so that there is always one id to name."""
    choose_case(out, "SW-2", "SW-1")
    choose_case(out, "SW-1", "SW-2")
    assert cases(out) == {"SW-1": "SW-1", "SW-2": "SW-1"}


def test_the_next_scan_keeps_to_what_a_person_said(out: Path) -> None:
    """A campaign parted by hand is not laid to the other case again."""
    choose_case(out, "SW-2", "SW-2")
    known = known_campaigns(out)
    now = [Trace("", frozenset("abcd"), frozenset()), Trace("", frozenset("wxyz"), frozenset())]
    lines = trace_lineage([(trace, sorted(trace.accounts)) for trace in now], known)
    assert [line.case for line in lines] == ["SW-1", "SW-2"]
    assert [one.decided for one in remembered(now, known, lines)] == [False, True]


def test_forgotten_accounts_are_not_remembered(out: Path) -> None:
    """Ids and cases stay, and so do all others."""
    shorten_scan(out, ["a", "z"])
    assert [sorted(one.accounts) for one in known_campaigns(out)] == [["b", "c", "d"], ["x", "y"]]
    assert cases(out) == {"SW-1": "SW-1", "SW-2": "SW-2"}
