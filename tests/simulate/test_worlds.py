"""Simulated worlds: the contract, the truth, and what each population and campaign is meant to look like."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stillwatch.errors import DatasetError
from stillwatch.simulate import load_world, simulate
from stillwatch.tables import ACCOUNTS, EXCHANGES, Dataset

HOUR_US = 3_600_000_000


def read(dataset: Dataset, *columns: str) -> pa.Table:
    """Return columns of all exchanges."""
    return pa.Table.from_batches(list(dataset.batches(list(columns))))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Simulate the tiny world, seed 1."""
    folder = tmp_path_factory.mktemp("tiny")
    simulate(load_world("tiny"), folder, seed=1)
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def truth(tiny: Dataset) -> tuple[dict[str, str], dict[str, str | None], np.ndarray]:
    """Return population and campaign by account, and campaign (or "") of each exchange in file order."""
    accounts, exchanges = tiny.labels()
    population = dict(zip(accounts["account_id"].to_pylist(), accounts["population"].to_pylist(), strict=True))
    campaign = dict(zip(accounts["account_id"].to_pylist(), accounts["campaign_id"].to_pylist(), strict=True))
    of = dict(zip(exchanges["exchange_id"].to_pylist(), exchanges["campaign_id"].to_pylist(), strict=True))
    ids = read(tiny, "exchange_id")["exchange_id"].to_pylist()
    assert set(ids) == set(of)
    return population, campaign, np.array([of[name] or "" for name in ids])


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_world(tmp_path: Path) -> None:
    """Determinism is byte for byte."""
    world = load_world("tiny", scale=0.1, settings=["world.days=3"])
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        simulate(world, tmp_path / name, seed=seed)
    one, two, three = (tree(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert one != three


def test_a_world_keeps_the_contract(tiny: Dataset) -> None:
    """Canonical columns only, ids unique, every exchange of a known account, times inside the world."""
    assert tiny.accounts().schema == ACCOUNTS
    table = read(tiny, "exchange_id", "account_id", "ts", "ip", "ip_prefix", "status", "output_tokens")
    assert len(pc.unique(table["exchange_id"])) == table.num_rows
    known = set(tiny.accounts()["account_id"].to_pylist())
    assert set(table["account_id"].to_pylist()) <= known
    assert len(tiny.days()) == 10
    first = EXCHANGES.field("ts").type
    assert table["ts"].type == first
    prefixes = defaultdict(set)
    for ip, prefix in zip(table["ip"].to_pylist(), table["ip_prefix"].to_pylist(), strict=True):
        assert ip is None or ip.startswith("hmac-sha256:demo:")
        prefixes[ip].add(prefix)
    assert all(len(found) == 1 for found in prefixes.values())


def test_absent_is_null_and_not_empty(tiny: Dataset) -> None:
    """Columns that a provider would not know hold nulls, never empty text."""
    for name in ("user_agent", "tls_fingerprint", "session_id", "system_text", "tools_json", "end_user_id"):
        column = read(tiny, name)[name]
        assert 0 < column.null_count < len(column), name
        assert not pc.any(pc.equal(column, "")).as_py(), name
    failed = read(tiny, "status", "output_tokens", "stop_reason", "refused")
    bad = failed.filter(pc.not_equal(failed["status"], 200))
    assert bad.num_rows > 0
    assert bad["output_tokens"].null_count == bad["stop_reason"].null_count == bad["refused"].null_count == bad.num_rows


def test_no_account_acts_before_sign_up_or_after_closure(tiny: Dataset) -> None:
    """Exchanges lie between created_at and closed_at."""
    accounts = tiny.accounts()
    table = read(tiny, "account_id", "ts").join(
        accounts.select(["account_id", "created_at", "closed_at"]), "account_id"
    )
    assert pc.all(pc.greater_equal(table["ts"], table["created_at"])).as_py()
    closed = table.filter(pc.is_valid(table["closed_at"]))
    assert closed.num_rows > 0
    assert pc.all(pc.less(closed["ts"], closed["closed_at"])).as_py()


def test_names_do_not_betray_the_label(
    tiny: Dataset, truth: tuple[dict[str, str], dict[str, str | None], np.ndarray]
) -> None:
    """Sorted ids mix campaigns and innocents: position tells nothing about the label."""
    _, campaign, of_exchange = truth
    flags = np.array([campaign[name] is not None for name in sorted(campaign)])
    halves = flags[: flags.size // 2].mean(), flags[flags.size // 2 :].mean()
    assert abs(halves[0] - halves[1]) < 0.08
    table = tiny.accounts()
    for name in ("reasoning", "low_and_slow", "reseller_fleet", "campaign"):
        for column in ("account_id", "org_id", "reseller_id", "email_domain", "referral"):
            assert not pc.any(pc.match_substring(table[column], name)).as_py()
    assert of_exchange.size


def test_labels_agree_with_each_other(
    truth: tuple[dict[str, str], dict[str, str | None], np.ndarray], tiny: Dataset
) -> None:
    """Only accounts of a campaign have its exchanges; population and campaign_id agree."""
    population, campaign, of_exchange = truth
    assert {p for a, p in population.items() if campaign[a]} == {"campaign"}
    assert {c for c in campaign.values() if c} == {"reasoning", "low_and_slow", "reseller_fleet"}
    for account, found in zip(read(tiny, "account_id")["account_id"].to_pylist(), of_exchange.tolist(), strict=True):
        assert found in ("", campaign[account])


def test_every_campaign_has_enough_accounts_and_innocents_are_many(
    truth: tuple[dict[str, str], dict[str, str | None], np.ndarray],
) -> None:
    """Tiny is scaled down, but no campaign below 25 accounts; its innocent twins are all there."""
    population, campaign, _ = truth
    for name in ("reasoning", "low_and_slow", "reseller_fleet"):
        assert sum(c == name for c in campaign.values()) >= 25
    wanted = {"ordinary", "framework", "office", "class", "evaluation", "reseller", "etl", "support", "hackathon"}
    assert wanted <= set(population.values())


def test_fleet_accounts_carry_their_own_traffic_too(
    tiny: Dataset, truth: tuple[dict[str, str], dict[str, str | None], np.ndarray]
) -> None:
    """Most accounts behind resellers have campaign exchanges and own ones (null)."""
    _, campaign, of_exchange = truth
    kinds: dict[str, set[bool]] = defaultdict(set)
    for account, found in zip(read(tiny, "account_id")["account_id"].to_pylist(), of_exchange.tolist(), strict=True):
        kinds[account].add(bool(found))
    fleet = [account for account, name in campaign.items() if name == "reseller_fleet"]
    assert np.mean([len(kinds[account]) == 2 for account in fleet]) > 0.8


def test_a_campaign_moves_to_a_launched_model_within_a_day_and_others_do_not(
    tiny: Dataset, truth: tuple[dict[str, str], dict[str, str | None], np.ndarray]
) -> None:
    """About half of the fleet's traffic in the second half of the first day after a launch; innocents adopt slowly."""
    *_, of_exchange = truth
    launch = tiny.launches()
    released = int(launch["released_at"].cast(pa.int64())[0].as_py())
    table = read(tiny, "ts", "model")
    age = (table["ts"].cast(pa.int64()).to_numpy() - released) / HOUR_US
    new = np.array(table["model"].to_pylist()) == launch["model"][0].as_py()
    assert not new[age < 0].any()
    day = (age >= 6) & (age < 24)
    assert new[day & (of_exchange == "reseller_fleet")].mean() > 0.45
    assert new[day & (of_exchange == "")].mean() < 0.2


def test_closed_campaign_accounts_are_replaced_within_hours(
    tiny: Dataset, truth: tuple[dict[str, str], dict[str, str | None], np.ndarray]
) -> None:
    """For each banned account of the fleet a new one signs up within the hours that the campaign sets."""
    _, campaign, _ = truth
    rows = [row for row in tiny.accounts().to_pylist() if campaign[row["account_id"]] == "reseller_fleet"]
    closed = [row["closed_at"] for row in rows if row["closed_at"] is not None]
    assert len(closed) >= 10
    created = np.array([row["created_at"].timestamp() for row in rows])
    waits = [np.min(created[created > when.timestamp()] - when.timestamp()) for when in closed]
    assert max(waits) <= 8 * 3600


def test_prompts_have_declared_lengths_and_do_not_repeat(
    tiny: Dataset, truth: tuple[dict[str, str], dict[str, str | None], np.ndarray]
) -> None:
    """100 to 4,000 bytes, long-tailed; evaluations and support repeat items, campaigns and people do not."""
    population, _, of_exchange = truth
    table = read(tiny, "prompt_text", "account_id")
    sizes = pc.binary_length(table["prompt_text"]).to_numpy()
    assert np.quantile(sizes, 0.001) >= 90
    assert sizes.max() <= 4000
    assert np.quantile(sizes, 0.99) > 4 * np.median(sizes)
    kinds = np.array([population[a] for a in table["account_id"].to_pylist()])
    texts = np.array(table["prompt_text"].to_pylist(), object)

    def fresh(mask: np.ndarray) -> float:
        return len(set(texts[mask].tolist())) / int(mask.sum())

    assert fresh(of_exchange != "") > 0.99
    assert fresh(kinds == "ordinary") > 0.99
    assert fresh(kinds == "evaluation") < 0.9


def test_several_languages_are_written(tiny: Dataset) -> None:
    """Text holds Latin, Cyrillic, Han and Kana."""
    sample = "".join(read(tiny, "prompt_text")["prompt_text"].slice(0, 8000).to_pylist())
    for low, high in (("а", "я"), ("一", "龥"), ("ぁ", "ん"), ("a", "z")):
        assert sum(low <= letter <= high for letter in sample) > 100


def test_people_keep_days_and_weeks_and_robots_keep_nights(
    tiny: Dataset, truth: tuple[dict[str, str], dict[str, str | None], np.ndarray]
) -> None:
    """Offices rest at week-ends; a campaign's schedule does not."""
    population, _, of_exchange = truth
    table = read(tiny, "account_id", "ts")
    kinds = np.array([population[a] for a in table["account_id"].to_pylist()])
    day = table["ts"].cast(pa.int64()).to_numpy() // (24 * HOUR_US)
    weekend = (day + 3) % 7 >= 5
    share_of_days = 2 / 10
    assert weekend[kinds == "office"].mean() < share_of_days / 2
    assert weekend[of_exchange != ""].mean() > share_of_days * 0.8


def test_a_framework_shares_one_system_prompt_and_one_schema_over_unrelated_accounts(
    tiny: Dataset, truth: tuple[dict[str, str], dict[str, str | None], np.ndarray]
) -> None:
    """The hardest WHAT twin: many accounts, one tool schema, payments of their own."""
    population, _, _ = truth
    table = read(tiny, "account_id", "tools_json")
    users: dict[str, set[str]] = defaultdict(set)
    for account, tools in zip(table["account_id"].to_pylist(), table["tools_json"].to_pylist(), strict=True):
        if population[account] == "framework" and tools:
            users[tools].add(account)
    crowd = max(users.values(), key=len)
    assert len(crowd) > 60
    paid = [r["payment_hash"] for r in tiny.accounts().to_pylist() if r["account_id"] in crowd and r["payment_hash"]]
    assert len(set(paid)) == len(paid)


def test_a_world_without_campaigns_has_no_campaign_label(tmp_path: Path) -> None:
    """The null world is all innocent, accounts and exchanges."""
    summary = simulate(load_world("tiny-null", scale=0.1, settings=["world.days=3"]), tmp_path, seed=1)
    accounts, exchanges = Dataset.open(tmp_path).labels()
    assert accounts["campaign_id"].null_count == accounts.num_rows > 0
    assert exchanges["campaign_id"].null_count == exchanges.num_rows > 0
    assert summary.campaign_exchanges == {}


def test_two_worlds_are_never_mixed_in_one_folder(tmp_path: Path) -> None:
    """A folder with a world in it is refused, or cleared when asked."""
    world = load_world("tiny", scale=0.03, settings=["world.days=2"])
    simulate(world, tmp_path, seed=1)
    before = tree(tmp_path)
    with pytest.raises(DatasetError, match="--replace"):
        simulate(world, tmp_path, seed=1)
    simulate(world, tmp_path, seed=1, replace=True)
    assert tree(tmp_path) == before
