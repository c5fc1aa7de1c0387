"""Compile our own text grammar (TOML) to the arrays that :mod:`stillwatch.simulate.expand` runs on.

A rule is a name and its alternatives. ``<name>`` expands another rule. Flags before the name: ``!`` the same words for
one frame, ``=`` verbatim (no writing style), ``@`` the rule of the row's domain (``noun.law``). A ``+`` after the name
repeats until the text is as long as wanted. A rule whose name ends in ``~`` draws early alternatives more often
(Zipf), and one whose value is a single string draws one of the parts between its commas.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from stillwatch.errors import ConfigError
from stillwatch.simulate.expand import DOMAIN, FRAME, REPEAT, VERBATIM, Tables

_REFERENCE = re.compile(r"<([!=@]*)([a-z][a-z0-9_.]*)(\+?)>")
_FLAGS = {"!": FRAME, "=": VERBATIM, "@": DOMAIN}


@dataclass(frozen=True)
class Grammar:
    """A compiled grammar: its arrays, the number of each symbol, and the domains in order."""

    tables: Tables
    numbers: dict[str, int]
    domains: tuple[str, ...]

    def symbol(self, name: str) -> int:
        """Return the number of a rule; raise :class:`ConfigError` when there is none.

        >>> compile_grammar({"a": ["x"]}).symbol("a")
        0
        """
        if name not in self.numbers:
            raise ConfigError(f"the grammar has no rule {name!r}")
        return self.numbers[name]


def compile_grammar(rules: Mapping[str, list[str] | str], domains: tuple[str, ...] = ()) -> Grammar:
    """Compile rules (name to alternatives); raise :class:`ConfigError` on a reference to nothing.

    >>> compile_grammar({"a": ["<b>"]})
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: rule 'a' refers to 'b', which is no rule
    """
    names = {name.rstrip("~"): number for number, name in enumerate(rules)}
    bases = sorted({name.split(".")[0] for name in names if name.split(".")[-1] in domains})
    literals: dict[bytes, int] = {}
    first: list[int] = []
    count: list[int] = []
    zipf: list[int] = []
    start: list[int] = []
    stop: list[int] = []
    items: list[int] = []
    for name, value in rules.items():
        alternatives = value.split(", ") if isinstance(value, str) else value
        first.append(len(start))
        count.append(len(alternatives))
        zipf.append(int(name.endswith("~")))
        for text in alternatives:
            start.append(len(items))
            items.extend(_items(name, text, names, bases, literals))
            stop.append(len(items))
    rows = [[names[f"{base}.{domain}"] for domain in domains] for base in bases]
    sizes = [0, *np.cumsum([len(text) for text in literals]).tolist()]
    first_, count_, zipf_, start_, stop_, items_, at = (
        np.array(column, np.int64) for column in (first, count, zipf, start, stop, items, sizes)
    )
    words = np.frombuffer(b"".join(literals) or b"\0", np.uint8)
    by_domain = np.array(rows, np.int64).reshape(len(bases), len(domains))
    tables = Tables(first_, count_, zipf_, start_, stop_, items_, at, words, by_domain)
    return Grammar(tables, names, domains)


def _items(rule: str, text: str, names: dict[str, int], bases: list[str], literals: dict[bytes, int]) -> list[int]:
    found: list[int] = []
    at = 0
    for match in _REFERENCE.finditer(text):
        _literal(text[at : match.start()], literals, found)
        marks, name, plus = match.groups()
        flags = sum(_FLAGS[mark] for mark in set(marks)) | (REPEAT if plus else 0)
        known = bases if flags & DOMAIN else names
        if name not in known:
            raise ConfigError(f"rule {rule!r} refers to {name!r}, which is no rule")
        number = bases.index(name) if flags & DOMAIN else names[name]
        found.append(number * 16 + flags)
        at = match.end()
    _literal(text[at:], literals, found)
    return found


def _literal(text: str, literals: dict[bytes, int], found: list[int]) -> None:
    if text:
        found.append(-1 - literals.setdefault(text.encode(), len(literals)))


@cache
def own_grammar() -> Grammar:
    """Return the grammar of this package: every file of ``grammar/``, one name space.

    >>> len(own_grammar().domains) >= 25
    True
    """
    rules: dict[str, list[str] | str] = {}
    domains: list[str] = []
    for file in sorted(resources.files("stillwatch.simulate").joinpath("grammar").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            content = tomllib.loads(file.read_text(encoding="utf-8"))
            for domain, words in content.pop("domains", {}).items():
                domains.append(domain)
                rules.update({f"{base}.{domain}": value for base, value in words.items()})
            rules.update(content)
    return compile_grammar(rules, tuple(domains))
