"""The engine contract: each relational step through Ibis gives the rows that plain Python gives."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.cases.activity import DAY_US, NOT_GIVEN, account_facts, by_value, daily_activity, microseconds
from stillwatch.tables import ACCOUNTS, EXCHANGES
from stillwatch.tables.engines import connect
from stillwatch.tables.schema import TIMESTAMP
from stillwatch.tables.store import conform

START = 20_000 * DAY_US
_CONNECTION = connect(threads=1)
_account = st.sampled_from(["a", "b", "c", "ghost"])
_exchange = st.fixed_dictionaries(
    {
        "account_id": _account,
        "ts": st.integers(-3 * DAY_US, 3 * DAY_US).map(lambda us: START + us),
        "model": st.sampled_from(["m", "n"]),
        "surface": st.sampled_from([None, "api", ""]),
    }
)
PLANS = {"a": "free", "b": None, "c": "free"}
CREATED = {"a": START, "b": START - 2 * DAY_US, "c": START + DAY_US - 1}


def tables(drawn: list[dict[str, Any]]) -> tuple[pa.Table, pa.Table]:
    """Return canonical exchanges and accounts."""
    columns = {name: [row[name] for row in drawn] for name in ("account_id", "ts", "model", "surface")}
    exchanges = pa.table({"exchange_id": [f"e{i}" for i in range(len(drawn))], **columns})
    names = list(PLANS)
    accounts = {"account_id": names, "created_at": [CREATED[n] for n in names], "plan": [PLANS[n] for n in names]}
    return conform(exchanges, EXCHANGES), conform(pa.table(accounts), ACCOUNTS)


def through_ibis(exchanges: pa.Table, accounts: pa.Table) -> Any:
    """Return the daily activity as an Ibis expression over tables in memory."""
    return daily_activity(ibis.memtable(exchanges), account_facts(accounts))


def rows_of(expression: Any) -> list[dict[str, Any]]:
    """Run an expression on the engine."""
    return _CONNECTION.to_pyarrow(expression).to_pylist()


@settings(max_examples=12, deadline=None)
@given(st.lists(_exchange, min_size=1, max_size=25))
def test_daily_activity_is_what_a_loop_counts(drawn: list[dict[str, Any]]) -> None:
    """Accounts × days × models × surfaces: counts, first-day counts and times, unknown accounts and nulls included."""
    wanted: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    for row in drawn:
        key = (row["account_id"], row["ts"] // DAY_US, row["model"], row["surface"])
        created = CREATED.get(row["account_id"])
        wanted[key][0] += 1
        wanted[key][1] += created is not None and 0 <= row["ts"] - created < DAY_US
    got = rows_of(through_ibis(*tables(drawn)))
    assert {(r["account_id"], r["day"], r["model"], r["surface"]): [r["n"], r["early"]] for r in got} == dict(wanted)
    assert len(got) == len(wanted)


@settings(max_examples=12, deadline=None)
@given(st.lists(_exchange, min_size=1, max_size=25))
def test_counts_by_plan_are_what_a_loop_counts(drawn: list[dict[str, Any]]) -> None:
    """Exchanges and distinct accounts by plan and day; null is a value of its own."""
    wanted: dict[tuple[str, int], tuple[int, set[str]]] = {}
    for row in drawn:
        key = (PLANS.get(row["account_id"]) or NOT_GIVEN, row["ts"] // DAY_US)
        n, who = wanted.setdefault(key, (0, set()))
        wanted[key] = (n + 1, who | {row["account_id"]})
    got = rows_of(by_value(through_ibis(*tables(drawn)), "plan"))
    assert {(r["value"], r["day"]): (r["exchanges"], r["accounts"]) for r in got} == {
        key: (n, len(who)) for key, (n, who) in wanted.items()
    }


@settings(max_examples=20, deadline=None)
@given(st.integers(-(2**50), 2**52))
def test_instants_are_the_same_integers_on_the_engine(us: int) -> None:
    """Microseconds since 1970 come back exactly, before 1970 and to the last digit."""
    table = pa.table({"ts": pa.array([us], TIMESTAMP)})
    shown = _CONNECTION.to_pyarrow(ibis.memtable(table).select(us=lambda t: microseconds(t.ts)))
    assert shown["us"].to_pylist() == [us]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_no_row(threads: int) -> None:
    """An engine may run as parallel as it likes: ordered by its keys, the result is the same."""
    rng = np.random.default_rng(5)
    drawn = [
        {
            "account_id": "abc"[rng.integers(3)],
            "ts": START + int(rng.integers(5 * DAY_US)),
            "model": "m",
            "surface": "api",
        }
        for _ in range(400)
    ]
    expression = through_ibis(*tables(drawn)).order_by("account_id", "day")
    assert connect(threads=threads).to_pyarrow(expression).equals(_CONNECTION.to_pyarrow(expression))
