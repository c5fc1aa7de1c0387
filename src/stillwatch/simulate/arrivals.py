"""When exchanges happen: people in sessions, services, nightly runs, bursts, events, and a campaign's scheduler."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stillwatch.simulate.chance import Floats, Ints, Keys, mix, unit
from stillwatch.simulate.identity import DAY_US, HOUR_US, People, Span
from stillwatch.simulate.networks import places
from stillwatch.simulate.queue import deal, queue_load
from stillwatch.simulate.rhythm import batches, follow, rhythms, swings

# Share of a day's human requests in each local hour: work, with an evening; and leisure.
_WORK = np.array([1, 1, 0.6, 0.4, 0.4, 0.8, 2, 4, 8, 12, 13, 12, 9, 11, 12, 12, 10, 8, 6, 5, 5, 4, 3, 2], float)
_LEISURE = np.array([4, 2.5, 1.5, 1, 0.6, 0.6, 1, 2, 3, 4, 5, 5.5, 6, 6, 6, 6, 6.5, 7, 8, 9, 10, 10, 8.5, 6], float)
_EVEN = np.full(24, 1.0)


@dataclass(frozen=True)
class Stream:
    """One kind of traffic of some accounts: who, how often a day, and whose content it is (``campaign`` or own).

    ``carrier``: the accounts through which the traffic is sent on, when ``people`` have none here themselves.
    """

    people: People
    accounts: Ints
    rate: Floats
    content: People
    campaign: bool = False
    carrier: Stream | None = None


@dataclass(frozen=True)
class Draw:
    """Exchanges of one stream on one day: position in ``stream.accounts``, time, session key and turn of it.

    ``again`` names for each the exchange whose words it has (itself, unless it was sent a second time).
    """

    account: Ints
    ts: Ints
    session: Keys
    turn: Ints
    again: Ints | None = None

    def take(self, rows: Ints) -> Draw:
        """Return some of the exchanges; whose words they have is left out.

        >>> Draw(np.arange(3), np.arange(3), np.zeros(3, np.uint64), np.arange(3)).take(np.array([2])).ts.tolist()
        [2]
        """
        return Draw(self.account[rows], self.ts[rows], self.session[rows], self.turn[rows])


def rates(crowd: People, *, share: float = 1.0) -> Floats:
    """Return requests a day of each account: log-normal about the population's rate.

    >>> from stillwatch.simulate.identity import Span, people
    >>> from stillwatch.simulate.spec import load_world
    >>> crowd = people(load_world("tiny").populations[0][0], 50, Span(0, DAY_US), seed=1)
    >>> bool((rates(crowd) > 0).all()), rates(crowd).size
    (True, 50)
    """
    spec = crowd.population
    key = _runner(crowd)
    normal = np.sqrt(-2 * np.log(1 - unit(mix(key, "rate1")))) * np.cos(2 * np.pi * unit(mix(key, "rate2")))
    return np.asarray(np.minimum(share * spec.rate * np.exp(spec.sigma * normal), spec.top))


def _runner(crowd: People) -> Keys:
    """Return whose rhythm each account has: its own, or that of a product which moves from account to account."""
    return crowd.group if crowd.population.signup == "handover" else crowd.key


def expected(stream: Stream, span: Span, launches: list[int]) -> float:
    """Return the number of requests that a stream is expected to make within a span, by its accounts' open hours.

    >>> from stillwatch.simulate.identity import people
    >>> from stillwatch.simulate.spec import load_world
    >>> crowd = people(load_world("tiny").populations[0][0], 50, Span(0, DAY_US), seed=1)
    >>> expected(Stream(crowd, np.arange(50), rates(crowd), crowd), Span(0, DAY_US), []) > 0
    True
    """
    start, end = stream.people.active_from[stream.accounts], stream.people.active_to[stream.accounts]
    total = 0.0
    for day_us in range(span.start, span.end, DAY_US):
        opened = np.clip(np.minimum(end, day_us + DAY_US) - np.maximum(start, day_us), 0, DAY_US) / DAY_US
        total += float((_expected(stream, day_us, launches) * opened).sum())
    return total


def volume(streams: list[Stream], wanted: float, span: Span, launches: list[int]) -> list[Stream]:
    """Return the streams with their rates multiplied so that ``wanted`` requests are expected; 0 leaves them.

    In a campaign's streams the harvest counts, and cover traffic grows along.

    >>> volume([], 100.0, Span(0, DAY_US), [])
    []
    """
    harvest = [stream for stream in streams if stream.campaign] or streams
    usual = sum(expected(stream, span, launches) for stream in harvest) if wanted else 0.0
    if not usual:
        return streams
    return [replace(stream, rate=stream.rate * (wanted / usual)) for stream in streams]


def draw_day(stream: Stream, day_us: int, launches: list[int], seed: int) -> Draw:
    """Return the exchanges of a stream on the day that begins at ``day_us`` (epoch microseconds).

    Deterministic for (stream, day, seed); only times inside each account's active span are kept.
    """
    spec = stream.content.population if not stream.campaign else stream.people.population
    rng = np.random.default_rng(
        [
            seed,
            day_us // DAY_US,
            int(mix(stream.content.population.name, stream.people.population.name)) & 0xFFFFFFFF,
            int(stream.campaign),
        ]
    )
    make = {
        "human": _human,
        "service": _service,
        "cron": _cron,
        "burst": _human,
        "event": _human,
        "scheduler": _scheduler,
        "queue": _queue,
        "probe": _probe,
        "client": _client,
        "code": _code,
    }[spec.arrivals]
    found = make(stream, day_us, _expected(stream, day_us, launches), rng)
    start, end = (
        stream.people.active_from[stream.accounts[found.account]],
        stream.people.active_to[stream.accounts[found.account]],
    )
    keep = (found.ts >= start) & (found.ts < end) & (found.ts >= day_us) & (found.ts < day_us + DAY_US)
    kept = found.take(np.flatnonzero(keep))
    return _sent_again(kept, stream, day_us, rng) if spec.repeats else kept


def _sent_again(draw: Draw, stream: Stream, day_us: int, rng: np.random.Generator) -> Draw:
    """Return the draw with some exchanges a second time some seconds later: retries and hedged requests."""
    spec = stream.content.population
    twice = np.flatnonzero(rng.random(draw.ts.size) < spec.repeats)
    late = draw.ts[twice] + (rng.exponential(4.0, twice.size) * 1e6).astype(np.int64) + 1
    limit = np.minimum(stream.people.active_to[stream.accounts[draw.account[twice]]], day_us + DAY_US)
    twice, late = twice[late < limit], late[late < limit]
    order = np.concatenate([np.arange(draw.ts.size), twice])
    return Draw(draw.account[order], np.concatenate([draw.ts, late]), draw.session[order], draw.turn[order], order)


def _expected(stream: Stream, day_us: int, launches: list[int]) -> Floats:
    """Return the expected number of requests today: weekday, whether active, and a rush after a launch."""
    spec = stream.content.population
    key = stream.people.key[stream.accounts]
    weekday = (day_us // DAY_US + 3) % 7
    factor = np.full(key.size, spec.weekend if weekday >= 5 else 1.0)
    if spec.arrivals in ("human", "burst", "code"):
        mood = unit(mix(key, day_us // DAY_US, "mood"))
        factor = factor * np.where(mood < 0.35, 0.05, 1.5)
    if spec.arrivals == "service":
        uneven = 0.3 - 0.7 * np.log(1 - unit(mix(key, day_us // DAY_US, "mood")))
        idle = (unit(mix(key, "sometimes")) < 0.25) & (unit(mix(key, day_us // DAY_US, "idle")) < 0.55)
        factor = factor * np.where(idle, 0.0, uneven * np.where(unit(mix(key, "sometimes")) < 0.25, 2.2, 1.0))
    more, days = spec.surge
    if days:  # once in ten days: a load test, a larger plan, a backfill
        age = (
            day_us // DAY_US + (mix(stream.people.group[stream.accounts], "surge") % np.uint64(10)).astype(np.int64)
        ) % 10
        factor = factor * np.where(age < days, more, 1.0)
    for launch in launches:
        if launch - HOUR_US * 12 <= day_us + DAY_US / 2 < launch + 2 * DAY_US:
            factor = factor * spec.launch_burst
    return np.asarray(stream.rate * factor)


def _hours(stream: Stream, rows: Ints, rng: np.random.Generator, shapes: Floats) -> Floats:
    """Return UTC hours of the day, drawn from local-hour shapes (n_accounts, 24) by each account's time zone."""
    people = stream.people
    local = np.cumsum(shapes, axis=1)
    local /= local[:, -1:]
    draws = rng.random(rows.size)
    hour = (local[rows] < draws[:, None]).sum(axis=1) + rng.random(rows.size)
    offset = places().offset_h[people.country[stream.accounts[rows]]]
    return np.asarray((hour - offset) % 24)


def _shapes(stream: Stream) -> Floats:
    spec = stream.content.population
    key = stream.people.key[stream.accounts]
    work = unit(mix(key, "worker"))[:, None]
    if spec.weekend <= 0.3:
        work = np.ones_like(work)
    shape = work * _WORK / _WORK.sum() + (1 - work) * _LEISURE / _LEISURE.sum()
    shift = np.round((unit(mix(key, "late")) - 0.4) * 5).astype(np.int64)
    return np.asarray(np.take_along_axis(shape, (np.arange(24)[None, :] - shift[:, None]) % 24, axis=1))


def _human(stream: Stream, day_us: int, expected: Floats, rng: np.random.Generator) -> Draw:
    """Draw sessions at human hours; turns follow each other after log-normal pauses."""
    spec = stream.content.population
    sessions = rng.poisson(expected / spec.turns)
    who = np.repeat(np.arange(expected.size), sessions)
    begin = day_us + _hours(stream, who, rng, _shapes(stream)) * HOUR_US
    turns = np.minimum(rng.geometric(1 / spec.turns, who.size), 60)
    rows = np.repeat(np.arange(who.size), turns)
    turn = np.arange(rows.size) - np.repeat(np.cumsum(turns) - turns, turns)
    pause = np.where(turn == 0, 0.0, rng.lognormal(np.log(spec.gap_s), 0.9, rows.size) * 1e6)
    total = np.cumsum(pause)
    first = np.repeat(np.cumsum(turns) - turns, turns)
    ts = begin[rows] + total - total[first]
    session = mix(stream.people.key[stream.accounts[who]], day_us, np.arange(who.size), "session")
    return Draw(who[rows], ts.astype(np.int64), session[rows], turn)


def _service(stream: Stream, day_us: int, expected: Floats, rng: np.random.Generator) -> Draw:
    """Draw requests at the hours of a product's own users, partly flat as machines ask too; some come in bursts.

    Spread over accounts as in published windows of 151 production clients: busiest hour 1.4 to 16 times the mean (10th
    to 90th percentile), a quarter of the clients silent on most days, gaps with a coefficient of variation of 1 to 7.
    """
    key = stream.people.key[stream.accounts]
    burst = 1 + np.floor(6 * np.square(np.maximum(0.0, unit(mix(key, "bursts")) - 0.4) / 0.6))
    starts = np.repeat(np.arange(expected.size), rng.poisson(expected / burst))
    size = rng.geometric(1 / burst[starts])
    who, first = np.repeat(starts, size), np.repeat(np.arange(starts.size), size)
    flat = unit(mix(key, "flat"))[:, None] ** 2
    shapes = flat * _EVEN / 24 + (1 - flat) * _shapes(stream)
    begin = _hours(stream, starts, rng, shapes) * HOUR_US
    order = np.arange(who.size) - np.repeat(np.cumsum(size) - size, size)
    ts = day_us + begin[first] + order * rng.exponential(8e6, who.size)
    return _alone(who, ts)


def _probe(stream: Stream, day_us: int, expected: Floats, rng: np.random.Generator) -> Draw:
    """Draw requests at one steady interval around the clock, as monitors do."""
    key = stream.people.key[stream.accounts]
    gap = 86_400 / np.maximum(expected, 1e-6)
    counts = np.floor(expected).astype(np.int64)
    who = np.repeat(np.arange(expected.size), counts)
    order = np.arange(who.size) - np.repeat(np.cumsum(counts) - counts, counts)
    seconds = (order + unit(mix(key, "phase"))[who]) * gap[who] + rng.normal(
        0, stream.content.population.jitter_s, who.size
    )
    return _alone(who, day_us + seconds * 1e6)


def _client(stream: Stream, day_us: int, expected: Floats, rng: np.random.Generator) -> Draw:
    """Draw requests of production clients: their users' hours, volatile rates and batches, all fitted."""
    people, key = stream.people, _runner(stream.people)[stream.accounts]
    offset = np.round(places().offset_h[people.country[stream.accounts]]).astype(np.int64)
    flat = unit(mix(key, "flat"))[:, None] ** 4
    local = (np.arange(24)[None, :] + offset[:, None]) % 24
    shape = flat * _EVEN / 24 + (1 - flat) * np.take_along_axis(_shapes(stream), local, axis=1)
    who, second = batches(key, expected[:, None] * shape * swings(key, day_us // DAY_US), rng)
    return _alone(who, day_us + second * 1e6)


def _code(stream: Stream, day_us: int, expected: Floats, rng: np.random.Generator) -> Draw:
    """Draw sessions of code agents, at their people's hours, in which several requests leave at once."""
    fitted = rhythms()["code"]
    steps = _human(stream, day_us, expected / fitted.fan, rng)
    size = rng.geometric(1 / fitted.fan, steps.ts.size)
    step, second = follow(np.arange(steps.ts.size), steps.ts / 1e6, size, fitted.pause_s, rng)
    return Draw(steps.account[step], (second * 1e6).astype(np.int64), steps.session[step], steps.turn[step])


def _alone(who: Ints, ts: Floats) -> Draw:
    """Return exchanges that belong to no session."""
    return Draw(who, ts.astype(np.int64), np.zeros(who.size, np.uint64), np.zeros(who.size, np.int64))


def _cron(stream: Stream, day_us: int, expected: Floats, rng: np.random.Generator) -> Draw:
    """Draw runs on the hour, mostly at night, item after item; runs do not happen every day."""
    crowd = stream.people
    key = crowd.key[stream.accounts]
    hour = (
        np.floor(unit(mix(crowd.group[stream.accounts], "cron")) * 7) + np.where(unit(mix(key, "noon")) < 0.2, 10, 0)
    ) % 24
    minute = np.array([0, 0, 0, 30, 15])[(mix(key, "minute") % np.uint64(5)).astype(np.int64)]
    offset = places().offset_h[crowd.country[stream.accounts]]
    runs = unit(mix(key, day_us, "run")) < 0.75
    counts = np.where(runs, rng.poisson(expected / 0.75), 0)
    who = np.repeat(np.arange(expected.size), counts)
    step = 1 + 6 * unit(mix(key, "step"))
    order = np.arange(who.size) - np.repeat(np.cumsum(counts) - counts, counts)
    seconds = ((hour - offset) % 24 * 3600 + minute * 60)[who] + order * step[who] + rng.exponential(1.5, who.size)
    return _alone(who, day_us + seconds * 1e6)


def _scheduler(stream: Stream, day_us: int, expected: Floats, rng: np.random.Generator) -> Draw:
    """Draw from a common queue: hours of more and less work for all alike, ticks of five minutes, jitter."""
    spec = stream.people.population
    jitter = spec.campaign.jitter_s if spec.campaign else spec.jitter_s
    who = np.repeat(np.arange(expected.size), rng.poisson(expected))
    common = rng.gamma(0.8, 1.0, 288) * np.repeat(rng.gamma(1.2, 1.0, 24), 12)
    edges = np.cumsum(common) / common.sum()
    tick = np.searchsorted(edges, rng.random(who.size))
    seconds = tick * 300 + rng.normal(0, jitter, who.size) + rng.exponential(4, who.size)
    return _alone(who, day_us + (seconds % 86_400) * 1e6)


def _queue(stream: Stream, day_us: int, expected: Floats, rng: np.random.Generator) -> Draw:
    """Draw from the campaign's own queue of work, dealt to its accounts (:mod:`stillwatch.simulate.queue`)."""
    people, stage = stream.people, stream.content.population.part.stage
    jitter = people.population.campaign.jitter_s if people.population.campaign else people.population.jitter_s
    load = queue_load(people.seed, people.population.name, day_us)
    who, second, turn = deal(expected, load, jitter, stage.turns if stage else 0, rng)
    ts = day_us + (second % 86_400 * 1e6).astype(np.int64)
    first = np.maximum.accumulate(np.where(turn == 0, np.arange(turn.size), 0))
    session = mix(people.key[stream.accounts[who]], ts[first], first, "session")
    return Draw(who, ts, session if stage and stage.turns else np.zeros_like(session), turn)
