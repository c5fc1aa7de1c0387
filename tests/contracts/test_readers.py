"""Every reader of the catalogue keeps the promises of ``stillwatch.ingest.checks``, on the example logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillwatch.ingest import READERS, Limits, load_field_map
from stillwatch.ingest.catalogue import recognise
from stillwatch.ingest.checks import CHECKS, PromiseBroken, check_ids_stable, check_reader, outcomes
from stillwatch.ingest.containers import container_of, records
from stillwatch.ingest.identity import default_identity
from stillwatch.ingest.reader import Each, Mapped, Plan, Reader, Record
from stillwatch.ingest.sources import SourceFile

EXAMPLES = Path(__file__).parents[2] / "examples" / "ingest"
SAMPLES = {
    "otel": ["otel-1-prompts.jsonl", "otel-2-spans.jsonl", "otel-2-logs.jsonl", "otel-3-messages.jsonl"],
    "litellm": ["litellm.jsonl"],
    "litellm-spend": ["litellm-spend.csv"],
    "openai": ["openai.jsonl", "openai-batch-in.jsonl", "openai-batch-out.jsonl"],
    "anthropic": ["anthropic.jsonl"],
    "canonical": ["canonical.ndjson"],
    "accounts": ["accounts.csv"],
    "launches": ["launches.csv"],
    "map": ["kong.ndjson"],
    "map-accounts": ["accounts.csv"],
    "map-launches": ["launches.csv"],
}


def sample(name: str) -> list[Any]:
    """Return the parsed records of one example file."""
    file = SourceFile(EXAMPLES / name, name)
    found = list(records(file, container_of(file), Limits()))
    assert all(isinstance(record, Record) for record in found)
    return [record.value for record in found]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Make a plan with a field map for all three tables."""
    text = (EXAMPLES / "kong.toml").read_text()
    text += '\n[accounts]\naccount_id = "account_id"\ncreated_at = "created_at"\nemail = "email"\n'
    text += '\n[launches]\nmodel = "model"\nreleased_at = "released_at"\n'
    path = tmp_path / "map.toml"
    path.write_text(text)
    return Plan(default_identity(), load_field_map(path))


def test_every_reader_has_a_sample() -> None:
    """No reader of the catalogue goes untested."""
    assert set(SAMPLES) == set(READERS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", READERS)
def test_reader_keeps_its_promises(name: str, check: Any, plan: Plan) -> None:
    """Each reader is deterministic, leaves input alone, rejects instead of raising, fills, adds up, names stably."""
    check(READERS[name], [value for file in SAMPLES[name] for value in sample(file)], plan)


@pytest.mark.parametrize(
    ("file", "name"), [(f, name) for name, files in SAMPLES.items() if not name.startswith("map") for f in files]
)
def test_each_example_is_recognised_as_its_format(file: str, name: str) -> None:
    """The catalogue gives a file to the reader of its format, without being told."""
    reader = recognise(sample(file))
    assert reader is not None
    assert reader.name == name


def test_a_foreign_log_is_recognised_by_none() -> None:
    """Kong's entries, which need a field map, are taken for no built-in format."""
    assert recognise(sample("kong.ndjson")) is None


def test_an_envelope_with_our_names_is_still_an_envelope() -> None:
    """A line that holds a request body goes to the reader of bodies, whatever its other members are called."""
    line = {"account_id": "a", "ts": 1767225600, "model": "m", "request": {"messages": []}}
    reader = recognise([line])
    assert reader is not None
    assert reader.name == "openai"


def test_a_reader_that_breaks_a_promise_is_caught(plan: Plan) -> None:
    """The checks do fail: a reader that names exchanges by their order is found out."""
    count = iter(range(1000))
    forgetful = Reader(
        "forgetful",
        "",
        lambda _: True,
        lambda _: Each(lambda value: {"exchange_id": (f"{next(count)}", "counter"), **_known(value)}),
    )
    with pytest.raises(PromiseBroken, match="ids depend"):
        check_ids_stable(forgetful, [{"a": 1}, {"a": 2}], plan)
    with pytest.raises(PromiseBroken):
        check_reader(forgetful, [{"a": 1}], plan)


def _known(_: Any) -> dict[str, tuple[object, str]]:
    return {"account_id": ("a", "x"), "ts": (1, "x"), "model": ("m", "x")}


def test_all_generations_of_otel_give_rows(plan: Plan) -> None:
    """The three generations of attribute names each fill prompt and response."""
    values = [value for file in SAMPLES["otel"] for value in sample(file)]
    rows = [o.cells for o in outcomes(READERS["otel"], values, plan) if isinstance(o, Mapped)]
    assert len(rows) == 5
    assert all({"prompt_text", "response_text", "account_id", "model", "ts"} <= set(row) for row in rows)
