"""Outside worlds (benchmarks/outside): what is written for the commands, and what is kept apart as the truth."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.outside.campaigns import Plan
from benchmarks.outside.corpus import read_corpus
from benchmarks.outside.designs import DESIGNS, Design, build, of
from benchmarks.outside.firms import agency
from benchmarks.outside.logs import write
from benchmarks.outside.score import ingest, scored, table
from benchmarks.outside.world import START, Setting, World
from benchmarks.real_input import label

from stillwatch.evaluate.findings import Findings
from stillwatch.evaluate.truth import compare, read_truth
from stillwatch.tables import Dataset

SOURCES = {
    "distill": "alpaca_52k codealpaca:2k codealpaca:new gpteacher:toolformer gpteacher:roleplay metamath prometheus "
    "glaive_toolcall chatdoctor fireact gpt4llm_rendered selfinstruct_meta",
    "user": "instructionwild awesome_prompts awesome_prompts_zh wildchat_hard_ru banking77 restaurant8k system_prompts",
    "eval": "vicuna_bench mmlu gsm8k:train gsm8k:test hotpotqa swe_agent_demo:user swe_agent_demo:tool humaneval "
    "alpaca_eval biggen_bench mt_judge",
}
WORDS = ("river", "lamp", "garden", "engine", "letter", "harbour", "copper", "window", "market", "violin", "winter")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write made-up prompts, arrivals and networks in the form of the real files."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(5)

    def line(source: str, subset: str, i: int) -> dict[str, str]:
        said = " ".join(rng.choice(WORDS, 8))
        text = f"Tell me how the {said} of case {i} came about. Explain it to a person who never saw one.\n"
        text += f"Question: What of the {said} {i}?\nAnswer: none\n" if source == "metamath" else ""
        return {"source": source, "subset": subset, "text": text, "system_text": f"You know the {said} well."}

    for name, sources in SOURCES.items():
        rows = [line(*(one + ":").split(":")[:2], i) for one in sources.split() for i in range(12)]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"prompts_{name}.parquet")
    windows = [{"client": "a", "source": "s", "window_s": i * 600, "rate_rps": 1.0 + i % 7} for i in range(400)]
    pq.write_table(pa.Table.from_pylist(windows), folder / "trace_client_windows.parquet")
    pq.write_table(
        pa.table({"range": [f"192.0.{i}.0/24" for i in range(5)], "kind": ["vpn"] * 5}),
        folder / "net_ip_ranges.parquet",
    )
    pq.write_table(pa.table({"domain": ["bin.example", "drop.example"]}), folder / "net_email_domains.parquet")
    return folder


def small(form: str) -> Design:
    """Return a world of some thirty ordinary accounts, six of an agency and a campaign of eight under cover."""
    setting = Setting(1, days=3, form=form)
    return Design(setting, 30, (of(agency, 6, 8),), (Plan("harvest", 8, 120, cover=0.3, template=None),))


@pytest.fixture(scope="module")
def world(data: Path) -> World:
    """Build the small world."""
    return build(small("litellm"), read_corpus(data))


@pytest.mark.parametrize("form", ["litellm", "otel", "canonical"])
def test_the_ingested_world_has_every_exchange_and_its_label(data: Path, tmp_path: Path, form: str) -> None:
    """What the ordinary command reads of a log of any form is what was made, and the truth fits it."""
    made = build(small(form), read_corpus(data))
    write(made, tmp_path / "raw")
    ingest(tmp_path, made.setting)
    assert not list((tmp_path / "dataset").glob("rejects/*")), "no row is rejected"
    assert not (tmp_path / "dataset" / "labels").exists(), "the command never sees the truth"
    label(tmp_path / "dataset", tmp_path / "raw" / "truth.json")
    truth = read_truth(Dataset.open(tmp_path / "dataset"))
    assert truth.campaigns == ["harvest"]
    assert len(truth.asked) == len(made.rows)
    assert (truth.belongs >= 0).sum() == 8
    asked = {row["account"] for row in made.rows if row["campaign"]}
    assert asked == {name for name, one in made.accounts.items() if one.campaign}
    assert (truth.asked >= 0).sum() == sum(row["campaign"] is not None for row in made.rows)


def test_cover_is_not_laid_to_the_campaign(world: World) -> None:
    """Ordinary requests of a campaign's accounts carry no label; ordinary accounts have none at all."""
    guilty = {name for name, one in world.accounts.items() if one.campaign}
    labelled = [row["campaign"] for row in world.rows if row["account"] in guilty]
    assert {"harvest", None} == set(labelled)
    assert not any(row["campaign"] for row in world.rows if row["account"] not in guilty)


def test_nothing_in_the_log_betrays_the_truth(world: World, tmp_path: Path) -> None:
    """Logs and accounts name no population and no campaign, and ids are random and alike in form on both sides."""
    write(world, tmp_path)
    written = (tmp_path / "logs" / "log.jsonl").read_text() + (tmp_path / "accounts.ndjson").read_text()
    kinds = {one.population for one in world.accounts.values()} - {"personal", "company", "family", "office", "agency"}
    assert {"campaign", "framework_user"} <= kinds
    assert not [word for word in {*kinds, "harvest"} if f'"{word}"' in written]
    for exchange in map(json.loads, (tmp_path / "logs" / "log.jsonl").read_text().splitlines()):
        assert re.fullmatch(r"[0-9a-f]{22}", exchange["id"])
        assert re.fullmatch(r"user_[0-9a-f]{20}", exchange["metadata"]["user_api_key_user_id"])


def test_times_and_cards_are_possible(world: World) -> None:
    """No exchange is before its account or outside the world, and every card number has a right check digit."""
    for row in world.rows:
        assert max(START, world.accounts[row["account"]].created) <= row["at"] < world.setting.until
    cards = [one.record["payment"] for one in world.accounts.values() if one.record["payment"]]
    for card in cards:
        doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(card))]
        assert sum(d - 9 * (d > 9) for d in doubled) % 10 == 0
    assert cards


def test_a_seed_gives_the_same_world_again(data: Path, world: World) -> None:
    """The same design and seed give the same rows; another seed gives others."""
    corpus = read_corpus(data)
    again, other = build(small("litellm"), corpus), build(small("litellm"), corpus, seed=1)
    known = [(row["account"], row["at"], row["address"], row["turns"]) for row in world.rows]
    assert [(row["account"], row["at"], row["address"], row["turns"]) for row in again.rows] == known
    assert [row["account"] for row in other.rows] != [row["account"] for row in world.rows]


def test_missing_columns_are_missing(data: Path, tmp_path: Path) -> None:
    """A log without text, addresses, clients, payments and identities has none of them."""
    missing = frozenset({"text", "ip", "agent", "tls", "fingerprint", "payment", "identity"})
    made = build(Design(Setting(2, 2, "canonical", missing), 20), read_corpus(data))
    write(made, tmp_path)
    rows = pq.read_table(tmp_path / "logs" / "exchanges.parquet")
    gone = ("prompt_text", "response_text", "ip", "asn", "user_agent", "tls_fingerprint", "client_fingerprint")
    assert all(rows[name].null_count == len(rows) for name in gone)
    known = [json.loads(line) for line in (tmp_path / "accounts.ndjson").read_text().splitlines()]
    assert {name for one in known for name in one} == {"account_id", "created_at", "plan"}


def test_the_table_says_what_became_of_campaigns_and_innocents(data: Path, tmp_path: Path) -> None:
    """An accused campaign with one innocent in it, one left to a person: fates, purity and kinds are counted."""
    made = build(small("canonical"), read_corpus(data))
    write(made, tmp_path / "raw")
    ingest(tmp_path, made.setting)
    label(tmp_path / "dataset", tmp_path / "raw" / "truth.json")
    truth = read_truth(Dataset.open(tmp_path / "dataset"))
    people = truth.account_ids.to_pylist()
    guilty = [name for name, owner in zip(people, truth.belongs, strict=True) if owner >= 0]
    firm = [name for name, kind in zip(people, truth.population, strict=True) if kind == "agency"]
    for verdict, fate in (("campaign", "accused"), ("needs_person", "person")):
        found = scored(compare(truth, _findings([*guilty, firm[0]], firm[1:3], verdict)))
        assert found[fate] == ["harvest"]
        assert found["innocents_accused"] == ({"agency": 1} if fate == "accused" else {})
        assert found["innocents_to_person"] == {"agency": 2 if fate == "accused" else 3}
        assert found["purity"] == (pytest.approx(8 / 9) if fate == "accused" else None)
        assert "harvest" in table({"small": found}).splitlines()[-1]
    assert scored(compare(truth, _findings([], [], "campaign")))["missed"] == ["harvest"]


def _findings(first: list[str], second: list[str], verdict: str) -> Findings:
    groups = [("one", verdict, first), ("two", "needs_person", second)]
    rows = [{"account_id": name, "score": 1.0, "group": group} for group, _, names in groups for name in names]
    listed = [{"group": group, "verdict": said} for group, said, names in groups if names]
    accounts = pa.Table.from_pylist(
        rows, pa.schema([("account_id", "string"), ("score", "float64"), ("group", "string")])
    )
    return Findings(accounts, pa.Table.from_pylist(listed, pa.schema([("group", "string"), ("verdict", "string")])))


def test_every_world_has_a_name_of_its_own_draws() -> None:
    """Eighteen designs, eight of them without a campaign, and ten variants of one plain campaign."""
    worlds = {name: design for name, design in DESIGNS.items() if name.startswith("W")}
    assert len(worlds) == 18
    assert len(DESIGNS) == 28
    assert sum(not design.campaigns for design in worlds.values()) == 8
    assert len({design.setting.seed for design in worlds.values()}) == 18
