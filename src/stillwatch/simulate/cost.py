"""What a campaign costs its operator: accounts, instruments, networks, cover traffic, money, delay and lost work."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pyarrow as pa

from stillwatch.simulate.arrivals import Stream
from stillwatch.simulate.identity import DAY_US, Names, People
from stillwatch.simulate.knobs import Campaign
from stillwatch.simulate.spec import World
from stillwatch.simulate.world import Made, make_world

_MEAN_OF_HALF_NORMAL = 0.798  # mean delay for one second of jitter


@cache
def prices() -> dict[str, Any]:
    """Return the declared price list, US dollars; assumptions that are named as such in ``prices.toml``.

    >>> prices()["account"]["phone"] > prices()["account"]["email"]
    True
    """
    return tomllib.loads(resources.files("stillwatch.simulate").joinpath("prices.toml").read_text(encoding="utf-8"))


def cost(world: World, *, seed: int = 0) -> pa.Table:
    """Return a row a campaign: what its way of working costs the operator, expected over the days of the world.

    Columns: ``campaign_id``, ``skill``, ``accounts`` (replacements included), ``payment_instruments``, ``networks``
    (/24s and consumer lines), ``clients``, ``harvest_exchanges`` and ``cover_exchanges`` (expected), ``cover_tokens``,
    ``money`` and ``money_per_account`` (US dollars by :func:`prices`), ``delay_s`` (mean wait in the queue),
    ``lost_throughput`` (share of what the accounts could send that goes to cover or to time between bans).

    >>> from stillwatch.simulate.spec import load_world
    >>> bill = [cost(load_world("tiny", settings=[f"campaigns.skill={s}"])) for s in ("careless", "careful")]
    >>> [sum(table["money_per_account"].to_pylist()) for table in bill] == sorted(
    ...     sum(table["money_per_account"].to_pylist()) for table in bill)
    True
    """
    made = make_world(world, seed=seed)
    rows = [_row(made, population.campaign or Campaign(), population.name) for population, _ in world.campaigns]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


_SCHEMA = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("skill", pa.string()),
        *[(name, pa.int64()) for name in ("accounts", "payment_instruments", "networks", "clients")],
        *[(name, pa.int64()) for name in ("harvest_exchanges", "cover_exchanges", "cover_tokens")],
        *[(name, pa.float64()) for name in ("money", "money_per_account", "delay_s", "lost_throughput")],
    ]
)


def _row(made: Made, knobs: Campaign, name: str) -> dict[str, object]:
    crowds = [crowd for crowd in made.crowds if crowd.population.name == name and crowd.population.campaign]
    sent = [
        ((stream.carrier or stream), _expected(stream))
        for stream in made.streams
        if (stream.carrier or stream).people.population.name == name
    ]
    work = [(stream.people.population.campaign or knobs, count) for stream, count in sent if stream.campaign]
    harvest, cover = sum(count for _, count in work), sum(count for stream, count in sent if not stream.campaign)
    accounts = sum(int((crowd.owner == crowd.key).sum()) for crowd in crowds)
    instruments = {pay: kind for crowd in crowds for pay, kind in _instruments(crowd).items()}
    networks = {net: kind for crowd in crowds for net, kind in _networks(crowd).items()}
    clients = {int(key) for crowd in crowds for key in crowd.endpoints.habit.tolist()}
    tokens = cover * prices()["tokens_per_exchange"]
    months = len(made.days()) / 30
    money = sum(_opening(crowd, months) for crowd in crowds)
    money += sum(prices()["payment"].get(kind, 0.0) for kind in instruments.values())
    money += sum(prices()["network_month"].get(kind, 0.0) for kind in networks.values()) * months
    money += len(clients) * prices()["own_client"] + tokens / 1e6 * prices()["per_million_tokens"]
    money += sum(count for way, count in work if way.paraphrase >= 3) * prices()["per_paraphrase"]
    wait = sum(way.jitter_s * count for way, count in work) / max(1e-9, harvest)
    return {
        "campaign_id": name,
        "skill": knobs.skill,
        "accounts": accounts,
        "payment_instruments": len(instruments),
        "networks": len(networks),
        "clients": len(clients),
        "harvest_exchanges": round(harvest),
        "cover_exchanges": round(cover),
        "cover_tokens": round(tokens),
        "money": round(money, 2),
        "money_per_account": round(money / max(1, accounts), 2),
        "delay_s": round(wait * _MEAN_OF_HALF_NORMAL, 1),
        "lost_throughput": round(1 - (1 - _between(crowds, made)) * harvest / max(1e-9, harvest + cover), 4),
    }


def _expected(stream: Stream) -> float:
    """Return the requests that a stream makes in its accounts' open days, whatever the weekday."""
    people, rows = stream.people, stream.accounts
    days = np.maximum(0, people.active_to[rows] - people.active_from[rows]) / DAY_US
    return float((stream.rate * days).sum())


def _instruments(crowd: People) -> dict[str, str]:
    own = crowd.owner == crowd.key  # the owner of a stolen key pays himself
    return _known(_names(crowd.columns["payment"])[own], _names(crowd.columns["payment_kind"])[own])


def _networks(crowd: People) -> dict[str, str]:
    """Return the networks of the accounts' first endpoint: a /24 of a data centre, a line of a consumer."""
    kind, ip, prefix = (
        _names(crowd.endpoints.columns[name])[:: crowd.endpoints.each] for name in ("network_kind", "ip", "ip_prefix")
    )
    return _known(np.where(kind == "residential", ip, prefix), kind)


def _names(column: pa.Array) -> Names:
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _known(names: Names, kinds: Names) -> dict[str, str]:
    return {name: kind for name, kind in zip(names.tolist(), kinds.tolist(), strict=True) if name is not None}


def _opening(crowd: People, months: float) -> float:
    """Return what opening the accounts costs, and their plans; stolen keys cost nothing here."""
    own = crowd.owner == crowd.key
    checks, plans = _names(crowd.columns["verification"])[own], _names(crowd.columns["plan"])[own]
    opened = sum(prices()["account"][check] for check in checks)
    return float(opened + sum(prices()["plan_month"][plan] for plan in plans) * months)


def _between(crowds: list[People], made: Made) -> float:
    """Return the share of the campaign's account days that lies between a ban and a successor's first request."""
    end = made.span.end
    lost = sum(float((end - crowd.closed[crowd.closed >= 0]).sum()) for crowd in crowds)
    won = sum(float((end - crowd.active_from).sum()) for crowd in crowds if crowd.population.part.cohort)
    planned = sum(float((end - crowd.active_from).sum()) for crowd in crowds if not crowd.population.part.cohort)
    return max(0.0, lost - won) / max(1.0, planned)
