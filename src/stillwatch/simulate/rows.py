"""Compose exchanges of one stream on one day as canonical columns: texts, endpoints and the facts of the answer."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stillwatch.simulate.chance import Floats, Ints, Keys, mix, named, pick_index, unit
from stillwatch.simulate.content import Texts, write
from stillwatch.simulate.corpus import Corpus
from stillwatch.simulate.day import Sent
from stillwatch.simulate.identity import DAY_US, HOUR_US
from stillwatch.simulate.rhythm import evenness, unseen
from stillwatch.simulate.spec import World

Flags = NDArray[np.bool_]

_LIMITS = np.array([40, 6, 14, 4, 10, 16, 8, 2], float)  # how many programs set which limit; most set none
_WARMTH = np.array([45, 14, 8, 5, 4, 12, 2, 10], float)


def compose(sent: Sent, world: World, launches: dict[str, int], day_us: int, corpus: Corpus | None = None) -> pa.Table:
    """Return exchanges of one stream on one day as canonical columns, identifiers raw, in the order given."""
    texts = write(sent, day_us, corpus)
    columns: dict[str, object] = {"ts": pa.array(sent.draw.ts, pa.timestamp("us", tz="UTC"))}
    found = _where_from(sent)
    columns |= _ids(sent) | found
    columns["model"] = _models(sent, world, launches)
    columns |= _retained(sent, texts)
    settings, limit = _settings(sent, pc.equal(found["surface"], "web"))
    columns |= settings | _answers(sent, texts, limit)
    if world.reasoning:
        columns["prior_reasoning_id"] = named("rsn_", sent.back, known=sent.back != 0)
    return pa.table(columns)


def _ids(sent: Sent) -> dict[str, pa.Array]:
    stream, row = sent.sender, sent.row
    people, rows = stream.people, stream.accounts[sent.draw.account]
    key, owner, session = people.key[rows], people.owner[rows], sent.draw.session
    which = (unit(mix(row, "key")) < 0.12) & (unit(mix(key, "two")) < 0.3)
    ends = unit(mix(key, "declares")) < stream.content.population.end_users
    user = mix(key, (60 * unit(mix(row, "user")) ** 2).astype(np.int64), "user")
    return {
        "exchange_id": named("ex_", sent.identifier),
        "account_id": named("acct_", mix(owner, "id")),
        "api_key_id": named("key_", mix(owner, which.astype(np.int64), "api"), 12),
        "session_id": named("s_", session, known=session != 0),
        "end_user_id": named("u_", user, 10, known=ends),
    }


def _where_from(sent: Sent) -> dict[str, pa.Array]:
    """Return the endpoint columns: a session stays where it began, and who travels is three days in a place."""
    people, rows, draw = sent.sender.people, sent.sender.accounts[sent.draw.account], sent.draw
    begun = np.where(draw.session == 0, mix(sent.row, "spot"), draw.session)
    travels = unit(mix(people.key[rows], "travels")) < people.population.travel
    begun = np.where(travels, mix(people.key[rows], draw.ts // (3 * DAY_US)), begun)
    spot = unit(mix(begun, "spot"))
    which = (people.endpoints.count[rows] * spot**1.6).astype(np.int64)
    index = pa.array(rows * people.endpoints.each + which)
    found = {name: values.take(index) for name, values in people.endpoints.columns.items()}
    found |= {name: part.dictionary_decode() for name, part in found.items() if name != "asn"}
    web = pc.equal(found["surface"], "web")
    found["endpoint"] = pc.if_else(web, "/web/chat", "/v1/chat/completions")
    return found


def _models(sent: Sent, world: World, launches: dict[str, int]) -> pa.Array:
    """Return the model of each row: that of its stage, or an account's habit and the way to a launched one."""
    stream, row, ts = sent.sender, sent.row, sent.draw.ts
    key = stream.people.key[stream.accounts[sent.draw.account]]
    spec = stream.content.population
    if spec.part.stage and spec.part.stage.model:
        return pa.array([spec.part.stage.model]).take(pa.array(np.zeros(row.size, np.int64)))
    habit = np.where(unit(mix(row, "stray")) < 0.1, unit(mix(row, "model")), unit(mix(key, "model")))
    model = pick_index(np.array(list(world.models.values()), float), habit)
    for number, released in enumerate(launches.values(), len(world.models)):
        age_h = (ts - released) / HOUR_US
        if stream.campaign and spec.campaign:
            share = spec.campaign.shift * np.clip(age_h / max(spec.campaign.shift_hours, 0.1) * 2, 0.0, 1.0)
            moved = unit(mix(row, "moved")) < share
        else:
            delay = -np.log(1 - unit(mix(key, "delay"))) * spec.follow_days * 24
            moved = (age_h > delay) & (unit(mix(key, "follows")) < spec.follow + 0.3) & (unit(mix(row, "moved")) < 0.8)
        model = np.where(moved & (age_h >= 0), number, model)
    return pa.array([*world.models, *launches]).take(pa.array(model))


def _retained(sent: Sent, texts: Texts) -> dict[str, pa.Array]:
    """Return the text columns, null for accounts whose contract lets the provider keep no text."""
    named = {"prompt_text": texts.prompt, "system_text": texts.system, "tools_json": texts.tools}
    stream = sent.sender
    key = stream.people.key[stream.accounts[sent.draw.account]]
    kept = unit(mix(key, "retained")) < stream.content.population.retained
    if kept.all():
        return named
    return {name: pc.if_else(pa.array(kept), text, pa.nulls(kept.size, pa.string())) for name, text in named.items()}


def _settings(sent: Sent, web: pa.Array) -> tuple[dict[str, pa.Array], Ints]:
    """Return request settings, which are a program's habit, and the output limit (0: none)."""
    row, people = sent.row, sent.sender.people
    usual = unit(mix(row, "unusual")) > 0.06
    habit = np.where(usual, people.endpoints.habit[sent.sender.accounts[sent.draw.account]], row)
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


def _answers(sent: Sent, texts: Texts, limit: Ints) -> dict[str, pa.Array]:
    """Return status, tokens, latency and how the answer ended."""
    row = sent.row
    size = sum(
        pc.fill_null(pc.binary_length(part), 0).to_numpy(zero_copy_only=False)
        for part in (texts.prompt, texts.system, texts.tools)
    )
    context, longer, spread = _lengths(sent)
    before = sent.draw.turn * (350 + 250 * unit(mix(row, "history"))) + context
    status = np.array([200, 429, 500, 400])[np.searchsorted([0.975, 0.99, 0.994], unit(mix(row, "status")))]
    good = status == 200
    refused = good & (unit(mix(row, "refused")) < texts.refused)
    output = (longer * np.exp(np.log(texts.output_median) + spread * _normal(row))).astype(np.int64) + 1
    output = np.where(refused, 30 + output % 60, np.where(limit > 0, np.minimum(output, limit), output))
    latency = 250 + 11.0 * output * np.exp(0.35 * _normal(mix(row, "slow")))
    thinks = unit(mix(row, "thinks")) < 0.25
    tokens = size / 3.9 + before + np.where(texts.image, 1100, 0) + 8
    return {
        "status": pa.array(status, pa.int64()),
        "input_tokens": pa.array(tokens.astype(np.int64), mask=~good),
        "output_tokens": pa.array(output, mask=~good),
        "reasoning_tokens": pa.array((output * 0.4).astype(np.int64), mask=~(good & thinks)),
        "cached_tokens": pa.array((before * 0.8).astype(np.int64), mask=~(good & (sent.draw.turn > 0))),
        "modalities": _modalities(texts.image),
        "stop_reason": _stops(row, texts, refused, (limit > 0) & (output >= limit), good),
        "refused": pa.array(refused, mask=~good),
        "latency_ms": pa.array(np.round(latency, 1), mask=~good),
    }


def _lengths(sent: Sent) -> tuple[Floats, Floats, Floats]:
    """Return tokens of unseen context, a factor on the answer's tokens and the log-sd of their spread."""
    kind = sent.sender.content.population.arrivals
    key = sent.sender.people.key[sent.sender.accounts[sent.draw.account]]
    return *unseen(kind, key, sent.row), 0.8 * evenness(kind, key, "answer")


def _stops(row: Keys, texts: Texts, refused: Flags, full: Flags, good: Flags) -> pa.Array:
    """Return why each answer ended; null where there is none."""
    tool = texts.tools.is_valid().to_numpy(zero_copy_only=False) & (unit(mix(row, "tool")) < 0.6)
    reason = np.where(refused, 2, np.where(full, 1, np.where(tool, 3, 0)))
    return pa.array(["stop", "length", "refusal", "tool_calls"]).take(pa.array(reason, mask=~good))


def _modalities(image: Flags) -> pa.Array:
    """Return the list ["text"] or ["text", "image"] of each row."""
    ends = np.concatenate([[0], np.cumsum(1 + image)])
    kind = np.zeros(ends[-1], np.int64)
    kind[ends[1:][image] - 1] = 1
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(["text", "image"]).take(pa.array(kind)))


def _normal(keys: Keys) -> Floats:
    return np.asarray(np.sqrt(-2 * np.log(1 - unit(mix(keys, "n1")))) * np.cos(2 * np.pi * unit(mix(keys, "n2"))))


def epoch_us(day: str, ahead_days: float = 0.0) -> int:
    """Return epoch microseconds of a date, some days later.

    >>> epoch_us("1970-01-02")
    86400000000
    """
    return int(np.datetime64(day, "us").astype(np.int64)) + round(ahead_days * 86_400_000_000)
