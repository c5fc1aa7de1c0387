"""A world of real prompts and real arrivals with invented identities: what ``benchmarks.real_input`` measures on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp())
DAYS = 14
SPAN = DAYS * 86_400
LAUNCH = START + 8 * 86_400 + 17 * 3600
MODELS = ("sable-2", "sable-2-mini", "sable-3")


@dataclass
class Person:
    """An account and what its exchanges share."""

    account: dict[str, Any]
    population: str
    campaign: str | None
    ip_pool: list[str]
    network: tuple[int, str, str]
    client: tuple[str, str, str]
    exchanges: list[dict[str, Any]] = field(default_factory=list)


class World:
    """A world under construction: corpora, arrivals and pools, with one random generator."""

    def __init__(self, data: Path, seed: int) -> None:
        """Read the corpora and arrival windows once."""
        self.rng = np.random.default_rng(seed)
        self.texts = {
            name: _by_source(pq.read_table(data / f"prompts_{name}.parquet", columns=["source", "text", "system_text"]))
            for name in ("distill", "user", "eval")
        }
        self.rhythms = rhythms(data / "trace_client_windows.parquet")
        self.lengths = pq.read_table(
            data / "trace_requests.parquet", columns=["input_tokens", "output_tokens"]
        ).to_pandas()
        self.people: list[Person] = []
        self.isps = [
            self._isp(kind)
            for kind in ("residential",) * 60 + ("mobile",) * 15 + ("hosting",) * 25 + ("business",) * 20
        ]
        self.clients = [self._client() for _ in range(60)]
        self.client_odds = zipf(60, 1.1)

    def _isp(self, kind: str) -> tuple[int, str, str, list[str]]:
        country = str(self.rng.choice(["US", "DE", "IN", "BR", "JP", "GB", "FR", "SG", "RU", "CN"]))
        prefixes = [
            f"10.{self.rng.integers(256)}.{self.rng.integers(256)}" for _ in range(int(self.rng.integers(20, 400)))
        ]
        return int(self.rng.integers(1_000, 400_000)), kind, country, prefixes

    def _client(self) -> tuple[str, str, str]:
        agents = (
            "openai-python/1.{}",
            "anthropic-sdk/0.{}",
            "Mozilla/5.0 rv:{}",
            "axios/1.{}",
            "okhttp/4.{}",
            "Go-http-client/{}",
        )
        agent = str(self.rng.choice(agents)).format(self.rng.integers(90))
        return agent, f"t13d{self.rng.integers(1000, 9999)}h2_{self.rng.bytes(6).hex()}", self.rng.bytes(4).hex()

    def isp(self, *kinds: str) -> tuple[int, str, str, list[str]]:
        """Pick a network operator of one of the kinds."""
        fit = [isp for isp in self.isps if isp[1] in kinds]
        return fit[int(self.rng.integers(len(fit)))]

    def person(
        self,
        population: str,
        campaign: str | None = None,
        kinds: tuple[str, ...] = ("residential", "mobile"),
        **account: Any,
    ) -> Person:
        """Make an account with its own payment, device, addresses and client unless told otherwise."""
        asn, kind, country, prefixes = self.isp(*kinds)
        pool = [
            f"{prefixes[int(self.rng.integers(len(prefixes)))]}.{self.rng.integers(1, 255)}"
            for _ in range(int(self.rng.integers(1, 6)))
        ]
        domain = str(
            self.rng.choice(
                ["mail.example", "post.example", "inbox.test", f"corp{self.rng.integers(4000)}.example"],
                p=[0.45, 0.2, 0.15, 0.2],
            )
        )
        made = {
            "account_id": self.rng.bytes(8).hex(),
            "created_at": int(START - self.rng.gamma(1.2, 120) * 86_400)
            if self.rng.random() < 0.85
            else int(START + self.rng.random() * SPAN * 0.9),
            "plan": str(self.rng.choice(["free", "pro", "team"], p=[0.5, 0.35, 0.15])),
            "programme": "none",
            "verification": str(self.rng.choice(["email", "phone"])),
            "email": f"u{self.rng.integers(1 << 40)}@{domain}",
            "email_domain": domain,
            "payment": None if self.rng.random() < 0.4 else self.rng.bytes(6).hex(),
            "payment_bin": str(400000 + int(self.rng.choice(300, p=zipf(300, 1.0)))),
            "payment_kind": "card",
            "billing_country": country,
            "device": self.rng.bytes(6).hex(),
        }
        made.update(account)
        client = self.clients[int(self.rng.choice(60, p=self.client_odds))]
        one = Person(made, population, campaign, pool, (asn, kind, country), client)
        self.people.append(one)
        return one

    def times(self, count: int, rhythm: int | None = None, since: float = 0.0, until: float = SPAN) -> np.ndarray:
        """Draw arrival seconds from a production client's rate over two weeks."""
        windows = self.rhythms[int(self.rng.integers(len(self.rhythms))) if rhythm is None else rhythm]
        at = self.rng.choice(len(windows), size=count, p=windows) * 600.0 + self.rng.random(count) * 600
        return np.sort(since + at * (until - since) / SPAN)

    def draw(self, corpus: str, *sources: str) -> tuple[str, str | None, str]:
        """Draw a prompt of one of the sources: text, system text, source."""
        source = sources[int(self.rng.integers(len(sources)))]
        texts, systems = self.texts[corpus][source]
        i = int(self.rng.integers(len(texts)))
        return texts[i], systems[i], source

    def ask(
        self, one: Person, at: float, text: str, *, system: str | None = None, own: bool = True, **extra: Any
    ) -> None:
        """Add an exchange; ``own`` false marks it as the campaign's."""
        if START + at < one.account["created_at"]:
            return
        sample = self.lengths.iloc[int(self.rng.integers(len(self.lengths)))]
        model = MODELS[2] if START + at > LAUNCH and self.rng.random() < 0.25 else str(self.rng.choice(MODELS[:2]))
        row = {
            "id": self.rng.bytes(10).hex(),
            "ts": START + at,
            "model": model,
            "text": text,
            "system": system,
            "input": max(1, len(text) // 4),
            "output": int(min(4000, max(1, sample["output_tokens"]))),
            "ip": one.ip_pool[int(self.rng.integers(len(one.ip_pool)))],
            "session": None,
            "truth": None if own else one.campaign,
        }
        row.update(extra)
        one.exchanges.append(row)


def zipf(n: int, power: float) -> np.ndarray:
    """Return n shares that fall with the rank's power."""
    weights = np.arange(1, n + 1) ** -power
    return weights / weights.sum()


def _by_source(table: pa.Table) -> dict[str, tuple[list[str], list[str | None]]]:
    found: dict[str, tuple[list[str], list[str | None]]] = {}
    for source, text, system in zip(*(table[c].to_pylist() for c in ("source", "text", "system_text")), strict=True):
        if text or system:
            texts, systems = found.setdefault(source, ([], []))
            texts.append(text or "")
            systems.append(system)
    return found


def rhythms(path: Path) -> list[np.ndarray]:
    """Return each client's share of requests by ten-minute window over 14 days."""
    table = pq.read_table(path, columns=["client", "source", "window_s", "rate_rps"]).to_pandas()
    found = []
    for _, client in table.groupby(["source", "client"], sort=True):
        share = np.zeros(SPAN // 600)
        index = (client["window_s"].to_numpy() // 600).astype(int) % len(share)
        np.add.at(share, index, client["rate_rps"].to_numpy())
        if (share > 0).sum() > 300:
            found.append(share / share.sum())
    return found


USER_SOURCES = (
    "awesome_prompts",
    "awesome_prompts_zh",
    "banking77",
    "instructionwild",
    "restaurant8k",
    "wildchat_hard_ru",
)
EVAL_SOURCES = ("gsm8k", "mmlu", "humaneval", "hotpotqa", "alpaca_eval", "biggen_bench", "mt_judge")


def innocents(world: World, accounts: int) -> None:
    """Add ordinary users, products, a popular framework, offices, classes, evaluations and resellers."""
    rng = world.rng
    for _ in range(int(accounts * 0.62)):
        chat(world, world.person("ordinary"))
    systems = [s for s in world.texts["user"]["system_prompts"][1] if s]
    for _ in range(int(accounts * 0.05)):
        product = world.person("product", kinds=("hosting", "business"), plan="team", verification="organisation")
        source = str(rng.choice(["banking77", "restaurant8k"]))
        system = systems[int(rng.integers(len(systems)))]
        for at in world.times(int(rng.integers(20, 200))):
            world.ask(product, at, world.draw("user", source)[0], system=system)
    for system in (systems[3], systems[11]):
        for _ in range(int(accounts * 0.06)):
            one = world.person("framework")
            one.client = world.clients[5]
            for at in world.times(int(rng.integers(5, 60))):
                world.ask(one, at, world.draw("user", "instructionwild", "awesome_prompts")[0], system=system)
    for _ in range(max(3, accounts // 400)):
        office(world, int(rng.integers(6, 40)))
    for _ in range(max(2, accounts // 1500)):
        school(world, int(rng.integers(20, 60)))
    evaluations(world, max(40, accounts // 60))
    for _ in range(2):
        reseller(world, max(30, accounts // 40))


def chat(world: World, one: Person, scale: float = 12.0) -> None:
    """Add an ordinary person: a few sessions of a few turns, heavy-tailed."""
    count = int(np.clip(world.rng.lognormal(np.log(scale), 1.1), 1, 400))
    favourite = str(world.rng.choice(USER_SOURCES))
    for at in world.times(max(1, count // 3)):
        session = world.rng.bytes(6).hex()
        for turn in range(int(world.rng.integers(1, 7))):
            source = favourite if world.rng.random() < 0.7 else str(world.rng.choice(USER_SOURCES))
            world.ask(one, at + 90 * turn, world.draw("user", source)[0], session=session)


def office(world: World, size: int) -> None:
    """Colleagues behind one address with one payment; their work differs."""
    rng = world.rng
    asn, kind, country, prefixes = world.isp("business")
    address, payment, day = (
        f"{prefixes[0]}.{rng.integers(1, 255)}",
        rng.bytes(6).hex(),
        START - int(rng.integers(5, 300)) * 86_400,
    )
    domain = f"firm{rng.integers(10_000)}.example"
    for _ in range(size):
        one = world.person(
            "office", payment=payment, email_domain=domain, created_at=day + int(rng.integers(20 * 86_400)), plan="team"
        )
        one.ip_pool, one.network = [address], (asn, kind, country)
        chat(world, one)


def school(world: World, size: int) -> None:
    """Add a class: one campus, one week of sign-ups, the same homework."""
    rng = world.rng
    asn, _, country, prefixes = world.isp("business")
    domain, week = f"uni{rng.integers(1000)}.example", START + int(rng.integers(-20, 3)) * 86_400
    homework = [world.draw("eval", "gsm8k", "mmlu")[0] for _ in range(15)]
    for _ in range(size):
        one = world.person(
            "class",
            email_domain=domain,
            programme="education",
            payment=None,
            created_at=week + int(rng.integers(5 * 86_400)),
        )
        one.ip_pool, one.network = [f"{prefixes[1]}.{i}" for i in rng.integers(1, 255, 3)], (asn, "education", country)
        for task in homework:
            if rng.random() < 0.7:
                world.ask(one, float(rng.random() * SPAN), task, session=rng.bytes(6).hex())
        chat(world, one, 4)


def evaluations(world: World, size: int) -> None:
    """Unrelated labs that run public benchmarks through one harness, most of them on release day."""
    rng = world.rng
    for _ in range(size):
        one = world.person("evaluation", kinds=("hosting", "business"), plan="team")
        one.client = world.clients[7]
        source = str(rng.choice(EVAL_SOURCES))
        texts, systems = world.texts["eval"][source]
        count = int(rng.integers(40, 250))
        first = int(rng.integers(max(1, len(texts) - count)))
        begin = LAUNCH - START + rng.exponential(20_000) if rng.random() < 0.7 else rng.random() * SPAN * 0.8
        for i in range(count):
            item = (first + i) % len(texts)
            world.ask(
                one,
                float(begin + i * 8),
                texts[item],
                system=systems[item],
                model=MODELS[2] if begin > LAUNCH - START else MODELS[0],
            )


def reseller(world: World, size: int) -> None:
    """Add a licensed reseller: one egress, one client, one invoice, unrelated customers."""
    rng = world.rng
    asn, _, country, prefixes = world.isp("hosting")
    name, invoice, client = f"reseller-{rng.bytes(3).hex()}", rng.bytes(6).hex(), world._client()
    for _ in range(size):
        one = world.person("reseller", reseller_id=name, payment=invoice, payment_kind="invoice", email_domain=None)
        one.ip_pool, one.network, one.client = (
            [f"{prefixes[0]}.{i}" for i in range(1, 9)],
            (asn, "hosting", country),
            client,
        )
        chat(world, one, 20)


@dataclass(frozen=True)
class Plan:
    """A campaign: size, exchanges an account, corpora, and how careful its operator is."""

    name: str
    accounts: int
    each: int
    sources: tuple[str, ...]
    cards: int
    prefixes: int
    residential: float
    bursts: int
    cover: float
    rewrap: bool


PLANS = (
    Plan("reasoning-and-grading", 40, 60, ("metamath", "prometheus"), 10, 4, 0.2, 3, 0.0, True),
    Plan(
        "instructions",
        200,
        25,
        ("alpaca_52k", "gpteacher", "codealpaca", "gpt4llm_rendered", "chatdoctor"),
        60,
        30,
        0.5,
        10,
        0.15,
        False,
    ),
    Plan("agents-and-tools", 150, 60, ("fireact", "glaive_toolcall", "selfinstruct_meta"), 30, 12, 0.3, 6, 0.4, False),
)


def campaign(world: World, plan: Plan) -> None:
    """Add a harvest from real corpora: shared cards, some shared networks, sign-up bursts, one scheduler."""
    rng = world.rng
    cards = [rng.bytes(6).hex() for _ in range(plan.cards)]
    asn, kind, country, _ = world.isp("hosting")
    prefixes = [f"10.{rng.integers(256)}.{rng.integers(256)}" for _ in range(plan.prefixes)]
    bursts = START + rng.uniform(-25, 1, plan.bursts) * 86_400
    shifts = np.sort(rng.choice(DAYS * 24, size=DAYS * 6, replace=False)) * 3600.0
    used: dict[str, list[int]] = {s: list(rng.permutation(len(world.texts["distill"][s][0]))) for s in plan.sources}
    client = world._client()
    for _ in range(plan.accounts):
        one = world.person(
            plan.name,
            plan.name,
            payment=cards[int(rng.integers(plan.cards))],
            payment_kind="virtual_card",
            created_at=int(bursts[int(rng.integers(plan.bursts))] + rng.normal(0, 5_000)),
        )
        if rng.random() > plan.residential:
            one.ip_pool = [f"{prefixes[int(rng.integers(plan.prefixes))]}.{rng.integers(1, 255)}" for _ in range(2)]
            one.network = (asn, kind, country)
        if rng.random() < 0.7:
            one.client = client
        source = None
        for at in rng.choice(shifts, size=plan.each) + rng.exponential(900, plan.each):
            if rng.random() < plan.cover:
                world.ask(one, float(at), world.draw("user", *USER_SOURCES)[0], session=rng.bytes(6).hex())
                continue
            source = str(rng.choice(plan.sources))
            texts, systems = world.texts["distill"][source]
            item = used[source].pop() if used[source] else int(rng.integers(len(texts)))
            text = f"{texts[item]}\n\nLet us work it out fully before answering." if plan.rewrap else texts[item]
            model = {"model": MODELS[2]} if START + at > LAUNCH and rng.random() < 0.6 else {}
            world.ask(one, float(at), text, system=systems[item], own=False, **model)
