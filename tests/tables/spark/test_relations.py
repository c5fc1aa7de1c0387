"""The engine contract on a cluster: each relational step of a scan gives the rows that DuckDB gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stillwatch.cases.activity import DAY_US, account_facts, by_value, daily_activity, microseconds
from stillwatch.cases.folder import Run, ScanOutput
from stillwatch.cases.sections import activity_by_model, example_prompts
from stillwatch.signals.frame import read_frame
from stillwatch.signals.relations import content_habits, habit_traits
from stillwatch.signals.sketch import Kind
from stillwatch.signals.traits import content_traits
from stillwatch.tables import EXCHANGES, Dataset, DatasetWriter
from stillwatch.tables.cluster import Cluster
from stillwatch.tables.engines import connect, fetched, held, read_files
from stillwatch.tables.store import conform

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # PySpark leaves sockets to the collector
START = 20_000 * DAY_US
TEXTS = st.sampled_from([None, "", "Γειά σου", "a'b\"c\\d", "日本語\n\t🙂"])
_hash = st.builds(
    lambda kind, low: (int(kind) << 60) | low,
    st.sampled_from([Kind.SHINGLE, Kind.TOOLSET, Kind.WORD]),
    st.integers(0, 4),
)
_exchange = st.fixed_dictionaries(
    {
        "account_id": st.sampled_from(["a", "b", "ç", "ghost", ""]),
        "ts": st.sampled_from([0, 1, DAY_US - 1, DAY_US, -1, 7 * DAY_US + 3]).map(lambda us: START + us),
        "model": st.sampled_from(["m", "ñ"]),
        "surface": st.sampled_from([None, "api", "Web"]),
        "prompt_text": TEXTS,
        "sketch": st.none() | st.lists(_hash, max_size=6).map(sorted),
        "capability": st.none() | st.integers(0, 255),
        "template_id": st.none() | st.sampled_from([1, 2**64 - 1]),
    }
)
_exchanges = st.lists(_exchange, min_size=1, max_size=40)
Rows = list[dict[str, Any]]


def written(rows: Rows, folder: Path) -> Dataset:
    """Write rows as a dataset, in two commits so that there are several files; one account is known, one closed."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns["exchange_id"] = [f"e{i}" for i in range(len(rows))]
    table = conform(pa.table({n: pa.array(c, EXCHANGES.field(n).type) for n, c in columns.items()}), EXCHANGES)
    accounts = {"account_id": ["a", "ç"], "created_at": [START, START - 3 * DAY_US], "plan": ["free", None]}
    for part in (table.slice(0, len(table) // 2), table.slice(len(table) // 2)):
        with DatasetWriter(folder) as writer:
            writer.add_exchanges(part)
            writer.set_accounts(pa.table(accounts))
            writer.commit()
    return Dataset.open(folder)


def daily(data: Dataset, connection: Any) -> Any:
    """Return the one pass over the exchanges that telemetry makes."""
    return daily_activity(data.exchanges(connection), account_facts(data.accounts()))


STEPS: dict[str, Callable[[Dataset, Any], Any]] = {
    "every column of the contract": lambda data, connection: data.exchanges(connection).drop("ts"),
    "instants": lambda data, connection: data.exchanges(connection).select(
        "exchange_id", us=lambda t: microseconds(t.ts)
    ),
    "daily activity": daily,
    "counts by plan": lambda data, connection: by_value(daily(data, connection), "plan", ["free"]),
    "content habits": lambda data, connection: content_habits(data.exchanges(connection), min_holders=2),
}


def rows_of(expression: Any, connection: Any) -> Rows:
    """Return the rows of an expression in an order that does not depend on the engine."""
    rows = fetched(connection, expression).to_pylist()
    return sorted(({name: plain(value) for name, value in row.items()} for row in rows), key=repr)


def plain(value: Any) -> Any:
    """Return numbers as their bits: Spark has no unsigned ones. Lists too."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value % 2**64 if isinstance(value, int) and not isinstance(value, bool) else value


def test_every_relational_step_gives_the_same_rows_on_both_engines(
    spark: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Random tables with nulls, empty and non-ASCII text, equal times, unknown accounts and hashes above 2⁶³."""
    duck = connect(threads=1)

    @settings(max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(_exchanges)
    def same(rows: Rows) -> None:
        data = written(rows, tmp_path_factory.mktemp("random"))
        for name, step in STEPS.items():
            wanted = rows_of(step(data, duck), duck)
            assert rows_of(step(data, spark.connection), spark.connection) == wanted, name

    same()


def test_repeated_hashes_above_two_to_the_63_are_read(spark: Cluster, tmp_path: Path) -> None:
    """A file whose pages are all dictionaries of unsigned values, on which the vectorised reader fails."""
    values = [2**63 + 5, 2**63 + 6, 7]
    table = pa.table(
        {
            "template_id": pa.array([values[i % 3] for i in range(5000)], pa.uint64()),
            "sketch": pa.array([values[: i % 4] for i in range(5000)], pa.list_(pa.uint64())),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    read = fetched(spark.connection, read_files(spark.connection, [str(tmp_path / "a.parquet")], table.schema))
    assert read["template_id"].cast(pa.int64()).to_numpy().view("uint64").tolist() == table["template_id"].to_pylist()
    assert [len(row) for row in read["sketch"].to_pylist()] == [i % 4 for i in range(5000)]


def test_the_reports_of_a_campaign_are_the_same_on_both_engines(spark: Cluster, tmp_path: Path) -> None:
    """Its exchanges by day and model, its examples in order of probability, and a held table asked twice."""
    base = {"account_id": "a", "surface": None, "sketch": None, "capability": None, "template_id": None}
    texts = ["Γειά", None, "third", "fourth"]
    rows = [
        {**base, "ts": START + i * DAY_US // 2, "model": "mn"[i % 2], "prompt_text": t} for i, t in enumerate(texts)
    ]
    data = written(rows, tmp_path / "data")
    (tmp_path / "out").mkdir()
    taken = pa.table(
        {"campaign_id": ["c"] * 4, "exchange_id": [f"e{i}" for i in range(4)], "probability": [0.9, 1, 1, 0]}
    )
    pa.parquet.write_table(taken, tmp_path / "out" / "campaign_exchanges.parquet")
    scan = ScanOutput(tmp_path / "out", [], [], Run())
    there, here = (activity_by_model(scan, data, engine).to_pylist() for engine in (spark.connection, connect()))
    assert there == here
    there, here = (example_prompts(scan, data, engine, "c") for engine in (spark.connection, connect()))
    assert there == here == ["third", "Γειά", "fourth"]
    kept = held(spark.connection, daily(data, spark.connection))
    assert [int(kept.n.sum().to_pyarrow().as_py()) for _ in range(2)] == [4, 4]


@settings(max_examples=10, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(_exchanges)
def test_habits_as_an_expression_are_those_of_the_kernels(tmp_path_factory: pytest.TempPathFactory, rows: Rows) -> None:
    """Pairs, counts, labels and starts, on random sketches; a plain count says the same."""
    data = written([{**row, "prompt_text": None} for row in rows], tmp_path_factory.mktemp("random"))
    frame, duck = read_frame(Dataset(data.path)), connect(threads=1)
    pairs = duck.to_pyarrow(content_habits(data.exchanges(duck), min_holders=2))
    got, wanted = habit_traits(pairs, frame.account_ids), content_traits(frame, min_holders=2)
    for name in ("account", "value", "count", "start", "label"):
        assert np.array_equal(getattr(got, name), getattr(wanted, name)), name
    assert dict(
        zip(
            zip(pairs["account_id"].to_pylist(), pairs["hash"].to_pylist(), strict=True),
            pairs["n"].to_pylist(),
            strict=True,
        )
    ) == by_hand(frame)


def by_hand(frame: Any) -> dict[tuple[str, int], int]:
    """Count habits in plain Python: shingles and tool sets, held by two accounts."""
    uses: dict[tuple[str, int], int] = defaultdict(int)
    names, lists = frame.account_ids.to_pylist(), frame.sketch.whole
    for row, account in enumerate(frame.account):
        for value in lists.flat[lists.offsets[row] : lists.offsets[row + 1]].tolist():
            if value >> 60 != int(Kind.WORD):
                uses[names[account], value] += 1
    volume = dict(zip(names, frame.volume().tolist(), strict=True))
    habits = {pair: n for pair, n in uses.items() if n >= 2 or volume[pair[0]] <= 4}
    return {pair: n for pair, n in habits.items() if sum(value == pair[1] for _, value in habits) >= 2}


def test_a_table_without_rows_stays_empty_on_the_engine() -> None:
    """The innocent twin: nothing in, nothing out, no error."""
    nothing = ibis.memtable(EXCHANGES.empty_table())
    assert pc.sum(connect(threads=1).to_pyarrow(content_habits(nothing))["n"]).as_py() is None
