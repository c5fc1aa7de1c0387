"""Cue hits of prompts and system texts -> the cues and the capability class of each row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stillwatch.signals.automaton import I32, Automaton, Hits, build, pattern, scan
from stillwatch.signals.compiled import compiled
from stillwatch.signals.cues import CAPABILITIES, facts, rules
from stillwatch.signals.sketch import spans
from stillwatch.signals.tooling import Tool
from stillwatch.signals.words import I64

MOST_COUNTED = 4
LEAST_SCORE = 2
_FAMILIES = {"elicitation": 0, "capability": 0, "topic": 1, "form": 2}


class Machine(NamedTuple):
    """The compiled rule set: the automaton (labels = places in ``ids``) and a column a property of the rules."""

    automaton: Automaton
    ids: npt.NDArray[np.uint16]
    families: I32
    capabilities: I32
    weights: I32
    min_hits: I32


class Cued(NamedTuple):
    """Cues and capability of each row: ``flat[offsets[i]:offsets[i + 1]]`` ascending; ``capability`` uint8."""

    flat: npt.NDArray[np.uint16]
    offsets: I64
    capability: npt.NDArray[np.uint8]


@cache
def machine() -> Machine:
    """Return the compiled rule set, built once.

    >>> machine().ids[0] >= 1
    np.True_
    """
    known = rules()
    phrases = [(p, place) for place, rule in enumerate(known) for found in rule.phrases.values() for p in found]
    distinct = list({(pattern(p), place): (p, place) for p, place in phrases}.values())
    return Machine(
        build(distinct),
        np.array([rule.id for rule in known], np.uint16),
        np.array([_FAMILIES[rule.family] for rule in known], np.int32),
        np.array([rule.capability for rule in known], np.int32),
        np.array([rule.weight for rule in known], np.int32),
        np.array([rule.min_hits for rule in known], np.int32),
    )


def hits(texts: pa.Array) -> Hits:
    """Return which rules (by place) hit each text of a string array, and how often; a null text has no hit.

    >>> hits(pa.array(["nothing here", None])).offsets.tolist()[0]
    0
    """
    return scan(machine().automaton, *spans(texts))


def cues_of(text: str) -> list[str]:
    """Return the names of the cues that one prompt raises, for people and tests.

    >>> "json" in cues_of("Answer in JSON.")
    True
    """
    found = cued(
        hits(pa.array([text])),
        hits(pa.array([], pa.string())),
        _NONE,
        np.zeros((1, len(CAPABILITIES)), np.int32),
        _NONE,
    )
    names = {rule.id: rule.name for rule in rules()}
    return [names[int(cue)] for cue in found.flat]


_NONE = np.array([-1], np.int64)


def tool_scores(tools: Sequence[Tool]) -> npt.NDArray[np.int32]:
    """Return what offered tools add to each capability, shape (capabilities,).

    >>> int(tool_scores([Tool("bash", ("command",))]).argmax())
    4
    """
    scores = np.zeros(len(CAPABILITIES), np.int32)
    names = {tool.name.casefold() for tool in tools}
    for fact in facts():
        if (fact.kind == "tools" and tools) or (fact.kind == "tool name" and names & fact.names):
            scores[fact.capability] += fact.weight
    return scores


def modality_scores(modalities: Sequence[str | None]) -> npt.NDArray[np.int32]:
    """Return what the modalities of the input add to each capability, shape (capabilities,).

    >>> int(modality_scores(["text", "image"]).argmax())
    7
    """
    scores = np.zeros(len(CAPABILITIES), np.int32)
    for fact in facts():
        if fact.kind == "modality" and not fact.names.isdisjoint(name for name in modalities if name):
            scores[fact.capability] += fact.weight
    return scores


def cued(prompt: Hits, system: Hits, system_of: I64, scores: npt.NDArray[np.int32], score_of: I64) -> Cued:
    """Join the hits of prompts and system texts to cues and a capability class a row.

    ``system_of`` gives each row's system text (-1 = none), ``score_of`` its line of ``scores`` (facts, -1 = none).
    A hit in the prompt counts twice, at most four hits a rule and text count for capability. Of topics, and of
    forms, only the strongest stays (the lower id on a tie).
    """
    rows = len(prompt.offsets) - 1
    room = len(prompt.labels) + int(np.diff(system.offsets)[system_of[system_of >= 0]].sum())
    flat, offsets = np.empty(room, np.uint16), np.zeros(rows + 1, np.int64)
    capability = np.zeros(rows, np.uint8)
    rule_set = machine()
    columns = (rule_set.ids, rule_set.families, rule_set.capabilities, rule_set.weights, rule_set.min_hits)
    _join(prompt[:3], system[:3], system_of, (scores, score_of), columns, (flat, offsets, capability))
    return Cued(flat[: offsets[-1]], offsets, capability)


_Columns = tuple[npt.NDArray[np.uint16], I32, I32, I32, I32]


@compiled
def _gather(found: tuple[I32, I32, I64], text: int, factor: int, strength: I32, times: I32, points: I32) -> None:
    labels, counts, offsets = found
    for k in range(offsets[text], offsets[text + 1]):
        strength[labels[k]] += factor * counts[k]
        times[labels[k]] += counts[k]
        points[labels[k]] += factor * min(counts[k], MOST_COUNTED)


@compiled
def _choose(
    columns: _Columns, strength: I32, times: I32, points: I32, score: I32, flat: npt.NDArray[np.uint16], n: int
) -> int:
    """Append the row's cues to flat[:n], add their points to ``score``, clear the tallies; return the new end."""
    ids, families, capabilities, weights, min_hits = columns
    best, topic, form = (0, 0), -1, -1
    for r in range(len(ids)):
        if times[r] >= min_hits[r] and times[r] > 0:
            score[capabilities[r]] += weights[r] * points[r]
            if families[r] == 0:
                flat[n] = ids[r]
                n += 1
            elif families[r] == 1 and strength[r] > best[0]:
                best, topic = (strength[r], best[1]), r
            elif families[r] == 2 and strength[r] > best[1]:
                best, form = (best[0], strength[r]), r
        strength[r] = times[r] = points[r] = 0
    if topic >= 0:
        flat[n] = ids[topic]
        n += 1
    if form >= 0:
        flat[n] = ids[form]
        n += 1
    return n


@compiled
def _join(
    prompt: tuple[I32, I32, I64], system: tuple[I32, I32, I64], system_of: I64, fact: tuple[I32, I64],
    columns: _Columns, out: tuple[npt.NDArray[np.uint16], I64, npt.NDArray[np.uint8]],
) -> None:  # fmt: skip
    flat, offsets, capability = out
    rules, classes = len(columns[0]), fact[0].shape[1]
    strength, times, points = np.zeros(rules, np.int32), np.zeros(rules, np.int32), np.zeros(rules, np.int32)
    score = np.zeros(classes, np.int32)
    n = 0
    for row in range(len(capability)):
        score[:] = 0
        if fact[1][row] >= 0:
            score[:] = fact[0][fact[1][row]]
        _gather(prompt, row, 2, strength, times, points)
        if system_of[row] >= 0:
            _gather(system, system_of[row], 1, strength, times, points)
        n = _choose(columns, strength, times, points, score, flat, n)
        offsets[row + 1] = n
        score[0] = LEAST_SCORE - 1
        capability[row] = np.uint8(np.argmax(score))
