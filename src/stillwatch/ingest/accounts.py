"""Accounts and launches: rows as found to the contract's, personal values hashed, merged by account or model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from stillwatch.ingest.cells import CONVERT, Desk, text
from stillwatch.ingest.privacy import PREFIX, digits, email, is_card, sealed_id
from stillwatch.ingest.reader import Cells, RowError

_BIN_DIGITS = 6
_CARD_LIKE = re.compile(r"\d(?:[ -]?\d){12,18}")
_KINDS = {"email": "email_hash", "phone": "phone_hash", "payment": "payment_hash", "device": "device_hash"}
_HASHES = {column: kind for kind, column in _KINDS.items()}


def finish_account(cells: Cells, desk: Desk) -> dict[str, Any]:
    """Return an account row as the contract wants it.

    Raw e-mail, phone, payment and device are hashed; the e-mail's domain and a card's first six digits are kept in
    their own columns. A ``…_hash`` column that holds no keyed hash yet is hashed as if it were raw, except when it
    looks like a digest (hex of at least 32 digits), which is kept.

    An optional value that does not fit is left out. Raises :class:`RowError` when ``account_id`` is missing, or it or
    ``created_at`` does not fit; ``created_at`` may be missing for an account that is known already (a closure, a new
    plan), which the caller checks.

    >>> from stillwatch.ingest.privacy import Key
    >>> desk = Desk(Key(b"0123456789abcdef"), now_us=1_800_000_000_000_000)
    >>> cells = {"account_id": ("a", "id"), "created_at": (1767225600, "t"), "email": ("X@Y.example", "email")}
    >>> row = finish_account(cells, desk)
    >>> row["email_domain"], row["email_hash"].startswith("hmac-sha256:")
    ('y.example', True)
    """
    row: dict[str, Any] = {}
    desk.unread.clear()
    for column, (found, origin) in cells.items():
        row[column] = desk.read(column, found, origin, text if column in _KINDS else CONVERT["accounts"][column])
    if row.get("account_id") is None:
        raise RowError("account_id is missing")
    row["account_id"] = sealed_id(desk.key, row["account_id"])
    if row.get("org_id"):
        row["org_id"] = sealed_id(desk.key, row["org_id"])
    for kind, column in _KINDS.items():
        raw = row.pop(kind, None) or _unhashed(row.get(column))
        if raw:
            _seal(row, kind, column, raw, desk)
    return row


def _unhashed(value: str | None) -> str | None:
    if value is None or value.startswith(PREFIX):
        return None
    is_digest = len(value) >= 32 and all(digit in "0123456789abcdefABCDEF" for digit in value)
    return None if is_digest else value


def _seal(row: dict[str, Any], kind: str, column: str, raw: str, desk: Desk) -> None:
    shaped = email(raw) if kind == "email" else digits(raw) if kind == "phone" else raw.strip()
    if kind == "payment" and is_card(digits(raw)):
        shaped = digits(raw)
        row.setdefault("payment_bin", shaped[:_BIN_DIGITS])
    elif kind == "payment" and _CARD_LIKE.fullmatch(shaped) and not row.get("payment_bin"):
        desk.notes["card numbers with a wrong check digit, payment_bin left out"] += 1
    if kind == "email" and "@" in shaped:
        row.setdefault("email_domain", shaped.rpartition("@")[2])
    row[column] = desk.key.hash(kind, shaped)


def finish_launch(cells: Cells, desk: Desk) -> dict[str, Any]:
    """Return a launch row as the contract wants it. Raises :class:`RowError` when one of the two is missing."""
    row: dict[str, Any] = {}
    for column in ("model", "released_at"):
        found, origin = cells.get(column, (None, column))
        try:
            row[column] = None if found is None else CONVERT["launches"][column](found, desk.notes)
        except RowError as error:
            raise RowError(f"{column} (from {origin}): {error}") from None
        if row[column] is None:
            raise RowError(f"{column} is missing")
    return row


def merge(known: pa.Table, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Lay rows over a table by its first column, sorted by it; what a row leaves out stays as it was.

    >>> schema = pa.schema([("id", pa.string()), ("x", pa.int64()), ("y", pa.int64())])
    >>> known = pa.table({"id": ["b"], "x": [1], "y": [2]}, schema)
    >>> merge(known, [{"id": "b", "x": 3}, {"id": "a"}], schema).to_pylist()
    [{'id': 'a', 'x': None, 'y': None}, {'id': 'b', 'x': 3, 'y': 2}]
    """
    by = schema.names[0]
    plain = pa.schema([pa.field(f.name, pa.int64() if pa.types.is_timestamp(f.type) else f.type) for f in schema])
    merged: dict[str, dict[str, Any]] = {row[by]: row for row in known.cast(plain).to_pylist()}
    for row in rows:
        held = merged.setdefault(row[by], {})
        held.update({column: value for column, value in row.items() if value is not None})
    ordered = [merged[name] for name in sorted(merged)]
    columns = [pa.array([row.get(field.name) for row in ordered], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)
