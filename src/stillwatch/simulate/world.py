"""Make a world: its people, its traffic day by day, and the truth about both."""

from __future__ import annotations

import hmac
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from stillwatch.simulate.arrivals import Stream, expected, rates, volume
from stillwatch.simulate.cast import campaign_cast
from stillwatch.simulate.chance import Keys
from stillwatch.simulate.corpus import Corpus
from stillwatch.simulate.day import Sent, pieces, send, with_references
from stillwatch.simulate.enforcement import mistaken
from stillwatch.simulate.identity import DAY_US, People, Span, people
from stillwatch.simulate.reasoning import Vault
from stillwatch.simulate.rows import compose, epoch_us
from stillwatch.simulate.spec import Population, World
from stillwatch.tables.schema import ACCOUNTS, LAUNCHES, TIMESTAMP
from stillwatch.types import Progress, silent

Part = list[Sent]
_THREADS = 2  # each holds a piece of some hundred megabytes
_KEY = b"stillwatch simulated worlds: no secret"


@dataclass(frozen=True)
class Made:
    """A world ready to run: its people, streams, span, launches (epoch microseconds) and expected exchanges."""

    world: World
    seed: int
    span: Span
    crowds: list[People]
    streams: list[Stream]
    launches: dict[str, int]
    exchanges: float
    corpus: Corpus | None = None

    def days(self) -> list[int]:
        """Return the first microsecond of each day."""
        return list(range(self.span.start, self.span.end, DAY_US))


def make_world(world: World, *, seed: int = 0, corpus: Corpus | None = None, progress: Progress = silent) -> Made:
    """Return a world's people and streams; nothing is written yet.

    >>> from stillwatch.simulate.spec import load_world
    >>> made = make_world(load_world("tiny"), seed=1)
    >>> sum(crowd.size for crowd in made.crowds) > 1000
    True
    """
    start = epoch_us(world.start)
    span = Span(start, start + world.days * DAY_US)
    launches = {model: epoch_us(world.start, float(day)) for model, day in world.launches.items()}
    moments, kinds = list(launches.values()), len(world.populations) + len(world.campaigns)
    crowds: list[People] = []
    for population, count in world.populations:
        crowds.append(mistaken(people(population, count, span, seed), _rounds(world, span)))
        progress("people", len(crowds), kinds, "populations")
    innocents = {crowd.population.name: crowd for crowd in crowds}
    streams = [Stream(crowd, np.arange(crowd.size), rates(crowd), crowd) for crowd in crowds]
    streams = volume(streams, world.exchanges, span, moments)
    for number, (population, count) in enumerate(world.campaigns, 1 + len(world.populations)):
        ours, work = campaign_cast(population, count, span, seed, innocents)
        wanted = population.campaign.exchanges if population.campaign else 0.0
        crowds, streams = crowds + ours, streams + volume(work, wanted, span, moments)
        progress("people", number, kinds, "populations")
    total = sum(expected(stream, span, moments) for stream in streams)
    return Made(world, seed, span, crowds, streams, launches, total, corpus)


def _rounds(world: World, span: Span) -> list[int]:
    """Return the moments of all rounds of bans, epoch microseconds."""
    days = {float(day) for campaign, _ in world.campaigns if campaign.campaign for day in campaign.campaign.enforcement}
    return [span.start + int(day * DAY_US) for day in sorted(days)]


def exchange_tables(made: Made, progress: Progress = silent) -> Iterator[pa.Table]:
    """Yield exchanges in order of time, a row group's worth at a time and never two days in one table.

    Identifiers are raw; ``population`` and ``campaign_id`` are the truth. Two tables are made at once, in threads; what
    comes out does not depend on that.
    """
    robbed = _robbed(made.crowds)
    vaults: dict[str, Vault] = defaultdict(Vault)
    done, about = 0, round(made.exchanges)
    with ThreadPoolExecutor(_THREADS) as pool:
        for day_us in made.days():
            work = partial(_piece, made, robbed, day_us)
            for table in _ahead(pool, work, pieces(_day(made, day_us, pool, vaults))):
                yield table
                done += table.num_rows
                progress("simulate", done, max(about, done), "exchanges")
    progress("simulate", done, done, "exchanges")


def _ahead(pool: Executor, work: Callable[[Part], pa.Table], parts: Iterable[Part]) -> Iterator[pa.Table]:
    """Yield what ``work`` makes of each part, in order, with as many parts in work as there are threads."""
    pending: deque[Future[pa.Table]] = deque()
    for part in parts:
        pending.append(pool.submit(work, part))
        if len(pending) >= _THREADS:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _day(made: Made, day_us: int, pool: Executor, vaults: dict[str, Vault]) -> list[Sent]:
    """Return what every stream sends on a day, with the reasoning references sent back where the world has them."""
    launches = list(made.launches.values())
    drawn = pool.map(lambda stream: send(stream, day_us, launches, made.seed), made.streams)
    found = [sent for sent in drawn if sent is not None]
    share = made.world.reasoning
    return [with_references(sent, share, vaults) for sent in found] if share else found


def _piece(made: Made, robbed: Keys, day_us: int, part: list[Sent]) -> pa.Table:
    """Return a piece of a day with the truth: whose work each exchange is, and whose account it came through."""
    tables = [_true(compose(sent, made.world, made.launches, day_us, made.corpus), sent, robbed) for sent in part]
    return pa.concat_tables(tables).sort_by([("ts", "ascending"), ("exchange_id", "ascending")]).combine_chunks()


def _true(table: pa.Table, sent: Sent, robbed: Keys) -> pa.Table:
    sender = sent.sender
    campaign = pa.array([sender.people.population.name if sender.campaign else None], pa.string())
    whose = _labels(sender.people.owner[sender.accounts[sent.draw.account]], sender.people, robbed)
    every = pa.array(np.zeros(table.num_rows, np.int64))
    return table.append_column("campaign_id", campaign.take(every)).append_column("population", whose)


def _labels(owner: Keys, crowd: People, robbed: Keys) -> pa.Array:
    names = pa.array([_label(crowd.population), "stolen_key_victim"])
    return names.take(pa.array(np.isin(owner, robbed).astype(np.int64)))


def _robbed(crowds: list[People]) -> Keys:
    """Return the keys of the accounts that a campaign uses without being their owner."""
    return np.concatenate([crowd.owner[crowd.owner != crowd.key] for crowd in crowds])


def account_table(made: Made) -> pa.Table:
    """Return all accounts in an order that tells nothing, identifiers raw, with ``population`` and ``campaign_id``."""
    parts, robbed = [], _robbed(made.crowds)
    for crowd in made.crowds:
        mine = pa.array(crowd.owner == crowd.key)
        columns = dict(crowd.columns)
        columns["created_at"] = pa.array(crowd.created, TIMESTAMP)
        columns["closed_at"] = pa.array(crowd.closed, TIMESTAMP, mask=crowd.closed < 0)
        campaign = crowd.population.name if crowd.population.campaign else None
        columns["population"] = _labels(crowd.owner, crowd, robbed)
        columns["campaign_id"] = pa.array([campaign] * crowd.size, pa.string())
        parts.append(pa.table(columns).filter(mine))
    return pa.concat_tables(parts).sort_by("account_id")


def _label(population: Population) -> str:
    if population.campaign:
        return "campaign"
    return "framework" if population.name.startswith("framework") else population.name


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
