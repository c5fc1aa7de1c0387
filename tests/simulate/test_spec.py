"""World, population and campaign files: defaults, overrides, and errors that point at the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillwatch.errors import ConfigError
from stillwatch.simulate import load_world, simulate, worlds

WORLD = """about = "mine"
start = "2026-01-05"
days = 2
[models]
m = 1.0
[populations]
ordinary = 20
[campaigns]
reasoning = 8
"""


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    """Write a world file and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_named_world_loads() -> None:
    """All built-in worlds are valid and say what they are for."""
    for name, about in worlds().items():
        assert about
        assert load_world(name).days > 0


def test_every_population_says_why_it_looks_guilty_and_what_tells_it_apart() -> None:
    """The sentences are part of the contract of a population file."""
    world = load_world("small")
    for population, _ in [*world.populations, *world.campaigns]:
        assert len(population.looks_guilty) > 30
        assert len(population.tells_apart) > 30


def test_scale_multiplies_accounts() -> None:
    """Scale works on populations and campaigns alike."""
    small, double = load_world("small"), load_world("small", scale=2)
    assert [n * 2 for _, n in small.populations] == [n for _, n in double.populations]
    assert [n * 2 for _, n in small.campaigns] == [n for _, n in double.campaigns]


def test_a_campaign_can_be_overridden() -> None:
    """--set changes one parameter of one campaign and nothing else."""
    plain, changed = load_world("tiny"), load_world("tiny", settings=["campaign.low_and_slow.paraphrase=3"])
    knobs = {p.name: p.campaign.paraphrase for p, _ in changed.campaigns if p.campaign}
    assert knobs["low_and_slow"] == 3
    assert knobs["reasoning"] == next(p.campaign.paraphrase for p, _ in plain.campaigns if p.campaign)


def test_an_own_world_with_an_own_population_runs(tmp_path: Path) -> None:
    """A path to a world works, and its populations may be files beside it."""
    own = 'looks_guilty = "g"\ntells_apart = "t"\nrate = 6\narrivals = "service"\njobs = { rag_question = 1.0 }\n'
    write(tmp_path, own, "robots.toml")
    path = write(tmp_path, WORLD.replace("ordinary = 20", '"robots.toml" = 20'))
    summary = simulate(load_world(path), tmp_path / "out", seed=1)
    assert summary.accounts["robots"] == 20
    assert summary.exchanges["robots"] > 50


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (WORLD.replace("days = 2", "dayz = 2"), 3, "unknown key 'dayz'"),
        (WORLD.replace("days = 2", "days = two"), 3, "Invalid value"),
        (WORLD.replace("days = 2", 'days = "two"'), 3, "days"),
        (WORLD.replace("ordinary = 20", "ordinary = -1"), 7, "whole number"),
        (WORLD.replace("ordinary = 20", "martians = 20"), 7, "has no 'martians'"),
        (WORLD.replace('start = "2026-01-05"', 'start = "soon"'), 2, "start"),
    ],
)
def test_a_wrong_world_file_is_an_error_with_file_and_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    """The error names the file and the line of the mistake."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_world(path)
    assert str(caught.value.path) == path
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("looks_guilty = 'g'\ntells_apart = 't'\nrates = 1\n", 3, "unknown key 'rates'"),
        ("looks_guilty = 'g'\ntells_apart = 't'\nrate = 'often'\n", 3, "must be a number"),
        ("looks_guilty = 'g'\ntells_apart = 't'\n[shared]\npayment = 3\n", 4, "two numbers"),
        ("looks_guilty = 'g'\ntells_apart = 't'\n\njobs = { chat_qaa = 1 }\n", 4, "chat_qaa"),
        ("looks_guilty = 'g'\ntells_apart = 't'\narrivals = 'tides'\n", 3, "tides"),
        ("looks_guilty = 'g'\n", None, "'tells_apart' is missing"),
    ],
)
def test_a_wrong_population_file_is_an_error_with_file_and_line(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    """Mistakes in a population are reported in that file, not in the world."""
    part = write(tmp_path, text, "part.toml")
    path = write(tmp_path, WORLD.replace("ordinary = 20", '"part.toml" = 20'))
    with pytest.raises(ConfigError, match=message) as caught:
        load_world(path)
    assert str(caught.value.path) == part
    assert caught.value.line == line


@pytest.mark.parametrize(
    "setting", ["campaign.nobody.paraphrase=1", "campaign.reasoning.loud=1", "paraphrase=1", "campaign.reasoning.cells"]
)
def test_a_wrong_override_is_an_error(setting: str) -> None:
    """An override that matches nothing is never ignored."""
    with pytest.raises(ConfigError):
        load_world("tiny", settings=[setting])


def test_a_setting_of_the_world_that_is_none_is_an_error() -> None:
    """A mistyped key must not quietly leave the world as it was."""
    with pytest.raises(ConfigError, match="unknown key 'accounts'"):
        load_world("tiny", settings=["world.accounts=5"])


CAMPAIGN = """looks_guilty = "g"
tells_apart = "t"
jobs = { camp_code = 1 }
[stages.one]
jobs = { harvest_flag = 1 }
"""


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (CAMPAIGN + "loud = 1\n", 6, "unknown key 'loud'"),
        (CAMPAIGN.replace("harvest_flag", "harvest_hay"), 5, "harvest_hay"),
        (CAMPAIGN + 'forwards = "martians"\n', None, "martians"),
        (CAMPAIGN + "share = 'all'\n", 6, "must be a number"),
        (CAMPAIGN + '[campaign]\nenforcement = { "soon" = 0.5 }\n', 7, "a day and a share"),
        (CAMPAIGN + '[campaign]\nskill = "brilliant"\n', None, "careless, competent"),
        ("part = 1\n" + CAMPAIGN, 1, "unknown key 'part'"),
    ],
)
def test_a_wrong_campaign_file_is_an_error_that_says_where(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    """Stages, rounds and presets are checked as populations are."""
    write(tmp_path, text, "mine_too.toml")
    path = write(tmp_path, WORLD.replace("reasoning = 8", '"mine_too.toml" = 8'))
    with pytest.raises(ConfigError, match=message) as caught:
        load_world(path)
    assert line is None or caught.value.line == line


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("stolen_keys = 8", "no 'key_owner' to steal keys of"),
        ("safeguard_arbitrage = 8", "asks 'aster-2-large', no model here"),
        ("reasoning = { accounts = 8, loud = 1 }", "unknown key 'loud'"),
        ("reasoning = { skill = 'careful' }", "whole number"),
    ],
)
def test_a_campaign_that_the_world_cannot_have_is_an_error(tmp_path: Path, entry: str, message: str) -> None:
    """Keys are stolen of somebody, models asked exist, and an entry says how many accounts there are."""
    path = write(tmp_path, WORLD.replace("reasoning = 8", entry))
    with pytest.raises(ConfigError, match=message):
        load_world(path)


def test_an_innocent_population_has_no_stages(tmp_path: Path) -> None:
    """What only campaigns have is an unknown key elsewhere."""
    part = write(tmp_path, "looks_guilty = 'g'\ntells_apart = 't'\n[stages.one]\nshare = 1\n", "part.toml")
    path = write(tmp_path, WORLD.replace("ordinary = 20", '"part.toml" = 20'))
    with pytest.raises(ConfigError, match="unknown key 'stages'") as caught:
        load_world(path)
    assert str(caught.value.path) == part


def test_a_world_is_like_a_world_that_is_like_another(tmp_path: Path) -> None:
    """What is not said is taken from the nearest that says it."""
    write(tmp_path, WORLD, "first.toml")
    write(tmp_path, 'about = "second"\nlike = "first.toml"\ndays = 3\n', "second.toml")
    third = load_world(write(tmp_path, 'about = "third"\nlike = "second.toml"\n', "third.toml"))
    assert (third.about, third.days, len(third.campaigns)) == ("third", 3, 1)
