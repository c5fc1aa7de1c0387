"""The command: lists worlds, writes them, and says what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from stillwatch.cli.app import app
from stillwatch.cli.simulate import simulate_command  # noqa: F401 - registers the command
from stillwatch.errors import ConfigError

RUN = CliRunner()


def test_the_list_names_every_world() -> None:
    """--list prints names and what they are for."""
    result = RUN.invoke(app, ["simulate", "--list"])
    assert result.exit_code == 0
    assert {"tiny", "small", "small-null"} <= {line.split()[0] for line in result.stdout.splitlines()}


def test_json_summary_counts_what_was_written(tmp_path: Path) -> None:
    """--json gives accounts and exchanges by population."""
    arguments = ["simulate", "tiny", "--scale", "0.03", "--set", "world.days=2", "--out", str(tmp_path), "--json"]
    result = RUN.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["accounts"]["ordinary"] == 13
    assert sum(summary["exchanges"].values()) > 0
    assert (tmp_path / "labels" / "accounts.parquet").exists()


def test_costs_are_printed_without_writing_a_world(tmp_path: Path) -> None:
    """--costs alone gives a row a campaign; care is dearer than haste."""
    bills = []
    for skill in ("careless", "careful"):
        setting = f"campaigns.skill={skill}"
        result = RUN.invoke(app, ["simulate", "tiny", "--scale", "0.3", "--set", setting, "--costs", "--json"])
        assert result.exit_code == 0, result.output
        bills.append({row["campaign_id"]: row["money_per_account"] for row in json.loads(result.stdout)})
    assert set(bills[0]) == {"reasoning", "low_and_slow", "reseller_fleet"}
    assert all(bills[0][name] < bills[1][name] for name in bills[0])
    assert "reasoning" in RUN.invoke(app, ["simulate", "tiny", "--scale", "0.1", "--costs"]).stdout
    assert not list(tmp_path.iterdir())


def test_help_has_an_example() -> None:
    """A reader of --help can copy a line that works."""
    assert "stillwatch simulate tiny --seed 1" in RUN.invoke(app, ["simulate", "--help"]).stdout.replace("\n", " ")


def test_without_world_or_folder_the_error_says_what_to_type() -> None:
    """Nothing is guessed."""
    result = RUN.invoke(app, ["simulate"])
    assert isinstance(result.exception, ConfigError)
    assert "--out" in str(result.exception)
