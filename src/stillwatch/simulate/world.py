"""Make a world: its people, its traffic day by day, and the truth about both."""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.simulate.arrivals import Stream, rates, volume
from stillwatch.simulate.cast import campaign_cast
from stillwatch.simulate.corpus import Corpus
from stillwatch.simulate.enforcement import mistaken
from stillwatch.simulate.identity import DAY_US, People, Span, people
from stillwatch.simulate.reasoning import Vault, carried_on
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
    crowds: list[People] = []
    streams: list[Stream] = []
    days = {float(day) for campaign, _ in world.campaigns if campaign.campaign for day in campaign.campaign.enforcement}
    rounds = [span.start + int(day * DAY_US) for day in sorted(days)]
    for population, count in world.populations:
        crowd = mistaken(people(population, count, span, seed), rounds)
        crowds.append(crowd)
        streams.append(Stream(crowd, np.arange(crowd.size), rates(crowd), crowd))
    launches = {model: epoch_us(world.start, float(day)) for model, day in world.launches.items()}
    moments = list(launches.values())
    streams = volume(streams, world.exchanges, span, moments)
    innocents = {crowd.population.name: crowd for crowd in crowds}
    for population, count in world.campaigns:
        ours, work = campaign_cast(population, count, span, seed, innocents)
        wanted = population.campaign.exchanges if population.campaign else 0.0
        crowds, streams = crowds + ours, streams + volume(work, wanted, span, moments)
    return Made(world, seed, span, crowds, streams, launches, corpus)


def exchange_tables(made: Made, progress: Progress = silent) -> Iterator[pa.Table]:
    """Yield a table a day, ordered by time, identifiers raw, with the truth in ``population`` and ``campaign_id``."""
    days = made.days()
    vaults: dict[str, Vault] = defaultdict(Vault)
    robbed = _robbed(made.crowds)
    for number, day in enumerate(days):
        parts = []
        for stream in made.streams:
            table = day_rows(stream, made.world, made.launches, day, made.seed, made.corpus)
            if table is not None:
                parts.append(_true(_staged(table, stream, made.world, vaults), stream, robbed))
        progress("simulate", number + 1, len(days), "days")
        if parts:
            yield pa.concat_tables(parts).sort_by([("ts", "ascending"), ("exchange_id", "ascending")]).combine_chunks()


def _staged(table: pa.Table, stream: Stream, world: World, vaults: dict[str, Vault]) -> pa.Table:
    """Return the exchanges with the model of their stage, and the reasoning references they send back."""
    origin = stream.carrier or stream
    stage = origin.content.population.part.stage
    if stage and stage.model:
        model = pa.array([stage.model] * table.num_rows, pa.string())
        table = table.set_column(table.column_names.index("model"), "model", model)
    if not world.reasoning:
        return table
    vault = vaults[origin.people.population.name]
    back = (
        vault.replayed(table)
        if stage and stage.replays
        else carried_on(table, world.reasoning, _owners(table, origin.people))
    )
    if origin.campaign and not (stage and stage.replays):
        vault.keep(table)
    return table.append_column("prior_reasoning_id", back)


def _owners(table: pa.Table, crowd: People) -> pa.Array | None:
    """Return who runs the account of each exchange where one owner runs the group's; None where each has its own."""
    paid = crowd.population.shared.get("payment")
    if crowd.population.frame != "group" or crowd.population.campaign or not paid or paid.share < 1:
        return None
    owner = dict(zip(crowd.columns["account_id"].tolist(), crowd.group.tolist(), strict=True))
    return pa.array([f"{owner[name]:x}" for name in table["account_id"].to_pylist()], pa.string())


def _true(table: pa.Table, stream: Stream, robbed: pa.Array) -> pa.Table:
    """Return the exchanges with the truth: whose work they are, and whose account they came through."""
    stream = stream.carrier or stream
    campaign = pa.array([stream.people.population.name if stream.campaign else None] * table.num_rows, pa.string())
    table = table.drop_columns(["is_campaign"]).append_column("campaign_id", campaign)
    return table.append_column("population", _labels(table["account_id"], stream.people, robbed))


def _labels(accounts: pa.ChunkedArray, crowd: People, robbed: pa.Array) -> pa.ChunkedArray:
    return pc.if_else(pc.is_in(accounts, robbed), "stolen_key_victim", _label(crowd))


def _robbed(crowds: list[People]) -> pa.Array:
    """Return the accounts whose keys a campaign uses."""
    taken = [name for crowd in crowds for name in crowd.columns["account_id"][crowd.owner != crowd.key].tolist()]
    return pa.array(taken, pa.string())


def account_table(made: Made) -> pa.Table:
    """Return all accounts in an order that tells nothing, identifiers raw, with ``population`` and ``campaign_id``."""
    parts, robbed = [], _robbed(made.crowds)
    for crowd in made.crowds:
        mine = pa.array(crowd.owner == crowd.key)
        columns = {name: pa.array(values.tolist(), pa.string()) for name, values in crowd.columns.items()}
        columns["created_at"] = pa.array(crowd.created, TIMESTAMP)
        columns["closed_at"] = pa.array(crowd.closed, TIMESTAMP, mask=crowd.closed < 0)
        campaign = crowd.population.name if crowd.population.campaign else None
        columns["population"] = _labels(columns["account_id"], crowd, robbed)
        columns["campaign_id"] = pa.array([campaign] * crowd.size, pa.string())
        parts.append(pa.table(columns).filter(mine))
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
