"""Assemble a day's exchanges of one stream as canonical columns: texts, endpoints and the facts of the answer."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.simulate.arrivals import Draw, Stream, draw_day
from stillwatch.simulate.chance import Floats, Ints, Keys, hex_names, mix, pick, pick_index, unit
from stillwatch.simulate.content import Texts, write
from stillwatch.simulate.corpus import Corpus
from stillwatch.simulate.identity import DAY_US, HOUR_US, Names
from stillwatch.simulate.playbooks import relayed
from stillwatch.simulate.rhythm import evenness, unseen
from stillwatch.simulate.spec import World

_LIMITS = np.array([40, 6, 14, 4, 10, 16, 8, 2], float)  # how many programs set which limit; most set none
_WARMTH = np.array([45, 14, 8, 5, 4, 12, 2, 10], float)


def day_rows(
    stream: Stream, world: World, launches: dict[str, int], day_us: int, seed: int, corpus: Corpus | None = None
) -> pa.Table | None:
    """Return the exchanges of a stream on one day, identifiers raw, with ``is_campaign``; None when there are none."""
    draw = draw_day(stream, day_us, list(launches.values()), seed)
    draw, sent = relayed(stream, draw)
    if not draw.ts.size:
        return None
    texts = write(stream, draw, day_us, seed, corpus)
    stream, draw = stream.carrier or stream, sent
    row = mix(seed, stream.people.key[stream.accounts[draw.account]], draw.ts, np.arange(draw.ts.size), "exchange")
    columns: dict[str, object] = {"ts": pa.array(draw.ts, pa.timestamp("us", tz="UTC"))}
    found = _where_from(stream, draw, row)
    columns |= _ids(stream, draw, row) | found
    columns["model"] = pa.array(_models(stream, draw, row, world, launches), pa.string())
    columns |= _retained(stream, draw, texts)
    settings, limit = _settings(stream, draw, row, pc.equal(found["surface"], "web"))
    columns |= settings | _answers(stream, texts, draw, row, limit)
    columns["is_campaign"] = pa.array(np.full(draw.ts.size, stream.campaign))
    return pa.table(columns)


def _strings(values: Names) -> pa.Array:
    return pa.array(values.tolist(), pa.string())


def _ids(stream: Stream, draw: Draw, row: Keys) -> dict[str, pa.Array]:
    people, rows = stream.people, stream.accounts[draw.account]
    key = people.key[rows]
    accounts = _strings(people.columns["account_id"])
    which = (unit(mix(row, "key")) < 0.12) & (unit(mix(key, "two")) < 0.3)
    turn = draw.session != 0
    ends = unit(mix(key, "declares")) < stream.content.population.end_users
    user = mix(key, (60 * unit(mix(row, "user")) ** 2).astype(np.int64), "user")
    return {
        "exchange_id": pa.array([f"ex_{name}" for name in hex_names(mix(row, "id"))]),
        "account_id": accounts.take(pa.array(rows)),
        "api_key_id": pa.array(
            [f"key_{name[:12]}" for name in hex_names(mix(people.owner[rows], which.astype(np.int64), "api"))]
        ),
        "session_id": _masked([f"s_{name}" for name in hex_names(draw.session)], turn),
        "end_user_id": _masked([f"u_{name[:10]}" for name in hex_names(user)], ends),
    }


def _masked(values: list[str], keep: np.ndarray) -> pa.Array:
    return pa.array(values, pa.string(), mask=~np.broadcast_to(np.asarray(keep, bool), (len(values),)))


def _where_from(stream: Stream, draw: Draw, row: Keys) -> dict[str, pa.Array]:
    """Return the endpoint columns: a session stays where it began, and who travels is three days in a place."""
    people, rows = stream.people, stream.accounts[draw.account]
    begun = np.where(draw.session == 0, mix(row, "spot"), draw.session)
    travels = unit(mix(people.key[rows], "travels")) < people.population.travel
    begun = np.where(travels, mix(people.key[rows], draw.ts // (3 * DAY_US)), begun)
    spot = unit(mix(begun, "spot"))
    which = (people.endpoints.count[rows] * spot**1.6).astype(np.int64)
    index = pa.array(rows * people.endpoints.each + which)
    found: dict[str, pa.Array] = {}
    for name, values in people.endpoints.columns.items():
        kind = pa.int64() if name == "asn" else pa.string()
        found[name] = pa.array(values.tolist(), kind).take(index)
    web = pc.equal(found["surface"], "web")
    found["endpoint"] = pc.if_else(web, "/web/chat", "/v1/chat/completions")
    return found


def _models(stream: Stream, draw: Draw, row: Keys, world: World, launches: dict[str, int]) -> Names:
    """Return the model of each row: an account's habit, and the way to a launched one (fast in a campaign)."""
    people, rows = stream.people, stream.accounts[draw.account]
    key = people.key[rows]
    habit = np.where(unit(mix(row, "stray")) < 0.1, unit(mix(row, "model")), unit(mix(key, "model")))
    models = pick(world.models, habit)
    spec = stream.content.population
    for name, released in launches.items():
        age_h = (draw.ts - released) / HOUR_US
        if stream.campaign and spec.campaign:
            share = spec.campaign.shift * np.clip(age_h / max(spec.campaign.shift_hours, 0.1) * 2, 0.0, 1.0)
            moved = unit(mix(row, "moved")) < share
        else:
            delay = -np.log(1 - unit(mix(key, "delay"))) * spec.follow_days * 24
            moved = (age_h > delay) & (unit(mix(key, "follows")) < spec.follow + 0.3) & (unit(mix(row, "moved")) < 0.8)
        models = np.where(moved & (age_h >= 0), name, models)
    return np.asarray(models)


def _retained(stream: Stream, draw: Draw, texts: Texts) -> dict[str, pa.Array]:
    """Return the text columns, null for accounts whose contract lets the provider keep no text."""
    named = {"prompt_text": texts.prompt, "system_text": texts.system, "tools_json": texts.tools}
    kept = unit(mix(stream.people.key[stream.accounts[draw.account]], "retained")) < stream.content.population.retained
    if kept.all():
        return named
    return {name: pc.if_else(pa.array(kept), text, pa.nulls(kept.size, pa.string())) for name, text in named.items()}


def _settings(stream: Stream, draw: Draw, row: Keys, web: pa.Array) -> tuple[dict[str, pa.Array], Ints]:
    """Return request settings, which are a program's habit, and the output limit (0: none)."""
    rows = stream.accounts[draw.account]
    usual = unit(mix(row, "unusual")) > 0.06
    habit = np.where(usual, stream.people.endpoints.habit[rows], row)
    page = web.to_numpy(zero_copy_only=False)
    limit = np.array([0, 512, 1024, 2000, 2048, 4096, 8192, 16000])[pick_index(_LIMITS, unit(mix(habit, "limit")))]
    limit = np.where(page, 0, limit)
    warm = np.array([np.nan, 0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 1.0])[pick_index(_WARMTH, unit(mix(habit, "temperature")))]
    warm = np.where(page, np.nan, warm)
    return {
        "max_tokens": pa.array(limit, pa.int64(), mask=limit == 0),
        "temperature": pa.array(warm, pa.float64(), mask=np.isnan(warm)),
        "n_choices": pa.array(np.where(unit(mix(habit, "n")) < 0.01, 2, 1), pa.int64(), mask=page),
        "logprobs_requested": pa.array(unit(mix(habit, "logprobs")) < 0.01, mask=page),
    }, limit


def _answers(stream: Stream, texts: Texts, draw: Draw, row: Keys, limit: Ints) -> dict[str, pa.Array]:
    """Return status, tokens, latency and how the answer ended."""
    size = sum(
        pc.fill_null(pc.binary_length(part), 0).to_numpy(zero_copy_only=False)
        for part in (texts.prompt, texts.system, texts.tools)
    )
    before = draw.turn * (350 + 250 * unit(mix(row, "history")))
    image = np.where(texts.image, 1100, 0)
    status = np.array([200, 429, 500, 400])[np.searchsorted([0.975, 0.99, 0.994], unit(mix(row, "status")))]
    good = status == 200
    refused = good & (unit(mix(row, "refused")) < texts.refused)
    kind, key = stream.content.population.arrivals, stream.people.key[stream.accounts[draw.account]]
    context, longer = unseen(kind, key, row)
    before = before + context
    spread = 0.8 * evenness(kind, key, "answer")
    output = (longer * np.exp(np.log(texts.output_median) + spread * _normal(row))).astype(np.int64) + 1
    output = np.where(refused, 30 + output % 60, np.where(limit > 0, np.minimum(output, limit), output))
    stop = np.where(refused, "refusal", np.where((limit > 0) & (output >= limit), "length", "stop"))
    stop = np.where(
        texts.tools.is_valid().to_numpy(zero_copy_only=False) & (stop == "stop") & (unit(mix(row, "tool")) < 0.6),
        "tool_calls",
        stop,
    )
    latency = 250 + 11.0 * output * np.exp(0.35 * _normal(mix(row, "slow")))
    thinks = unit(mix(row, "thinks")) < 0.25
    modalities = [["text", "image"] if seen else ["text"] for seen in texts.image.tolist()]
    return {
        "status": pa.array(status, pa.int64()),
        "input_tokens": pa.array((size / 3.9 + before + image + 8).astype(np.int64), mask=~good),
        "output_tokens": pa.array(output, mask=~good),
        "reasoning_tokens": pa.array((output * 0.4).astype(np.int64), mask=~(good & thinks)),
        "cached_tokens": pa.array((before * 0.8).astype(np.int64), mask=~(good & (draw.turn > 0))),
        "modalities": pa.array(modalities, pa.list_(pa.string())),
        "stop_reason": _masked(stop.tolist(), good),
        "refused": pa.array(refused, mask=~good),
        "latency_ms": pa.array(np.round(latency, 1), mask=~good),
    }


def _normal(keys: Keys) -> Floats:
    return np.asarray(np.sqrt(-2 * np.log(1 - unit(mix(keys, "n1")))) * np.cos(2 * np.pi * unit(mix(keys, "n2"))))


def epoch_us(day: str, ahead_days: float = 0.0) -> int:
    """Return epoch microseconds of a date, some days later.

    >>> epoch_us("1970-01-02")
    86400000000
    """
    return int(np.datetime64(day, "us").astype(np.int64)) + round(ahead_days * 86_400_000_000)
