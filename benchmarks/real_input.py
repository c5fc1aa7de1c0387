"""Build worlds from real prompts and real arrivals, ingest them as raw logs, scan, and score against the truth.

    python -m benchmarks.real_input --data DIR --out DIR [--form litellm|otel] [--seed 1] [--accounts 4000]

``DIR`` holds the Parquet files that docs/real-input.md names; nothing of them is part of this repository. The generator
here shares no code with ``stillwatch simulate``: texts are drawn from the corpora, times of the day from production
traces, identities from heavy-tailed pools.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.real_world import DAYS, LAUNCH, MODELS, PLANS, START, Person, World, campaign, innocents
from stillwatch.cases.folder import ScanOutput
from stillwatch.evaluate.figures import figures
from stillwatch.evaluate.measures import measure
from stillwatch.evaluate.ours import read_findings
from stillwatch.evaluate.truth import compare, read_truth
from stillwatch.tables import LABELS_ACCOUNTS, LABELS_EXCHANGES, Dataset, DatasetWriter


def litellm(one: Person, row: dict[str, Any]) -> dict[str, Any]:
    """Return a LiteLLM StandardLoggingPayload of an exchange."""
    messages = [{"role": "user", "content": row["text"]}]
    if row["system"]:
        messages.insert(0, {"role": "system", "content": row["system"]})
    asn, kind, country = one.network
    agent, tls, client = one.client
    return {
        "id": row["id"],
        "call_type": "acompletion",
        "status": "success",
        "model": row["model"],
        "session_id": row["session"],
        "startTime": row["ts"],
        "endTime": row["ts"] + 2.5,
        "prompt_tokens": row["input"],
        "completion_tokens": row["output"],
        "total_tokens": row["input"] + row["output"],
        "requester_ip_address": row["ip"],
        "user_agent": agent,
        "messages": messages,
        "response": {
            "id": row["id"],
            "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "…"}}],
        },
        "model_parameters": {"max_tokens": 1024},
        "metadata": {
            "user_api_key_user_id": one.account["account_id"],
            "user_api_key_hash": one.account["account_id"][::-1],
            "requester_ip_address": row["ip"],
            "user_agent": agent,
            "requester_custom_headers": {
                "x-ja4": tls,
                "x-asn": str(asn),
                "x-country": country,
                "x-network-kind": kind,
                "x-client-fingerprint": client,
            },
        },
    }


def otel(one: Person, row: dict[str, Any]) -> dict[str, Any]:
    """Return an OTLP JSON trace request with one GenAI span (semantic conventions from 1.37 on)."""
    asn, kind, country = one.network
    agent, tls, client = one.client
    said = [{"role": "user", "parts": [{"type": "text", "content": row["text"]}]}]
    if row["system"]:
        said.insert(0, {"role": "system", "parts": [{"type": "text", "content": row["system"]}]})
    values: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "sable",
        "gen_ai.request.model": row["model"],
        "gen_ai.response.id": row["id"],
        "gen_ai.input.messages": json.dumps(said),
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.usage.input_tokens": row["input"],
        "gen_ai.usage.output_tokens": row["output"],
        "user.id": one.account["account_id"],
        "client.address": row["ip"],
        "user_agent.original": agent,
        "tls.client.ja4": tls,
        "client.as.number": asn,
        "geo.country.iso_code": country,
        "network.kind": kind,
        "client.fingerprint": client,
    }
    if row["session"]:
        values["gen_ai.conversation.id"] = row["session"]
    attributes = [
        {"key": k, "value": {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v}}
        for k, v in values.items()
    ]
    nano = int(row["ts"] * 1e6) * 1000
    span = {
        "traceId": row["id"].ljust(32, "0")[:32],
        "spanId": row["id"][:16],
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(nano),
        "endTimeUnixNano": str(nano + 2_500_000_000),
        "attributes": attributes,
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def write(world: World, folder: Path, form: str) -> None:
    """Write raw logs by day, accounts, launches and, apart from them, the truth."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    turn = {"litellm": litellm, "otel": otel}[form]
    rows = sorted(
        ((row["ts"], row["id"], one, row) for one in world.people for row in one.exchanges), key=lambda r: r[:2]
    )
    files = {day: (folder / "logs" / f"day{day:02d}.jsonl").open("w", encoding="utf-8") for day in range(DAYS + 2)}
    for ts, _, one, row in rows:
        files[min(DAYS + 1, int((ts - START) // 86_400))].write(json.dumps(turn(one, row), ensure_ascii=False) + "\n")
    for file in files.values():
        file.close()
    with (folder / "accounts.ndjson").open("w", encoding="utf-8") as out:
        for one in world.people:
            out.write(json.dumps(one.account) + "\n")
    (folder / "launches.ndjson").write_text(json.dumps({"model": MODELS[2], "released_at": LAUNCH}) + "\n")
    truth = {
        "accounts": {one.account["account_id"]: (one.population, one.campaign) for one in world.people},
        "exchanges": {row["id"]: row["truth"] for one in world.people for row in one.exchanges if row["truth"]},
    }
    (folder / "truth.json").write_text(json.dumps(truth))


def build(data: Path, folder: Path, form: str, seed: int, accounts: int, *, null: bool) -> None:
    """Build one world and write it."""
    world = World(data, seed)
    innocents(world, accounts)
    for plan in () if null else PLANS:
        campaign(world, plan)
    write(world, folder, form)


def run(*command: str) -> None:
    """Run the command line as a user would."""
    subprocess.run([sys.executable, "-m", "stillwatch.cli", *command], check=True)


def label(dataset: Path, truth: Path) -> None:
    """Put the truth beside the ingested dataset, after the scan: the ids are those of the raw logs."""
    told = json.loads(truth.read_text())
    people = [{"account_id": a, "population": p, "campaign_id": c} for a, (p, c) in told["accounts"].items()]
    taken = [{"exchange_id": e, "campaign_id": c} for e, c in told["exchanges"].items()]
    with DatasetWriter(dataset) as writer:
        writer.set_labels(pa.Table.from_pylist(people, LABELS_ACCOUNTS), pa.Table.from_pylist(taken, LABELS_EXCHANGES))
        writer.commit()


def scored(dataset: Path, out: Path) -> dict[str, Any]:
    """Return the scan's figures, its campaigns and what it reported, as the scorecard measures them."""
    result = measure(compare(read_truth(Dataset.open(dataset)), read_findings(ScanOutput.open(out))))
    made = {name: str(figure) for name, figure in figures([result]).items()}
    return {"figures": made, **{name: result[name] for name in ("campaigns", "groups", "swept")}}


def main() -> None:
    """Build, ingest, scan and score; print one JSON record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--form", choices=("litellm", "otel"), default="litellm")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=4_000)
    parser.add_argument("--null", action="store_true", help="no campaign")
    parser.add_argument("--content-free", action="store_true")
    given = parser.parse_args()
    raw, dataset, out = given.out / "raw", given.out / "dataset", given.out / "scan"
    build(given.data, raw, given.form, given.seed, given.accounts, null=given.null)
    (given.out / "key").write_text("a key for this benchmark only\n")
    flags = ["--content-free"] if given.content_free else []
    files = ["--accounts", str(raw / "accounts.ndjson"), "--launches", str(raw / "launches.ndjson")]
    run(
        "ingest",
        str(raw / "logs"),
        "--into",
        str(dataset),
        *files,
        "--key-file",
        str(given.out / "key"),
        "--quiet",
        *flags,
    )
    run("scan", str(dataset), "--out", str(out), "--quiet")
    label(dataset, raw / "truth.json")
    print(json.dumps({"form": given.form, "seed": given.seed, **scored(dataset, out)}, indent=1))


if __name__ == "__main__":
    main()
