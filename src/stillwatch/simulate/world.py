"""Make a world: its people, its traffic day by day, and the truth about both."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stillwatch.simulate.arrivals import Stream, rates
from stillwatch.simulate.corpus import Corpus
from stillwatch.simulate.identity import DAY_US, People, Span, people
from stillwatch.simulate.rows import day_rows, epoch_us
from stillwatch.simulate.spec import World
from stillwatch.tables.schema import ACCOUNTS, LAUNCHES, TIMESTAMP
from stillwatch.types import Progress, silent

_KEY = b"stillwatch simulated worlds: no secret"


@dataclass(frozen=True)
class Made:
    """A world ready to run: its people, streams, span and launches (epoch microseconds by model)."""

    world: World
    seed: int
    span: Span
    crowds: list[People]
    streams: list[Stream]
    launches: dict[str, int]
    corpus: Corpus | None = None

    def days(self) -> list[int]:
        """Return the first microsecond of each day."""
        return list(range(self.span.start, self.span.end, DAY_US))


def make_world(world: World, *, seed: int = 0, corpus: Corpus | None = None) -> Made:
    """Return a world's people and streams; nothing is written yet.

    >>> from stillwatch.simulate.spec import load_world
    >>> made = make_world(load_world("tiny"), seed=1)
    >>> sum(crowd.size for crowd in made.crowds) > 1000
    True
    """
    start = epoch_us(world.start)
    span = Span(start, start + world.days * DAY_US)
    crowds, streams = [], []
    for population, count in world.populations:
        crowd = people(population, count, span, seed)
        crowds.append(crowd)
        streams.append(Stream(crowd, np.arange(crowd.size), rates(crowd), crowd))
    covers = {
        population.name: (population, crowd) for (population, _), crowd in zip(world.populations, crowds, strict=True)
    }
    for population, count in world.campaigns:
        crowd = people(population, count, span, seed)
        crowds.append(crowd)
        everyone = np.arange(crowd.size)
        streams.append(Stream(crowd, everyone, rates(crowd), crowd, campaign=True))
        knobs = population.campaign
        if knobs and knobs.cover > 0 and knobs.cover_population in covers:
            cover = covers[knobs.cover_population][1]
            streams.append(Stream(crowd, everyone, rates(crowd) * knobs.cover / (1 - knobs.cover), cover))
    launches = {model: epoch_us(world.start, float(day)) for model, day in world.launches.items()}
    return Made(world, seed, span, crowds, streams, launches, corpus)


def exchange_tables(made: Made, progress: Progress = silent) -> Iterator[pa.Table]:
    """Yield a table a day, ordered by time, identifiers raw, with the truth in ``population`` and ``campaign_id``."""
    days = made.days()
    for number, day in enumerate(days):
        parts = []
        for stream in made.streams:
            table = day_rows(stream, made.world, made.launches, day, made.seed, made.corpus)
            if table is not None:
                name = stream.people.population.name
                truth = pa.array([name if stream.campaign else None] * table.num_rows, pa.string())
                table = table.drop_columns(["is_campaign"]).append_column("campaign_id", truth)
                parts.append(table.append_column("population", pa.array([_label(stream.people)] * table.num_rows)))
        progress("simulate", number + 1, len(days), "days")
        if parts:
            yield pa.concat_tables(parts).sort_by([("ts", "ascending"), ("exchange_id", "ascending")]).combine_chunks()


def account_table(made: Made) -> pa.Table:
    """Return all accounts in an order that tells nothing, identifiers raw, with ``population`` and ``campaign_id``."""
    parts = []
    for crowd in made.crowds:
        columns = {name: pa.array(values.tolist(), pa.string()) for name, values in crowd.columns.items()}
        columns["created_at"] = pa.array(crowd.created, TIMESTAMP)
        columns["closed_at"] = pa.array(crowd.closed, TIMESTAMP, mask=crowd.closed < 0)
        campaign = crowd.population.name if crowd.population.campaign else None
        columns["population"] = pa.array([_label(crowd)] * crowd.size)
        columns["campaign_id"] = pa.array([campaign] * crowd.size, pa.string())
        parts.append(pa.table(columns))
    return pa.concat_tables(parts).sort_by("account_id")


def _label(crowd: People) -> str:
    return (
        "campaign"
        if crowd.population.campaign
        else crowd.population.name.split("_")[0]
        if crowd.population.name.startswith("framework")
        else crowd.population.name
    )


def launch_table(made: Made) -> pa.Table:
    """Return the launches table."""
    models = list(made.launches)
    return pa.table(
        {
            "model": pa.array(models, pa.string()),
            "released_at": pa.array([made.launches[m] for m in models], TIMESTAMP),
        },
        schema=LAUNCHES,
    )


def keyed(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column with each value as a keyed hash, as a provider stores it (nulls stay).

    >>> keyed(pa.array(["10.0.0.1", None])).to_pylist()[0][:17]
    'hmac-sha256:demo:'
    """
    coded = (
        pa.chunked_array([column] if isinstance(column, pa.Array) else column.chunks, pa.string())
        .combine_chunks()
        .dictionary_encode()
    )
    values = [
        f"hmac-sha256:demo:{hmac.digest(_KEY, value.encode(), 'sha256').hex()}"
        for value in coded.dictionary.to_pylist()
    ]
    return pa.array(values, pa.string()).take(coded.indices)


def canonical_accounts(table: pa.Table) -> pa.Table:
    """Return raw accounts as the canonical table: identifiers hashed, truth left out."""
    for raw, name in (
        ("email", "email_hash"),
        ("phone", "phone_hash"),
        ("payment", "payment_hash"),
        ("device", "device_hash"),
    ):
        table = table.append_column(name, keyed(table.column(raw)))
    return table.select([name for name in ACCOUNTS.names if name in table.column_names])
