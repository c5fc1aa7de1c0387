"""Rhythm of programs, with parameters fitted to published traces (``rhythm.toml`` names them and their licences).

An account's hourly rate is log-normal: noises that hold for one, four, 24 and 96 hours add up, and accounts differ in
how volatile they are. Requests leave in batches whose mean size differs as much. Code agents send several at once.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from stillwatch.simulate.chance import Floats, Ints, Keys, mix, unit

_MOST = 150.0  # times the mean rate: what no client exceeds for an hour


@dataclass(frozen=True)
class Rhythm:
    """Fitted parameters of one kind of program; see ``rhythm.toml`` for what each means and its unit."""

    pause_s: float
    context: list[float]
    answer: list[float]
    uneven: list[float]
    volatility: list[float]
    holds_h: list[int]
    shares: list[float]
    batch: list[float]
    steady: float
    duty: list[float]
    fan: float


@cache
def rhythms() -> dict[str, Rhythm]:
    """Return the kinds of programs with fitted rhythms.

    >>> sorted(rhythms())
    ['client', 'code']
    """
    text = resources.files("stillwatch.simulate").joinpath("rhythm.toml").read_text("utf-8")
    none: dict[str, object] = {"volatility": [0, 0], "holds_h": [], "shares": [], "batch": [0, 0], "fan": 1.0}
    none |= {"steady": 1.0, "duty": [1, 0]}
    return {name: Rhythm(**{**none, **content}) for name, content in tomllib.loads(text).items()}


def normal(*parts: Keys | Ints | int | str) -> Floats:
    """Return standard normal numbers by key (Box and Muller 1958).

    >>> abs(float(normal(np.arange(4000)).mean())) < 0.1
    True
    """
    key = mix(*parts)
    return np.asarray(np.sqrt(-2 * np.log(1 - unit(mix(key, "n1")))) * np.cos(2 * np.pi * unit(mix(key, "n2"))))


def swings(key: Keys, day: int) -> Floats:
    """Return how far each UTC hour of a day is from the account's mean rate: factors, shape (n, 24), mean about one.

    >>> found = swings(mix(np.arange(2000)), 7)
    >>> found.shape, 0.6 < float(found.mean()) < 1.2
    ((2000, 24), True)
    """
    fitted = rhythms()["client"]
    least, more = fitted.volatility
    rank = unit(mix(key, "volatile"))
    spread = (least + more * rank)[:, None]
    hour = day * 24 + np.arange(24)[None, :]
    log = np.zeros((key.size, 24))
    for hold, share in zip(fitted.holds_h, fitted.shares, strict=True):
        phase = (mix(key, hold, "phase") % np.uint64(hold)).astype(np.int64)[:, None]
        log += np.sqrt(share) * normal(key[:, None], (hour + phase) // hold, hold, "hold")
    steady = np.exp(spread * log - spread**2 / 2)
    return np.asarray(np.minimum(np.where((rank < fitted.steady)[:, None], 1.0, _episodes(key, day)) * steady, _MOST))


def _episodes(key: Keys, day: int) -> Floats:
    """Return factors of accounts that work some days for some hours and rest on others; shape (n, 24)."""
    least, more = rhythms()["client"].duty
    duty = least + more * unit(mix(key, "duty")) ** 3
    works = unit(mix(key, day, "works")) < duty
    length = np.exp(np.log(24) * unit(mix(key, "length")))
    begin = 24 * unit(mix(key, "begin")) + 2 * normal(key, day, "begin")
    inside = (np.arange(24)[None, :] - begin[:, None]) % 24 < np.maximum(1.0, length)[:, None]
    return np.asarray((works / duty * 24 / np.maximum(1.0, length))[:, None] * inside)


def batches(key: Keys, hourly: Floats, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Return (account, second of the day) of requests at rates by account and hour, shape (n, 24), in batches.

    >>> who, second = batches(mix(np.arange(3)), np.full((3, 24), 50.0), np.random.default_rng(1))
    >>> 2000 < who.size < 6000, bool((second >= 0).all())
    (True, True)
    """
    fitted = rhythms()["client"]
    above, steep = fitted.batch
    mean = np.exp(steep * np.square(np.maximum(0.0, unit(mix(key, "volatile")) - above)))
    cells = rng.poisson(hourly / mean[:, None])
    start = np.repeat(np.arange(cells.size), cells.ravel())
    size = rng.geometric(1 / mean[start // 24])
    begin = (start % 24 + rng.random(start.size)) * 3600
    return follow(start // 24, begin, size, fitted.pause_s, rng)


def follow(who: Ints, begin: Floats, size: Ints, pause_s: float, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Return every start ``size`` times, each a little after the one before: (account, second).

    >>> follow(np.array([4]), np.array([9.0]), np.array([3]), 0.0, np.random.default_rng(1))[0].tolist()
    [4, 4, 4]
    """
    first = np.repeat(np.cumsum(size) - size, size)
    wait = np.cumsum(np.where(np.arange(first.size) == first, 0.0, rng.exponential(pause_s, first.size)))
    return np.repeat(who, size), np.repeat(begin, size) + wait - wait[first]


def evenness(kind: str, key: Keys, what: str) -> Floats:
    """Return factors on the log-sd of an account's lengths: some programs send and get nearly one length, some any.

    Kinds without a fitted rhythm have one.

    >>> evenness("human", mix(np.arange(2)), "prompt").tolist()
    [1.0, 1.0]
    """
    if kind not in rhythms():
        return np.ones(key.size)
    least, more = rhythms()[kind].uneven
    return np.asarray(least + more * unit(mix(key, what, "uneven")) ** 2)


def unseen(kind: str, key: Keys, row: Keys) -> tuple[Floats, Floats]:
    """Return (tokens of context that no stored text shows, factor on the answer's tokens) of exchanges.

    ``key``: the account, whose habit it is; ``row``: the exchange. Kinds without a fitted rhythm have none.

    >>> [part.tolist() for part in unseen("human", mix(np.arange(2)), mix(np.arange(2)))]
    [[0.0, 0.0], [1.0, 1.0]]
    """
    if kind not in rhythms():
        return np.zeros(key.size), np.ones(key.size)
    fitted = rhythms()[kind]
    median, spread = fitted.context
    habit = np.where(unit(mix(key, "has context")) < 0.5, median * np.exp(spread * normal(key, "context")), 0.0)
    factor, wide = fitted.answer
    within = 0.5 * evenness(kind, key, "prompt") * normal(row, "context")
    return habit * np.exp(within), factor * np.exp(wide * normal(key, "answer"))
