"""Innocents of one owner, card or relay: evaluation firms, agencies, labelling firms, vendors, resellers, studies."""

from __future__ import annotations

from benchmarks.outside import networks
from benchmarks.outside.clients import client
from benchmarks.outside.clock import Habit, sittings, steady
from benchmarks.outside.everyday import interests, own_system, request
from benchmarks.outside.world import DAY, HOUR, START, Caller, Client, World

BENCHMARKS = ("school test", "mmlu", "humaneval", "hotpotqa", "alpaca_eval", "biggen_bench")


def evaluation_firm(world: World, size: int = 14, *, declared: bool = False, each: int = 500) -> None:
    """Add an evaluation firm: public benchmarks by night, one card, one cloud; ``declared`` says who owns them."""
    card, domain = world.card(), f"{world.token(3)}.ai"
    nets, sent_with = [networks.cloud(world, 2) for _ in range(2)], client(world, "python")
    known = {"org_id": f"org-{world.token(4)}"} if declared else {}
    firm = [
        world.account("evaluation_firm", payment=card, email=f"eval{i}@{domain}", plan="team", **known)
        for i in range(size)
    ]
    suites = [world.pick(BENCHMARKS) for _ in range(3)] + ["mt_judge"]
    each_night = max(1, each * size // world.setting.days)
    for day in range(world.setting.days):
        suite, at = world.pick(suites), START + day * DAY + 2 * HOUR
        for i in range(each_night):
            at += world.rng.exponential(6 * HOUR / each_night)
            one = Caller(firm[i % size], nets[i % 2], sent_with, {"temperature": 0.0, "max_tokens": 1024})
            system, text = _item(world, suite)
            world.ask(one, at, [("user", text)], system=system, output=200)


def _item(world: World, suite: str) -> tuple[str | None, str]:
    """Draw an item of a benchmark as a harness sends it."""
    if suite == "mt_judge":
        return world.pick(world.corpus.pairs[suite])
    text = world.pick(world.corpus.texts[suite])
    if suite != "school test":
        return None, text
    shots = "".join(f"Q: {one}\nA: Let's think step by step.\n\n" for one in world.corpus.texts["school"][:5])
    return None, f"{shots}Q: {text}\nA: Let's think step by step."


def agency(world: World, size: int = 45, middle: float = 40) -> None:
    """Add an agency: an account a client's project, one card, one office, no declared owner."""
    country, card, domain, device = world.country(), world.card(), f"{world.token(3)}.agency", world.token()
    office = networks.shared(world, country)
    known = {"billing_country": country, "payment": card, "device": device}
    for i in range(size):
        account = world.account("agency", email=f"client{i}@{domain}", **known)
        net = networks.mixed(world, office, networks.cloud(world))
        one = Caller(account, net, client(world, world.pick(("python", "node"))))
        one.fields["system"], fields = world.pick(world.corpus.texts["personas"])[:1500], interests(world, 1)
        for at in steady(world, world.count(middle)):
            world.ask(one, at, [("user", request(world, fields))])


def labelling_firm(world: World, size: int = 55, each: int = 120) -> None:
    """Add a labelling firm: shifts, one office, one tool, tasks of grading out of one queue."""
    country, domain, card = world.pick(("in", "pl", "vn")), f"{world.token(3)}.com", world.card()
    net, tool = networks.shared(world, country, "business", 2), Client("labeltool/5.2", world.handshakes[13], None)
    for i in range(size):
        account = world.account(
            "labelling_firm",
            billing_country=country,
            payment=card if world.chance(0.5) else world.card(),
            email=f"worker{i:03d}@{domain}",
            created=START - world.rng.integers(20, 40) * DAY,
        )
        system = "You assist human annotators. Explain each issue in one line."
        one = Caller(account, net, tool, {"system": system, "temperature": 0.2})
        for at, _ in sittings(world, each, world.zone(one), habit=Habit(0.1, 60, 30)):
            text = world.pick(world.corpus.pairs["mt_judge"])[1][:2500]
            world.ask(one, at, [("user", f"List the issues in both answers, do not decide.\n{text}")])


TOPICS = (
    "a delayed parcel", "a wrong invoice", "a lost card", "a hotel refund", "a gym membership", "a broken kettle",
)  # fmt: skip


def synthetic_data(world: World, size: int = 10, each: int = 350) -> None:
    """Add a maker of synthetic data for a classifier of its own, as the terms allow."""
    card, domain, net = world.card(), f"{world.token(3)}.com", networks.cloud(world, 2)
    sent_with = client(world, "python")
    fields = {"system": "You generate training data for an intent classifier. Output JSON lines.", "temperature": 1.0}
    for i in range(size):
        account = world.account("synthetic_data_maker", billing_country="us", payment=card, email=f"ml{i}@{domain}")
        one = Caller(account, net, sent_with, fields)
        for at in steady(world, each):
            tone, count = world.pick(("angry", "polite", "confused", "short")), world.rng.integers(3, 9)
            text = f"Write {count} realistic customer messages about {world.pick(TOPICS)}. Tone: {tone}."
            world.ask(one, at, [("user", f"{text} Vary the wording. Seed: {world.sentences(1)}")])


def reasoning_study(world: World, size: int = 10, each: int = 160) -> None:
    """Add an academic study of how faithful chains of thought are."""
    country, domain = world.country(), f"cs.{world.token(3)}.edu"
    net, sent_with = networks.shared(world, country, "education", 3), client(world, "python")
    known = {"billing_country": country, "programme": "research"}
    for _ in range(size):
        account = world.account("reasoning_study", email=f"{world.token(3)}@{domain}", **known)
        one = Caller(account, net, sent_with, {"temperature": 1.0})
        for at, _ in sittings(world, each, world.zone(one), habit=Habit(0.6, 8, 40)):
            told = f"The answer is ({world.pick('ABCD')}). Explain the reasoning that leads to it, step by step."
            world.ask(one, at, [("user", f"{world.pick(world.corpus.texts['mmlu'])}\n\n{told}")])


def reseller(world: World, size: int = 70, middle: float = 60) -> None:
    """Add a licensed aggregator: its invoice, egress and client, its customers' own requests."""
    net, relay = networks.cloud(world, 4), Client("routerhub/1.9", world.handshakes[15], None)
    known = {"billing_country": "us", "payment_kind": "invoice", "reseller_id": "routerhub"}
    for i in range(size):
        account = world.account("reseller_customer", email=f"sub{i}@routerhub.example", **known)
        one = Caller(account, net, relay, {"system": own_system(world), "surface": "aggregator:routerhub"})
        fields = interests(world, 3)
        for at in steady(world, world.count(middle, 1)):
            world.ask(one, at, [("user", request(world, fields))])


def grey_relay(world: World, size: int = 60, middle: float = 45) -> None:
    """Add a grey relay: virtual cards, one hosting /24, sold on to ordinary developers; it trains nothing."""
    issuer, net = world.pick(world.virtual_issuers), networks.block(world, [world.prefix()], 20473, "hosting", "us")
    cards, relay = [world.card(issuer) for _ in range(12)], Client("one-api/0.6.10", world.handshakes[28], None)
    for i in range(size):
        account = world.account(
            "grey_relay",
            billing_country=world.pick(("hk", "sg", "us")),
            payment_kind="virtual_card",
            payment=world.pick(cards),
            created=START + (i // 12 * 1.7 - 5) * DAY + world.rng.random() * 7200,
            phone=None,
        )
        one = Caller(account, net, relay)
        for at in steady(world, world.count(middle, 0.7), world.accounts[account].created):
            world.ask(one, at, [("user", request(world, interests(world, 2)))], system=own_system(world))


def translators(world: World, size: int = 30, each: int = 110) -> None:
    """Add a translation vendor: one card, one template, batches."""
    card, net, sent_with = world.card(), networks.cloud(world, 3), client(world, "node")
    domain, system = f"{world.token(3)}.eu", "You are a professional translator. Output the translation only."
    for i in range(size):
        account = world.account(
            "translation_vendor",
            billing_country="de",
            payment=card,
            email=f"pipeline-{i}@{domain}",
            created=START - world.rng.integers(50, 60) * DAY,
        )
        language = world.pick(("German", "French", "Polish", "Thai", "Korean", "Spanish", "Czech"))
        one = Caller(account, net, sent_with, {"system": system, "temperature": 0.0})
        for at in steady(world, each):
            text = world.sentences(int(world.rng.integers(1, 6)))
            world.ask(one, at, [("user", f"Translate into {language}. Keep placeholders.\n\n{text}")])
