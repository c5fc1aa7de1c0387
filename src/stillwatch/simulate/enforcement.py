"""Rounds of bans and what a campaign does about them: new accounts within hours, a second pool, less sharing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stillwatch.simulate.chance import mix, unit
from stillwatch.simulate.identity import DAY_US, HOUR_US, People, Span, people
from stillwatch.simulate.knobs import Campaign, step_up
from stillwatch.simulate.spec import Part, Population

_FIRST_TRICKLE = 0.02  # share of the accounts at work when a ramp begins
_MISTAKEN = 0.002  # of the innocent accounts open in a round are closed with it
_SWEEP_US = 3 * HOUR_US  # how long a round of bans takes


def crews(population: Population, count: int, span: Span, seed: int) -> list[People]:
    """Return a campaign's accounts, one crowd for each pool and each wave of replacements.

    A share ``standby`` waits as a second pool (other cards, networks and devices) until the first round of bans. After
    each round, ``{day: share of the accounts then open}``, the closed ones are replaced within ``replace_hours``; a
    campaign that ``adapts`` shares less with each round (:func:`stillwatch.simulate.knobs.step_up`).

    >>> from stillwatch.simulate.spec import Population
    >>> banned = Population("p", "", "", campaign=Campaign(banned=0, enforcement={"3": 0.5}))
    >>> first, second = crews(banned, 40, Span(0, 10 * DAY_US), seed=1)
    >>> int((first.closed >= 0).sum()) == second.size, bool((second.created > 3 * DAY_US).all())
    (True, True)
    """
    knobs = population.campaign or Campaign()
    rounds = sorted((span.start + int(float(day) * DAY_US), share) for day, share in knobs.enforcement.items())
    waiting = round(count * knobs.standby) if rounds else 0
    found = [within(people(population, count - waiting, span, seed), knobs, span)]
    for number, (moment, share) in enumerate(rounds, 1):
        found = [_banned(crew, moment, share, number) for crew in found]
        if number == 1 and waiting:
            part = Part(cohort=100, pool=100)
            pool = within(people(replace(population, part=part), waiting, span, seed), knobs, span)
            later = pool.active_from + max(0, moment + HOUR_US - int(pool.active_from.min()))
            found.append(replace(pool, active_from=np.maximum(pool.active_from, np.minimum(later, span.end))))
            continue
        crew = _replacements(population, found, moment, number, (span, seed))
        found += [crew] if crew else []
    return found


def within(crowd: People, knobs: Campaign, span: Span) -> People:
    """Return the crowd at work from ``begin`` to ``until`` only, its accounts one after another during the ramp.

    The number at work grows by a constant factor a day. Sign-ups move along, so that they keep their distance to the
    first request.
    """
    begin = span.start + int(knobs.begin * DAY_US)
    rank = (np.arange(crowd.size) + 1) / max(1, crowd.size)
    late = knobs.ramp_days * np.maximum(0.0, 1 - np.log(rank) / np.log(_FIRST_TRICKLE))
    first = begin + (late * DAY_US).astype(np.int64)
    shift = first - span.start
    created = np.where(crowd.created < span.start, crowd.created + shift, np.maximum(crowd.created, first))
    end = np.minimum(crowd.active_to, span.start + int(knobs.until * DAY_US)) if knobs.until else crowd.active_to
    closed = np.where(crowd.closed > created, crowd.closed, -1)
    start = np.maximum(first, created + 5 * 60_000_000)
    return replace(crowd, created=created, closed=closed, active_from=start, active_to=np.maximum(end, start))


def mistaken(crowd: People, moments: list[int]) -> People:
    """Return innocents of whom each round of bans closes a few by mistake, as providers have admitted.

    >>> from stillwatch.simulate.spec import load_world
    >>> office = next(p for p, _ in load_world("tiny").populations if p.name == "office")
    >>> crowd = people(office, 600, Span(0, 10 * DAY_US), seed=1)
    >>> mistaken(crowd, []).closed is crowd.closed
    True
    """
    for number, moment in enumerate(moments):
        crowd = _banned(crowd, moment, _MISTAKEN, number)
    return crowd


def _banned(crew: People, moment: int, share: float, number: int) -> People:
    """Return the crew with a share of the accounts open at ``moment`` closed in the hours after it."""
    at_work = (crew.active_from <= moment) & ((crew.closed < 0) | (crew.closed > moment + _SWEEP_US))
    hit = at_work & (unit(mix(crew.key, number, "round")) < share)
    when = moment + (unit(mix(crew.key, number, "sweep")) * _SWEEP_US).astype(np.int64)
    closed = np.where(hit, when, crew.closed)
    return replace(crew, closed=closed, active_to=np.where(hit, np.minimum(when, crew.active_to), crew.active_to))


def _replacements(
    population: Population, crews: list[People], moment: int, number: int, world: tuple[Span, int]
) -> People | None:
    """Return the accounts that come for those closed in a round, each some hours after one; None when none was."""
    span, seed = world
    lost = np.sort(np.concatenate([c.closed[(c.closed >= moment) & (c.closed <= moment + _SWEEP_US)] for c in crews]))
    if not lost.size:
        return None
    knobs = step_up(population.campaign or Campaign(), number)
    part = Part(cohort=number, pool=number if knobs.adapts else 0)
    fresh = people(replace(population, campaign=replace(knobs, banned=0.0), part=part), lost.size, span, seed)
    wait = (0.15 + 0.85 * unit(mix(fresh.key, "wait"))) * knobs.replace_hours * HOUR_US
    created = lost + wait.astype(np.int64)
    start = created + 5 * 60_000_000
    end = span.start + int(knobs.until * DAY_US) if knobs.until else span.end
    return replace(
        fresh, created=created, closed=np.full(lost.size, -1), active_from=start, active_to=np.full(lost.size, end)
    )
