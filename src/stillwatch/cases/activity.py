"""Ibis expressions that fold exchanges into account × day × model × surface, and read telemetry from that."""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from stillwatch.cases.wording import iso_day

DAY_US = 86_400_000_000
NOT_GIVEN = "not given"
OTHERS = "all others"


def microseconds(instant: Any) -> Any:
    """Return an instant column as epoch microseconds, the same integer on every engine.

    >>> microseconds(ibis.table({"ts": "timestamp('UTC')"}).ts).type().is_integer()
    True
    """
    return instant.cast("timestamp").delta(ibis.timestamp("1970-01-01"), unit="microsecond")


def account_facts(accounts: pa.Table) -> Any:
    """Return the accounts as an Ibis table: id, sign-up (epoch µs), Monday of its week (day number), programme, plan.

    Day 0, 1970-01-01, was a Thursday, so the week of day d begins on d − (d + 3) mod 7.

    >>> from stillwatch.tables import ACCOUNTS
    >>> account_facts(ACCOUNTS.empty_table()).columns
    ('account_id', 'created_us', 'cohort', 'programme', 'plan')
    """
    created = accounts["created_at"].combine_chunks().cast(pa.int64())
    days = np.floor_divide(created.to_numpy(zero_copy_only=False), DAY_US).astype(np.int64)
    return ibis.memtable(
        pa.table(
            {
                "account_id": accounts["account_id"],
                "created_us": created,
                "cohort": pa.array([iso_day(day) for day in days - (days + 3) % 7], pa.string()),
                "programme": accounts["programme"],
                "plan": accounts["plan"],
            }
        )
    )


def daily_activity(exchanges: Any, facts: Any) -> Any:
    """Return one row an account, day, model and surface: exchanges, and those in the account's first 24 hours.

    The one pass over the exchanges. Ibis tables in, Ibis table out; ``day`` counts days since 1970-01-01.

    >>> from stillwatch.tables import ACCOUNTS, EXCHANGES
    >>> rows = daily_activity(ibis.memtable(EXCHANGES.empty_table()), account_facts(ACCOUNTS.empty_table()))
    >>> rows.count().to_pyarrow().as_py()
    0
    """
    at = exchanges.select("account_id", "model", "surface", us=microseconds(exchanges.ts))
    joined = at.left_join(facts, "account_id").drop("account_id_right")
    age = joined.us - joined.created_us
    day = (joined.us // DAY_US).cast("int64")
    early = ((age >= 0) & (age < DAY_US)).fill_null(False)
    rows = joined.mutate(day=day, early=early.cast("int64"), fresh=((age >= 0) & (age < 7 * DAY_US)).fill_null(False))
    keys = ["account_id", "day", "model", "surface", "cohort", "programme", "plan", "created_us"]
    return rows.group_by(keys).agg(
        n=rows.count(), early=rows.early.sum(), fresh=rows.fresh.any(), first_us=rows.us.min(), last_us=rows.us.max()
    )


def by_value(daily: Any, dimension: str | None, keep: list[str] | None = None) -> Any:
    """Return daily exchanges, accounts and fresh accounts by value of one dimension (None: of all traffic).

    Values that are not in ``keep`` are pooled as ``all others``; null is ``not given``.

    >>> kinds = {"account_id": "string", "day": "int64", "plan": "string", "n": "int64", "fresh": "boolean"}
    >>> by_value(ibis.table(kinds), "plan").columns
    ('value', 'day', 'exchanges', 'accounts', 'fresh')
    """
    value = ibis.literal("all traffic") if dimension is None else daily[dimension].fill_null(NOT_GIVEN)
    if keep is not None:
        value = value.isin(keep).ifelse(value, OTHERS)
    rows = daily.mutate(value=value)
    return rows.group_by("value", "day").agg(
        exchanges=rows.n.sum(),
        accounts=rows.account_id.nunique(),
        fresh=rows.account_id.nunique(where=rows.fresh),
    )
