"""What is asked: the job, subject, language, frame and length of every exchange, then its text."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stillwatch.simulate.arrivals import Stream
from stillwatch.simulate.chance import Floats, Ints, Keys, mix, pick_index, unit, zipf
from stillwatch.simulate.corpus import Corpus, kind_of, replace_texts
from stillwatch.simulate.day import Sent
from stillwatch.simulate.expand import LOWER, TYPOS, expand
from stillwatch.simulate.grammar import own_grammar
from stillwatch.simulate.playbooks import refusals, wordings
from stillwatch.simulate.rhythm import evenness
from stillwatch.simulate.spec import Population


@dataclass(frozen=True)
class Texts:
    """Texts of some exchanges and what the facts about them need."""

    prompt: pa.Array
    system: pa.Array
    tools: pa.Array
    output_median: Floats
    refused: Floats
    image: NDArray[np.bool_]


@dataclass(frozen=True)
class _Job:
    root: int
    local: str
    bytes: float
    sigma: float
    output: float
    refused: float
    image: float


@cache
def _jobs() -> dict[str, _Job]:
    content = tomllib.loads(resources.files("stillwatch.simulate").joinpath("jobs.toml").read_text("utf-8"))
    found = {}
    for family in content.values():
        rest: dict[str, Any] = {key: value for key, value in family.items() if key != "names"}
        rest = {"local": "", "refused": 0.004, "image": 0.0, **rest}
        for name in family["names"]:
            found[name] = _Job(own_grammar().symbol(name), **rest)
    return found


def write(sent: Sent, day_us: int, corpus: Corpus | None = None) -> Texts:
    """Return the texts of exchanges of one stream on one day, from the grammar or from a corpus."""
    stream, unique = sent.stream, sent.words
    spec = stream.content.population
    rows = stream.accounts[sent.author]
    key = stream.people.key[rows]
    item = _items(spec, stream, rows, unique)
    names, domain = _jobs_of_rows(sent, item, day_us)
    jobs = [_jobs()[name] for name in spec.jobs]
    column = {f: np.array([getattr(job, f) for job in jobs]) for f in ("bytes", "sigma", "output", "refused", "image")}
    system, tools = _standing(stream, rows, spec)
    if corpus is None:
        roots = _roots(list(spec.jobs), names, stream, rows, sent.draw.turn, unique)
        seeds = np.stack([item, _frames(spec, stream, rows, names, item)], axis=1)
        habit = 0.3 * _normal(key) if not spec.items else 0.0
        spread = column["sigma"][names] * evenness(spec.arrivals, key, "prompt")
        wanted = np.exp(np.log(column["bytes"][names]) + spread * _normal(item) + habit)
        shapes = np.stack([np.clip(wanted, 110, 3900).astype(np.int64), _styles(spec, key), domain], axis=1)
        prompt = expand(own_grammar().tables, roots, seeds, shapes)
    else:
        source = mix(spec.name, names) if stream.campaign else key
        kinds = [kind_of(name) for name in spec.jobs]
        prompt, system = replace_texts(corpus, kinds, names, source, item, system)
        prompt = _injected(spec, np.stack([item, _frames(spec, stream, rows, names, item)], axis=1), prompt)
    image = unit(mix(unique, "image")) < np.maximum(column["image"][names], spec.image)
    refused = refusals(stream, unique, column["refused"][names])
    return Texts(prompt, system, tools, column["output"][names], refused, image)


def _injected(spec: Population, seeds: Keys, prompt: pa.Array) -> pa.Array:
    """Return real prompts with the campaign's own order before each, as the grammar's prompts have it inside."""
    if not spec.inject:
        return prompt
    roots = np.full(len(prompt), own_grammar().symbol(spec.inject), np.int64)
    order = expand(own_grammar().tables, roots, seeds, np.zeros((len(prompt), 3), np.int64))
    return pc.binary_join_element_wise(order, prompt, "\n\n")


def _jobs_of_rows(sent: Sent, item: Keys, day_us: int) -> tuple[Ints, Ints]:
    """Return each row's job and domain: a person's habits, or a campaign's sweep over its curriculum."""
    stream = sent.stream
    spec = stream.content.population
    rows = stream.accounts[sent.author]
    key = stream.people.key[rows]
    weights = np.array(list(spec.jobs.values()), float)
    domains = len(own_grammar().domains)
    if stream.campaign and spec.campaign:
        step = sent.number * 7919 + day_us // 3_600_000_000
        cell = step % max(1, spec.campaign.cells)
        job = np.searchsorted(np.cumsum(weights) / weights.sum(), ((cell * 0.618034) % 1.0), side="right")
        return np.minimum(job, weights.size - 1), (cell * 7 + cell // domains) % domains
    if spec.items and spec.items_scope == "population":  # one list for all: no habits of one's own
        job = pick_index(weights, unit(mix(item, "job")))
        return job, (mix(item, "domain") % np.uint64(domains)).astype(np.int64)
    present, account = np.unique(sent.author, return_inverse=True)
    taste = np.stack(
        [_normal(mix(stream.people.key[stream.accounts[present]], j, "taste")) for j in range(weights.size)], axis=1
    )
    edges = np.cumsum(weights * np.exp(1.2 * taste), axis=1)
    edges /= edges[:, -1:]
    session = np.where(sent.draw.session == 0, item, sent.draw.session)
    job = (edges[account] < unit(mix(session, "job"))[:, None]).sum(axis=1)
    topic = zipf(spec.topics, unit(mix(session, "topic")))
    owner = stream.people.group[rows] if spec.frame == "group" else key
    return np.minimum(job, weights.size - 1), (mix(owner, topic, "domain") % np.uint64(domains)).astype(np.int64)


def _roots(names: list[str], job: Ints, stream: Stream, rows: Ints, turn: Ints, unique: Keys) -> Ints:
    grammar = own_grammar()
    roots = np.array([_jobs()[name].root for name in names])[job]
    chat = np.array([name.startswith("chat_") for name in names])[job]
    roots = np.where(chat & (turn > 0) & (unit(mix(unique, "next")) < 0.7), grammar.symbol("chat_follow"), roots)
    if stream.campaign:
        return np.asarray(roots)
    language = stream.people.language[rows]
    for code in sorted(set(language.tolist()) - {"en"}):
        for local in ("ask", "code"):
            ours = np.array([_jobs()[name].local == local for name in names])[job]
            hit = ours & (language == code) & (unit(mix(unique, "native")) < 0.85)
            roots = np.where(hit, grammar.symbol(f"{code}.{local}"), roots)
    return np.asarray(roots)


def _frames(spec: Population, stream: Stream, rows: Ints, job: Ints, unique: Keys) -> Keys:
    """Return the key of the fixed wording: an account's, group's, population's, or by a campaign's paraphrase level."""
    if stream.campaign and spec.campaign:
        return wordings(stream, job, unique)
    if spec.frame == "population":
        template = zipf(spec.wordings, unit(mix(stream.people.key[rows], "template"))) if spec.wordings else 0 * rows
        return mix(spec.name, job, template, "frame")
    if spec.frame == "group":
        assignment = mix(unique, "assignment") % np.uint64(spec.wordings or 4)
        return mix(stream.people.group[rows], job, assignment, "frame")
    return mix(stream.people.key[rows], job, "frame")


def _items(spec: Population, stream: Stream, rows: Ints, unique: Keys) -> Keys:
    """Return what the words depend on: the row, or one of the owner's list of items that come again."""
    if not spec.items:
        return unique
    draws = unit(mix(unique, "item"))
    item = zipf(spec.items, draws) if spec.items < 200 else (draws * spec.items).astype(np.int64)
    owner = {"account": stream.people.key, "group": stream.people.group}.get(spec.items_scope)
    return mix(owner[rows] if owner is not None else spec.name, item, "item")


def _styles(spec: Population, key: Keys) -> Ints:
    if spec.arrivals not in ("human", "event"):
        return np.zeros(key.size, np.int64)
    lower = np.where(unit(mix(key, "lower")) < 0.22, LOWER, 0).astype(np.int64)
    return np.asarray(lower + np.where(unit(mix(key, "typos")) < 0.2, TYPOS, 0))


def _standing(stream: Stream, rows: Ints, spec: Population) -> tuple[pa.Array, pa.Array]:
    """Return system prompts and tool schemas: constant for an account, made once for each owner."""
    accounts, place = np.unique(rows, return_inverse=True)
    key = stream.people.key[accounts]
    owner = {"group": stream.people.group[accounts], "population": mix(spec.name, np.zeros_like(accounts))}.get(
        spec.frame, key
    )
    made = []
    for what, mixture in (("system", spec.system), ("tools", spec.tools)):
        chosen = pick_index(
            np.array(list(mixture.values()), float), unit(mix(owner if spec.frame == "group" else key, what))
        )
        roots = np.array([-1 if name == "none" else own_grammar().symbol(name) for name in mixture], np.int64)[chosen]
        _, first, text = np.unique(mix(owner, chosen), return_index=True, return_inverse=True)
        texts = _standing_texts(what, roots[first], owner[first])
        made.append(texts.take(pa.array(text[place])))
    return made[0], made[1]


def _standing_texts(what: str, roots: Ints, owner: Keys) -> pa.Array:
    """Return the system prompt or tool schema of each owner."""
    domain = (mix(owner, 0, "domain") % np.uint64(len(own_grammar().domains))).astype(np.int64)
    size = 150 + (unit(mix(owner, "long")) ** 3 * 2500)
    shapes = np.stack([size.astype(np.int64), np.zeros(owner.size, np.int64), domain], axis=1)
    return expand(own_grammar().tables, roots, np.stack([mix(owner, what)] * 2, axis=1), shapes)


def _normal(keys: Keys) -> Floats:
    return np.asarray(np.sqrt(-2 * np.log(1 - unit(mix(keys, "n1")))) * np.cos(2 * np.pi * unit(mix(keys, "n2"))))
