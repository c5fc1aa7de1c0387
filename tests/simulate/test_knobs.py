"""Campaign parameters do what they say, and an innocent twin stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import ConfigError
from stillwatch.simulate import load_world, read_corpus, simulate
from stillwatch.tables import Dataset

COLUMNS = ["exchange_id", "account_id", "ts", "prompt_text", "network_kind", "client_fingerprint"]


def campaign(folder: Path, *settings: str, name: str = "reasoning") -> tuple[pa.Table, pa.Table]:
    """Simulate and return (exchanges, accounts) of one campaign."""
    world = load_world("tiny", scale=0.5, settings=["world.days=3", *settings])
    simulate(world, folder, seed=4)
    dataset = Dataset.open(folder)
    accounts, labels = dataset.labels()
    ours = labels.filter(pc.equal(labels["campaign_id"], name))["exchange_id"]
    people = accounts.filter(pc.equal(accounts["campaign_id"], name))["account_id"]
    table = pa.Table.from_batches(list(dataset.batches(COLUMNS)))
    members = dataset.accounts()
    return (
        table.filter(pc.is_in(table["exchange_id"], ours.combine_chunks())),
        members.filter(pc.is_in(members["account_id"], people.combine_chunks())),
    )


def heads(table: pa.Table) -> int:
    """Count distinct first 40 bytes of prompts."""
    return len(pc.unique(pc.utf8_slice_codeunits(table["prompt_text"], 0, 40)))


def test_paraphrase_raises_the_number_of_wordings(tmp_path: Path) -> None:
    """From one wording a job to a new one for each request."""
    found = [heads(campaign(tmp_path / str(n), f"campaign.reasoning.paraphrase={n}")[0]) for n in (0, 1, 2, 3)]
    assert found[0] <= 12
    assert found == sorted(found)
    assert found[3] > 5 * found[1]


def test_residential_share_moves_accounts_to_consumer_lines(tmp_path: Path) -> None:
    """All or nothing at the ends of the range."""
    for share, kind in ((0.0, "hosting"), (1.0, "residential")):
        table, _ = campaign(tmp_path / kind, f"campaign.reasoning.residential={share}")
        assert set(pc.unique(table["network_kind"]).to_pylist()) - {"unknown", None} == {kind}


def test_payment_and_client_sharing_follow_their_parameters(tmp_path: Path) -> None:
    """Own cards and own clients when the campaign pays for them; one client when it does not."""
    table, people = campaign(tmp_path / "own", "campaign.reasoning.payment_share=0", "campaign.reasoning.own_client=1")
    paid = people["payment_hash"].drop_null()
    assert len(pc.unique(paid)) == len(paid)
    assert len(pc.unique(table["client_fingerprint"])) > 3
    table, people = campaign(tmp_path / "one", "campaign.reasoning.payment_share=1", "campaign.reasoning.own_client=0")
    assert len(pc.unique(people["payment_hash"])) <= people.num_rows / 2
    assert len(pc.unique(table["client_fingerprint"].drop_null())) == 1


def test_jitter_blurs_the_schedule(tmp_path: Path) -> None:
    """Fewer requests fall together in one minute when jitter is large."""
    busiest = []
    for jitter in (5, 7200):
        table, _ = campaign(tmp_path / str(jitter), f"campaign.reasoning.jitter_s={jitter}")
        minutes = table["ts"].cast(pa.int64()).to_numpy() // 60_000_000
        busiest.append(np.bincount((minutes - minutes.min()).astype(int)).max() / table.num_rows)
    assert busiest[0] > 2 * busiest[1]


def test_no_cover_means_no_own_traffic(tmp_path: Path) -> None:
    """With cover 0 every exchange of the campaign's accounts is the campaign's."""
    table, people = campaign(tmp_path, "campaign.reasoning.cover=0")
    everything = pa.Table.from_batches(list(Dataset.open(tmp_path).batches(["account_id"])))
    mine = pc.is_in(everything["account_id"], people["account_id"].combine_chunks())
    assert pc.sum(mine).as_py() == table.num_rows


def test_a_corpus_replaces_the_words_by_kind_and_nothing_else(tmp_path: Path) -> None:
    """Customers draw from user prompts, harnesses from eval, campaigns from distill; identities stay the same."""
    (tmp_path / "c").mkdir()
    rows = [
        (f"s{n % 3}", kind, f"{kind} text {n}", None, "en") for kind in ("user", "eval", "distill") for n in range(90)
    ]
    names = ("source", "kind", "text", "system_text", "lang")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    columns["system_text"] = pa.nulls(len(rows), pa.string())
    pq.write_table(pa.table(columns), tmp_path / "c" / "prompts.parquet")
    world = load_world("tiny", scale=0.1, settings=["world.days=2"])
    simulate(world, tmp_path / "corpus", seed=4, corpus=read_corpus(tmp_path / "c"))
    simulate(world, tmp_path / "grammar", seed=4)
    drawn, plain = Dataset.open(tmp_path / "corpus"), Dataset.open(tmp_path / "grammar")
    assert drawn.accounts().equals(plain.accounts())
    accounts, exchanges = drawn.labels()
    ours = dict(zip(exchanges["exchange_id"].to_pylist(), exchanges["campaign_id"].to_pylist(), strict=True))
    population = dict(zip(accounts["account_id"].to_pylist(), accounts["population"].to_pylist(), strict=True))
    for row in pa.Table.from_batches(list(drawn.batches(["exchange_id", "account_id", "prompt_text"]))).to_pylist():
        evaluates = population[row["account_id"]] == "evaluation"
        kind = "distill" if ours[row["exchange_id"]] else "eval" if evaluates else "user"
        if kind != "user" or population[row["account_id"]] == "ordinary":
            assert row["prompt_text"].startswith(kind)


def test_a_corpus_without_a_kind_is_an_error(tmp_path: Path) -> None:
    """A folder that lacks eval prompts is refused before anything is written."""
    table = pa.table({"source": ["s"], "kind": ["user"], "text": ["t"]})
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(ConfigError, match="eval"):
        read_corpus(tmp_path)
