"""Who is who: which attribute of a format is the account, the key, the end user, the address …

The shipped map is ``identity.toml`` beside this module; a user's file overrides it column by column.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from stillwatch.errors import ConfigError
from stillwatch.ingest.paths import Finder, Place
from stillwatch.ingest.places import nearest, read_toml
from stillwatch.ingest.reader import Cells
from stillwatch.tables.schema import EXCHANGE_COLUMNS, FINGERPRINT_COLUMNS

_NEVER = {*FINGERPRINT_COLUMNS, "source", "source_line", "ip_prefix"}
MAPPABLE = tuple(c.name for c in EXCHANGE_COLUMNS if c.privacy != "content" and c.name not in _NEVER)
_FORMATS = ("otel", "litellm", "litellm-spend", "openai", "anthropic")


@dataclass(frozen=True, slots=True)
class Lookups:
    """The attributes to look at for each column of a format, in order, compiled; or a constant's cell."""

    columns: tuple[tuple[str, tuple[Place, ...], tuple[object, str] | None], ...]
    finder: Finder

    def cells(self, record: Mapping[str, Any]) -> Cells:
        """Return the cells of the columns for which the record holds something."""
        cells: Cells = {}
        held, get = self.finder.held(record), self.finder.get
        for column, places, constant in self.columns:
            for place in places:
                found = record[place.path] if place.path in record else get(record, held, place) if held else None
                if found is not None and found != "":
                    cells[column] = (found, place.path)
                    break
            if constant is not None:
                cells[column] = constant
        return cells


@dataclass(frozen=True, slots=True)
class IdentityMap:
    """For each format and column the attributes to look at, in order, compiled."""

    lookups: Mapping[str, Lookups]

    def cells(self, form: str, value: Mapping[str, Any]) -> Cells:
        """Return the identity cells of a record of the format; absent attributes give no cell.

        >>> default_identity().cells("litellm", {"end_user": "u1", "metadata": {"user_api_key_hash": "k"}})
        {'account_id': ('k', 'metadata.user_api_key_hash'), 'api_key_id': ('k', 'metadata.user_api_key_hash'), \
'end_user_id': ('u1', 'end_user')}
        """
        return self.lookups[form].cells(value)

    def origins(self, form: str, column: str) -> list[str]:
        """Return where a column is looked for, for messages to people."""
        for name, places, constant in self.lookups[form].columns:
            if name == column:
                return ["constant"] if constant else [place.path for place in places]
        return []


def load_identity(path: Path | None = None) -> IdentityMap:
    """Return the shipped map, overridden column by column by the user's file.

    Raises :class:`ConfigError` at the line of an unknown format or column or a value of the wrong kind.
    """
    if path is None:
        return default_identity()
    given, lines = read_toml(path)
    merged = {form: dict(columns) for form, columns in _shipped().items()}
    for form, columns in given.items():
        if form not in _FORMATS or not isinstance(columns, dict):
            line = lines.get((form, "")) or lines.get(("", form))
            raise ConfigError(f"unknown format {form!r}: {nearest(form, _FORMATS)}", path=path, line=line)
        for column, value in columns.items():
            _check(column, value, path, lines.get((form, column)))
            merged[form][column] = value
    return _compile(merged)


def _check(column: str, value: object, path: Path, line: int | None) -> None:
    if column not in MAPPABLE:
        raise ConfigError(f"unknown column {column!r}: {nearest(column, MAPPABLE)}", path=path, line=line)
    constant = isinstance(value, dict) and set(value) == {"constant"}
    names = isinstance(value, str) or (isinstance(value, list) and all(isinstance(name, str) for name in value))
    if not (constant or names):
        raise ConfigError(
            f"{column} wants an attribute, a list of attributes or {{ constant = … }}", path=path, line=line
        )


@cache
def default_identity() -> IdentityMap:
    """Return the shipped map.

    >>> default_identity().origins("otel", "country")[0]
    'geo.country.iso_code'
    """
    return _compile(_shipped())


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    return tomllib.loads(resources.files("stillwatch.ingest").joinpath("identity.toml").read_text(encoding="utf-8"))


def _compile(table: Mapping[str, Mapping[str, Any]]) -> IdentityMap:
    return IdentityMap({form: _lookups(columns) for form, columns in table.items()})


def _lookups(columns: Mapping[str, Any]) -> Lookups:
    named = {column: _names(value) for column, value in columns.items()}
    finder, places = Finder.of(name for names in named.values() for name in names)
    each = iter(places)
    return Lookups(
        tuple(
            (column, tuple(next(each) for _ in names), _constant(columns[column])) for column, names in named.items()
        ),
        finder,
    )


def _names(value: Any) -> list[str]:
    return [] if isinstance(value, dict) else [value] if isinstance(value, str) else value


def _constant(value: Any) -> tuple[object, str] | None:
    return (value["constant"], "constant") if isinstance(value, dict) and value["constant"] not in (None, "") else None
