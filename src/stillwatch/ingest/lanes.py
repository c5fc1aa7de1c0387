"""A fast lane: lines of the usual shape are decoded to typed structs and become columns, some hundred at once.

A lane is an addition to a reader, never its meaning: it takes only lines whose every member it looks at has the
expected type, and what it makes of them is what the reader's mapper makes of each. Any other line goes the mapper's
way. So a lane is as strict as it likes, and its test is the mapper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple

from stillwatch.ingest.columns import Column, Columns
from stillwatch.ingest.identity import Lookups
from stillwatch.ingest.paths import any_case
from stillwatch.ingest.reader import Outcome

AT_ONCE = 256
Source = tuple[str, Sequence[Any]]
"""Where values were found, and the value of each row (None or empty text: nothing)."""


class Block(NamedTuple):
    """Rows of one file as columns of values as found; ``one_by_one`` gives the same rows as outcomes of the mapper."""

    columns: Columns
    source: str
    lines: list[int]
    one_by_one: Callable[[], Iterator[Outcome]]


@dataclass(frozen=True, slots=True)
class Lane:
    """The decoder of a line (raises when the line is not of the usual shape) and what makes columns of such.

    ``unusual`` is what a line of the usual shape does not hold: a path written as one flat key, which would win.
    """

    decode: Callable[[bytes], Any]
    columns: Callable[[Sequence[Any]], Columns]
    unusual: tuple[bytes, ...] = ()

    def takes(self, line: bytes) -> Any:
        """Return the line decoded, or None when it has to go the ordinary way."""
        for mark in self.unusual:
            if mark in line:
                return None
        try:
            return self.decode(line)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None


def first_of(sources: Iterable[Source]) -> Column | None:
    """Return for each row the first value that is something, with where it was found; None when no row has any.

    >>> first_of([("a", [1, None, ""]), ("b", [5, 6, None])])
    Column(values=[1, 6, None], origins=['a', 'b', None])
    """
    values: list[Any] = []
    origins: list[str | None] = []
    for origin, found in sources:
        if not values:
            values, origins = list(found), [origin] * len(found)
        elif None in values or "" in values:
            for at, value in enumerate(values):
                if value is None or value == "":
                    values[at], origins[at] = found[at], origin
    if None in values or "" in values:
        for at, value in enumerate(values):
            if value is None or value == "":
                values[at] = origins[at] = None
        if not any(origins):
            return None
    return Column(values, origins) if values else None


class Shape:
    """A struct type for the paths that are looked at, and how to take their values out of many such structs.

    >>> shape = Shape({"id": str | None, "metadata.user": str | None})
    >>> lines = ('{"id": "e", "more": 1}', '{"metadata": {"user": "u"}}')
    >>> shape.taken([msgspec.json.decode(line, type=shape.type) for line in lines])
    {'id': ('e', None), 'metadata.user': (None, 'u')}
    """

    def __init__(self, kinds: Mapping[str, Any]) -> None:
        """Compile paths and their types. Raises :class:`ValueError` when one path is what another goes through."""
        inner: dict[str, dict[str, Any]] = {}
        members: dict[str, Any] = {}
        for path, kind in kinds.items():
            step, _, rest = path.partition(".")
            if rest:
                inner.setdefault(step, {})[rest] = kind
            else:
                members[step] = kind
        if both := inner.keys() & members.keys():
            raise ValueError(f"{min(both)} is a value, and a path goes through it")
        self._inner = {step: Shape(rest) for step, rest in inner.items()}
        members |= {step: shape.type | None for step, shape in self._inner.items()}
        self.flat_keys = tuple(f'"{step}.'.encode() for step in inner)
        self._steps = tuple(members)
        fields = [(f"f{number}", kind, None) for number, kind in enumerate(members.values())]
        renamed = {f"f{number}": step for number, step in enumerate(members)}
        self.type: Any = msgspec.defstruct("Shape", fields, rename=renamed, frozen=True, gc=False)

    def taken(self, rows: Iterable[Any]) -> dict[str, Sequence[Any]]:
        """Return the values of each path, a row each; None where nothing stands."""
        found: dict[str, Sequence[Any]] = {}
        for step, column in zip(self._steps, zip(*map(astuple, rows), strict=True), strict=True):
            shape = self._inner.get(step)
            if shape is None:
                found[step] = column
            else:
                empty = shape.type()
                within = shape.taken([empty if one is None else one for one in column])
                found |= {f"{step}.{path}": values for path, values in within.items()}
        return found


IDENTITY = str | int | float | None
HEADERS = dict[str, IDENTITY] | None


def identity_kinds(lookups: Lookups) -> dict[str, Any]:
    """Return the types of the paths of an identity map; members of ``…headers`` are looked up in their mapping."""
    kinds: dict[str, Any] = {}
    for _, places, _ in lookups.columns:
        for place in places:
            path = place.path.rpartition(".")[0] if place.is_header else place.path
            kinds[path] = HEADERS if place.is_header else IDENTITY
    return kinds


def identity_sources(lookups: Lookups, taken: Mapping[str, Sequence[Any]], rows: int) -> dict[str, list[Source]]:
    """Return where to look for each column of an identity map, in order."""
    sources: dict[str, list[Source]] = {}
    for column, places, constant in lookups.columns:
        sources[column] = [("constant", [constant[0]] * rows)] if constant else []
        for place in places:
            path, _, leaf = place.path.rpartition(".")
            found = _headers(taken[path], leaf) if place.is_header else taken[place.path]
            sources[column].append((place.path, found))
    return sources


def _headers(mappings: Sequence[Mapping[str, Any] | None], name: str) -> list[Any]:
    """Return one header of each row; other spellings of its name are looked for only where there are any."""
    found = [mapping.get(name) if mapping else None for mapping in mappings]
    if None in found:
        for at, mapping in enumerate(mappings):
            if found[at] is None and mapping:
                found[at] = any_case(mapping, name)
    return found
