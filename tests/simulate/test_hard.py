"""Hard worlds: every kind of innocent is there, looks as its file says, and the older worlds stay as they were."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillwatch.simulate import load_world, simulate
from stillwatch.simulate.world import account_table, exchange_tables, make_world
from stillwatch.tables import Dataset

Rows = list[dict[str, Any]]
WITHOUT_ACCOUNTS = {"rival_users"}  # campaigns send their requests on; they are nobody's customers here


def world_of(population: str, accounts: int, folder: Path, days: int = 10) -> tuple[Rows, Rows]:
    """Return (exchanges, accounts) as rows of a world with one population."""
    world = folder / "one.toml"
    world.write_text(
        f'about = "one"\nstart = "2026-08-31"\ndays = {days}\n[models]\nm = 1.0\n[launches]\nn = 4.5\n'
        f"[populations]\n{population} = {accounts}\n"
    )
    made = make_world(load_world(world), seed=3)
    return [row for table in exchange_tables(made) for row in table.to_pylist()], account_table(made).to_pylist()


def by_account(exchanges: Rows, column: str) -> dict[str, list[Any]]:
    """Return a column's values of each account, in order of time."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in exchanges:
        found[row["account_id"]].append(row[column])
    return found


def test_the_older_worlds_keep_their_rows() -> None:
    """Baselines refer to tiny and small: what is added elsewhere leaves every value of them as it was."""
    made = make_world(load_world("tiny", scale=0.1, settings=["world.days=3"]), seed=5)
    digest = hashlib.sha256()
    for table in [account_table(made), *exchange_tables(made)]:
        digest.update(repr(table.to_pydict()).encode())
    assert digest.hexdigest()[:16] == "d2f5ec3592358be4"


def test_the_hard_worlds_hold_every_population() -> None:
    """A population that is in no world would be measured by nobody."""
    folder = resources.files("stillwatch.simulate").joinpath("populations")
    files = {f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")} - WITHOUT_ACCOUNTS
    for name in ("hard", "hard-null", "tiny-hard", "tiny-hard-null"):
        assert {p.name for p, count in load_world(name).populations if count} >= files, name


def test_the_small_hard_worlds_are_fast_enough_for_tests() -> None:
    """At most three thousand accounts, and none in the null world's campaigns."""
    null = load_world("tiny-hard-null")
    assert sum(count for _, count in null.populations) <= 3000
    assert not null.campaigns


def test_every_population_gives_both_of_its_reasons() -> None:
    """Why it looks guilty, and what tells it apart, in a sentence each; no two alike."""
    populations = [p for p, _ in load_world("hard").populations]
    for population in populations:
        assert len(population.looks_guilty) > 40
        assert len(population.tells_apart) > 40
    assert len({p.looks_guilty for p in populations}) == len(populations)


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, dict[str, str]]:
    """Return a small hard world without campaigns, and the population of each account."""
    folder = tmp_path_factory.mktemp("hard")
    simulate(load_world("tiny-hard-null", scale=0.35, settings=["world.days=3"]), folder, seed=2)
    dataset = Dataset.open(folder)
    accounts, _ = dataset.labels()
    return dataset, dict(zip(accounts["account_id"].to_pylist(), accounts["population"].to_pylist(), strict=True))


def test_hard_populations_do_not_write_alike(hard: tuple[Dataset, dict[str, str]]) -> None:
    """Of the five-word runs of a population's prompts most occur once, unless repeating is what it does."""
    dataset, population = hard
    repeats = {"monitoring", "load_test", "drift_monitor", "regression_evals", "evaluation", "release_compare"}
    runs: dict[str, Counter[str]] = defaultdict(Counter)
    for batch in dataset.batches(["account_id", "prompt_text"]):
        for row in batch.to_pylist():
            words = (row["prompt_text"] or "").split()
            runs[population[row["account_id"]]].update(" ".join(words[i : i + 5]) for i in range(len(words) - 4))
    for name, found in runs.items():
        if name not in repeats and sum(found.values()) > 5000:
            assert len(found) > 0.35 * sum(found.values()), name


def test_unrelated_people_share_no_cards(hard: tuple[Dataset, dict[str, str]]) -> None:
    """Users of a prompt library, privacy users and course members pay for themselves."""
    dataset, population = hard
    for kind in ("prompt_library", "privacy_user", "open_course", "traveller", "hourly_jobs"):
        ours = [row for row in dataset.accounts().to_pylist() if population[row["account_id"]] == kind]
        paid = [row["payment_hash"] for row in ours if row["payment_hash"]]
        assert paid, kind
        assert len(set(paid)) == len(paid), kind


def test_zero_retention_keeps_no_word_and_all_the_rest(tmp_path: Path) -> None:
    """No prompt, system prompt or tools; tokens and times are there."""
    exchanges, _ = world_of("zero_retention", 12, tmp_path, days=5)
    assert exchanges
    assert {row["prompt_text"] for row in exchanges} == {row["system_text"] for row in exchanges} == {None}
    assert all(row["input_tokens"] > 0 for row in exchanges if row["status"] == 200)


def test_a_migrated_product_goes_on_under_its_new_key(tmp_path: Path) -> None:
    """The old account falls silent before the new one speaks; prompt and card are the same; nobody is closed."""
    exchanges, accounts = world_of("key_migration", 60, tmp_path)
    times, systems = by_account(exchanges, "ts"), by_account(exchanges, "system_text")
    pairs: dict[str, list[str]] = defaultdict(list)
    for row in sorted(accounts, key=lambda row: row["created_at"]):
        pairs[row["payment"]].append(row["account_id"])
    both = [pair for pair in pairs.values() if len(pair) == 2 and all(name in times for name in pair)]
    assert len(both) > 5
    for old, new in both:
        assert max(times[old]) <= min(times[new])
        assert systems[old][0] == systems[new][0]
    assert sum(row["closed_at"] is not None for row in accounts) <= 2


def test_retries_send_the_same_words_within_seconds(tmp_path: Path) -> None:
    """About the declared share comes twice, soon after; another service does not repeat itself."""
    exchanges, _ = world_of("failover", 30, tmp_path)
    last: dict[tuple[str, str], Any] = {}
    gaps = []
    for row in exchanges:
        key = (row["account_id"], row["prompt_text"])
        if key in last:
            gaps.append(row["ts"] - last[key])
        last[key] = row["ts"]
    assert 0.08 < len(gaps) / len(exchanges) < 0.2
    assert np.median([gap.total_seconds() for gap in gaps]) < 10
    texts = [row["prompt_text"] for row in world_of("documents", 12, tmp_path, days=3)[0]]
    assert len(set(texts)) == len(texts)


def test_a_shared_key_is_seen_in_many_places_and_a_household_in_few(tmp_path: Path) -> None:
    """A team's key comes from many addresses; a person's account from a few."""
    for kind, low, high in (("team_key", 6, 24), ("mathematicians", 1, 4)):
        exchanges, _ = world_of(kind, 24, tmp_path, days=6)
        places = [len(set(found)) for found in by_account(exchanges, "ip").values() if len(found) > 12]
        assert low <= np.median(places) <= high, kind


def test_travellers_change_country_and_never_back_and_forth_in_an_hour(tmp_path: Path) -> None:
    """One place at a time, several in a fortnight."""
    exchanges, _ = world_of("traveller", 40, tmp_path, days=14)
    places = by_account(exchanges, "country")
    assert np.mean([len(set(found)) > 1 for found in places.values()]) > 0.4
    for account, when in by_account(exchanges, "ts").items():
        for i in range(2, len(when)):
            if when[i] - when[i - 2] < timedelta(hours=1):
                assert not (places[account][i] == places[account][i - 2] != places[account][i - 1])


def test_monitors_keep_an_interval_and_pupils_do_not(tmp_path: Path) -> None:
    """Gaps of a probe vary by a hundredth, those of people by more than their mean."""
    spread = {}
    for kind in ("monitoring", "homework"):
        exchanges, _ = world_of(kind, 20, tmp_path, days=3)
        ratios = []
        for when in by_account(exchanges, "ts").values():
            gaps = np.diff([stamp.timestamp() for stamp in when])
            if gaps.size > 10:
                ratios.append(gaps.std() / gaps.mean())
        spread[kind] = float(np.median(ratios))
    assert spread["monitoring"] < 0.05
    assert spread["homework"] > 1


def test_load_tests_are_one_day_and_a_product_has_many(tmp_path: Path) -> None:
    """Most of a load test's requests fall on one day of ten."""
    for kind, low, high in (("load_test", 0.75, 1.0), ("contact_centre", 0.0, 0.4)):
        exchanges, _ = world_of(kind, 40, tmp_path)
        shares = []
        for when in by_account(exchanges, "ts").values():
            days = Counter(stamp.date() for stamp in when)
            shares.append(max(days.values()) / sum(days.values()))
        assert low <= np.median(shares) <= high, kind


def test_giants_send_more_than_a_campaign_account_ever_does(tmp_path: Path) -> None:
    """Volume is innocent: some customers send thousands of requests a day, and pay invoices under their name."""
    made = make_world(load_world("hard"), seed=3)
    rates = {stream.people.population.name: stream.rate.max() for stream in made.streams if not stream.campaign}
    assert rates["api_giants"] > 500 > rates["ordinary"]
    _, accounts = world_of("api_giants", 4, tmp_path, days=1)
    assert {row["payment_kind"] for row in accounts} == {"invoice"}


def test_people_write_in_the_language_of_their_country(tmp_path: Path) -> None:
    """Native writers of Hangul, Devanagari and Ukrainian letters are among families; a framework's default has none."""
    exchanges, _ = world_of("family", 400, tmp_path, days=3)
    text = "".join(row["prompt_text"] for row in exchanges)
    for low, high in (("가", "힣"), ("अ", "ह"), ("і", "ї")):
        assert sum(low <= letter <= high for letter in text) > 10, low


def test_the_page_says_which_population_stands_for_which_kind() -> None:
    """Each population is named in docs/simulate.md, so that a missing kind is seen there."""
    page = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text(encoding="utf-8")
    missing = [p.name for p, _ in load_world("hard").populations if p.name not in page]
    assert not missing
