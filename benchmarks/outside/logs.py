"""Write a world as a provider's log writer does: LiteLLM lines, OpenTelemetry spans or canonical Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.outside.world import DAY, MODELS, START, World, stamp

Record = dict[str, Any]
SPANS = 50
ADDRESS = {"ip": "client.address", "asn": "client.as.number", "kind": "network.kind", "country": "geo.country.iso_code"}
SENDER = {"agent": "user_agent.original", "tls": "tls.client.ja4", "fingerprint": "client.fingerprint"}
HEADERS = {"tls": "x-ja4", "fingerprint": "x-client-fingerprint"}
PLACE = {"asn": "x-asn", "country": "x-country", "kind": "x-network-kind"}


def write(world: World, folder: Path) -> None:
    """Write ``logs/``, accounts.ndjson, launches.ndjson and, apart from them, truth.json."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    for row in world.rows:
        row["id"] = world.token(11)
    _FORMS[world.setting.form](world, folder / "logs")
    people = {row["account"] for row in world.rows}
    with (folder / "accounts.ndjson").open("w", encoding="utf-8") as out:
        for name in sorted(people):
            known = _known(world.accounts[name].record, world.setting.missing)
            out.write(json.dumps(known, default=int) + "\n")
    _launches(world, folder / "launches.ndjson")
    truth = {
        "accounts": {a: (world.accounts[a].population, world.accounts[a].campaign) for a in sorted(people)},
        "exchanges": {row["id"]: row["campaign"] for row in world.rows if row["campaign"]},
    }
    (folder / "truth.json").write_text(json.dumps(truth))


def _known(record: Record, missing: frozenset[str]) -> Record:
    """Return what the provider kept of an account."""
    if "identity" in missing:
        return {name: record[name] for name in ("account_id", "created_at", "plan")}
    kept = {name: value for name, value in record.items() if value is not None}
    return {n: v for n, v in kept.items() if not (n.startswith("payment") and "payment" in missing)}


def _launches(world: World, path: Path) -> None:
    released = dict.fromkeys(MODELS, START - 190 * DAY)
    if launch := world.setting.launch:
        released[launch.model] = START + launch.day * DAY
    lines = [json.dumps({"model": model, "released_at": stamp(at)}) for model, at in released.items()]
    path.write_text("\n".join(lines) + "\n")


def _seen(world: World, row: Record) -> tuple[Record, Record, list[Record] | None]:
    """Return address, client and messages of an exchange as far as the log keeps them."""
    missing = world.setting.missing
    address = {} if "ip" in missing else row["address"]._asdict()
    sender = {n: v for n, v in row["client"]._asdict().items() if n not in missing and v is not None}
    said = [{"role": "system", "content": row["system"]}] if row["system"] else []
    said += [{"role": role, "content": text} for role, text in row["turns"]]
    return address, sender, None if "text" in missing else said


def _key(row: Record) -> str:
    return f"{int(row['account'][5:], 16) ^ 0x5A5A5A5A5A5A5A5A5A5A:020x}"


def _seconds(row: Record) -> float:
    return 0.4 + float(row["output"]) / 80


def _litellm(world: World, row: Record) -> Record:
    """Return a LiteLLM StandardLoggingPayload."""
    address, sender, said = _seen(world, row)
    headers = {HEADERS[n]: v for n, v in sender.items() if n in HEADERS}
    headers |= {PLACE[n]: str(v) for n, v in address.items() if n in PLACE}
    settings = {n: row[n] for n in ("temperature", "max_tokens", "tools") if row[n] is not None}
    usage: Record = {"prompt_tokens": row["input"], "completion_tokens": row["output"]}
    if row["reasoning"]:
        usage["completion_tokens_details"] = {"reasoning_tokens": row["reasoning"]}
    answer = {"role": "assistant", "content": row["answer"]}
    return {
        "id": row["id"],
        "call_type": "acompletion",
        "status": "success",
        "model": row["model"],
        "session_id": row["session"],
        "startTime": row["at"],
        "endTime": row["at"] + _seconds(row),
        "prompt_tokens": row["input"],
        "completion_tokens": row["output"],
        "total_tokens": row["input"] + row["output"],
        "end_user": row["end_user"],
        "requester_ip_address": address.get("ip"),
        "user_agent": sender.get("agent"),
        "messages": said,
        "response": {"id": row["id"], "choices": [{"message": answer, "finish_reason": "stop"}], "usage": usage},
        "model_parameters": settings,
        "metadata": {
            "user_api_key_hash": _key(row),
            "user_api_key_user_id": row["account"],
            "requester_custom_headers": headers | {"x-surface": row["surface"]},
        },
    }


def _span(world: World, row: Record) -> Record:
    """Return an OpenTelemetry GenAI span."""
    address, sender, said = _seen(world, row)
    values: Record = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "provider",
        "gen_ai.request.model": row["model"],
        "gen_ai.response.id": row["id"],
        "gen_ai.usage.input_tokens": row["input"],
        "gen_ai.usage.output_tokens": row["output"],
        "gen_ai.usage.reasoning.output_tokens": row["reasoning"],
        "gen_ai.conversation.id": row["session"],
        "gen_ai.request.temperature": row["temperature"],
        "gen_ai.request.max_tokens": row["max_tokens"],
        "enduser.id": row["account"],
    }
    if said is not None:
        values["gen_ai.input.messages"] = json.dumps([_parts(**one) for one in said], ensure_ascii=False)
        values["gen_ai.tool.definitions"] = json.dumps(row["tools"]) if row["tools"] else None
        answer = _parts("assistant", row["answer"] or "") | {"finish_reason": "stop"}
        values["gen_ai.output.messages"] = json.dumps([answer], ensure_ascii=False)
    values |= {ADDRESS[n]: v for n, v in address.items()} | {SENDER[n]: v for n, v in sender.items()}
    return {
        "traceId": row["id"].ljust(32, "0"),
        "spanId": row["id"][:16],
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(int(row["at"] * 1e9)),
        "endTimeUnixNano": str(int((row["at"] + _seconds(row)) * 1e9)),
        "attributes": [{"key": name, "value": _value(v)} for name, v in values.items() if v is not None],
    }


def _parts(role: str, content: str) -> Record:
    kind = {"type": "tool_call_response", "id": "call", "response": content}
    return {"role": role, "parts": [kind if role == "tool" else {"type": "text", "content": content}]}


def _value(value: Any) -> Record:
    if isinstance(value, str):
        return {"stringValue": value}
    return {"doubleValue": value} if isinstance(value, float) else {"intValue": str(value)}


def _canonical(world: World, row: Record) -> Record:
    """Return a row of the exchanges table."""
    address, sender, said = _seen(world, row)
    text = said is not None
    return {
        "exchange_id": row["id"],
        "account_id": row["account"],
        "ts": datetime.fromtimestamp(row["at"], UTC),
        "api_key_id": _key(row),
        "end_user_id": row["end_user"],
        "session_id": row["session"],
        "model": row["model"],
        "surface": row["surface"],
        "endpoint": "/v1/chat/completions",
        "status": 200,
        "latency_ms": int(_seconds(row) * 1000),
        "ip": address.get("ip"),
        "asn": address.get("asn"),
        "network_kind": address.get("kind"),
        "country": address.get("country"),
        "user_agent": sender.get("agent"),
        "tls_fingerprint": sender.get("tls"),
        "client_fingerprint": sender.get("fingerprint"),
        "system_text": row["system"] if text else None,
        "prompt_text": "\n\n".join(one for _, one in row["turns"]) if text else None,
        "tools_json": json.dumps(row["tools"]) if text and row["tools"] else None,
        "response_text": row["answer"] if text else None,
        "input_tokens": row["input"],
        "output_tokens": row["output"],
        "reasoning_tokens": row["reasoning"],
        "max_tokens": row["max_tokens"],
        "temperature": row["temperature"],
    }


def _lines(path: Path, records: Iterator[Record]) -> None:
    with path.open("w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_litellm(world: World, folder: Path) -> None:
    _lines(folder / "log.jsonl", (_litellm(world, row) for row in world.rows))


def _write_otel(world: World, folder: Path) -> None:
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "gateway"}}]}
    batches = (world.rows[first : first + SPANS] for first in range(0, len(world.rows), SPANS))
    requests = (
        {"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": [_span(world, row) for row in batch]}]}]}
        for batch in batches
    )
    _lines(folder / "spans.jsonl", requests)


def _write_canonical(world: World, folder: Path) -> None:
    table = pa.Table.from_pylist([_canonical(world, row) for row in world.rows])
    pq.write_table(table, folder / "exchanges.parquet")


_FORMS: dict[str, Callable[[World, Path], None]] = {
    "litellm": _write_litellm, "otel": _write_otel, "canonical": _write_canonical,
}  # fmt: skip
