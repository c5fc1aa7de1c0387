"""Cues: words that say what a request asks for, as a versioned rule set in data files (``signals/rules``).

A cue never convicts. Cues feed the WORTH of a group, the TASK cells and the explanations; the innocent people who
use the same words are named in every elicitation rule.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, cast

from stillwatch.errors import ConfigError

Family = Literal["elicitation", "capability", "topic", "form"]
RANGES: Mapping[Family, range] = MappingProxyType(
    {"elicitation": range(1, 100), "capability": range(100, 300), "topic": range(300, 500), "form": range(500, 600)}
)
FILES: Mapping[Family, str] = MappingProxyType(
    {"elicitation": "elicitation.toml", "capability": "capability.toml", "topic": "topic.toml", "form": "form.toml"}
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One cue: the phrases that raise it and what they speak for."""

    id: int
    """Stored in ``cues``; never reused for another meaning."""
    name: str
    family: Family
    capability: int
    """Class that a hit speaks for (a key of :data:`CAPABILITIES`; 0 = none)."""
    weight: int
    """How much one hit adds to the score of that class."""
    min_hits: int
    """Occurrences in prompt and system text together that are needed."""
    innocent: str
    """Who uses these words with no harm in mind."""
    phrases: Mapping[str, tuple[str, ...]]
    """Phrases by language (ISO 639-1); a final ``*`` lets the last word go on."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What tools or modalities say about the capability asked for."""

    kind: Literal["tools", "tool name", "modality"]
    names: frozenset[str]
    capability: int
    weight: int


@cache
def _index() -> dict[str, Any]:
    return _read("index.toml")


def _read(name: str) -> dict[str, Any]:
    path = files("stillwatch.signals") / "rules" / name
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, OSError) as error:
        raise ConfigError(f"the cue rules cannot be read: {error}", path=name) from error


RULES_VERSION: str = _index()["version"]
CAPABILITIES: dict[int, str] = {0: "none", **{number: name for name, number in _index()["capabilities"].items()}}


def capability_name(capability: int) -> str:
    """Return the name of a capability class.

    >>> capability_name(9)
    'grading'
    """
    return CAPABILITIES[capability]


@cache
def rules() -> tuple[Rule, ...]:
    """Return all rules, ascending by id.

    Raises :class:`~stillwatch.errors.ConfigError` when a rule file is broken.

    >>> rules()[0].family
    'elicitation'
    """
    found = [rule for family in FILES for rule in rules_of(family, _read(FILES[family]))]
    return tuple(sorted(found, key=lambda rule: rule.id))


@cache
def facts() -> tuple[Fact, ...]:
    """Return what tools and modalities say about capabilities.

    >>> {fact.kind for fact in facts()} == {"tools", "tool name", "modality"}
    True
    """
    return tuple(
        Fact(entry["kind"], frozenset(entry.get("names", ())), _capability(entry, "index.toml"), entry["weight"])
        for entry in _index()["fact"]
    )


def rules_of(family: Family, document: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of one parsed rule file.

    Raises :class:`~stillwatch.errors.ConfigError` for an id outside the family's range, an unknown capability, or a
    rule without phrases.

    >>> rules_of("form", {"rule": [{"id": 500, "name": "json", "phrases": {"en": ["as json"]}}]})[0].name
    'json'
    """
    return [_rule(family, entry) for entry in document["rule"]]


def _rule(family: Family, entry: Mapping[str, Any]) -> Rule:
    where = FILES[family]
    phrases = {language: tuple(found) for language, found in entry.get("phrases", {}).items()}
    if entry["id"] not in RANGES[family]:
        raise ConfigError(f"rule {entry['id']}: ids of this family lie in {RANGES[family]}", path=where)
    if not any(phrases.values()):
        raise ConfigError(f"rule {entry['id']} has no phrase", path=where)
    return Rule(
        entry["id"], entry["name"], family, _capability(entry, where), entry.get("weight", 1),
        entry.get("min_hits", 1), entry.get("innocent", ""), MappingProxyType(phrases),
    )  # fmt: skip


def _capability(entry: Mapping[str, Any], where: str) -> int:
    name = entry.get("capability")
    known = cast("dict[str, int]", _index()["capabilities"])
    if name is not None and name not in known:
        raise ConfigError(f"unknown capability {name!r}; known: {', '.join(known)}", path=where)
    return known[name] if name else 0
