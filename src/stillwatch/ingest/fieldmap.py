"""Any CSV, NDJSON or Parquet through a declarative TOML file: canonical column = where it stands.

::

    [exchanges]
    exchange_id = "id"                                      # a path into the record
    account_id  = ["consumer.id", "consumer.username"]      # the first that holds something
    ts          = { from = "started_at", unit = "ms" }      # s, ms, us, ns, iso, or a strptime format
    surface     = { constant = "api" }
    modalities  = { from = "kinds", separator = "|" }
    refused     = { from = "outcome", true = ["refused"], false = ["ok"] }
    request     = "ai.payload.request"                      # an OpenAI or Anthropic body: fills text and parameters
    response    = "ai.payload.response"

``[accounts]`` and ``[launches]`` map those tables in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from stillwatch.errors import ConfigError
from stillwatch.ingest.bodies import put, request_cells, response_cells, said
from stillwatch.ingest.decode import embedded
from stillwatch.ingest.paths import getter
from stillwatch.ingest.places import nearest, read_toml
from stillwatch.ingest.reader import Cells, Each, Mapper, Plan, Reader, RowError, Table
from stillwatch.tables import ACCOUNTS, EXCHANGES, LAUNCHES

_BODIES = ("request", "response", "messages")
_RAW_ACCOUNT = ("email", "phone", "payment", "device")
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "exchanges": (*(name for name in EXCHANGES.names if name not in ("source", "source_line")), *_BODIES),
    "accounts": (*ACCOUNTS.names, *_RAW_ACCOUNT),
    "launches": tuple(LAUNCHES.names),
}
_REQUIRED = {
    "exchanges": ("account_id", "ts", "model"),
    "accounts": ("account_id", "created_at"),
    "launches": ("model", "released_at"),
}
_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1e-3}
_KEYS = ("from", "constant", "unit", "separator", "true", "false")


@dataclass(frozen=True, slots=True)
class Rule:
    """How one column is filled: its sources in order and the change made to what they hold."""

    column: str
    lookups: tuple[tuple[str, Callable[[Any], Any]], ...]
    change: Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class FieldMap:
    """A field map, compiled: the rules of each table it maps."""

    path: Path
    tables: Mapping[str, tuple[Rule, ...]]

    def cells(self, table: Table, value: Any) -> Cells:
        """Map one record. Raises :class:`RowError` when a value does not fit its rule."""
        cells: Cells = {}
        for rule in self.tables.get(table, ()):
            for origin, get in rule.lookups:
                found = get(value)
                if found is not None and found != "":
                    _fill(cells, rule, found, origin)
                    break
        return cells


def load_field_map(path: Path) -> FieldMap:
    """Read and check a field map.

    Raises :class:`ConfigError` at the file and line of an unknown table or column, a missing required column, an
    unknown unit or a value of the wrong kind.
    """
    given, lines = read_toml(path)
    tables: dict[str, tuple[Rule, ...]] = {}
    for table, columns in given.items():
        if table not in get_args(Table) or not isinstance(columns, dict):
            line = lines.get((table, "")) or lines.get(("", table))
            raise ConfigError(f"unknown table {table!r}: {nearest(table, _COLUMNS)}", path=path, line=line)
        rules = []
        for column, value in columns.items():
            try:
                rules.append(_rule(table, column, value))
            except ValueError as error:
                raise ConfigError(str(error), path=path, line=lines.get((table, column))) from None
        _require(table, columns, path, lines.get((table, "")))
        tables[table] = tuple(rules)
    if not tables:
        raise ConfigError("maps nothing: no [exchanges], [accounts] or [launches]", path=path, line=1)
    return FieldMap(path, tables)


def _require(table: str, columns: Mapping[str, Any], path: Path, line: int | None) -> None:
    for name in _REQUIRED[table]:
        if name not in columns and not (name == "model" and "request" in columns):
            raise ConfigError(f"[{table}] maps no {name}, which every row needs", path=path, line=line)


def _rule(table: str, column: str, value: Any) -> Rule:
    if column not in _COLUMNS[table]:
        raise ValueError(f"unknown column {column!r}: {nearest(column, _COLUMNS[table])}")
    if not isinstance(value, dict):
        return Rule(column, _lookups(column, value), _same)
    unknown = next((key for key in value if key not in _KEYS), None)
    if unknown is not None:
        raise ValueError(f"unknown setting {unknown!r} of {column}: {nearest(unknown, _KEYS)}")
    if "constant" in value:
        constant = value["constant"]
        return Rule(column, (("constant", lambda _: constant),), _same)
    if "from" not in value:
        raise ValueError(f"{column} says neither from nor constant")
    return Rule(column, _lookups(column, value["from"]), _change(column, value))


def _lookups(column: str, names: Any) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{column} wants a path, a list of paths, or {{ from = …, … }}")
    return tuple((name, getter(name)) for name in names)


def _change(column: str, value: dict[str, Any]) -> Callable[[Any], object]:
    if "unit" in value:
        return _instant(column, value["unit"])
    if "separator" in value:
        separator = value["separator"]
        if not isinstance(separator, str) or not separator:
            raise ValueError(f"separator of {column} wants text")
        return lambda found: [part.strip() for part in found.split(separator)] if isinstance(found, str) else found
    if "true" in value or "false" in value:
        return _flag(column, value)
    return _same


def _same(found: Any) -> object:
    return found


def _instant(column: str, unit: Any) -> Callable[[Any], object]:
    if unit == "iso":
        return _same
    if unit in _UNITS:
        factor = _UNITS[unit]
        return lambda found: _scaled(column, found, factor)
    if isinstance(unit, str) and "%" in unit:
        return lambda found: _parsed(column, found, unit)
    raise ValueError(f"unit of {column} is none of s, ms, us, ns, iso or a strptime format: {unit!r}")


def _scaled(column: str, found: Any, factor: float) -> datetime:
    try:
        number = int(found) if isinstance(found, int) or str(found).lstrip("-").isdigit() else float(found)
        micros = number * factor
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=round(micros))
    except (TypeError, ValueError, OverflowError):
        raise RowError(f"{column}: no number of time units: {str(found)[:40]!r}") from None


def _parsed(column: str, found: Any, form: str) -> datetime:
    try:
        moment = datetime.strptime(str(found), form)
    except ValueError:
        raise RowError(f"{column}: {str(found)[:40]!r} is not of the form {form}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _flag(column: str, value: dict[str, Any]) -> Callable[[Any], object]:
    yes, no = value.get("true"), value.get("false")
    for words in (yes, no):
        if words is not None and not isinstance(words, list):
            raise ValueError(f"true and false of {column} want lists of values")

    def change(found: Any) -> object:
        if yes is not None and found in yes:
            return True
        if no is None or found in no:
            return False
        return None if yes is not None else True

    return change


def _fill(cells: Cells, rule: Rule, found: Any, origin: str) -> None:
    if rule.column in ("request", "response"):
        read = request_cells if rule.column == "request" else response_cells
        for column, (value, place) in read(embedded(found), origin).items():
            put(cells, column, value, place)
    elif rule.column == "messages":
        said(cells, found, None, origin)
    else:
        value = rule.change(found)
        if value is not None:
            cells[rule.column] = (value, origin)


def _open(table: Table, plan: Plan) -> Mapper:
    field_map = plan.field_map
    if field_map is None or table not in field_map.tables:
        raise ConfigError(f"format map needs a field map with [{table}]: --map FILE")
    return Each(lambda value: field_map.cells(table, value))


MAPPED = Reader(
    "map",
    "any CSV, NDJSON, JSON or Parquet through a field map",
    lambda _: False,
    lambda plan: _open("exchanges", plan),
)
MAPPED_ACCOUNTS = Reader(
    "map-accounts", "accounts through a field map", lambda _: False, lambda plan: _open("accounts", plan), "accounts"
)
MAPPED_LAUNCHES = Reader(
    "map-launches", "launches through a field map", lambda _: False, lambda plan: _open("launches", plan), "launches"
)
