"""What a scan prints: whole at 80 and 140 columns, safe against what senders write."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console

from stillwatch.cli.tables import print_summary

from .conftest import Shape, World


def printed(world: World, width: int) -> str:
    """Print the summary on a terminal of so many columns."""
    screen = io.StringIO()
    print_summary(world.out, console=Console(file=screen, width=width, force_terminal=False))
    return screen.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_the_summary_is_whole_at_usual_widths(world: World, width: int) -> None:
    """Counts, window, capabilities, strongest evidence, innocent explanation and cleared groups are all there."""
    text = printed(world, width)
    assert max(len(line) for line in text.splitlines()) <= width
    for words in ("C-001", "needs a person", "0.004", "reasoning (61 %)", "they ask alike", "class: possible", "G-001"):
        assert words in text
    assert "1 campaign found" in text


def test_hostile_strings_neither_colour_nor_redraw_the_terminal(make_world: Callable[[Shape], World]) -> None:
    """Escapes and Rich markup in log fields are printed as plain characters."""
    world = make_world(Shape(accounts=5, days=3, campaigns=[3], hostile="\x1b[2J[red]x[/red]"))
    text = printed(world, 140)
    assert "\x1b" not in text
    assert "[red]x[/red]" in text


def test_json_is_the_campaigns_file_itself(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads the same records that are on disk."""
    print_summary(world.out, as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads((world.out / "campaigns.json").read_text())


def test_finding_nothing_is_said_in_one_line(make_world: Callable[[Shape], World]) -> None:
    """The innocent twin: no campaign, no table of campaigns."""
    text = printed(make_world(Shape(accounts=5, days=3, campaigns=[])), 80)
    assert text.startswith("No campaign found in ")
    assert "verdict" not in text
