"""Each reported playbook does in a world what the public report says that it did; innocents beside it do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stillwatch.simulate import load_world, simulate
from stillwatch.tables import Dataset

DAY_US = 86_400_000_000
WORLD = """about = "every playbook, small"
start = "2026-08-31"
days = 7
reasoning = 0.5
[models]
aster-2 = 0.6
aster-2-mini = 0.25
aster-2-large = 0.15
[launches]
aster-3 = 3.5
[populations]
ordinary = 150
reseller = 60
key_owner = 30
agent_fleet = 60
[campaigns]
fixed_prompt = 30
forwarding = 16
reasoning_replay = 30
trace_cleaning = 16
technique_probing = 24
programme_abuse = 24
stolen_keys = 24
principal_north = 24
principal_south = 24
safeguard_arbitrage = 24
slow = 60
launch_pivot = 24
pinned_language = 24
"""
COLUMNS = [
    "exchange_id",
    "account_id",
    "ts",
    "model",
    "api_key_id",
    "session_id",
    "system_text",
    "prompt_text",
    "refused",
    "output_tokens",
    "ip_prefix",
    "client_fingerprint",
    "prior_reasoning_id",
]


class World:
    """A simulated world with its truth joined to the rows."""

    def __init__(self, folder: Path) -> None:
        dataset = Dataset.open(folder)
        labels, exchanges = dataset.labels()
        self.accounts = dataset.accounts().join(labels, "account_id")
        table = pa.Table.from_batches(list(dataset.batches(COLUMNS)))
        self.exchanges = table.join(exchanges, "exchange_id").sort_by("ts")
        self.start = int(pc.min(table["ts"]).cast(pa.int64()).as_py()) // DAY_US * DAY_US

    def of(self, name: str | None) -> pa.Table:
        """Return the exchanges of a campaign, or with None all that are of none."""
        column = self.exchanges["campaign_id"]
        return self.exchanges.filter(pc.is_null(column) if name is None else pc.equal(column, name))

    def members(self, name: str) -> pa.Table:
        """Return the accounts of a campaign."""
        return self.accounts.filter(pc.equal(self.accounts["campaign_id"], name))

    def day(self, table: pa.Table) -> np.ndarray:
        """Return when each row happened, days from the start."""
        found: np.ndarray = (table["ts"].cast(pa.int64()).to_numpy() - self.start) / DAY_US
        return found


def write_world(folder: Path) -> None:
    """Simulate the world of this module."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "all.toml"
    path.write_text(WORLD, encoding="utf-8")
    simulate(load_world(path), folder / "world", seed=3)


@pytest.fixture(scope="module")
def world(once: Callable[[str, Callable[[Path], object]], Path]) -> World:
    """Simulate every playbook once a session."""
    return World(once("playbooks-all", write_world) / "world")


def spread(table: pa.Table, what: str) -> dict[str, set[str]]:
    """Return the values of a column that go with each replayed reasoning reference."""
    found: dict[str, set[str]] = defaultdict(set)
    for reference, value in zip(table["prior_reasoning_id"].to_pylist(), table[what].to_pylist(), strict=True):
        if reference:
            found[reference].add(value)
    return found


def test_replayed_reasoning_crosses_accounts_and_honest_reasoning_hardly_does(world: World) -> None:
    """A replayed reference is one that another account was given; customers send back their own, or their firm's."""
    replays = world.of("reasoning_replay")
    replays = replays.filter(pc.is_valid(replays["prior_reasoning_id"]))
    own = spread(world.exchanges, "account_id")
    crossing = [
        reference for reference in pc.unique(replays["prior_reasoning_id"]).to_pylist() if len(own[reference]) > 1
    ]
    assert len(crossing) > 50
    honest = spread(world.of(None), "account_id")
    assert len(honest) > 50
    population = dict(
        zip(world.accounts["account_id"].to_pylist(), world.accounts["population"].to_pylist(), strict=True)
    )
    own_fleet = {name for name, kind in population.items() if kind == "agent_fleet"}
    assert all(len(accounts) == 1 or accounts <= own_fleet for accounts in honest.values())


def test_replayed_reasoning_comes_back_in_another_session(world: World) -> None:
    """Those references are seen in sessions other than the one that they belong to."""
    sessions = spread(world.of("reasoning_replay"), "session_id")
    assert sum(len(found) > 1 for found in sessions.values()) > 50


def test_forwarding_carries_many_users_under_foreign_system_prompts(world: World) -> None:
    """A rival's assistant or harness speaks in every forwarded chat, in several scripts; customers never have it."""
    table = world.of("forwarding")
    chats = table.filter(pc.is_valid(table["system_text"]))
    foreign = pc.match_substring_regex(chats["system_text"], "Orrin|orrin")
    assert pc.mean(foreign.cast(pa.float64())).as_py() > 0.95
    sessions = pc.unique(chats["session_id"])
    assert len(sessions) / len(pc.unique(chats["account_id"])) > 8
    assert pc.any(pc.match_substring_regex(chats["prompt_text"], "[一-鿿]")).as_py()
    assert not pc.any(pc.match_substring(world.of(None)["system_text"], "Orrin")).as_py()


def test_the_second_pool_wakes_when_the_first_is_banned_and_shares_nothing_but_words(world: World) -> None:
    """Most traffic after the ban comes from accounts that were silent before, on other cards and networks."""
    table, members = world.of("fixed_prompt"), world.members("fixed_prompt")
    when = world.day(table)
    accounts = np.array(table["account_id"].to_pylist())
    before, after = set(accounts[when < 4.9]), set(accounts[when > 5.3])
    assert len(after - before) > 10
    assert np.mean([name in before for name in accounts[when > 5.3]]) < 0.3
    closed = members.filter(pc.is_in(members["account_id"], pa.array(sorted(before))))["closed_at"]
    assert closed.null_count < 0.3 * len(closed)
    cards = dict(zip(members["account_id"].to_pylist(), members["payment_hash"].to_pylist(), strict=True))
    assert not {cards[a] for a in before} & {cards[a] for a in after - before}
    heads = [
        set(pc.utf8_slice_codeunits(table.filter(pa.array(rows))["prompt_text"], 0, 60).to_pylist())
        for rows in (when < 4.9, when > 5.3)
    ]
    assert heads[1] <= heads[0]


def test_probing_is_mostly_refused_and_what_worked_is_scaled(world: World) -> None:
    """Many wordings before, nearly all refused; few after, from more accounts, nearly all answered."""
    table = world.of("technique_probing")
    when = world.day(table)
    probe, scale = table.filter(pa.array(when < 4)), table.filter(pa.array(when >= 4))
    assert pc.mean(probe["refused"].cast(pa.float64())).as_py() > 0.8
    assert pc.mean(scale["refused"].cast(pa.float64())).as_py() < 0.15
    wordings = [
        len(pc.unique(pc.utf8_slice_codeunits(part["prompt_text"], 0, 40))) / part.num_rows for part in (probe, scale)
    ]
    assert wordings[0] > 0.2 > 0.05 > wordings[1]
    assert len(pc.unique(scale["account_id"])) > 2 * len(pc.unique(probe["account_id"]))


def test_the_cleaning_line_gives_one_word_verdicts_beside_long_traces(world: World) -> None:
    """A good part of the answers has a few tokens; the rest are rewritten traces."""
    tokens = world.of("trace_cleaning")["output_tokens"].drop_null().to_numpy()
    assert 0.2 < np.mean(tokens < 25) < 0.7
    assert np.median(tokens[tokens >= 25]) > 300


def test_safeguard_arbitrage_changes_to_the_weaker_model_at_once(world: World) -> None:
    """All requests go to the strong model until a day, mostly refused, and to the weak one after it."""
    table = world.of("safeguard_arbitrage")
    when = world.day(table)
    before, after = table.filter(pa.array(when < 4)), table.filter(pa.array(when >= 4))
    assert pc.unique(before["model"]).to_pylist() == ["aster-2-large"]
    assert pc.unique(after["model"]).to_pylist() == ["aster-2-mini"]
    assert (
        pc.mean(before["refused"].cast(pa.float64())).as_py()
        > 0.5
        > 0.15
        > pc.mean(after["refused"].cast(pa.float64())).as_py()
    )


def test_a_slow_campaign_is_four_requests_an_account_in_two_days(world: World) -> None:
    """No account stands out, and nothing happens outside the two days."""
    table = world.of("slow")
    when = world.day(table)
    assert 4 <= when.min() < when.max() <= 6
    counts = np.array([entry["counts"] for entry in table["account_id"].value_counts().to_pylist()])
    assert 3 < counts.mean() < 5
    assert counts.max() <= 12


def test_a_stolen_key_stays_its_owners_account(world: World) -> None:
    """The victim is labelled innocent, goes on as before, and only the thief's requests are the campaign's."""
    victims = world.accounts.filter(pc.equal(world.accounts["population"], "stolen_key_victim"))
    assert victims.num_rows == 12
    assert victims["campaign_id"].null_count == victims.num_rows
    table = world.exchanges.filter(pc.is_in(world.exchanges["account_id"], victims["account_id"].combine_chunks()))
    stolen, own = (table.filter(pc.equal(pc.is_valid(table["campaign_id"]), flag)) for flag in (True, False))
    assert stolen.num_rows > 50
    assert set(pc.unique(stolen["campaign_id"]).to_pylist()) == {"stolen_keys"}
    assert len(pc.unique(own["account_id"])) >= 0.5 * victims.num_rows
    keys = [set(pc.unique(part["api_key_id"]).to_pylist()) for part in (stolen, own)]
    assert len(keys[0] & keys[1]) >= 0.5 * victims.num_rows
    nets = [set(pc.unique(part["ip_prefix"].drop_null()).to_pylist()) for part in (stolen, own)]
    assert len(nets[0] & nets[1]) <= 1


def test_the_thief_has_accounts_of_his_own_too(world: World) -> None:
    """Every exchange is of a known account, and the campaign's own accounts are labelled as such."""
    assert set(pc.unique(world.exchanges["account_id"]).to_pylist()) <= set(world.accounts["account_id"].to_pylist())
    assert world.members("stolen_keys").num_rows == 12


def test_two_principals_share_a_station_and_no_exchange(world: World) -> None:
    """One seller's cards and networks are under both campaigns; texts and accounts are apart."""
    north, south = (world.members(f"principal_{side}") for side in ("north", "south"))
    cards = [set(part["payment_hash"].drop_null().to_pylist()) for part in (north, south)]
    assert len(cards[0] & cards[1]) >= 2
    assert not set(north["account_id"].to_pylist()) & set(south["account_id"].to_pylist())
    others = set(world.members("programme_abuse")["payment_hash"].drop_null().to_pylist())
    assert not others & (cards[0] | cards[1])
    heads = [
        set(pc.utf8_slice_codeunits(world.of(f"principal_{s}")["prompt_text"], 0, 40).to_pylist())
        for s in ("north", "south")
    ]
    assert not heads[0] & heads[1]


def test_programme_abuse_comes_by_programmes_alone(world: World) -> None:
    """Every account is on a programme; of ordinary customers hardly one is."""
    assert "none" not in world.members("programme_abuse")["programme"].to_pylist()
    ordinary = world.accounts.filter(pc.equal(world.accounts["population"], "ordinary"))["programme"].to_pylist()
    assert ordinary.count("none") > 0.8 * len(ordinary)


def test_the_pivot_takes_half_the_traffic_within_a_day_of_a_release(world: World) -> None:
    """From half a day after the release on, half of the campaign's requests and few of the customers' are for it."""
    shares = []
    for name in ("launch_pivot", None):
        table = world.of(name)
        when = world.day(table)
        later = table.filter(pa.array((when > 4.0) & (when < 4.5)))
        shares.append(pc.mean(pc.equal(later["model"], "aster-3").cast(pa.float64())).as_py())
    assert shares[0] > 0.48
    assert shares[1] < 0.25


def test_one_order_in_many_languages(world: World) -> None:
    """The order to think in the user's language comes in several scripts, with questions in the same."""
    texts = world.of("pinned_language")["prompt_text"]
    for script in ("[一-鿿]", "[а-я]", "[ぁ-ん]", "español", "Deutsch"):
        assert pc.sum(pc.match_substring_regex(texts, script)).as_py() > 5
