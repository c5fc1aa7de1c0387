"""Paths into records: ``metadata.user_api_key_hash``, ``choices.0.message``, or a flat key that holds dots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from stillwatch.ingest.decode import embedded


def getter(path: str) -> Callable[[Any], Any]:
    """Compile a path to a function that looks it up and gives None where nothing is.

    A flat key that holds the dots (OpenTelemetry, flattened CSV) wins over nesting; JSON kept as text on the way is
    decoded; list items are named by their number; members of ``…headers`` match whatever their case and whether
    they are written with - or _.

    >>> getter("a.b")({"a": {"b": 1}}), getter("a.b")({"a.b": 2}), getter("a.0.c")({"a": '[{"c": 3}]'})
    (1, 2, 3)
    >>> getter("headers.x-ja4")({"headers": {"X-JA4": "t13"}})
    't13'
    """
    steps = path.split(".")
    if len(steps) == 1:
        return lambda value: value.get(path) if isinstance(value, dict) else None
    shorter = [(".".join(steps[:n]), steps[n - 1 :]) for n in range(len(steps) - 1, 0, -1)]

    def get(value: Any) -> Any:
        if not isinstance(value, dict):
            return None
        if path in value:
            return value[path]
        for key, rest in shorter:
            if key in value:
                return _walk(value[key], rest)
        return None

    return get


class Place(NamedTuple):
    """A path compiled for :class:`Finder`: as one flat key, the number of what holds its last step, and that step."""

    path: str
    holder: int | None
    leaf: str
    is_header: bool


@dataclass(frozen=True, slots=True)
class Finder:
    """Looks many paths up in a record, by the rules of :func:`getter`; what several of them share is opened once.

    >>> finder, places = Finder.of(["user", "metadata.key", "metadata.headers.x-ja4"])
    >>> record = {"user": "u", "metadata": '{"key": "k", "headers": {"X-JA4": "t13"}}'}
    >>> held = finder.held(record)
    >>> [finder.get(record, held, place) for place in places]
    ['u', 'k', 't13']
    """

    holders: tuple[Place, ...]
    keys: frozenset[str]

    @classmethod
    def of(cls, paths: Iterable[str]) -> tuple[Finder, list[Place]]:
        """Compile paths; returns the finder and the place of each path."""
        holders: dict[str, Place] = {}
        places = [_placed(path, holders) for path in paths]
        return cls(tuple(holders.values()), frozenset(holders)), places

    def held(self, record: Mapping[str, Any]) -> list[Any]:
        """Return what holds the last steps, opened; nothing when the record has no member on the way to any."""
        found: list[Any] = []
        if not self.keys.isdisjoint(record):
            for place in self.holders:
                inner = self.get(record, found, place)
                found.append(embedded(inner) if type(inner) is str else inner)
        return found

    @staticmethod
    def get(record: Mapping[str, Any], held: list[Any], place: Place) -> Any:
        """Return what stands at a place, or None."""
        path, holder, leaf, is_header = place
        if path in record:
            return record[path]
        if holder is None or not held:
            return None
        inner = held[holder]
        if type(inner) is dict:
            found = inner.get(leaf)
            return any_case(inner, leaf) if found is None and is_header else found
        return _walk(inner, ["", leaf])


def _placed(path: str, holders: dict[str, Place]) -> Place:
    """Return the place of a path, after that of all that stands before its last step."""
    before, _, leaf = path.rpartition(".")
    if before and before not in holders:
        holders[before] = _placed(before, holders)
    number = list(holders).index(before) if before else None
    return Place(path, number, leaf, before.endswith("headers"))


def _walk(value: Any, steps: list[str]) -> Any:
    """Follow the steps after the first, which names what ``value`` was found under."""
    for position in range(1, len(steps)):
        if isinstance(value, str):
            value = embedded(value)
        step = steps[position]
        if isinstance(value, dict):
            found = value.get(step)
            if found is None and steps[position - 1].endswith("headers"):
                found = any_case(value, step)
            value = found
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def any_case(headers: Mapping[str, Any], name: str) -> Any:
    """Return a header whatever its case and whether it is written with - or _, or None.

    >>> any_case({"X_JA4": "t13"}, "x-ja4")
    't13'
    """
    wanted = name.lower().replace("_", "-")
    return next((value for key, value in headers.items() if str(key).lower().replace("_", "-") == wanted), None)
