"""Write a world: as a dataset of canonical tables, or as the logs of other software with the truth beside them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.errors import ConfigError, DatasetError
from stillwatch.simulate.corpus import Corpus
from stillwatch.simulate.rawlogs import FORMATS, lines
from stillwatch.simulate.space import Free, free_bytes, require, space
from stillwatch.simulate.spec import World
from stillwatch.simulate.truth import Truth
from stillwatch.simulate.world import (
    Made,
    account_table,
    canonical_accounts,
    exchange_tables,
    keyed,
    launch_table,
    make_world,
)
from stillwatch.tables import ACCOUNTS, EXCHANGES, LABELS_ACCOUNTS, LABELS_EXCHANGES, DatasetWriter
from stillwatch.types import Progress, silent

_PARTS = ("exchanges", "labels", "logs", "accounts.parquet", "launches.parquet", "accounts.ndjson", "launches.ndjson")


@dataclass
class Summary:
    """What was simulated: accounts and exchanges by population, and exchanges by campaign."""

    world: str
    seed: int
    accounts: dict[str, int] = field(default_factory=dict)
    exchanges: dict[str, int] = field(default_factory=dict)
    campaign_exchanges: dict[str, int] = field(default_factory=dict)

    def add(self, table: pa.Table) -> None:
        """Count a day's exchanges."""
        _count(self.exchanges, table.column("population"))
        _count(self.campaign_exchanges, table.column("campaign_id"))


def _count(counts: dict[str, int], column: pa.ChunkedArray) -> None:
    for entry in column.value_counts().to_pylist():
        if entry["values"] is not None:
            counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]


def earlier(out: str | Path, *, replace: bool) -> list[str]:
    """Return the files of an earlier world in a folder, relative to it; they are an error unless ``replace``.

    Raises :class:`DatasetError`: two worlds in one folder would be neither.

    >>> earlier("/nowhere/at/all", replace=False)
    []
    """
    folder = Path(out)
    there = [file for part in _PARTS for file in (folder / part, *(folder / part).rglob("*")) if file.is_file()]
    if there and not replace:
        first = there[0].relative_to(folder).parts[0]
        raise DatasetError(f"{folder} holds data already ({first}); choose another folder or give --replace")
    return [file.relative_to(folder).as_posix() for file in there]


def simulate(
    world: World,
    out: str | Path,
    *,
    seed: int = 0,
    corpus: Corpus | None = None,
    replace: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Make a world and write it as a dataset (:func:`write_dataset`). Same world and seed: same bytes.

    >>> import tempfile
    >>> from stillwatch.simulate.spec import load_world
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     summary = simulate(load_world("tiny", scale=0.05, settings=["world.days=2"]), folder, seed=1)
    >>> summary.world, sum(summary.exchanges.values()) > 50
    ('tiny', True)
    """
    made = make_world(world, seed=seed, corpus=corpus, progress=progress)
    return write_dataset(made, out, replace=replace, progress=progress)


def write_dataset(
    made: Made, out: str | Path, *, replace: bool = False, progress: Progress = silent, free: Free = free_bytes
) -> Summary:
    """Write a world as a dataset with its truth, all or nothing, in memory that does not grow with its length.

    With ``replace`` an earlier world goes in the same moment in which the new one is seen.

    Raises :class:`DatasetError` when the folder holds data (unless ``replace``), is being written by another run or has
    too little room (``free`` bytes).

    >>> from stillwatch.simulate.spec import load_world
    >>> write_dataset(make_world(load_world("tiny", scale=0.05)), "no-such-folder", free=lambda folder: 0)
    Traceback (most recent call last):
    stillwatch.errors.DatasetError: no-such-folder: the world needs about ... and 0 MB are free; choose another ...
    """
    folder, old = Path(out), earlier(out, replace=replace)
    require(space(made, out, free=free), out)
    summary = Summary(made.world.name, made.seed)
    with DatasetWriter(folder) as writer, Truth(folder) as truth:
        for file in old:
            writer.remove(file)
        for table in exchange_tables(made, progress):
            summary.add(table)
            truth.add(table)
            table = table.set_column(table.column_names.index("ip"), "ip", keyed(table.column("ip")))
            writer.add_exchanges(table.select([name for name in EXCHANGES.names if name in table.column_names]))
        people = account_table(made)
        _count(summary.accounts, people.column("population"))
        writer.set_accounts(canonical_accounts(people))
        writer.set_launches(launch_table(made))
        writer.set_labels(people.select(LABELS_ACCOUNTS.names), truth.reader())
        writer.commit()
    return summary


def write_logs(
    made: Made, out: str | Path, form: str, *, replace: bool = False, progress: Progress = silent
) -> Summary:
    """Write a world as raw logs: ``logs/``, ``accounts.ndjson``, ``launches.ndjson`` and ``labels/``.

    ``form`` is one of litellm, otel, openai, anthropic, ndjson, csv; identifiers are raw. Raises :class:`ConfigError`
    for another form, :class:`DatasetError` as :func:`write_dataset` does.

    >>> from stillwatch.simulate.spec import load_world
    >>> write_logs(make_world(load_world("tiny", scale=0.05)), "x", "morse")
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: --as morse: known are litellm, otel, openai, anthropic, ndjson, csv
    """
    if form not in FORMATS:
        raise ConfigError(f"--as {form}: known are {', '.join(FORMATS)}")
    folder, old = Path(out), earlier(out, replace=replace)
    require(space(made, out, form), out)
    for file in old:
        (folder / file).unlink()
    for part in ("logs", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    summary = Summary(made.world.name, made.seed)
    with Truth(folder) as truth:
        for table in exchange_tables(made, progress):
            summary.add(table)
            truth.add(table)
            _write_log(table, folder / "logs", form)
        with pq.ParquetWriter(folder / "labels" / "exchanges.parquet", LABELS_EXCHANGES) as labels:
            for batch in truth.reader():
                labels.write_batch(batch)
    people = account_table(made)
    _count(summary.accounts, people.column("population"))
    _write_people(made, people, folder)
    pq.write_table(people.select(LABELS_ACCOUNTS.names).cast(LABELS_ACCOUNTS), folder / "labels" / "accounts.parquet")
    return summary


def _write_log(table: pa.Table, folder: Path, form: str) -> None:
    day = str(table.column("ts")[0].as_py())[:10]
    names = [name for name in EXCHANGES.names if name in table.column_names and name != "ip_prefix"]
    table = table.select(names)
    place = names.index("ts")
    if form == "csv":
        stamps = table.column("ts").cast(pa.timestamp("us")).cast(pa.string())
        _write_csv(table.set_column(place, "ts", stamps), folder / f"{day}.csv")
        return
    rows = table.set_column(place, "ts", table.column("ts").cast(pa.int64())).to_pylist()
    with (folder / f"{day}.jsonl").open("a", encoding="utf-8") as handle:
        if form == "ndjson":
            rows = [{**row, "ts": row["ts"] / 1e6} for row in rows]
        handle.writelines(lines(list(rows), form))


def _write_csv(table: pa.Table, file: Path) -> None:
    begun = file.exists()
    with file.open("a", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(table.column_names), lineterminator="\n")
        if not begun:
            writer.writeheader()
        writer.writerows(_flat(row) for row in table.to_pylist())


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    row = {**row, "ts": row["ts"] + "Z"}
    return {
        name: "+".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else value
        for name, value in row.items()
    }


def _write_people(made: Made, people: pa.Table, folder: Path) -> None:
    names = [name for name in (*ACCOUNTS.names, "email", "phone", "payment", "device") if name in people.column_names]
    for name, table in (("accounts", people.select(names)), ("launches", launch_table(made))):
        with (folder / f"{name}.ndjson").open("w", encoding="utf-8") as handle:
            for row in table.to_pylist():
                full = {key: _instant(value) for key, value in row.items() if value is not None}
                handle.write(json.dumps(full, ensure_ascii=False) + "\n")


def _instant(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value
