"""Innocents who share a place, an event or a product, and nothing else: the hard ones."""

from __future__ import annotations

import numpy as np

from benchmarks.outside import networks
from benchmarks.outside.clients import client
from benchmarks.outside.clock import Habit, sittings, steady
from benchmarks.outside.everyday import chat, interests, person, request
from benchmarks.outside.wording import AGENT_TOOLS, FOLLOW
from benchmarks.outside.world import DAY, HOUR, START, Caller, Client, World


def course(world: World, size: int = 110, tasks: int = 8) -> None:
    """Add a university course: campus networks, one week of sign-ups, the same tasks, bursts before deadlines."""
    country, domain = world.country(), f"stud.{world.token(3)}.edu"
    campus = [networks.shared(world, country, "education", 6) for _ in range(2)]
    deadlines = START + np.linspace(4, world.setting.days - 0.2, 3) * DAY
    sheets = [[world.pick(world.corpus.texts["mmlu"])[:1500] for _ in range(tasks)] for _ in deadlines]
    subject = world.pick(("CS 229", "STAT 110", "ECON 101"))
    starter = (
        f"You are a patient teaching assistant for {subject}. Explain your reasoning step by step before you answer."
    )
    known = {"billing_country": country, "programme": "education", "payment_kind": "none", "verification": "email"}
    for _ in range(size):
        created = START + (world.rng.exponential(1.8) - 3) * DAY
        account = world.account("course", created=created, email=f"{world.token(4)}@{domain}", **known)
        at_home = networks.home(world, country)
        net = networks.mixed(world, networks.mixed(world, campus[0], campus[1]), at_home, 0.67)
        one = Caller(account, net, client(world, "python" if world.chance(0.8) else "browser"))
        one.fields = {"system": starter, "temperature": 0.0}
        for sheet, deadline in zip(sheets, deadlines, strict=True):
            for task in world.rng.permutation(tasks)[: int(world.rng.integers(2, tasks + 1))]:
                _homework(world, one, sheet[task], deadline - world.rng.exponential(14) * HOUR)


def _homework(world: World, one: Caller, task: str, at: float) -> None:
    for again in range(int(world.rng.integers(1, 4))):
        asked = f"{world.pick(FOLLOW)} {task}" if again else task
        world.ask(one, at + again * 90 * world.rng.random(), [("user", asked)])


def hackathon(world: World, size: int = 90) -> None:
    """Add a hackathon: one weekend, the venue's network, a starter kit, credits by a referral code."""
    rng, country = world.rng, world.country()
    net = networks.shared(world, country, "business", 3)
    opens = START + (3 + rng.integers(max(1, world.setting.days - 5))) * DAY + 9 * HOUR
    kit = "You are the brain of an autonomous agent built with the HackKit starter. Reply only with JSON."
    laptops = [client(world, "python") for _ in range(3)]
    for _ in range(size):
        account = world.account(
            "hackathon",
            billing_country=country,
            created=opens + rng.exponential(1.3) * HOUR,
            payment_kind="none",
            referral="HACK26",
            programme="startup" if world.chance(0.5) else "none",
        )
        one = Caller(account, net, world.pick(laptops) if world.chance(0.6) else client(world))
        team, fields = world.pick(world.corpus.texts["personas"])[:600], interests(world, 2)
        one.fields["system"] = kit if world.chance(0.7) else team
        weekend = Habit(1, 40, 6)
        times = sittings(world, world.count(40, 0.8), world.zone(one), opens + 7200, opens + 34 * HOUR, weekend)
        for at, _ in times:
            world.ask(one, at, [("user", request(world, fields))], tools=AGENT_TOOLS if world.chance(0.2) else None)
        if world.chance(0.25):
            chat(world, person(world, account), 6, opens + 2 * DAY)


def startups(world: World, size: int = 40) -> None:
    """Add an accelerator's companies: credits, one week of sign-ups, a co-working network, unlike products."""
    country = world.country()
    net = networks.shared(world, country, "business", 2)
    known = {"billing_country": country, "programme": "startup", "referral": "BATCH26", "payment_kind": "none"}
    for _ in range(size):
        created = START + (world.rng.random() * 4 - 6) * DAY
        account = world.account("accelerator", created=created, email=f"cto@{world.token(4)}.ai", **known)
        one = Caller(account, networks.mixed(world, net, networks.cloud(world)), client(world))
        one.fields["system"], fields = world.pick(world.corpus.texts["personas"])[:1200], interests(world, 2)
        for at, _ in sittings(world, world.count(50, 1), world.zone(one)):
            world.ask(one, at, [("user", request(world, fields))])


def contest(world: World, size: int = 130, middle: float = 60) -> None:
    """Add a public contest: strangers with one starter notebook on one notebook service, the same published tasks."""
    texts, opens = world.corpus.texts, START + 1.5 * DAY
    net = networks.block(world, [world.prefix(), world.prefix()], 396982, "hosting", "us")
    version = world.versions[3]
    notebook = Client(f"OpenAI/Python {version}", world.handshakes[2], f"python|Linux|x64|CPython 3.11.13|{version}")
    tasks = texts["questions"][:350] + texts["school"][:200]
    starter = (
        "You are an expert mathematician. Think step by step, show your full reasoning, then \\boxed{} the answer."
    )
    own = ("Use Python when helpful.", "Verify the result.", "Be careful with units.", "Try two methods.")
    for _ in range(size):
        late = {"created": opens + world.rng.exponential(2.5) * DAY} if world.chance(0.7) else {}
        account = world.account("contest", **late)
        one = Caller(account, net, notebook)
        one.fields["system"] = starter if world.chance(0.7) else f"{starter} {world.pick(own)}"
        since = max(opens, world.accounts[account].created)
        for at, _ in sittings(world, world.count(middle), world.zone(one), since, habit=Habit(0.6, 12, 20)):
            world.ask(one, at, [("user", world.pick(tasks))], temperature=world.pick((0.0, 0.7, 1.0)))
        if world.chance(0.5):
            chat(world, person(world, account), world.count(8, 0.8))


def tutor(world: World, size: int = 300, middle: float = 18) -> None:
    """Add a school district's tutor: accounts made in bulk, one payer, five schools, step by step."""
    country, domain = world.country(), f"k12.{world.token(3)}.us"
    schools = [networks.shared(world, country, "education", 2) for _ in range(5)]
    app = Client("MathTutor/3.1 (ios)", world.handshakes[17], None)
    system = "You are a friendly tutor. Do not give the answer at once. Explain your reasoning step by step."
    known = {"billing_country": country, "payment_kind": "invoice", "programme": "education", "plan": "team"}
    book = world.corpus.texts["school"]
    for i in range(size):
        created = START + (i // 150 - 5) * DAY + i % 150 * 2
        account = world.account("school_tutor", created=created, email=f"s{10_000 + i}@{domain}", device=None, **known)
        net = networks.mixed(world, schools[i % 5], networks.home(world, country), 0.75)
        one = Caller(account, net, app, {"system": system, "surface": "web"})
        first = i % 7 * 90 % len(book)
        chapter = book[first : first + 90]
        for at, _ in sittings(world, world.count(middle, 0.7), world.zone(one), habit=Habit(0.15, 150, 5)):
            world.ask(one, at, [("user", world.pick(chapter if world.chance(0.6) else FOLLOW))])


def code_reviews(world: World, size: int = 50, middle: float = 70) -> None:
    """Add independent repositories with one public review action on the code host's shared machines."""
    action = Client("ai-review-action/2.3", world.handshakes[11], "js|Linux|x64|node v20.11.1|2.3.0")
    system = (
        "You are a senior engineer who reviews changes. Think through the change step by step, then give a verdict."
    )
    net = networks.ephemeral(world)
    for _ in range(size):
        one = Caller(world.account("code_review_action"), net, action, {"system": system, "temperature": 0.1})
        for at, _ in sittings(world, world.count(middle), world.zone(one), habit=Habit(0.3, 5, 8)):
            change = f"{world.pick(world.corpus.texts['codealpaca'])[:1200]}\n{world.sentences(1)}"
            world.ask(one, at, [("user", f"Review this diff; list problems by severity.\n```diff\n{change}\n```")])


JOBS = (
    "Write a product description for:", "Draft an outreach e-mail to:", "Score this lead from 1 to 10 and explain:",
    "Write a post about:", "Answer this review:", "Categorise this ticket:",
)  # fmt: skip


def own_key(world: World, size: int = 180, *, thinking: bool = True, aged: bool = False, middle: float = 40) -> None:
    """Add customers who bring their own key to one product: its egress, client and system prompt, their own tasks."""
    net = networks.cloud(world, 6)
    product = Client("flowbuilder-cloud/2.14", world.handshakes[14], "js|Linux|x64|node v20.11.0|4.2.1")
    system = "You are a workflow step in FlowBuilder. " + (
        "First think step by step and write your reasoning in <thinking></thinking> tags, then write the result in "
        "<output></output> tags. Never ask questions."
        if thinking
        else "Return only the result."
    )
    for _ in range(size):
        since = {} if aged else {"created": START + (world.rng.exponential(9) - 20) * DAY}
        one = Caller(world.account("own_key_customer", **since), net, product)
        one.fields = {"system": system, "temperature": 0.7}
        about = world.pick(world.corpus.texts["personas"])[: int(world.rng.integers(40, 200))]
        job = f"{world.pick(JOBS)} {about}"
        for at in steady(world, world.count(middle)):
            world.ask(one, at, [("user", f"{job}\n{world.sentences(int(world.rng.integers(1, 5)))}")])


def release_day(world: World, size: int = 60, day: int = 5, model: str | None = None) -> None:
    """Add independent people who all run the same public evaluation at a model's release."""
    texts = world.corpus.texts
    shots = "".join(f"Question: {text}\nAnswer:\n" for text in texts["school"][10:15])
    test = texts["school test"]
    for _ in range(size):
        account = world.account("release_day_evaluator")
        net = world.pick((networks.cloud(world), networks.home(world, world.accounts[account].country)))
        one = Caller(account, net, client(world, "python" if world.chance(0.8) else "proxy"))
        at = START + day * DAY + world.rng.exponential(30) * HOUR
        for item in np.sort(world.rng.permutation(len(test))[: int(world.rng.integers(20, 160))]):
            at += world.rng.exponential(4)
            text = f"{shots}Question: {test[item]}\nAnswer:"
            world.ask(one, at, [("user", text)], temperature=0.0, model=model, max_tokens=512)
        chat(world, person(world, account), world.count(12, 0.8))
