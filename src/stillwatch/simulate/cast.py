"""Who does what in a campaign: its accounts, the stages of its work as streams, stolen keys and forwarded users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from stillwatch.simulate.arrivals import Stream, rates
from stillwatch.simulate.chance import Floats, mix, named, unit
from stillwatch.simulate.endpoints import Endpoints
from stillwatch.simulate.enforcement import crews, within
from stillwatch.simulate.identity import DAY_US, HOUR_US, People, Span, people
from stillwatch.simulate.knobs import Campaign, Stage
from stillwatch.simulate.playbooks import takes_part
from stillwatch.simulate.spec import Population


def campaign_cast(
    population: Population, count: int, span: Span, seed: int, innocents: dict[str, People]
) -> tuple[list[People], list[Stream]]:
    """Return a campaign's accounts and what they send: stage by stage, and cover traffic of their own.

    ``innocents``: the other populations by name, whose habits cover traffic has and whose keys may be stolen.

    >>> from stillwatch.simulate.spec import load_world
    >>> campaign, count = load_world("tiny").campaigns[0]
    >>> crowds, streams = campaign_cast(campaign, count, Span(0, 10 * DAY_US), 1, {})
    >>> len(crowds), len(streams), streams[0].campaign
    (1, 1, True)
    """
    knobs = population.campaign or Campaign()
    habits = innocents.get(knobs.cover_population)
    crowds = crews(population, count, span, seed, habits.population if habits else None)
    victims = innocents.get(knobs.victims)
    if knobs.stolen and victims is not None:
        crowds[0] = stolen(crowds[0], victims, knobs.stolen)
    stages = population.stages or {"": Stage()}
    streams = [_forwarded(population, n, crowds, (count, span, seed)) for n, s in stages.items() if s.forwards]
    carried = sum(float(stream.rate.sum()) for stream in streams) / max(1, count)
    for crowd in crowds:
        own = [_staged(crowd, name, stage, span) for name, stage in stages.items() if not stage.forwards]
        streams += own
        if habits is not None and _cover(crowd) > 0:
            streams.append(_covered(crowd, habits, carried + _effort(crowd, own)))
    return crowds, streams


def _cover(crowd: People) -> float:
    return crowd.population.campaign.cover if crowd.population.campaign else 0.0


def _effort(crowd: People, streams: list[Stream]) -> Floats:
    """Return the harvest requests a day of each account, over the days on which it is open."""
    found = np.zeros(crowd.size)
    for stream in streams:
        rows = stream.accounts
        worked = np.maximum(0, stream.people.active_to[rows] - stream.people.active_from[rows])
        found[rows] += stream.rate * (worked / np.maximum(1, crowd.active_to[rows] - crowd.active_from[rows]))
    return found


def _covered(crowd: People, habits: People, effort: Floats) -> Stream:
    """Return the own traffic of a crowd's accounts, so much that it is the wanted share; stolen keys have none."""
    share = _cover(crowd)
    own = np.flatnonzero(crowd.owner == crowd.key)
    return Stream(crowd, own, effort[own] * share / (1 - share), habits)


def _staged(crowd: People, name: str, stage: Stage, span: Span) -> Stream:
    """Return the stream of one stage of one crowd; a campaign without stages has one, of all its work."""
    if not name:
        return Stream(crowd, np.arange(crowd.size), rates(crowd), crowd, campaign=True)
    accounts = takes_part(crowd.key, name, stage.accounts)
    inside = _window(crowd, stage, span)
    content = replace(inside, population=_work(crowd.population, name, stage))
    return Stream(inside, accounts, rates(crowd)[accounts] * stage.share, content, campaign=True)


def _work(population: Population, name: str, stage: Stage) -> Population:
    return replace(
        population,
        name=f"{population.name}.{name}",
        jobs=stage.jobs or population.jobs,
        system=stage.system or population.system,
        tools=stage.tools or population.tools,
        inject=stage.inject or population.inject,
        part=replace(population.part, stage=stage),
    )


def _window(crowd: People, stage: Stage, span: Span) -> People:
    start = np.maximum(crowd.active_from, span.start + int(stage.begin * DAY_US))
    end = np.minimum(crowd.active_to, span.start + int(stage.until * DAY_US)) if stage.until else crowd.active_to
    return replace(crowd, active_from=start, active_to=end)


def _forwarded(population: Population, name: str, crowds: list[People], world: tuple[int, Span, int]) -> Stream:
    """Return the traffic of a rival's own users, sent on through all accounts of the campaign."""
    count, span, seed = world
    stage = population.stages[name]
    fleet = _window(joined(crowds), stage, span)
    apart = int(mix(seed, population.name, name)) % 2**31
    senders = people(population.senders[stage.forwards], max(1, round(count * stage.users)), span, apart)
    senders = _window(within(senders, population.campaign or Campaign(), span), stage, span)
    content = replace(fleet, population=_work(population, name, stage))
    carrier = Stream(fleet, takes_part(fleet.key, name, stage.accounts), np.zeros(0), content, campaign=True)
    return Stream(senders, np.arange(senders.size), rates(senders) * stage.share, senders, carrier=carrier)


def joined(crowds: list[People]) -> People:
    """Return several crowds of one population as one; the first one's parameters stand for all.

    >>> from stillwatch.simulate.spec import load_world
    >>> crowd = crews(*load_world("tiny").campaigns[0], Span(0, DAY_US), 1)[0]
    >>> joined([crowd, crowd]).size == 2 * crowd.size
    True
    """
    points = [crowd.endpoints for crowd in crowds]
    endpoints = Endpoints(
        {name: pa.concat_arrays([point.columns[name] for point in points]) for name in points[0].columns},
        np.concatenate([point.count for point in points]),
        np.concatenate([point.habit for point in points]),
        points[0].each,
    )
    columns = {name: pa.concat_arrays([crowd.columns[name] for crowd in crowds]) for name in crowds[0].columns}
    names = ("key", "group", "member", "country", "created", "closed", "active_from", "active_to", "language", "owner")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(crowd, name) for crowd in crowds]) for name in names}
    return replace(crowds[0], columns=columns, endpoints=endpoints, **arrays)


def stolen(crowd: People, victims: People, share: float) -> People:
    """Return the crowd with a share of its accounts replaced by keys of innocents, used from the theft until noticed.

    The thief's networks and clients stay his own; account and key are the owner's, and so is the label.

    >>> from stillwatch.simulate.spec import load_world
    >>> world = load_world("tiny")
    >>> thief = crews(*world.campaigns[0], Span(0, 10 * DAY_US), 1)[0]
    >>> owners = people(world.populations[0][0], 5, Span(0, 10 * DAY_US), 1)
    >>> int((stolen(thief, owners, 1.0).owner != thief.key).sum())
    5
    """
    taken = min(round(crowd.size * share), victims.size)
    late = victims.active_from > crowd.active_from.min()  # who has an account already is robbed first
    mine, theirs = np.arange(taken), np.lexsort((mix(crowd.seed, victims.key, "taken"), late))[:taken]
    owner = crowd.owner.copy()
    owner[mine] = victims.key[theirs]
    start, end = crowd.active_from.copy(), crowd.active_to.copy()
    length = end[mine] - start[mine]
    theft = start[mine] + (0.5 * unit(mix(owner[mine], "theft")) * length).astype(np.int64)
    noticed = theft + ((12 + 60 * unit(mix(owner[mine], "noticed"))) * HOUR_US).astype(np.int64)
    start[mine] = np.maximum(theft, victims.active_from[theirs])
    end[mine] = np.minimum(np.minimum(noticed, end[mine]), victims.active_to[theirs])
    columns = {**crowd.columns, "account_id": named("acct_", mix(owner, "id"))}
    return replace(crowd, owner=owner, columns=columns, active_from=start, active_to=end)
