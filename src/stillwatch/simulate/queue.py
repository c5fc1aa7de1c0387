"""A campaign's queue of work: batches that start and end, and a balancer that deals the items to its accounts.

After the public descriptions: traffic that is synchronised over accounts, runs round the clock, is spread for
throughput and moves on when an account is blocked. Nothing is fitted; the shape is ours.
"""

from __future__ import annotations

import numpy as np

from stillwatch.simulate.chance import Floats, Ints, mix

_SLOTS = 1440  # minutes of a day


def queue_load(seed: int, campaign: str, day_us: int) -> Floats:
    """Return the share of a campaign's work that falls in each minute of the day that begins at ``day_us``.

    A third is steady; the rest comes in some twelve batches of twenty minutes to three hours. The same for all accounts
    of a campaign, other on another day.

    >>> load = queue_load(1, "north", 0)
    >>> load.shape, round(float(load.sum()), 6)
    ((1440,), 1.0)
    """
    rng = np.random.default_rng([seed, day_us // 86_400_000_000, int(mix(campaign, "queue")) & 0xFFFFFFFF])
    load = np.full(_SLOTS, 0.35 / _SLOTS)
    batches = 1 + rng.poisson(11)
    begin, length = rng.integers(0, _SLOTS, batches), np.exp(rng.uniform(np.log(20), np.log(180), batches)).astype(int)
    weight = rng.gamma(1.5, 1.0, batches)
    for start, minutes, part in zip(begin, length, weight / weight.sum(), strict=True):
        np.add.at(load, (start + np.arange(minutes)) % _SLOTS, 0.65 * part / minutes)
    return np.asarray(load / load.sum())


def deal(
    expected: Floats, load: Floats, jitter_s: float, turns: float, rng: np.random.Generator
) -> tuple[Ints, Floats, Ints]:
    """Return (account, second of the day, turn of its session) of the items, dealt so that shares come out even.

    ``expected``: items a day of each account. Each account takes its items at even distances of the ordered queue, as
    a balancer deals them; ``jitter_s`` is the standard deviation of the delay after that. With ``turns`` above one an
    item becomes a session of that many exchanges on average.

    >>> rng = np.random.default_rng(0)
    >>> who, second, turn = deal(np.full(4, 50.0), np.full(1440, 1 / 1440), 0.0, 0.0, rng)
    >>> who.size == second.size > 100, int(turn.max())
    (True, 0)
    """
    counts = rng.poisson(expected / max(1.0, turns))
    who = np.repeat(np.arange(expected.size), counts)
    order = np.arange(who.size) - np.repeat(np.cumsum(counts) - counts, counts)
    who = who[np.argsort((order + rng.random(who.size)) / counts[who], kind="stable")]
    edges = np.concatenate([[0.0], np.cumsum(load)])
    second = np.interp(np.sort(rng.random(who.size)) * edges[-1], edges, np.arange(edges.size) * 60.0)
    second = second + np.abs(rng.normal(0, jitter_s, who.size)) + rng.exponential(3, who.size)
    length = np.minimum(rng.geometric(1 / turns, who.size), 40) if turns > 1 else np.ones(who.size, np.int64)
    rows = np.repeat(np.arange(who.size), length)
    turn = np.arange(rows.size) - np.repeat(np.cumsum(length) - length, length)
    return who[rows], second[rows] + turn * rng.uniform(8, 40, who.size)[rows], turn.astype(np.int64)
