"""When accounts ask: people in sittings by day and night, programs at rates of real production clients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks.outside.world import DAY, HOUR, START, World

WINDOW = 600


class Habit(NamedTuple):
    """How a person sits down: share of a weekday's work done at weekends, seconds between requests, length."""

    weekend: float = 0.6
    gap: float = 110
    length: float = 4


def sittings(
    world: World, count: int, zone: int = 0, since: float = 0, until: float = np.inf, habit: Habit | None = None
) -> list[tuple[float, int]]:
    """Draw up to ``count`` times with the number of their sitting: own hours of the day, some days far busier."""
    rng, habit = world.rng, habit or Habit()
    since, until = max(since, START), min(until, world.setting.until)
    if until - since < WINDOW or count <= 0:
        return []
    midnight = since - since % DAY
    days = int(np.ceil((until - since) / DAY)) + 1
    weekend = ((midnight / DAY + np.arange(days)).astype(int) + 3) % 7 >= 5
    busy = (rng.gamma(0.7, 1, days) + 1e-3) * np.where(weekend, habit.weekend, 1)
    middle, spread = rng.normal(14.5, 2.5), rng.uniform(2, 4.5)
    found: list[tuple[float, int]] = []
    for sitting in range(40 * count + 200):
        if len(found) >= count:
            break
        day = rng.choice(days, p=busy / busy.sum())
        at = midnight + day * DAY + ((rng.normal(middle, spread) - zone) % 24) * HOUR
        for _ in range(1 + int(rng.poisson(habit.length - 1))):
            if since <= at < until:
                found.append((at, sitting))
            at += rng.exponential(habit.gap) + 4
    return found[:count]


def steady(world: World, count: int, since: float = START) -> list[float]:
    """Draw sorted times at the rate of a production client, shifted by any number of hours."""
    rng, since = world.rng, max(since, START)
    windows = max(1, int((world.setting.until - since) // WINDOW))
    rate = world.pick(world.corpus.rates)
    weight = np.resize(np.roll(rate, -int(rng.integers(len(rate)))), windows) + 1e-12
    at = since + (rng.choice(windows, count, p=weight / weight.sum()) + rng.random(count)) * WINDOW
    return [float(one) for one in np.sort(at)]
