"""Rounds of bans and what a campaign does about them: new accounts within hours, a second pool, less sharing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stillwatch.simulate.chance import mix, unit
from stillwatch.simulate.identity import DAY_US, HOUR_US, People, Span, people
from stillwatch.simulate.knobs import Campaign, step_up
from stillwatch.simulate.spec import Part, Population

_FIRST_TRICKLE = 0.02  # share of the accounts at work when a ramp begins
_MISTAKEN = 0.002  # of the innocent accounts open in a round are closed with it
_SWEEP_US = 3 * HOUR_US  # how long a round of bans takes


def crews(population: Population, count: int, span: Span, seed: int, habits: Population | None = None) -> list[People]:
    """Return a campaign's accounts, one crowd for each pool and each wave of replacements.

    A share ``standby`` waits as a second pool (other cards, networks and devices) until the first round of bans. After
    each round, ``{day: share of the accounts then open}``, the closed ones are replaced within ``replace_hours``; a
    campaign that ``adapts`` shares less with each round (:func:`stillwatch.simulate.knobs.step_up`). ``habits``: the
    innocents whose mail, checks and ways of payment a share ``blend`` of the accounts has.

    >>> from stillwatch.simulate.spec import Population
    >>> banned = Population("p", "", "", campaign=Campaign(banned=0, enforcement={"3": 0.5}))
    >>> first, second = crews(banned, 40, Span(0, 10 * DAY_US), seed=1)
    >>> int((first.closed >= 0).sum()) == second.size, bool((second.created > 3 * DAY_US).all())
    (True, True)
    """
    knobs = population.campaign or Campaign()
    rounds = sorted((span.start + int(float(day) * DAY_US), share) for day, share in knobs.enforcement.items())
    waiting = round(count * knobs.standby) if rounds else 0
    found = [within(people(blended(population, habits), count - waiting, span, seed), knobs, span)]
    for number, (moment, share) in enumerate(rounds, 1):
        found = [_banned(crew, moment, share, number) for crew in found]
        if number == 1 and waiting:
            second = replace(blended(population, habits), part=Part(cohort=100, pool=100))
            pool = within(people(second, waiting, span, seed), knobs, span)
            later = pool.active_from + max(0, moment + HOUR_US - int(pool.active_from.min()))
            found.append(replace(pool, active_from=np.maximum(pool.active_from, np.minimum(later, span.end))))
            continue
        fresh = blended(_stepped(population, number), habits)
        crew = _replacements(fresh, found, moment, span, seed)
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


def _stepped(population: Population, number: int) -> Population:
    """Return what the accounts are like that come after a round of bans."""
    knobs = replace(step_up(population.campaign or Campaign(), number), banned=0.0)
    return replace(population, campaign=knobs, part=Part(cohort=number, pool=number if knobs.adapts else 0))


def _replacements(fresh: Population, crews: list[People], moment: int, span: Span, seed: int) -> People | None:
    """Return the accounts that come for those closed in a round, each some hours after one; None when none was."""
    lost = np.sort(np.concatenate([c.closed[(c.closed >= moment) & (c.closed <= moment + _SWEEP_US)] for c in crews]))
    if not lost.size:
        return None
    knobs = fresh.campaign or Campaign()
    crowd = people(fresh, lost.size, span, seed)
    wait = (0.15 + 0.85 * unit(mix(crowd.key, "wait"))) * knobs.replace_hours * HOUR_US
    created = lost + wait.astype(np.int64)
    start = created + 5 * 60_000_000
    end = np.maximum(start, span.start + int(knobs.until * DAY_US) if knobs.until else span.end)
    return replace(crowd, created=created, closed=np.full(lost.size, -1), active_from=start, active_to=end)


def blended(population: Population, habits: Population | None) -> Population:
    """Return a campaign's population with its checks, mail and ways of payment mixed with those of innocents.

    >>> campaign = Population("c", "", "", email={"disposable": 1.0}, campaign=Campaign(blend=0.75))
    >>> blended(campaign, Population("p", "", "", email={"common": 2.0})).email
    {'disposable': 0.25, 'common': 0.75}
    """
    share = population.campaign.blend if population.campaign else 0.0
    if habits is None or not share:
        return population
    mixed: dict[str, Any] = {}
    for name in ("verification", "email", "payment"):
        mixed[name] = {}
        for part, source in ((1 - share, getattr(population, name)), (share, getattr(habits, name))):
            for what, weight in source.items():
                mixed[name][what] = mixed[name].get(what, 0.0) + part * weight / sum(source.values())
    return replace(population, **mixed)
