"""The same world in raw formats: as many records, the same ids, the fields that the formats document."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import ConfigError
from stillwatch.ingest.messages import conversation
from stillwatch.simulate import FORMATS, World, load_world, make_world, simulate, write_logs
from stillwatch.simulate.rawlogs import lines
from stillwatch.tables import Dataset


@pytest.fixture(scope="module")
def world() -> World:
    """Return a small cut of tiny."""
    return load_world("tiny", scale=0.05, settings=["world.days=3"])


@pytest.fixture(scope="module")
def canonical(world: World, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Write the canonical tables of the world."""
    folder = tmp_path_factory.mktemp("canonical")
    simulate(world, folder, seed=2)
    return Dataset.open(folder)


def records(folder: Path, form: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a log folder; spans for OpenTelemetry."""
    for file in sorted((folder / "logs").iterdir()):
        with file.open(encoding="utf-8", newline="") as handle:
            if form == "csv":
                yield from csv.DictReader(handle)
            elif form == "otel":
                for line in handle:
                    for scope in json.loads(line)["resourceSpans"][0]["scopeSpans"]:
                        yield from scope["spans"]
            else:
                yield from map(json.loads, handle)


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    """Return a span's attributes as plain values."""
    return {a["key"]: next(iter(a["value"].values())) for a in span["attributes"]}


def identify(record: dict[str, Any], form: str) -> tuple[str, str]:
    """Return exchange id and account of a record."""
    if form == "litellm":
        return record["id"], record["metadata"]["user_api_key_user_id"]
    if form == "otel":
        known = attributes(record)
        return known["gen_ai.response.id"], known["user.id"]
    return record.get("id") or record["exchange_id"], record["account_id"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_raw_format_holds_the_same_exchanges_and_truth(
    world: World, canonical: Dataset, tmp_path: Path, form: str
) -> None:
    """Ids and accounts agree with the canonical tables, and labels are the same beside the logs."""
    write_logs(make_world(world, seed=2), tmp_path, form)
    found = [identify(record, form) for record in records(tmp_path, form)]
    table = pa.Table.from_batches(list(canonical.batches(["exchange_id", "account_id"])))
    expected = list(zip(table["exchange_id"].to_pylist(), table["account_id"].to_pylist(), strict=True))
    assert sorted(found) == sorted(expected)
    accounts, exchanges = canonical.labels()
    assert pq.read_table(tmp_path / "labels" / "accounts.parquet").equals(accounts)
    assert pq.read_table(tmp_path / "labels" / "exchanges.parquet").equals(exchanges)
    people = [json.loads(line) for line in (tmp_path / "accounts.ndjson").read_text(encoding="utf-8").splitlines()]
    assert [p["account_id"] for p in people] == canonical.accounts()["account_id"].to_pylist()


def test_raw_logs_hold_raw_addresses_of_reserved_ranges_only(world: World, tmp_path: Path) -> None:
    """Addresses are dotted quads that belong to nobody; e-mail domains are reserved names."""
    write_logs(make_world(world, seed=2), tmp_path, "litellm")
    for record in records(tmp_path, "litellm"):
        address = record.get("requester_ip_address", "10.0.0.1")
        first, second = map(int, address.split(".")[:2])
        private = first == 10 or (first, second) == (192, 168) or (first == 172 and 16 <= second < 32)
        assert private or (first == 100 and 64 <= second < 128) or (first == 198 and second in (18, 19)), address
    for line in (tmp_path / "accounts.ndjson").read_text(encoding="utf-8").splitlines():
        domain = json.loads(line).get("email_domain", "a.example")
        assert domain.rsplit(".", 1)[1] in ("example", "test", "invalid")


def test_a_failed_exchange_has_no_answer_in_the_log(world: World, tmp_path: Path) -> None:
    """LiteLLM failures carry the code and no response."""
    write_logs(make_world(world, seed=2), tmp_path, "litellm")
    failed = [r for r in records(tmp_path, "litellm") if r["status"] == "failure"]
    assert failed
    assert all("response" not in r and r["error_information"]["error_code"].isdigit() for r in failed)
    good = next(r for r in records(tmp_path, "litellm") if r["status"] == "success")
    assert good["response"]["usage"]["prompt_tokens"] == good["prompt_tokens"]


def test_tool_schemas_are_valid_json_in_every_format(world: World, tmp_path: Path) -> None:
    """Tools are structures in OpenAI and Anthropic bodies, each with the API's own shape."""
    write_logs(make_world(world, seed=2), tmp_path / "o", "openai")
    write_logs(make_world(world, seed=2), tmp_path / "a", "anthropic")
    ours = [r["request"]["tools"] for r in records(tmp_path / "o", "openai") if "tools" in r["request"]]
    theirs = [r["request"]["tools"] for r in records(tmp_path / "a", "anthropic") if "tools" in r["request"]]
    assert ours
    assert [[t["function"]["name"] for t in one] for one in ours] == [[t["name"] for t in one] for one in theirs]


def test_an_unknown_format_is_an_error(world: World, tmp_path: Path) -> None:
    """Only the documented formats are written."""
    with pytest.raises(ConfigError, match="morse"):
        write_logs(make_world(world), tmp_path, "morse")


@pytest.mark.parametrize("form", ["litellm", "otel", "openai", "anthropic"])
def test_replayed_reasoning_is_in_the_messages_and_absent_otherwise(form: str) -> None:
    """A reader finds the reference that a request sends back, and the prompt is what it was; without one, nothing."""
    found = []
    for reference in ("rsn_1", None):
        row = {"exchange_id": "e", "account_id": "a", "ts": 0, "model": "m", "status": 200, "prompt_text": "Go on."}
        record = json.loads(next(lines([{**row, "prior_reasoning_id": reference}], form)))
        if form == "otel":
            span = record["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
            messages = attributes(span)["gen_ai.input.messages"]
        else:
            messages = record.get("request", record)["messages"]
        talk = conversation(messages)
        assert talk.prompt == "Go on."
        found.append(talk.reasoning_id)
    assert found[0]
    assert found[1] is None
