"""The canonical schema: names, types and privacy classes are a contract."""

from __future__ import annotations

import pyarrow as pa
import pytest

from stillwatch.tables import ACCOUNTS, EXCHANGES, LABELS_ACCOUNTS, LABELS_EXCHANGES, LAUNCHES
from stillwatch.tables.schema import (
    ACCOUNT_COLUMNS,
    EXCHANGE_COLUMNS,
    FINGERPRINT_COLUMNS,
    LAUNCH_COLUMNS,
    TEXT_COLUMNS,
    TIMESTAMP,
)


def test_required_columns_are_those_of_the_contract() -> None:
    """Only identifiers, times, models and populations may not be null."""
    required = {field.name for schema in (EXCHANGES, ACCOUNTS, LAUNCHES) for field in schema if not field.nullable}
    assert required == {"exchange_id", "account_id", "ts", "model", "created_at", "released_at"}
    assert [f.name for f in LABELS_ACCOUNTS if not f.nullable] == ["account_id", "population"]
    assert [f.name for f in LABELS_EXCHANGES if not f.nullable] == ["exchange_id"]


def test_times_are_utc_microseconds_everywhere() -> None:
    """No table holds a time of another unit or zone."""
    times = [f.type for schema in (EXCHANGES, ACCOUNTS, LAUNCHES) for f in schema if pa.types.is_timestamp(f.type)]
    assert times == [TIMESTAMP] * 4


@pytest.mark.parametrize("columns", [EXCHANGE_COLUMNS, ACCOUNT_COLUMNS, LAUNCH_COLUMNS])
def test_each_column_says_what_it_means(columns: tuple[object, ...]) -> None:
    """Every column carries a meaning and a privacy class, in the Arrow metadata too."""
    schema = {EXCHANGE_COLUMNS: EXCHANGES, ACCOUNT_COLUMNS: ACCOUNTS, LAUNCH_COLUMNS: LAUNCHES}[columns]
    for field in schema:
        assert field.metadata[b"meaning"]
        assert field.metadata[b"privacy"] in {b"id", b"personal", b"content", b"fact"}


def test_text_is_content_and_hashes_are_personal() -> None:
    """What content-free mode drops is marked content; what is stored hashed is marked personal."""
    privacy = {column.name: column.privacy for column in (*EXCHANGE_COLUMNS, *ACCOUNT_COLUMNS)}
    assert {name for name, kind in privacy.items() if kind == "content"} == set(TEXT_COLUMNS)
    assert {"ip", "email_hash", "phone_hash", "payment_hash", "device_hash"} == {
        name for name, kind in privacy.items() if kind == "personal"
    }
    assert all(privacy[name] == "fact" for name in FINGERPRINT_COLUMNS)
