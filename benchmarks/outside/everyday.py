"""The ordinary accounts of every outside world: people, developers, agents, companies, offices, families."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from benchmarks.outside import networks
from benchmarks.outside.clients import client
from benchmarks.outside.clock import Habit, sittings, steady
from benchmarks.outside.wording import AFTER, AGENT, AGENT_TOOLS, BEFORE, FOLLOW, FRAMEWORKS, THINKING, WORK
from benchmarks.outside.world import Caller, Client, Net, Turn, World

SMALL_TASKS = (
    "Summarise this:", "Fix the grammar:", "Reply to this mail:", "What does this mean?", "Translate:",
    "Make this sound better:",
)  # fmt: skip
LEADS = (
    "Extract the fields as JSON.", "Classify the message into one of the categories.", "Summarise in two sentences.",
    "Tag this text.", "Rate urgency 1-5.",
)  # fmt: skip


def everyday(world: World, size: int) -> None:
    """Add about ``size`` ordinary accounts of eight kinds."""
    people(world, size // 2)
    framework_users(world, int(size * 0.17))
    agent_users(world, size // 10)
    companies(world, size // 10)
    thinking_users(world, size // 50)
    private_people(world, size // 50)
    families(world, size // 50)
    offices(world, int(size * 0.07) // 12 + 1)


def interests(world: World, count: int) -> list[int]:
    """Draw fields of interest; they stay with an account."""
    many = len(world.corpus.interests)
    return [int(i) for i in world.rng.choice(many, min(count, many), replace=False)]


def request(world: World, fields: list[int]) -> str:
    """Draw a request out of fields of interest, with the small changes that people make."""
    text = world.pick(world.corpus.interests[world.pick(fields)])
    kind = world.rng.random()
    if kind < 0.13:
        return f"{world.pick(SMALL_TASKS)}\n\n{world.sentences(int(world.rng.integers(2, 7)))}"
    if kind < 0.7:
        told = {"country": world.country(), "work": world.pick(WORK), "words": world.rng.integers(4, 60) * 10}
        return world.pick(BEFORE) + text + world.pick(AFTER).format(**told)
    return f"{text}\n\n{world.sentences(int(world.rng.integers(1, 4)))}" if kind < 0.8 else text


def own_system(world: World) -> str | None:
    """Draw a person's system prompt: none, the usual one, or a persona."""
    persona = world.pick(world.corpus.texts["personas"])
    return world.pick((None, "You are a helpful assistant.", persona), [0.45, 0.25, 0.3])


def person(world: World, account: str, net: Net | None = None) -> Caller:
    """Put a person's account to work: own client, own system prompt, own networks unless told otherwise."""
    browser = world.chance(0.35)
    one = Caller(account, net or networks.personal(world, world.accounts[account].country), client(world))
    one.fields = {"system": own_system(world), "surface": "web" if browser else "api"}
    if browser:
        one.client = client(world, "browser")
    return one


def chat(world: World, one: Caller, count: int, since: float = 0) -> None:
    """Let a person talk: interests that last, sittings, follow-ups, the conversation sent along."""
    fields, said, before = interests(world, int(world.rng.integers(1, 4))), list[Turn](), -1
    talk, web = "", one.fields.get("surface") == "web"
    since = max(world.accounts[one.account].created, since)
    for at, sitting in sittings(world, count, world.zone(one), since):
        follow = sitting == before and world.chance(0.55)
        if sitting != before:
            said, before, talk = [], sitting, world.token(8)
        said = [*said, ("user", world.pick(FOLLOW) if follow else request(world, fields)[:3000])]
        world.ask(one, at, said[-7:], session=talk if web else None)
        said = [*said, ("assistant", world.sentences(2))]


def people(world: World, size: int, middle: float = 18) -> None:
    """Add ordinary people."""
    for _ in range(size):
        payment = world.weighed({"card": 0.78, "virtual_card": 0.08, "none": 0.12, "prepaid": 0.02})
        one = person(world, world.account("personal", payment_kind=payment))
        chat(world, one, max(1, int(world.rng.lognormal(np.log(middle) - 0.4, 1.1))))


def framework_users(world: World, size: int, middle: float = 41) -> None:
    """Add independent developers whose framework brings its published prompt."""
    for _ in range(size):
        account = world.account("framework_user")
        country = world.accounts[account].country
        net = world.pick((networks.cloud(world), networks.home(world, country), networks.ephemeral(world)))
        one = Caller(account, net, client(world, "python" if world.chance(0.7) else "node"))
        name, fields = world.pick(list(FRAMEWORKS)), interests(world, 2)
        one.fields["temperature"] = 0.7 if name == "conversation" else 0.0
        for at in steady(world, world.count(middle, 1)):
            text = FRAMEWORKS[name].format(question=request(world, fields), context=world.sentences(4))
            world.ask(one, at, [("user", text)])


def agent_users(world: World, size: int, middle: float = 80) -> None:
    """Add independent developers who use the same popular coding agent."""
    versions = {"1.0.51": 0.1, "1.0.58": 0.2, "1.0.60": 0.3, "1.0.61": 0.4}
    for _ in range(size):
        account, version = world.account("coding_agent_user", plan="pro"), world.weighed(versions)
        made = f"js|{world.pick(('Linux', 'MacOS', 'Windows'))}|x64|node v20.{world.rng.integers(9, 15)}.0|{version}"
        sent_with = Client(f"codeagent-cli/{version} (external, cli)", world.handshakes[12], made)
        one = Caller(account, networks.personal(world, world.accounts[account].country), sent_with)
        notes = world.pick(world.corpus.texts["systems"])[: int(world.rng.integers(0, 900))]
        folder = f"/home/{world.token(3)}/{world.token(3)}"
        one.fields = {"system": f"{AGENT}\n\nWorking directory: {folder}\n{notes}", "tools": AGENT_TOOLS}
        times = sittings(
            world, world.count(middle, 1), world.zone(one), world.accounts[account].created, habit=Habit(0.6, 18, 9)
        )
        agent_run(world, one, times, lambda: f"{world.pick(world.corpus.texts['codealpaca'])} {world.sentences(1)}")


def agent_run(world: World, one: Caller, times: Iterable[tuple[float, int]], task: Callable[[], str]) -> None:
    """Let an agent work: a task a sitting, a context that grows by its own answers and its tools' results."""
    said, before, run = list[Turn](), -1, ""
    for at, sitting in times:
        if sitting != before or len(said) > 16:
            said, before, run = [("user", task())], sitting, world.token(8)
        world.ask(one, at, said, session=run, output=int(world.rng.lognormal(4.6, 0.8)))
        result = world.pick(world.corpus.texts["repository"])[: int(world.rng.integers(200, 1500))]
        said = [*said, ("assistant", world.sentences(1)), ("tool", result)]


def companies(world: World, size: int, middle: float = 235) -> None:
    """Add small companies: own system prompt, and a product that supports, extracts, looks up or plays."""
    for _ in range(size):
        account = world.account(
            "company",
            payment_kind=world.weighed({"card": 0.8, "invoice": 0.2}),
            email=f"dev@{world.token(4)}.{world.pick(('io', 'com', 'ai'))}",
            plan=world.pick(("payg", "team")),
        )
        net = networks.cloud(world, int(world.rng.integers(1, 4)))
        one = Caller(account, net, client(world, world.pick(("python", "node", "tool", "proxy"))))
        one.fields["system"] = world.pick(world.corpus.texts["personas"] + world.corpus.texts["systems"])[:3000]
        one.fields["temperature"] = world.pick((0.0, 0.2, 0.7, None))
        turns = world.pick((_support, _booking, _pipeline, _lookup, _game))(world)
        for at in steady(world, world.count(middle, 1)):
            output = int(world.rng.lognormal(4.4, 0.6))
            world.ask(one, at, turns(), output=output, end_user=world.token(1))


Turns = Callable[[], list[Turn]]


def _support(world: World, source: str = "banking77") -> Turns:
    said: list[Turn] = []

    def turns() -> list[Turn]:
        if world.chance(0.35):
            said.clear()
        said.append(("user", world.pick(world.corpus.texts[source])))
        asked = said[-7:]
        said.append(("assistant", world.sentences(1)))
        return asked

    return turns


def _booking(world: World) -> Turns:
    return _support(world, "restaurant8k")


def _pipeline(world: World) -> Turns:
    lead = f"{world.pick(LEADS)} [{world.token(2)}]"
    return lambda: [("user", f"{lead}\n\n{world.sentences(int(world.rng.integers(1, 9)))}")]


def _lookup(world: World) -> Turns:
    fields = interests(world, 1)
    return lambda: [("user", f"Documents:\n{world.sentences(7)}\n\nUser question: {request(world, fields)}")]


def _game(world: World) -> Turns:
    return lambda: [("user", f"{world.pick(world.corpus.texts['restaurant8k'])} {world.pick(FOLLOW)}")]


def thinking_users(world: World, size: int) -> None:
    """Add people who all use one published prompt that asks for the thinking."""
    for _ in range(size):
        one = person(world, world.account("public_thinking_prompt"))
        one.fields["system"] = THINKING
        chat(world, one, world.count(30, 1))


def private_people(world: World, size: int) -> None:
    """Add people who hide: VPN, throw-away mail, virtual cards or coins."""
    for _ in range(size):
        account = world.account(
            "private_person",
            payment_kind=world.pick(("virtual_card", "crypto", "prepaid")),
            email=f"{world.token()}@{world.pick(world.corpus.throwaway_domains)}",
            phone=None,
        )
        chat(world, person(world, account, networks.vpn(world)), world.count(30, 1))


def families(world: World, size: int) -> None:
    """Add families of three: one home, one card, one device."""
    for _ in range(size // 3 + 1):
        country, card, device = world.country(), world.card(), world.token()
        net = networks.home(world, country)
        for _ in range(3):
            account = world.account("family", billing_country=country, payment=card, device=device)
            chat(world, person(world, account, net), world.count(20))


def offices(world: World, size: int) -> None:
    """Add offices: one way out, one mail domain, some with one card, a declared owner, a common system prompt."""
    for _ in range(size):
        country, domain = world.country(), f"{world.token(4)}.com"
        net, prompt = networks.shared(world, country), own_system(world)
        known: dict[str, Any] = {"billing_country": country, "plan": "team"}
        if world.chance(0.4):
            known["payment"] = world.card()
        if world.chance(0.4):
            known["org_id"] = f"org-{world.token(4)}"
        for _ in range(int(world.rng.integers(4, 24))):
            account = world.account("office", email=f"{world.token(3)}@{domain}", **known)
            away = world.chance(0.3)
            one = person(world, account, networks.mixed(world, net, networks.home(world, country)) if away else net)
            if world.chance(0.5):
                one.fields["system"] = prompt
            chat(world, one, world.count(25, 1))
