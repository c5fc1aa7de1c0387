"""What each format's records become."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import ConfigError, InputError, MissingExtra
from stillwatch.ingest import load_field_map, load_identity, load_networks
from stillwatch.tables import Dataset


def test_litellm_payload_fills_what_the_contract_knows(ingest: Any, stored: Any, examples: Path) -> None:
    """A LiteLLM payload gives identity, text, tokens and client facts; a failure keeps its status."""
    report = ingest(examples / "litellm.jsonl")
    assert (report.added, report.rejected) == (2, 0)
    good, failed = stored()
    assert good["ip"].startswith("hmac-sha256:")
    wanted = {
        "exchange_id": "chatcmpl-31",
        "account_id": "acct-2",
        "api_key_id": "0f3b",
        "end_user_id": "customer-9",
        "session_id": "sess-1",
        "ts": 1767225631250000,
        "model": "m-large",
        "endpoint": "/v1/chat/completions",
        "status": 200,
        "surface": "api",
        "ip_prefix": "198.18.3.0/24",
        "asn": 64500,
        "country": "NZ",
        "network_kind": "hosting",
        "tls_fingerprint": "t13d1516h2_8daaf6152771_b0da82dd1658",
        "client_fingerprint": "sdk-a",
        "system_text": "Answer briefly.",
        "prompt_text": "Name a bird.",
        "response_text": "Tui.",
        "input_tokens": 18,
        "reasoning_tokens": 2,
        "cached_tokens": 4,
        "max_tokens": 128,
        "latency_ms": 1250.0,
        "refused": False,
    }
    assert {name: good[name] for name in wanted} == wanted
    assert failed["status"] == 429
    assert "response_text" not in failed


def test_spend_logs_read_json_columns_and_fall_back_to_the_key(ingest: Any, stored: Any, examples: Path) -> None:
    """SpendLogs rows without a user belong to the key; JSON kept as text is read."""
    ingest(examples / "litellm-spend.csv")
    with_user, without = stored()
    assert (with_user["account_id"], with_user["prompt_text"], with_user["response_text"]) == (
        "acct-2",
        "Name a tree.",
        "Kauri.",
    )
    assert without["account_id"] == "0f3c"
    assert "prompt_text" not in without


def test_otel_joins_message_events_to_their_span(ingest: Any, stored: Any, examples: Path) -> None:
    """Events of the second generation meet their span, whichever file comes first; tool spans are no exchange."""
    for order in (("otel-2-spans.jsonl", "otel-2-logs.jsonl"), ("otel-2-logs.jsonl", "otel-2-spans.jsonl")):
        report = ingest(*(examples / name for name in order))
        assert report.skips == {"span of a tool or agent, no exchange": 1}
    (row,) = stored()
    assert (row["system_text"], row["prompt_text"], row["response_text"]) == (
        "Answer briefly.",
        "Name a mountain.",
        "Aoraki.",
    )
    assert row["exchange_id"] == "resp-11"


def test_otel_newest_generation_reads_text_and_structure(ingest: Any, stored: Any, examples: Path) -> None:
    """Messages as JSON text and as structured values read alike; pictures show as a modality."""
    ingest(examples / "otel-3-messages.jsonl")
    text, structured = stored()
    assert text["modalities"] == ["text", "image"]
    assert text["prompt_text"] == "What is in this picture?"
    assert text["system_text"] == "Answer briefly."
    assert json.loads(text["tools_json"])[0]["name"] == "zoom"
    assert (text["session_id"], text["reasoning_tokens"], text["cached_tokens"]) == ("conv-7", 4, 8)
    assert (structured["prompt_text"], structured["response_text"]) == ("And in that one?", "A tern.")


@pytest.mark.parametrize(
    ("files", "asked", "answered"),
    [
        (("otel-1-prompts.jsonl",), "gen_ai.prompt.N.content", "gen_ai.completion.N.content"),
        (("otel-2-spans.jsonl", "otel-2-logs.jsonl"), "gen_ai.system.message", "gen_ai.choice"),
        (("otel-3-messages.jsonl",), "gen_ai.input.messages", "gen_ai.output.messages"),
    ],
)
def test_otel_coverage_credits_questions_and_answers_each_to_its_own_attribute(
    ingest: Any, examples: Path, files: tuple[str, ...], asked: str, answered: str
) -> None:
    """Whatever the generation, an answer is not said to come from where the question stood."""
    columns = ingest(*(examples / name for name in files)).coverage["columns"]
    assert asked in columns["prompt_text"]["from"]
    assert answered in columns["response_text"]["from"]
    assert not set(columns["prompt_text"]["from"]) & set(columns["response_text"]["from"])


def test_otel_oldest_generation_reads_indexed_prompts(ingest: Any, stored: Any, examples: Path) -> None:
    """`gen_ai.prompt.N.content` and whole `gen_ai.prompt` both give text; ids come from the span."""
    ingest(examples / "otel-1-prompts.jsonl")
    indexed, whole = stored()
    assert (indexed["system_text"], indexed["prompt_text"]) == ("Answer briefly.", "Name three rivers.")
    assert (whole["prompt_text"], whole["response_text"]) == ("Name a lake.", "Taupo.")
    assert indexed["exchange_id"] == f"{1:032x}-{1:016x}"


def test_events_without_their_span_are_rejected_not_lost(ingest: Any, rejects: Any, examples: Path) -> None:
    """Log events whose span never came are kept as rejects; a window of one lets them wait in vain."""
    ingest(examples / "otel-2-logs.jsonl", max_reject_share=1.0)
    (reject,) = rejects()
    assert "whose span is not in the sources" in reject["reason"]


def test_details_event_stands_alone(ingest: Any, stored: Any, log: Any) -> None:
    """The details event of the newest generation makes a row without any span."""
    attributes = {
        "gen_ai.request.model": "m",
        "user.id": "u",
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]),
    }
    listed = [{"key": name, "value": {"stringValue": value}} for name, value in attributes.items()]
    entry = {
        "timeUnixNano": "1767225600000000000",
        "eventName": "gen_ai.client.inference.operation.details",
        "attributes": listed,
    }
    ingest(log([{"resourceLogs": [{"scopeLogs": [{"logRecords": [entry]}]}]}]))
    (row,) = stored()
    assert (row["account_id"], row["prompt_text"]) == ("u", "Hi")


@pytest.mark.parametrize("framed", [False, True])
def test_otlp_protobuf_gives_what_json_gives(
    ingest: Any, stored: Any, log: Any, examples: Path, into: Path, framed: bool
) -> None:
    """The protobuf form of an export, bare or with lengths in front, gives the rows of its JSON form."""
    parse = pytest.importorskip("google.protobuf.json_format").ParseDict
    trace = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")
    logs = pytest.importorskip("opentelemetry.proto.logs.v1.logs_pb2")

    def of(name: str, kind: Any) -> bytes:
        value = json.loads((examples / name).read_text())
        for group in ("resourceSpans", "resourceLogs"):
            for block in value.get(group, []):
                for scope in block.get("scopeSpans", block.get("scopeLogs", [])):
                    for entry in scope.get("spans", scope.get("logRecords", [])):
                        for name_ in ("traceId", "spanId"):
                            entry[name_] = base64.b64encode(bytes.fromhex(entry[name_])).decode()
        data: bytes = parse(value, kind()).SerializeToString()
        return struct.pack(">I", len(data)) + data if framed else data

    ingest(
        log(of("otel-2-spans.jsonl", trace.TracesData), "spans.pb"),
        log(of("otel-2-logs.jsonl", logs.LogsData), "logs.pb"),
        log(of("otel-3-messages.jsonl", trace.TracesData), "more.pb"),
    )
    proto = [{**row, "source": "", "source_line": 0} for row in stored()]
    shutil.rmtree(into)
    ingest(*(examples / name for name in ("otel-2-spans.jsonl", "otel-2-logs.jsonl", "otel-3-messages.jsonl")))
    assert proto == [{**row, "source": "", "source_line": 0} for row in stored()]


def test_protobuf_without_its_package_names_the_extra(ingest: Any, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without opentelemetry-proto, protobuf files end in an error that says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.trace.v1.trace_pb2", None)
    with pytest.raises(MissingExtra, match=r"stillwatch\[otlp\]"):
        ingest(log(b"\x0a\x02\x12\x00", "spans.pb"))


def test_openai_dialects(ingest: Any, stored: Any, examples: Path) -> None:
    """Chat and Responses lines: refusals, choices, log-probabilities, replayed reasoning, conversations."""
    ingest(examples / "openai.jsonl")
    chat, responses = stored()
    assert (chat["refused"], chat["n_choices"], chat["logprobs_requested"]) == (True, 2, True)
    assert (chat["end_user_id"], chat["response_text"]) == ("user-77", "I would rather not.")
    assert (responses["prompt_text"], responses["system_text"]) == ("Name an insect.", "Answer briefly.")
    assert (responses["session_id"], responses["response_text"]) == ("conv-9", "Weta.")
    assert (responses["reasoning_tokens"], responses["cached_tokens"], responses["max_tokens"]) == (5, 3, 64)
    assert len(responses["prior_reasoning_id"]) == 32


def test_batch_halves_meet_on_custom_id(ingest: Any, stored: Any, examples: Path) -> None:
    """Requests and answers of a batch are one exchange each, in whatever order they stand."""
    report = ingest(examples / "openai-batch-in.jsonl", examples / "openai-batch-out.jsonl")
    assert report.added == 2
    first, second = stored()
    assert (first["prompt_text"], first["response_text"]) == ("Task 1: name a fern.", "Ponga.")
    assert (second["surface"], second["status"], second["account_id"]) == ("batch", 200, "acct-4")


def test_a_custom_id_in_two_batches_is_not_guessed(ingest: Any, rejects: Any, log: Any, examples: Path) -> None:
    """Two batches with the same custom ids cannot be told apart: the second is rejected, the first joined."""
    text = (examples / "openai-batch-in.jsonl").read_text()
    report = ingest(
        log(text, "a.jsonl"), log(text, "b.jsonl"), examples / "openai-batch-out.jsonl", max_reject_share=1.0
    )
    assert (report.added, report.rejected) == (2, 2)
    assert "stands twice" in rejects()[0]["reason"]


def test_anthropic_messages(ingest: Any, stored: Any, examples: Path) -> None:
    """Anthropic: cached input is added, the last user message is the prompt, refusals are told."""
    ingest(examples / "anthropic.jsonl")
    talk, refused = stored()
    assert (talk["account_id"], talk["end_user_id"], talk["user_agent"]) == ("acct-5", "end-3", "client/1.0")
    assert (talk["prompt_text"], talk["system_text"], talk["response_text"]) == ("Another.", "Answer briefly.", "Pipi.")
    assert (talk["input_tokens"], talk["cached_tokens"], talk["modalities"]) == (100, 90, ["text", "image"])
    assert "prior_reasoning_id" in talk
    assert (talk["refused"], refused["refused"]) == (False, True)
    assert talk["ip_prefix"] == "198.18.3.0/24"


def test_a_field_map_reads_any_log(ingest: Any, stored: Any, examples: Path) -> None:
    """Kong's entries through the example map: nested paths, units, constants, bodies."""
    ingest(examples / "kong.ndjson", field_map=load_field_map(examples / "kong.toml"))
    row, _ = stored()
    wanted = {
        "exchange_id": "req-0",
        "account_id": "acct-6",
        "ts": 1767225680000000,
        "model": "m-large",
        "surface": "api",
        "prompt_text": "Name a stone.",
        "response_text": "Pounamu.",
        "user_agent": "client/1.0",
        "temperature": 0.0,
    }
    assert {name: row[name] for name in wanted} == wanted


def test_a_field_map_reads_csv_units_lists_and_flags(ingest: Any, stored: Any, log: Any) -> None:
    """Separators, strptime formats and flag words apply to CSV and Parquet alike."""
    mapping = log(
        '[exchanges]\naccount_id = "who"\nts = { from = "at", unit = "%d.%m.%Y %H:%M" }\nmodel = { constant = "m" }\n'
        'modalities = { from = "kinds", separator = "|" }\nrefused = { from = "out", true = ["no"], false = ["ok"] }\n',
        "map.toml",
    )
    source = log("who,at,kinds,out\na,02.01.2026 03:04,text|image,no\nb,02.01.2026 03:05,text,ok\n", "x.csv")
    parquet = source.with_suffix(".parquet")
    pq.write_table(pa.table({"who": ["c"], "at": ["02.01.2026 03:06"], "kinds": ["text"], "out": ["?"]}), parquet)
    ingest(source, parquet, field_map=load_field_map(mapping))
    rows = sorted(stored(), key=lambda row: row["account_id"])
    assert [(row["modalities"], row.get("refused")) for row in rows] == [
        (["text", "image"], True),
        (["text"], False),
        (["text"], None),
    ]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('[exchanges]\naccount_id = "a"\nts = "t"\nmodle = "m"\n', 4, "did you mean model?"),
        ('[exchanges]\naccount_id = "a"\nts = "t"\n', 1, "maps no model"),
        ('[exchanges]\nts = { from = "t", unit = "days" }\n', 2, "unit of ts"),
        ('[exchange]\nts = "t"\n', 1, "did you mean exchanges?"),
        ('[exchanges]\nts = = "t"\n', 2, "not TOML"),
        ('[exchanges]\nts = { of = "t" }\n', 2, "unknown setting"),
        ("[exchanges]\nts = 7\n", 2, "wants a path"),
    ],
)
def test_field_map_errors_point_at_the_line(log: Any, text: str, line: int, says: str) -> None:
    """A wrong field map is refused at its file and line, with the nearest right word."""
    with pytest.raises(ConfigError, match="toml") as caught:
        load_field_map(log(text, "map.toml"))
    assert caught.value.line == line
    assert says in caught.value.message


def test_identity_map_overrides_by_column(ingest: Any, stored: Any, log: Any, examples: Path) -> None:
    """A user's map names the account and sets constants; columns it leaves out keep the shipped lookups."""
    identity = load_identity(log('[litellm]\naccount_id = "metadata.user_api_key_team_id"\n', "id.toml"))
    ingest(examples / "litellm.jsonl", identity=identity)
    assert {(row["account_id"], row["end_user_id"]) for row in stored()} == {("team-1", "customer-9")}


@pytest.mark.parametrize(
    ("text", "line"), [("[litelm]\n", 1), ('[otel]\n\naccount = "x"\n', 3), ("[otel]\nip = 3\n", 2)]
)
def test_identity_map_errors_point_at_the_line(log: Any, text: str, line: int) -> None:
    """A wrong identity map is refused at its line."""
    with pytest.raises(ConfigError) as caught:
        load_identity(log(text, "id.toml"))
    assert caught.value.line == line


def test_networks_fill_what_the_log_lacks(ingest: Any, stored: Any, log: Any, row: Any, examples: Path) -> None:
    """The longest range wins; what the log says itself stays."""
    rows = [row(0, ip="198.18.3.4"), row(1, ip="198.19.0.1", asn=7), row(2, ip="203.0.113.1")]
    ingest(log(rows), networks=load_networks(examples / "networks.csv"))
    longest, own, outside = stored()
    assert (longest["asn"], longest["network_kind"], longest["country"]) == (64501, "proxy", "NZ")
    assert (own["asn"], own["network_kind"]) == (7, "hosting")
    assert "asn" not in outside


def test_networks_errors_point_at_the_row(log: Any) -> None:
    """A range that is none is refused at its line."""
    with pytest.raises(ConfigError, match="nonsense") as caught:
        load_networks(log("range,asn\n10.0.0.0/8,1\nnonsense,2\n", "n.csv"))
    assert caught.value.line == 3


def test_accounts_and_launches_are_hashed_and_merged(ingest: Any, into: Path, examples: Path, log: Any) -> None:
    """Accounts merge by id over runs: later non-empty values win; domains and issuer ranges are kept, not numbers."""
    ingest(examples / "canonical.ndjson", accounts=(examples / "accounts.csv",), launches=(examples / "launches.csv",))
    ingest(
        examples / "canonical.ndjson",
        accounts=(log([{"account_id": "acct-1", "closed_at": "2026-01-05"}], "c.ndjson"),),
    )
    dataset = Dataset.open(into)
    ann, bo = dataset.accounts().select(["account_id", "email_domain", "payment_bin", "billing_country"]).to_pylist()
    assert ann == {
        "account_id": "acct-1",
        "email_domain": "example.org",
        "payment_bin": "411111",
        "billing_country": "NZ",
    }
    assert bo["payment_bin"] is None
    assert dataset.accounts().column("closed_at").is_valid().to_pylist() == [True, False]
    assert dataset.launches().column("model").to_pylist() == ["m-large"]
    stored = (into / "accounts.parquet").read_bytes()
    assert b"4111111111111111" not in stored
    assert b"ann@" not in stored


def test_array_ndjson_zstd_folder_and_glob_give_the_same(
    ingest: Any, stored: Any, log: Any, row: Any, into: Path, tmp_path: Path
) -> None:
    """One log as array, pretty-printed, gzip, zstd or Parquet, named by file, folder or glob: the same rows."""
    rows = [row(n) for n in range(50)]
    lines = "".join(json.dumps(one) + "\n" for one in rows).encode()
    shapes = {
        "a/x.json": json.dumps(rows).encode(),
        "b/x.json": json.dumps(rows, indent=2).encode(),
        "c/x.jsonl.gz": gzip.compress(lines[:1000]) + gzip.compress(lines[1000:]),
        "d/x.jsonl.zst": pa.compress(lines, "zstd", asbytes=True),
        "e/no-ending": lines,
    }
    for name, content in shapes.items():
        log(content, name)
    (tmp_path / "f").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "f" / "x.parquet")
    assert ingest(tmp_path / "a").added == 50
    for source in (tmp_path / "b", f"{tmp_path}/[cd]/*", tmp_path / "e" / "no-ending", tmp_path / "f"):
        report = ingest(source)
        assert (report.added, report.rejected) == (0, 0)
        assert report.duplicates in (50, 100)
    assert len(stored()) == 50


def test_a_dataset_is_a_source(ingest: Any, stored: Any, examples: Path, into: Path, key: Any, tmp_path: Path) -> None:
    """A dataset's own Parquet reads back to the same rows, hashes kept as they are."""
    ingest(examples / "litellm.jsonl", accounts=(examples / "accounts.csv",))
    before, accounts = stored(), Dataset.open(into).accounts()
    moved = into.rename(tmp_path / "first")
    ingest(moved)
    strip = [{k: v for k, v in row.items() if not k.startswith("source")} for row in before]
    assert [{k: v for k, v in row.items() if not k.startswith("source")} for row in stored()] == strip
    assert Dataset.open(into).accounts().equals(accounts)


def test_unknown_formats_are_named(ingest: Any, log: Any) -> None:
    """A file of no known format says what it holds and what to do; a mistyped format gives the nearest."""
    with pytest.raises(InputError, match=r"log\.jsonl: format not recognised .*members x.*--map"):
        ingest(log([{"x": 1}]))
    with pytest.raises(ConfigError, match="did you mean litellm"):
        ingest(log([{"x": 1}]), form="litelm")
