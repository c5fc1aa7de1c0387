"""Documentation that stays true: commands and options exist and are described, and links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import stillwatch
from stillwatch.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
)
SOURCE = Path(stillwatch.__file__).parent
_FENCE = re.compile(r"^```(console|bash|sh|shell)\n(.*?)^```", re.M | re.S)
_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_SHARED = {"--help", "--install-completion", "--show-completion"}


def commands() -> dict[str, Any]:
    """Return the commands of the command line by name."""
    return dict(get_command(app).commands)  # type: ignore[attr-defined]


def options(name: str) -> set[str]:
    """Return all spellings of the options of a command."""
    found: set[str] = {"--help", "-h"}
    for parameter in commands()[name].params:
        if parameter.param_type_name == "option":
            found |= {*parameter.opts, *parameter.secondary_opts}
    return found


def shown_commands() -> Iterator[tuple[str, str]]:
    """Yield each command line that begins with ``stillwatch`` in a console or shell block, with its page."""
    for page in PAGES:
        for kind, block in _FENCE.findall(page.read_text(encoding="utf-8")):
            lines = re.sub(r"\\\n\s*(?:>\s)?", " ", block).splitlines()
            for line in lines:
                prompted = line.startswith("$ ")
                if kind == "console" and not prompted:
                    continue
                bare = line.removeprefix("$ ").strip()
                for part in re.split(r"\s(?:&&|;|\|)\s", bare):
                    words = re.sub(r"^(?:\w+=\S*\s+)+", "", part)
                    if re.match(r"(?:\.venv/bin/)?stillwatch\s", words):
                        yield str(page.relative_to(ROOT)), words.removeprefix(".venv/bin/")


def test_the_pages_show_commands() -> None:
    """There is something to check: each command appears in a block that can be copied."""
    shown = {shlex.split(line, comments=True)[1] for _, line in shown_commands()}
    assert {"ingest", "scan", "simulate", "explain"} <= shown


@pytest.mark.parametrize(("page", "line"), sorted(set(shown_commands())))
def test_shown_commands_name_what_exists(page: str, line: str) -> None:
    """Every shown command is one of ours, and every option it uses is known."""
    words = shlex.split(line, comments=True)[1:]
    if words[0].startswith("-"):
        assert words[0] in {*_SHARED, "-h"}, page
        return
    assert words[0] in commands(), page
    for word in words[1:]:
        if re.fullmatch(r"--?[a-zA-Z][\w-]*(?:=.*)?", word):
            assert word.partition("=")[0] in options(words[0]), f"{page}: {word}"


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_option_is_described_in_a_page(name: str) -> None:
    """What can be typed is written down somewhere in the README or docs."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert f"stillwatch {name}" in text
    long = {option for option in options(name) if option.startswith("--")} - _SHARED
    for parameter in commands()[name].params:
        spellings = {*parameter.opts, *parameter.secondary_opts} & long
        assert not spellings or any(f"{spelling}" in text for spelling in spellings), f"{name} {sorted(spellings)}"


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_says_in_its_help_what_it_does(name: str) -> None:
    """A summary, and words for every argument and option."""
    command = commands()[name]
    assert len(command.help or "") > 20
    assert "Example" in (command.help or "") + (command.epilog or "")
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name}"


@pytest.mark.parametrize("folder", sorted(p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()))
def test_every_folder_has_a_page(folder: str) -> None:
    """One page a stage in docs/."""
    assert (ROOT / "docs" / f"{folder}.md").exists()


def _links() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        found += [(str(page.relative_to(ROOT)), link) for link in _LINK.findall(re.sub(r"`[^`]*`", "", text))]
    return sorted({(page, link) for page, link in found if not re.match(r"[a-z]+:", link)})


@pytest.mark.parametrize(("page", "link"), _links())
def test_relative_links_lead_somewhere(page: str, link: str) -> None:
    """The file is there, and so is the heading that a fragment names."""
    path, _, fragment = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    assert target.exists(), link
    if fragment and target.suffix == ".md":
        assert fragment in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Return the fragments of a page's headings, as forges make them."""
    headings = re.findall(r"^#+\s+(.*)$", page.read_text(encoding="utf-8"), re.M)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


def test_links_do_not_leave_the_repository() -> None:
    """A clone alone has all that the pages refer to."""
    for page, link in _links():
        target = ((ROOT / page).parent / link.partition("#")[0]).resolve()
        assert target.is_relative_to(ROOT), f"{page}: {link}"


def test_every_page_of_docs_is_linked_from_another() -> None:
    """No page is an orphan that nobody finds."""
    reached = {((ROOT / page).parent / link.partition("#")[0]).resolve() for page, link in _links()}
    orphans = [p for p in PAGES if p.is_relative_to(ROOT / "docs") and p.resolve() not in reached]
    assert orphans == []
