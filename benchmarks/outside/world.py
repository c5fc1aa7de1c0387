"""A world under construction: its accounts, its exchanges, and one random generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import numpy as np

from benchmarks.outside.corpus import Corpus
from benchmarks.real_world import zipf

START = datetime(2026, 9, 7, tzinfo=UTC).timestamp()
DAY = 86_400
HOUR = 3_600
COUNTRIES = {  # share of accounts, hours from UTC
    "us": (0.29, -6), "in": (0.12, 5), "gb": (0.06, 0), "de": (0.06, 1), "br": (0.06, -3), "jp": (0.05, 9),
    "fr": (0.04, 1), "ca": (0.04, -5), "kr": (0.03, 9), "hk": (0.03, 8), "sg": (0.03, 8), "ru": (0.02, 3),
    "au": (0.02, 10), "nl": (0.02, 1), "id": (0.03, 7), "pl": (0.02, 1), "tr": (0.02, 3), "ng": (0.02, 1),
    "mx": (0.03, -6), "vn": (0.02, 7),
}  # fmt: skip
MODELS = {"large-4": 0.35, "mid-4": 0.4, "small-4": 0.17, "reason-2": 0.08}
MAIL = {"gmail.com": 0.46, "outlook.com": 0.12, "icloud.com": 0.06, "proton.me": 0.04, "hotmail.com": 0.08, "": 0.24}
Item = TypeVar("Item")
Turn = tuple[str, str]  # role, text


class Address(NamedTuple):
    """Where a request comes from."""

    ip: str
    asn: int
    kind: str
    country: str


class Client(NamedTuple):
    """What a request is sent with."""

    agent: str
    tls: str
    fingerprint: str | None


Net = Callable[[float], Address]


class Launch(NamedTuple):
    """A model that comes out on a day of the world, and the share of accounts that move to it."""

    model: str
    day: int
    share: float


@dataclass(frozen=True)
class Setting:
    """What the provider's log is like: days, form, and which columns are missing.

    Missing may be: ip, agent, tls, fingerprint, text, payment, identity (all of an account but its id, day and plan).
    """

    seed: int
    days: int = 14
    form: str = "litellm"
    missing: frozenset[str] = frozenset()
    content_free: bool = False
    launch: Launch | None = None

    @property
    def until(self) -> float:
        """The world's end, in seconds since 1970."""
        return START + self.days * DAY


@dataclass
class Account:
    """An account: what the provider knows (``record``), when and where it was made, and the truth about it."""

    record: dict[str, Any]
    population: str
    campaign: str | None
    created: float
    country: str
    model: str
    moves: float = float("inf")


@dataclass
class Caller:
    """An account at work: from where, with what, and what each of its exchanges has unless told otherwise."""

    account: str
    net: Net
    client: Client
    fields: dict[str, Any] = field(default_factory=dict)


class World:
    """A world under construction."""

    def __init__(self, setting: Setting, corpus: Corpus, seed: int = 0) -> None:
        self.setting, self.corpus = setting, corpus
        self.rng = np.random.default_rng([setting.seed, seed])
        self.accounts: dict[str, Account] = {}
        self.rows: list[dict[str, Any]] = []
        self.carriers: dict[tuple[str, bool], list[tuple[int, list[str]]]] = {}
        self.versions = [f"{a}.{b}.{c}" for a, b, c in self.rng.integers((1, 0, 0), (4, 110, 6), (26, 3))]
        self.handshakes = [f"t13d{n}h2_{self.token(6)}_{self.token(6)}" for n in self.rng.integers(1010, 1999, 34)]
        self.issuers = [str(n) for n in self.rng.integers(400_000, 559_999, 140)]
        self.virtual_issuers = [str(n) for n in self.rng.integers(400_000, 559_999, 9)]
        self.vpn_exits = [
            (self.pick(corpus.vpn_ranges).rsplit(".", 1)[0], int(n)) for n in self.rng.integers(9000, 300_000, 40)
        ]
        self.runners = [f"{self.prefix()}.{n}" for n in self.rng.integers(1, 254, 4000)]

    def pick(self, items: Sequence[Item], odds: Any = None) -> Item:
        """Draw one of the items, equally likely or by odds that sum to 1."""
        return items[int(self.rng.integers(len(items)) if odds is None else self.rng.choice(len(items), p=odds))]

    def weighed(self, items: Mapping[Item, float]) -> Item:
        """Draw one of the keys, as likely as its weight."""
        weights = np.array(list(items.values()))
        return self.pick(list(items), weights / weights.sum())

    def chance(self, share: float) -> bool:
        """Whether something of this likelihood happens."""
        return bool(self.rng.random() < share)

    def count(self, middle: float, spread: float = 0.9) -> int:
        """Draw how much an account asks: log-normal around ``middle``, at least 2."""
        return int(self.rng.lognormal(np.log(middle) - 0.4, spread)) + 2

    def token(self, size: int = 6) -> str:
        """Draw a name that says nothing: ``2 * size`` hexadecimal digits."""
        return self.rng.bytes(size).hex()

    def prefix(self) -> str:
        """Draw a /24."""
        first, second, third = self.rng.integers((3, 0, 0), (220, 256, 256))
        return f"{first}.{second}.{third}"

    def country(self) -> str:
        """Draw a country."""
        return self.weighed({name: share for name, (share, _) in COUNTRIES.items()})

    def card(self, issuer: str | None = None) -> str:
        """Draw a card number with a right check digit, of an issuer or of a usual one."""
        digits = (issuer or self.pick(self.issuers, zipf(len(self.issuers), 0.7))) + f"{self.rng.integers(10**9):09d}"
        total = sum(d if i % 2 else d * 2 - 9 * (d > 4) for i, d in enumerate(int(digit) for digit in reversed(digits)))
        return f"{digits}{-total % 10}"

    def account(self, population: str, campaign: str | None = None, /, **known: Any) -> str:
        """Make an account with its own mail, payment and device unless told otherwise; return its id."""
        rng, name = self.rng, f"user_{self.token(10)}"
        aged = self.chance(0.87)
        created = known.pop(
            "created", START - rng.exponential(200) * DAY if aged else START + rng.random() * self.setting.days * DAY
        )
        payment = known.get("payment_kind", "card")
        issuer = self.pick(self.virtual_issuers) if payment == "virtual_card" else None
        record = {
            "account_id": name,
            "created_at": stamp(created),
            "plan": self.weighed({"payg": 0.6, "pro": 0.2, "team": 0.1, "free": 0.1}),
            "programme": "none",
            "email": self.mail(),
            "phone": f"+{rng.integers(10**10, 10**11)}" if self.chance(0.6) else None,
            "payment": self.card(issuer) if payment in ("card", "virtual_card", "prepaid") else None,
            "payment_kind": payment,
            "device": self.token() if self.chance(0.7) else None,
            "billing_country": self.country(),
            "verification": self.weighed({"none": 0.1, "email": 0.5, "phone": 0.4}),
        } | known
        model, country = self.weighed(MODELS), str(record["billing_country"])
        self.accounts[name] = Account(record, population, campaign, created, country, model)
        if (launch := self.setting.launch) and self.chance(launch.share):
            self.accounts[name].moves = START + launch.day * DAY + rng.exponential(3.0) * DAY
        return name

    def mail(self) -> str:
        """Draw a mail address: of a public provider, of an own domain, seldom of a throw-away one."""
        domain = self.weighed(MAIL) or (
            self.pick(self.corpus.throwaway_domains) if self.chance(0.08) else f"{self.token(4)}.com"
        )
        return f"{self.token(int(self.rng.integers(3, 6)))}@{domain}"

    def zone(self, caller: Caller) -> int:
        """Return the hours from UTC of a caller's country."""
        return COUNTRIES.get(self.accounts[caller.account].country, (0, 0))[1]

    def ask(self, caller: Caller, at: float, turns: list[Turn], **more: Any) -> None:
        """Add an exchange, unless it falls out of the world or before its account was made."""
        account = self.accounts[caller.account]
        if not max(START, account.created + 60) <= at < self.setting.until:
            return
        told: dict[str, Any] = {
            "system": None,
            "tools": None,
            "session": None,
            "end_user": None,
            "reasoning": None,
            "surface": "api",
        }
        told |= {"model": None, "output": None, "temperature": None, "max_tokens": None, "campaign": None}
        told |= caller.fields | more
        size = sum(len(text) for _, text in turns) + len(told["system"] or "") + (600 if told["tools"] else 0)
        told["model"] = told["model"] or self._model(account, at)
        told["output"] = told["output"] or max(1, int(self.rng.lognormal(5.2, 0.9)))
        told["input"] = max(4, int(size / 3.9 * self.rng.normal(1, 0.05)))
        answer = None if self.setting.content_free else self.sentences(int(self.rng.integers(1, 5)))
        self.rows.append(
            {"account": caller.account, "at": float(at), "turns": turns, "answer": answer}
            | {"address": caller.net(at), "client": caller.client}
            | told
        )

    def _model(self, account: Account, at: float) -> str:
        if self.setting.launch and at > account.moves:
            return self.setting.launch.model
        return account.model if self.chance(0.85) else self.weighed(MODELS)

    def sentences(self, count: int) -> str:
        """Draw loose sentences."""
        return " ".join(self.pick(self.corpus.sentences) for _ in range(count))


def stamp(at: float) -> str:
    """Write a time as ISO 8601.

    >>> stamp(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(at, UTC).isoformat()
