"""Skill levels: what an evader shares at each, what he does after bans, what it costs him, and how they are set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import ConfigError
from stillwatch.simulate import World, cost, load_world, read_corpus, simulate, skills
from stillwatch.simulate.identity import HOUR_US, People
from stillwatch.simulate.knobs import Campaign
from stillwatch.simulate.world import Made, make_world
from stillwatch.tables import Dataset

Make = Callable[..., Made]
Load = Callable[..., World]

WORLD = """about = "three campaigns and few others"
start = "2026-08-31"
days = 10
[models]
aster-2 = 1.0
[populations]
ordinary = 60
reseller = 30
[campaigns]
programme_abuse = 60
trace_cleaning = 50
pinned_language = 70
[knobs]
enforcement = { "3" = 0.6, "6" = 0.6 }
"""


@pytest.fixture
def rounds(tmp_path: Path) -> Load:
    """Return a function that loads the world of this module with settings."""
    path = tmp_path / "rounds.toml"
    path.write_text(WORLD, encoding="utf-8")
    return lambda *settings: load_world(path, settings=settings)


@pytest.fixture
def made(rounds: Load) -> Make:
    """Return a function that makes that world; nothing is written."""
    return lambda *settings: make_world(rounds(*settings), seed=2)


def crews(world: Made, name: str) -> list[People]:
    """Return the crowds of a campaign: the first, and one for each round of replacements."""
    return [crowd for crowd in world.crowds if crowd.population.name == name]


def crowded(crowd: People, column: str) -> float:
    """Return the share of accounts that have a value in common with another account of the crowd."""
    values = [value for value in crowd.columns[column].tolist() if value is not None]
    counts = Counter(values)
    return float(np.mean([counts[value] > 1 for value in values])) if values else 0.0


def prefixes(crowd: People) -> float:
    """Return the share of accounts whose first network has another account of the crowd in it."""
    first = crowd.endpoints.columns["ip_prefix"][:: crowd.endpoints.each].tolist()
    counts = Counter(value for value in first if value is not None)
    return float(np.mean([counts[value] > 1 for value in first if value is not None]))


def test_careful_accounts_share_no_card_device_or_network_and_careless_ones_do(made: Make) -> None:
    """One payment each, residential lines, own clients; a careless campaign shares all of it."""
    careful, careless = (crews(made(f"campaigns.skill={s}"), "pinned_language")[0] for s in ("careful", "careless"))
    assert crowded(careful, "payment") == crowded(careful, "device") == 0.0
    assert prefixes(careful) < 0.1
    kinds = careful.endpoints.columns["network_kind"].tolist()
    assert set(kinds) <= {"residential", "unknown", None}
    assert len(set(careful.endpoints.habit.tolist())) == careful.size
    assert crowded(careless, "payment") > 0.9
    assert prefixes(careless) > 0.9
    assert len(set(careless.endpoints.habit.tolist())) == 1


def test_each_level_shares_less_than_the_one_below(made: Make) -> None:
    """Cards in common fall from careless to careful."""
    levels = ("careless", "competent", "guarded", "careful")
    found = [crowded(crews(made(f"campaigns.skill={s}"), "trace_cleaning")[0], "payment") for s in levels]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("skill", ["competent", "adaptive"])
def test_banned_accounts_are_replaced_within_hours(made: Make, skill: str) -> None:
    """As many come as were closed, none later than the replacement time after the last closure of the round."""
    first, second, third = crews(made(f"campaigns.skill={skill}", "campaigns.banned=0"), "programme_abuse")
    begin = first.active_from.min()
    early = np.sort(first.closed[(first.closed > begin + 70 * HOUR_US) & (first.closed < begin + 76 * HOUR_US)])
    assert early.size == second.size > 20
    hours = second.population.campaign.replace_hours
    assert ((np.sort(second.created) - early) / HOUR_US < hours + 3).all()
    assert (np.sort(second.created) >= early.min()).all()
    assert third.size > 10


def test_an_adaptive_campaign_shares_less_after_each_round_and_a_competent_one_does_not(made: Make) -> None:
    """Cards, networks and clients of the banned are not used again by one that adapts; by another they are."""
    for skill, again in (("adaptive", False), ("competent", True)):
        first, second, third = crews(made(f"campaigns.skill={skill}"), "pinned_language")
        cards = [{c for c in crowd.columns["payment"].tolist() if c} for crowd in (first, second)]
        assert bool(cards[0] & cards[1]) is again
        if not again:
            assert crowded(third, "payment") == crowded(third, "device") == 0.0
            assert crowded(first, "payment") > crowded(second, "payment")
            assert set(first.endpoints.columns["network_kind"].tolist()) & {"hosting"}
            assert not set(third.endpoints.columns["network_kind"].tolist()) & {"hosting"}


def test_an_adaptive_campaign_writes_anew_after_a_round(tmp_path: Path, rounds: Load) -> None:
    """Hardly any fixed words of the first days are left after the first round; without adapting all are."""
    shorter = ["world.days=6", "world.campaigns={ trace_cleaning = 40 }", "campaigns.cover=0"]
    for skill, kept in (("adaptive", False), ("competent", True)):
        bans = 'campaigns.enforcement={ "3" = 1.0 }'
        simulate(rounds(*shorter, f"campaigns.skill={skill}", bans), tmp_path / skill, seed=2)
        dataset = Dataset.open(tmp_path / skill)
        table = pa.Table.from_batches(list(dataset.batches(["exchange_id", "ts", "prompt_text"])))
        ours = table.join(dataset.labels()[1], "exchange_id")
        ours = ours.filter(pc.is_valid(ours["campaign_id"]))
        day = ours["ts"].cast(pa.int64()).to_numpy() / 24 / HOUR_US
        heads = np.array(pc.utf8_slice_codeunits(ours["prompt_text"], 0, 30).to_pylist())
        old, new = set(heads[day < np.floor(day.min()) + 3]), heads[day > np.floor(day.min()) + 4.5]
        again = np.mean([head in old for head in new.tolist()])
        assert again > 0.9 if kept else again < 0.3


def test_innocents_are_closed_by_mistake_but_hardly_ever() -> None:
    """A round of bans hits a few in a thousand of the others."""
    world = make_world(load_world("tiny", settings=['campaigns.enforcement={ "4" = 0.9 }']), seed=1)
    innocent = [crowd for crowd in world.crowds if not crowd.population.campaign]
    closed = sum(int((crowd.closed >= 0).sum()) for crowd in innocent) / sum(crowd.size for crowd in innocent)
    assert 0 < closed < 0.02


def test_a_ramp_adds_accounts_by_a_constant_factor_a_day(made: Make) -> None:
    """Few accounts are at work in the first third, most come in the last; none before the beginning."""
    world = made("campaigns.ramp_days=6", "campaigns.begin=2", "campaigns.enforcement={}")
    (crowd,) = crews(world, "pinned_language")
    day = (crowd.active_from - world.span.start) / 24 / HOUR_US
    assert day.min() >= 2
    assert (day < 4).mean() < 0.1
    assert (day > 6).mean() > 0.6
    assert (crowd.created < crowd.active_from).all()


def test_a_parameter_by_itself_overrides_its_preset_and_a_later_preset_an_earlier_one() -> None:
    """World file, then every campaign, then the named one; in each the preset ranks below the parameter."""
    settings = ["campaigns.skill=careful", "campaigns.cover=0.2", "campaign.forwarding.skill=careless"]
    world = load_world("tiny-playbooks", settings=settings)
    knobs = {p.name: p.campaign for p, _ in world.campaigns if p.campaign}
    assert knobs["trace_cleaning"].skill == "careful"
    assert knobs["trace_cleaning"].cover == 0.2
    assert knobs["trace_cleaning"].payment_share == skills()["careful"]["payment_share"]
    assert knobs["forwarding"].payment_share == skills()["careless"]["payment_share"]
    assert knobs["fixed_prompt"].standby > 0


def test_presets_set_parameters_that_exist_and_no_playbook() -> None:
    """A preset says how well a campaign hides, never what it does."""
    playbook = {"cells", "begin", "until", "ramp_days", "standby", "station", "stolen", "enforcement", "shift"}
    for level in skills().values():
        assert set(level) <= set(vars(Campaign())) - playbook


def test_an_unknown_skill_is_an_error() -> None:
    """The known ones are named."""
    with pytest.raises(ConfigError, match="careless, competent"):
        load_world("tiny-playbooks", settings=["campaigns.skill=brilliant"])


def test_care_costs_money_delay_and_throughput(rounds: Load) -> None:
    """Each level costs more an account, waits longer and wastes more than the one below."""
    bills = []
    for skill in ("careless", "competent", "guarded", "careful"):
        table = cost(rounds(f"campaigns.skill={skill}", "campaigns.enforcement={}"), seed=1)
        (row,) = table.filter(pc.equal(table["campaign_id"], "trace_cleaning")).to_pylist()
        bills.append((row["money_per_account"], row["delay_s"], row["lost_throughput"], row["payment_instruments"]))
    assert bills == sorted(bills)
    assert all(a < b for a, b in zip(bills[0], bills[3], strict=True))


def test_bans_cost_an_adaptive_campaign_accounts(rounds: Load) -> None:
    """Replacements are on the bill."""
    left_alone = cost(rounds("campaigns.skill=adaptive", "campaigns.enforcement={}"), seed=1).to_pylist()
    for free, banned in zip(left_alone, cost(rounds("campaigns.skill=adaptive"), seed=1).to_pylist(), strict=True):
        assert banned["accounts"] > 1.5 * free["accounts"]
        assert banned["money"] > free["money"]
        assert banned["lost_throughput"] > free["lost_throughput"]


def test_every_playbook_works_with_a_corpus_of_real_prompts(tmp_path: Path) -> None:
    """Campaigns ask distill prompts, forwarded users theirs, whatever the playbook; labels are the same."""
    (tmp_path / "c").mkdir()
    kinds = ("user", "eval", "distill")
    rows = [(f"s{n % 3}", kind, f"{kind} text {n}") for kind in kinds for n in range(60)]
    columns = dict(zip(("source", "kind", "text"), map(list, zip(*rows, strict=True)), strict=True))
    columns["system_text"] = pa.nulls(len(rows), pa.string())
    pq.write_table(pa.table(columns), tmp_path / "c" / "prompts.parquet")
    settings = ["world.days=5", "world.populations={ ordinary = 20, reseller = 10, key_owner = 10 }"]
    world = load_world("playbooks", scale=0.1, settings=settings)
    with_corpus = simulate(world, tmp_path / "real", seed=1, corpus=read_corpus(tmp_path / "c"))
    assert with_corpus.campaign_exchanges == simulate(world, tmp_path / "own", seed=1).campaign_exchanges
    dataset = Dataset.open(tmp_path / "real")
    table = pa.Table.from_batches(list(dataset.batches(["exchange_id", "prompt_text"]))).join(
        dataset.labels()[1], "exchange_id"
    )
    found: dict[str, list[str]] = {}
    for name, text in zip(table["campaign_id"].to_pylist(), table["prompt_text"].to_pylist(), strict=True):
        found.setdefault(name or "", []).append(text)
    assert any(text.startswith("user") for text in found.pop("forwarding"))
    assert found.pop("")
    assert len(found) >= 12
    for name, texts in found.items():
        assert sum("distill text" in text for text in texts) > 0.7 * len(texts), name
    assert all("distill text" not in text.split("\n\n")[0] for text in found["fixed_prompt"])


def test_a_world_with_rounds_keeps_the_contract(tmp_path: Path, rounds: Load) -> None:
    """Nothing is sent before sign-up or after closure, ids are unique, and the same seed gives the same bytes."""
    world = rounds("campaigns.skill=adaptive", "world.days=7")
    for name in ("one", "two"):
        simulate(world, tmp_path / name, seed=7)
    trees = [
        {p.relative_to(tmp_path / n): p.read_bytes() for p in sorted((tmp_path / n).rglob("*.parquet"))}
        for n in ("one", "two")
    ]
    assert trees[0] == trees[1]
    dataset = Dataset.open(tmp_path / "one")
    table = pa.Table.from_batches(list(dataset.batches(["exchange_id", "account_id", "ts"])))
    assert len(pc.unique(table["exchange_id"])) == table.num_rows
    accounts = dataset.accounts()
    assert len(pc.unique(accounts["account_id"])) == accounts.num_rows
    table = table.join(accounts.select(["account_id", "created_at", "closed_at"]), "account_id", join_type="inner")
    assert pc.all(pc.greater_equal(table["ts"], table["created_at"])).as_py()
    assert pc.all(pc.less(table["ts"], table["closed_at"])).as_py()
