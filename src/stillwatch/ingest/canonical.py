"""Sources that stand in the canonical columns already: exchanges, accounts, launches, as Parquet, NDJSON or CSV."""

from __future__ import annotations

from functools import partial
from typing import Any

from stillwatch.ingest.decode import compact
from stillwatch.ingest.reader import Cells, Each, Mapper, Plan, Reader
from stillwatch.tables import ACCOUNTS, EXCHANGES, LAUNCHES

_RAW = {"email": "email", "phone": "phone", "payment": "payment", "device": "device"}
_OTHER_NAMES = {
    "email": ("email_address", "mail"),
    "phone": ("phone_number",),
    "payment": ("payment_instrument", "card_number", "iban"),
    "device": ("device_id",),
    "account_id": ("id", "user_id"),
    "created_at": ("signup_at", "created"),
    "org_id": ("organization_id",),
    "billing_country": ("country",),
}
_BODIES = {"request", "response", "messages"}  # an envelope that happens to use our names
_EXCHANGE_COLUMNS = frozenset(EXCHANGES.names) - {"source", "source_line"}


def exchange_cells(value: dict[str, Any]) -> Cells:
    """Take the canonical columns as they are; structured tools become JSON text.

    >>> exchange_cells({"account_id": "a", "model": None, "more": 1})
    {'account_id': ('a', 'account_id')}
    """
    cells: Cells = {
        name: (found, name)
        for name, found in value.items()
        if name in _EXCHANGE_COLUMNS and found is not None and found != ""
    }
    tools = value.get("tools_json")
    if isinstance(tools, dict | list):
        cells["tools_json"] = (compact(tools), "tools_json")
    return cells


def account_cells(value: dict[str, Any]) -> Cells:
    """Take account columns; ``email``, ``phone``, ``payment`` and ``device`` may come raw and are hashed later.

    >>> account_cells({"id": "a", "created_at": 1, "email_address": "x@y.example"})
    {'account_id': ('a', 'id'), 'created_at': (1, 'created_at'), 'email': ('x@y.example', 'email_address')}
    """
    cells: Cells = {}
    for column in (*ACCOUNTS.names, *_RAW):
        for name in (column, *_OTHER_NAMES.get(column, ())):
            found = value.get(name)
            if found is not None and found != "":
                cells[column] = (found, name)
                break
    return cells


def launch_cells(value: dict[str, Any]) -> Cells:
    """Take the two launch columns.

    >>> launch_cells({"model": "m", "released_at": "2026-01-02"})
    {'model': ('m', 'model'), 'released_at': ('2026-01-02', 'released_at')}
    """
    return {name: (value[name], name) for name in LAUNCHES.names if value.get(name) not in (None, "")}


def _has(*names: str) -> Any:
    return lambda value: isinstance(value, dict) and all(name in value for name in names)


def _open(function: Any, _: Plan) -> Mapper:
    return Each(function)


CANONICAL = Reader(
    "canonical",
    "the canonical columns of exchanges: Parquet, NDJSON, JSON, CSV",
    lambda value: _has("account_id", "ts", "model")(value) and not _BODIES & set(value),
    partial(_open, exchange_cells),
)
CANONICAL_ACCOUNTS = Reader(
    "accounts",
    "accounts: Parquet, NDJSON, JSON, CSV",
    lambda value: _has("account_id", "created_at")(value) and "model" not in value,
    partial(_open, account_cells),
    "accounts",
)
CANONICAL_LAUNCHES = Reader(
    "launches",
    "model launches: Parquet, NDJSON, JSON, CSV",
    _has("model", "released_at"),
    partial(_open, launch_cells),
    "launches",
)
