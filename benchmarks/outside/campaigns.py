"""Campaigns of varied kinds and skill: what they share, whom they ask as, and what they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.outside import networks
from benchmarks.outside.clients import client
from benchmarks.outside.clock import sittings
from benchmarks.outside.corpus import Corpus, Pair
from benchmarks.outside.everyday import agent_run, interests, own_system, request
from benchmarks.outside.wording import AGENT_TOOLS, ENDINGS, MIDDLES, OPENINGS, TEMPLATES
from benchmarks.outside.world import COUNTRIES, DAY, HOUR, START, Caller, Client, Net, World

HOSTS = (20473, 24940, 14061, 45102, 132203, 16276)
FIRST = ("liam", "emma", "noah", "olivia", "ava", "lucas", "mia", "james")
LAST = ("smith", "lee", "brown", "garcia", "chen")
TEXTS = {
    "instructions": "alpaca", "code": "code", "mathematics": "questions", "worked mathematics": "metamath",
    "tools": "toolformer", "roles": "roleplay", "synthesis": "selfinstruct_meta", "agents": "fireact",
    "rendered": "gpt4llm_rendered", "mixed abilities": "biggen_bench",
}  # fmt: skip
PAIRS = {"patients": "chatdoctor", "rubrics": "prometheus", "tool calls": "glaive_toolcall"}


@dataclass(frozen=True)
class Plan:
    """A campaign: its size, what its accounts share (network, cards, sign-ups, client, mail), and what they ask.

    ``days`` bounds it; ``life`` is how many days an account lives before it is banned and another takes over; ``cover``
    is the share of ordinary requests; ``pivot`` is a model and the day the work moves to it; ``split`` gives each
    account one corpus; ``agentic`` works in runs with tools; ``even`` deals the queue in equal shares;
    ``devices``: few devices for all; ``account``: what every account row says.
    """

    name: str
    accounts: int
    exchanges: int
    corpora: tuple[str, ...] = ("instructions",)
    network: str = "blocks"
    payment: str = "few"
    signup: str = "wave"
    client: str = "one"
    template: str | None = "tags"
    template_in: str = "system"
    mail: str = "pattern"
    schedule: str = "flat"
    role: str = "data analyst"
    cover: float = 0.0
    life: float | None = None
    days: tuple[int, int] | None = None
    model: str | None = None
    pivot: tuple[str, int] | None = None
    split: bool = False
    agentic: bool = False
    even: bool = True
    devices: bool = False
    account: tuple[tuple[str, str], ...] = ()


@dataclass
class Worker:
    """An account of a campaign while it lives; ``share`` is how much it does where shares are uneven."""

    one: Caller
    since: float
    until: float
    share: float


class Campaign:
    """A campaign at work in a world."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world, self.plan, self.rng = world, plan, world.rng
        first, last = plan.days or (0, world.setting.days)
        self.first, self.last = START + first * DAY, START + last * DAY
        self.countries = [world.pick(list(COUNTRIES)) for _ in range(3)]
        self.issuers = [world.pick(world.virtual_issuers) for _ in range(2)]
        many = {"one": 1, "few": max(2, plan.accounts // 16), "quad": max(2, plan.accounts // 4)}.get(plan.payment, 0)
        self.cards = [world.card(self.issuers[i % 2]) for i in range(many)]
        self.devices = [world.token() for _ in range(max(1, plan.accounts // 12))]
        self.domain, self.throwaway = f"{world.token(4)}.top", world.pick(world.corpus.throwaway_domains)
        self.clients = [client(world, kind) for kind in ("python", "python", "script", "node")]
        self.blocks = [world.prefix() for _ in range(2)]
        self.proxies = [world.prefix() for _ in range(14)]
        self.proxy_asns = [int(asn) for asn in self.rng.integers(30_000, 64_000, 3)]
        self.host = world.pick(HOSTS)
        self.workers = [self._worker(i) for i in range(plan.accounts)]

    def run(self) -> None:
        """Add all exchanges of the campaign, and its cover."""
        if self.plan.agentic:
            self._agents()
        else:
            self._queue()
        if self.plan.cover:
            self._cover()

    def _worker(self, place: int) -> Worker:
        since, until = self._lifetime(place)
        created = self._created(place, since)
        made = self.world.account("campaign", self.plan.name, **self._identity(place, created, until))
        one = Caller(made, self._net(place), self._client())
        return Worker(one, max(since, created + 600), until, float(self.rng.lognormal(0, 0.9)))

    def _lifetime(self, place: int) -> tuple[float, float]:
        """Return from when to when an account works: all the time, or until it is banned."""
        life = self.plan.life
        if not life:
            return self.first + self.rng.random() * 0.5 * DAY, self.last
        since = self.first + self.rng.random() * 6 * HOUR
        if place >= self.plan.accounts * life * DAY / (self.last - self.first):
            place_in_time = place / self.plan.accounts * (self.last - self.first - life * DAY)
            since = self.first + place_in_time + self.rng.normal(0, 2) * HOUR
        return since, min(self.last, since + life * DAY * self.rng.uniform(0.7, 1.3))

    def _created(self, place: int, since: float) -> float:
        """Return when an account is made: in a wave, in batches, in a trickle, just before work, or long ago."""
        rng = self.rng
        return {
            "wave": self.first - 1.5 * DAY + rng.random() * 30 * HOUR,
            "three days": self.first - 4 * DAY + rng.random() * 3 * DAY,
            "trickle": since - rng.exponential(5) * DAY - HOUR,
            "batches": self.first - 6 * DAY + place // 20 * 0.6 * DAY + rng.random() * 2400,
            "aged": self.first - rng.uniform(20, 200) * DAY,
            "when needed": since - rng.exponential(5) * HOUR,
        }[self.plan.signup]

    def _identity(self, place: int, created: float, until: float) -> dict[str, Any]:
        """Return what an account says of itself."""
        world, plan = self.world, self.plan
        known: dict[str, Any] = {"created": created, "billing_country": world.pick(self.countries)}
        if self.cards:
            known |= {"payment_kind": "virtual_card", "payment": world.pick(self.cards)}
        elif plan.payment == "issuer":
            known |= {"payment_kind": "virtual_card", "payment": world.card(self.issuers[place % 2])}
        else:
            known["payment_kind"] = {"own": "card", "none": "none"}[plan.payment]
        if mail := self._mail():
            known["email"] = mail
        if plan.life:
            known["closed_at"] = int(until)
        if plan.devices:
            known["device"] = world.pick(self.devices)
        return known | {"phone": None} | dict(plan.account)

    def _mail(self) -> str | None:
        world = self.world
        if self.plan.mail == "pattern":
            name = f"{world.pick(FIRST)}{world.pick(LAST)}{self.rng.integers(10, 9999)}"
            return f"{name}@{world.pick(('gmail.com', 'outlook.com'))}"
        domain = {"domain": self.domain, "throw-away": self.throwaway, "own": None}[self.plan.mail]
        return domain and f"{world.token(4)}@{domain}"

    def _client(self) -> Client:
        if self.plan.client == "own":
            return client(self.world)
        return self.clients[0] if self.plan.client == "one" else self.world.pick(self.clients)

    def _net(self, place: int) -> Net:
        """Return an account's network: rented blocks, one host, proxies, residential exits, clouds, or a mixture."""
        world, country, kind = self.world, self.countries[place % 3], self.plan.network
        if kind == "mixed":
            kind = ("blocks", "residential", "clouds")[place % 3]
        if kind == "residential":
            return networks.residential_proxies(world)
        if kind == "homes":
            return networks.home(world, country, 0.3)
        if kind == "clouds":
            return networks.cloud(world, 2)
        if kind == "host":
            ips = [networks.host(world, world.prefix()) for _ in range(2)]
            return networks.fixed(world, ips, self.host, "hosting", country)
        if kind == "proxies":
            seen_as = "residential" if place % 4 else "proxy"
            return networks.block(world, self.proxies, self.proxy_asns[place % 3], seen_as, country)
        return networks.block(world, [self.blocks[place % 2]], self.host, "hosting", "us")

    def _times(self, count: int) -> list[float]:
        """Return when the queue's requests go out: evenly, in bursts, or by day."""
        rng, span = self.rng, self.last - self.first
        at = self.first + rng.random(count) * span
        if self.plan.schedule == "bursts":
            bursts = self.first + rng.random(max(1, int(span / DAY * 3))) * (span - 4 * HOUR)
            at = rng.choice(bursts, count) + rng.random(count) * 3 * HOUR
        elif self.plan.schedule == "day":
            at = self.first + rng.integers(0, int(span / DAY), count) * DAY + rng.normal(8, 4.0, count) % 24 * HOUR
        return [float(one) for one in np.sort(at)]

    def _queue(self) -> None:
        """Deal one queue of work to whoever is alive."""
        work = deal(self.world, self.plan.corpora, self.plan.exchanges)
        since, until = (np.array([getattr(w, name) for w in self.workers]) for name in ("since", "until"))
        share = np.array([worker.share for worker in self.workers])
        places = np.arange(len(self.workers))
        for turn, (at, (corpus, pair)) in enumerate(zip(self._times(len(work)), work, strict=True)):
            alive = places[(since <= at) & (until > at)]
            mine = alive % len(self.plan.corpora) == self.plan.corpora.index(corpus)
            if self.plan.split and mine.any():
                alive = alive[mine]
            if len(alive):
                odds = share[alive] / share[alive].sum()
                place = alive[turn % len(alive)] if self.plan.even else self.rng.choice(alive, p=odds)
                self._ask(int(place), at, pair)

    def _ask(self, place: int, at: float, pair: Pair) -> None:
        system, text = pair
        template, rng, plan = self._template(place), self.rng, self.plan
        if template and plan.template_in == "user":
            template, text = None, f"{template}\n\n{text}"
        model = plan.model
        if plan.pivot and at > START + (plan.pivot[1] + rng.exponential(0.3)) * DAY:
            model = plan.pivot[0]
        self.world.ask(
            self.workers[place].one,
            at,
            [("user", text[:6000])],
            system=template or system,
            campaign=plan.name,
            output=int(rng.lognormal(6.2, 0.6)),
            reasoning=int(rng.lognormal(6.3, 0.6)) if self.world.chance(0.5) else None,
            temperature=0.7 if plan.client == "one" else None,
            max_tokens=4096,
            model=model,
        )

    def _template(self, place: int) -> str | None:
        """Return the instruction around a request: one, one of four by account, another wording each time, or none."""
        kind = self.plan.template
        if kind == "paraphrased":
            opening = self.world.pick(OPENINGS).format(role=self.plan.role)
            return f"{opening} {self.world.pick(MIDDLES)} {self.world.pick(ENDINGS)}"
        return list(TEMPLATES.values())[place % 4] if kind == "several" else TEMPLATES.get(kind or "")

    def _agents(self) -> None:
        """Let every account work in runs with tools, each on tasks of its own."""
        each = max(1, self.plan.exchanges // self.plan.accounts)
        for place, worker in enumerate(self.workers):
            work = [text for _, (_, text) in deal(self.world, self.plan.corpora, each)]
            fields = {"system": self._template(place), "tools": AGENT_TOOLS, "campaign": self.plan.name}
            worker.one.fields = fields | {"model": self.plan.model}
            agent_run(self.world, worker.one, self._runs(worker, each), work.pop)

    def _runs(self, worker: Worker, count: int) -> list[tuple[float, int]]:
        """Return the times of runs of 5 to 13 requests."""
        times = list[tuple[float, int]]()
        while len(times) < count:
            at, run = worker.since + self.rng.random() * (worker.until - worker.since), len(times)
            for _ in range(int(self.rng.integers(5, 14))):
                times.append((at, run))
                at += self.rng.exponential(15) + 3
        return times[:count]

    def _cover(self) -> None:
        """Add ordinary requests to every account, which are not the campaign's."""
        plan = self.plan
        for worker in self.workers:
            fields, system = interests(self.world, 2), own_system(self.world)
            count = plan.exchanges / plan.accounts * plan.cover / (1 - plan.cover) * self.rng.uniform(0.6, 1.4)
            zone = int(self.rng.integers(-8, 9))
            for at, _ in sittings(self.world, int(count), zone, worker.since, worker.until):
                self.world.ask(worker.one, at, [("user", request(self.world, fields))], system=system)


def deal(world: World, corpora: tuple[str, ...], count: int) -> list[tuple[str, Pair]]:
    """Return a shuffled queue of so many requests, in equal parts from each corpus, no text twice while they last."""
    each, work = count // len(corpora) + 1, list[tuple[str, Pair]]()
    for corpus in corpora:
        pairs = _pairs(world.corpus, corpus)
        order = np.concatenate([world.rng.permutation(len(pairs)) for _ in range(each // len(pairs) + 1)])
        work += [(corpus, pairs[i]) for i in order[:each]]
    return [work[i] for i in world.rng.permutation(len(work))[:count]]


def _pairs(corpus: Corpus, name: str) -> list[Pair]:
    return corpus.pairs[PAIRS[name]] if name in PAIRS else [(None, text) for text in corpus.texts[TEXTS[name]]]
