"""The commands as a person types them: from a scan to a plan in force and back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stillwatch.cases.folder import ScanOutput
from stillwatch.cli import app
from stillwatch.errors import StillwatchError
from stillwatch.response.appeals import feed_back, verify
from stillwatch.response.customers import read_customers
from stillwatch.response.store import State
from stillwatch.tables import Dataset

from .conftest import WriteScan

Run = Callable[..., str]
WriteDataset = Callable[..., Dataset]
SHADOW = Path(__file__).parents[2] / "examples" / "policy.toml"
ENFORCE = """
name = "strict"
mode = "enforce"
[radius]
accounts_share = 1.0
innocents = 10.0
paying_tokens_share = 1.0
[people]
anna = ["responder"]
[[rules]]
name = "up"
rung = "step-up"
"""


@pytest.fixture
def scan(write_scan: WriteScan) -> ScanOutput:
    """Write a scan with one campaign of three accounts."""
    return write_scan([{"account_id": name} for name in ("a0", "a1", "a2")], accounts=10)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command on a state of its own, expects an exit code and returns the output."""
    monkeypatch.setenv("STILLWATCH_STATE", f"sqlite:///{tmp_path}/state.db")
    monkeypatch.setenv("COLUMNS", "160")

    def go(*words: object, code: int = 0) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        error = done.exception
        assert (error.exit_code if isinstance(error, StillwatchError) else done.exit_code) == code, done.output
        return done.output + str(error or "")

    return go


def plan_id(output: str) -> str:
    """Return the id that `plan` printed."""
    found = re.search(r"P-[0-9a-f]{10}", output)
    assert found
    return found[0]


def test_from_a_scan_to_a_measure_in_force_and_back(run: Run, scan: ScanOutput, tmp_path: Path) -> None:
    """Plan, approve, apply, look, appeal, undo, and an audit that agrees with every step."""
    (tmp_path / "strict.toml").write_text(ENFORCE)
    made = run("plan", scan.path, "--policy", tmp_path / "strict.toml", "--out", tmp_path / "plan.json", "--as", "anna")
    name = plan_id(made)
    assert "needs approval: step-up of 3 accounts by responder" in made
    assert json.loads((tmp_path / "plan.json").read_text())["plan_id"] == name
    assert "lacks approval" in run("apply", name, "--why", "hurry", code=2)
    assert "all have agreed" in run("approve", name, "--as", "anna", "--why", "looked at all three")
    assert "3 measures in force" in run("apply", name, "--as", "anna", "--why", "agreed")
    assert "3 accounts under a measure in force or waiting; 0 in shadow" in run("standings")
    assert "is open" in run("appeal", "open", "a1", "--why", "our benchmark")
    assert "our benchmark" in run("appeal", "list")
    assert "granted; 1 measure ended" in run("appeal", "grant", "a1", "--why", "it is")
    assert "2 measures ended" in run("undo", "--plan", name, "--why", "a conference")
    assert json.loads(run("standings", "--json")) == []
    shown = run("audit", "show", "--last", 100)
    assert all(word in shown for word in ("propose", "approve", "apply", "appeal granted", "undo", "a conference"))
    assert "follow from one another" in run("audit", "verify")


def test_the_default_policy_touches_nobody(run: Run, scan: ScanOutput) -> None:
    """The twin: in shadow, without approval, and it says that nobody feels it and what would be over the bounds."""
    made = run("plan", scan.path, "--policy", SHADOW)
    assert "shadow: computed and recorded, never felt" in made
    assert "over the bound: 30.0 % of accounts" in made
    assert "nobody feels it" in run("apply", plan_id(made), "--why", "first run")


def test_a_narrow_window_cuts_nothing(run: Run, scan: ScanOutput, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids and rungs are whole in a pipe or a window of forty columns: the next command needs them."""
    monkeypatch.setenv("COLUMNS", "40")
    made = run("plan", scan.path, "--policy", SHADOW)
    assert all(word in made for word in ("SW-1", "step-up", "part of traffic", "innocents"))
    run("apply", plan_id(made), "--why", "first run")
    assert "step-up" in run("standings")
    assert f"standings/{plan_id(made)}/SW-1/a0" in run("audit", "show")


def test_tampering_is_an_exit_code_of_its_own(run: Run, scan: ScanOutput, tmp_path: Path) -> None:
    """An edited line: 4, and which; a checkpoint from before finds a cut."""
    run("plan", scan.path, "--policy", SHADOW)
    run("keypair", tmp_path / "key")
    run("audit", "checkpoint", "--checkpoint", tmp_path / "head.json", "--key", tmp_path / "key")
    head = ("--checkpoint", tmp_path / "head.json", "--key", tmp_path / "key.pub")
    assert "agree with the checkpoint at line 1" in run("audit", "verify", *head)
    state = State.open(f"sqlite:///{tmp_path}/state.db")
    with state.locked() as connection:
        connection.exec_driver_sql("UPDATE journal SET why = 'nothing'")
    assert "line 1 was changed after it was written" in run("audit", "verify", code=4)
    with state.locked() as connection:
        connection.exec_driver_sql("DELETE FROM journal")
        connection.exec_driver_sql("DELETE FROM plans")
    assert "is empty: there is nothing to verify" in run("audit", "verify", code=2)
    assert "the journal was cut" in run("audit", "verify", *head, code=4)


def test_a_wrong_url_makes_no_database(run: Run, tmp_path: Path) -> None:
    """What only reads or takes back says that there is no state there; the folder stays as it was."""
    for words in (["audit", "verify"], ["standings"], ["undo", "--account", "a", "--why", "x"], ["appeal", "list"]):
        assert "there is no state at" in run(*words, "--state", f"sqlite:///{tmp_path}/sttae.db", code=2)
    assert list(tmp_path.iterdir()) == []


def test_undo_of_an_unknown_account_is_an_exit_code_of_its_own(run: Run, scan: ScanOutput) -> None:
    """5 for a name that nothing was ever in force for; 0 for one that is known and has nothing left."""
    run("apply", plan_id(run("plan", scan.path, "--policy", SHADOW)), "--why", "first run")
    assert "nothing was ever in force for account a00" in run("undo", "--account", "a00", "--why", "typo", code=5)
    assert "1 measure ended" in run("undo", "--account", "a0", "--why", "mistake")
    assert "0 measures ended" in run("undo", "--account", "a0", "--why", "again")


def test_approvers_sign_with_keys_of_their_own(run: Run, scan: ScanOutput, tmp_path: Path) -> None:
    """Key pairs made, listed in the policy as printed, and asked for: by name alone nobody approves any more."""
    line = run("keypair", tmp_path / "anna.key").strip().splitlines()[-1]
    (tmp_path / "strict.toml").write_text(f"{ENFORCE}[keys]\n{line}\n")
    name = plan_id(run("plan", scan.path, "--policy", tmp_path / "strict.toml"))
    assert "sign with yours (--key)" in run("approve", name, "--as", "anna", "--why", "trust me", code=2)
    assert "all have agreed" in run("approve", name, "--as", "anna", "--key", tmp_path / "anna.key", "--why", "seen")
    assert "3 measures in force" in run("apply", name, "--why", "agreed", "--policy", tmp_path / "strict.toml")
    assert "approval_signatures" in run("audit", "show", "--json")
    assert "File exists" in run("keypair", tmp_path / "anna.key", code=1)


def test_a_policy_is_checked_signed_and_shown(run: Run, tmp_path: Path) -> None:
    """The rules in their order; a mistake with its line; a signature that is asked for."""
    shown = run("policy", SHADOW)
    assert shown.index("rate-limit") < shown.index("tag")
    quiet = tmp_path / "quiet.toml"
    quiet.write_text('name = "q"\n[[rules]]\nname = "r"\nrung = "delay"\ndelay_ms = [5, 9]\ntold = false\n')
    assert f"{quiet}:6:1: what customers feel and are not told of needs a signed policy" in run("policy", quiet, code=2)
    run("keypair", tmp_path / "key")
    assert "signature:" in run("policy", quiet, "--sign", tmp_path / "key")
    assert "NOT TOLD" in run("policy", quiet, "--trusted-key", tmp_path / "key.pub")


def test_a_verification_is_there_for_the_next_scan(
    run: Run, scan: ScanOutput, write_dataset: WriteDataset, tmp_path: Path
) -> None:
    """The column that the scan reads says so, a weaker proof never replaces a stronger, and failures change nothing."""
    rows = [{"account_id": name, "input_tokens": 5, "output_tokens": 5} for name in ("a0", "a1", "a2")]
    people = [{"account_id": "a0", "verification": "email", "plan": "pro"},
              {"account_id": "a1", "verification": "organisation", "plan": "free"}, {"account_id": "a2"}]  # fmt: skip
    data = write_dataset(rows, people)
    said = run("verify-account", "a0", "identity", "--why", "seen", "--data", data.path)
    assert "identity of a0 proved" in said
    assert "1 account of" in said
    state = State.open(f"sqlite:///{tmp_path}/state.db")
    verify(state, "a1", "email", succeeded=True, who="support", why="link clicked")
    verify(state, "a2", "identity", succeeded=False, who="support", why="blurred")
    assert feed_back(state, data) == 0
    assert data.accounts()["verification"].to_pylist() == ["identity", "organisation", None]
    customers = read_customers(data, {"a0", "a1"})
    assert (customers.accounts, customers.paying_tokens) == (3, 10)
    assert customers.of("a0").tokens == 10


def test_a_replay_says_what_leaked_and_who_was_hit(run: Run, scan: ScanOutput, write_dataset: WriteDataset) -> None:
    """Measures of the scan against the days of the dataset, for a person and for a program."""
    rows = [{"account_id": f"a{n % 4}", "input_tokens": 5, "output_tokens": 5} for n in range(12)]
    data = write_dataset(rows, [{"account_id": f"a{n}", "plan": "pro"} for n in range(4)])
    shown = run("replay", data.path, scan.path, "--policy", SHADOW, "--quiet")
    assert "hindsight, known after 72 h, agreed to after 12 h" in shown
    result = json.loads(run("replay", data.path, scan.path, "--policy", SHADOW, "--quiet", "--json"))
    assert [(one["group"], one["accounts"], one["exchanges"]) for one in result["bystanders"]] == [("pro", 4, 12)]


def test_a_name_is_exempted_as_the_logs_hold_it(run: Run, tmp_path: Path) -> None:
    """An e-mail address as its keyed hash, any other as it is; the policy that names the hash is taken."""
    key, policy = tmp_path / "key", tmp_path / "policy.toml"
    key.write_text("0123456789abcdef")
    mail, plain = run("stored", "Ann@b.example", "team-7", "--key-file", key).splitlines()
    assert mail.startswith("hmac-sha256:")
    assert plain == "team-7"
    for name, code in ((mail, 0), ("Ann@b.example", 2)):
        policy.write_text(f'name = "p"\n[[exempt]]\nname = "lab"\nwhy = "contract"\naccounts = ["{name}"]\n')
        run("policy", policy, code=code)


def test_plan_asks_again_for_what_was_taken_back_only_when_told(run: Run, scan: ScanOutput, tmp_path: Path) -> None:
    """The next plan names who took it back; `--again` is a person's word."""
    policy = tmp_path / "policy.toml"
    policy.write_text(ENFORCE)
    name = plan_id(run("plan", scan.path, "--policy", policy))
    run("approve", name, "--as", "anna", "--why", "looked at it")
    run("apply", name, "--why", "agreed")
    run("undo", "--campaign", "SW-1", "--as", "ben", "--why", "a conference")
    alone, again = (run("plan", scan.path, "--policy", policy, *words) for words in ((), ("--again",)))
    assert "taken back by ben" in alone
    assert "nothing to begin" in alone
    assert "taken back" not in again
    assert "next: stillwatch approve" in again
