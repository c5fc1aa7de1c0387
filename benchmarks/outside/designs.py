"""The designs of the outside worlds: W01 to W18, and V1 to V10, which vary one plain campaign and its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.outside.campaigns import Campaign, Plan
from benchmarks.outside.corpus import Corpus
from benchmarks.outside.everyday import agent_users, everyday, families, private_people, thinking_users
from benchmarks.outside.firms import (
    agency,
    evaluation_firm,
    grey_relay,
    labelling_firm,
    reasoning_study,
    reseller,
    synthetic_data,
    translators,
)
from benchmarks.outside.strangers import (
    code_reviews,
    contest,
    course,
    hackathon,
    own_key,
    release_day,
    startups,
    tutor,
)
from benchmarks.outside.world import Launch, Setting, World

Group = Callable[[World], None]


@dataclass(frozen=True)
class Design:
    """A world on paper: its log, how many ordinary accounts, which innocent groups, which campaigns."""

    setting: Setting
    ordinary: int
    groups: tuple[Group, ...] = ()
    campaigns: tuple[Plan, ...] = ()


def of(group: Callable[..., None], *sizes: int, **how: object) -> Group:
    """Return a group of a design: the function that adds it, with its size."""
    return lambda world: group(world, *sizes, **how)


def build(design: Design, corpus: Corpus, seed: int = 0) -> World:
    """Make a world of a design; another seed makes other draws."""
    world = World(design.setting, corpus, seed)
    everyday(world, design.ordinary)
    for group in design.groups:
        group(world)
    for plan in design.campaigns:
        Campaign(world, plan).run()
    world.rows.sort(key=lambda row: float(row["at"]))
    return world


def _setting(seed: int, *missing: str, days: int = 14, form: str = "litellm", launch: Launch | None = None) -> Setting:
    return Setting(seed, days, form, frozenset(missing), launch=launch)


FIRM, DECLARED = partial(of, evaluation_firm), partial(of, evaluation_firm, declared=True)
OLD_KEYS, NO_AGENT = partial(of, own_key, aged=True), ("agent", "tls", "fingerprint")
RELEASE = partial(of, release_day, model="large-5")

WORLDS = {
    "W01": Design(
        _setting(11),
        1500,
        (FIRM(12), of(course, 70), of(agency, 30), of(reseller, 50), of(code_reviews, 30), of(synthetic_data, 8, 250),
         of(grey_relay, 40)),
        (
            Plan("tags and cards", 180, 16_000, network="residential", signup="batches"),
            Plan("small synthesis", 22, 2_400, ("synthesis",), payment="quad", client="few", template=None,
                 mail="domain"),
        ),
    ),
    "W02": Design(
        _setting(12),
        1300,
        (of(course, 120), of(hackathon, 90), of(own_key, 170), FIRM(14), DECLARED(8), of(agency, 45), of(reseller, 60),
         of(startups, 40)),
    ),
    "W03": Design(
        _setting(13, "payment", form="otel"),
        1300,
        (of(agent_users, 120), of(code_reviews, 50), FIRM(10), of(hackathon, 60), of(own_key, 90, thinking=False),
         of(translators, 20)),
        (
            Plan("agentic", 110, 14_000, ("code",), payment="none", signup="three days", template="agent",
                 agentic=True),
            Plan("three a day", 400, 17_000, ("instructions", "code"), network="proxies", payment="none",
                 signup="three days", client="few", template=None),
        ),
    ),
    "W04": Design(
        _setting(14),
        1200,
        (of(contest, 130), of(labelling_firm, 55), of(tutor, 280), of(reasoning_study, 10), of(release_day, 60),
         of(grey_relay, 60), of(families, 60)),
    ),
    "W05": Design(
        _setting(15, form="canonical"),
        1500,
        (FIRM(12), OLD_KEYS(100), of(agency, 40), of(synthetic_data, 10), of(course, 60)),
        (
            Plan("under cover", 120, 9_000, ("mathematics", "patients", "roles"), network="mixed", signup="trickle",
                 client="few", template="several", cover=0.5),
            Plan("split by subject", 150, 18_000, ("mathematics", "code", "tools", "roles", "patients"),
                 network="host", payment="quad", signup="batches", template="expert", split=True),
        ),
    ),
    "W06": Design(
        Setting(16, content_free=True),
        1200,
        (of(tutor, 200), of(translators, 30), FIRM(16), of(synthetic_data, 14, 300), of(hackathon, 70),
         of(code_reviews, 50), of(private_people, 80)),
    ),
    "W07": Design(
        _setting(17, "ip"),
        1200,
        (of(course, 80), FIRM(10), of(startups, 30), of(agency, 40), of(own_key, 80)),
        (
            Plan("paraphrased", 70, 9_000, ("mathematics",), template="paraphrased", role="mathematician"),
            Plan("reconstruction", 45, 5_000, payment="quad", signup="trickle", client="few", template="reconstruct",
                 template_in="user"),
        ),
    ),
    "W08": Design(
        _setting(18, days=30, form="canonical", launch=Launch("large-5", 16, 0.35)),
        1100,
        (of(agent_users, 60), FIRM(8, each=700), RELEASE(50, 16), OLD_KEYS(90), of(grey_relay, 50), of(reseller, 50)),
        (
            Plan("rotation", 150, 16_000, ("instructions", "code"), payment="quad", signup="when needed", life=4,
                 days=(2, 28)),
            Plan("pivot", 60, 12_000, ("tools", "mathematics", "rendered"), network="host", signup="aged",
                 client="few", template="several", model="large-4", pivot=("large-5", 16)),
        ),
    ),
    "W09": Design(
        _setting(19, *NO_AGENT, "payment", "identity", days=10, form="canonical"),
        3200,
        (of(course, 120), of(tutor, 300), of(own_key, 200), of(contest, 150), of(release_day, 100), FIRM(12),
         of(hackathon, 90), of(labelling_firm, 40)),
    ),
    "W10": Design(
        _setting(20),
        1300,
        (FIRM(14), DECLARED(10), of(labelling_firm, 40), of(reseller, 60), of(own_key, 80)),
        (
            Plan("rubrics", 48, 7_000, ("rubrics",), network="host", signup="batches", template=None, mail="own"),
            Plan("forwarded requests", 200, 16_000, ("mixed abilities", "roles", "tool calls", "instructions"),
                 network="proxies", signup="trickle", template=None, mail="throw-away", schedule="day"),
        ),
    ),
    "W11": Design(
        _setting(21),
        1400,
        (of(course, 70), FIRM(10), of(own_key, 80), of(agency, 30), of(private_people, 60)),
        (
            Plan("careful", 120, 7_000, network="homes", payment="own", signup="aged", client="own", template=None,
                 cover=0.4, schedule="day", mail="own"),
            Plan("one issuer", 80, 7_000, ("code",), network="residential", payment="issuer", signup="three days",
                 client="few", template="paraphrased", role="software engineer", even=False, mail="own",
                 devices=True),
        ),
    ),
    "W12": Design(
        _setting(22, launch=Launch("large-5", 6, 0.5)),
        1500,
        (RELEASE(90, 6), of(contest, 100), of(reseller, 80), of(grey_relay, 60), of(startups, 40), FIRM(12),
         of(translators, 30), of(reasoning_study, 12)),
    ),
    "W13": Design(
        Setting(23, content_free=True),
        1300,
        (of(agency, 30), FIRM(10), OLD_KEYS(80), of(tutor, 120), of(hackathon, 60)),
        (
            Plan("first pool", 120, 9_000, ("instructions", "code"), network="proxies", signup="batches", days=(0, 7),
                 life=7),
            Plan("second pool", 90, 7_000, ("instructions", "code"), network="host", payment="quad", signup="aged",
                 days=(7, 14)),
        ),
    ),
    "W14": Design(
        _setting(24, "payment", "identity", days=7, form="otel"),
        500,
        (of(course, 80, 5), of(hackathon, 60), of(own_key, 120), of(agency, 30), of(labelling_firm, 30, 80),
         of(grey_relay, 50)),
    ),
    "W15": Design(
        _setting(25, "text", form="canonical"),
        1000,
        (FIRM(10), of(own_key, 80), of(agency, 30)),
        (Plan("plain", 90, 9_000),),
    ),
    "W16": Design(
        _setting(26, *NO_AGENT),
        1300,
        (of(course, 70), FIRM(10), of(own_key, 90), of(startups, 30), of(contest, 80)),
        (
            Plan("sham startups", 60, 8_000, ("rendered", "tools", "agents"), network="clouds", payment="own",
                 signup="three days", client="few", template="plain", even=False, mail="domain",
                 account=(("programme", "startup"), ("referral", "ACC9"))),
            Plan("bursts", 40, 6_000, ("worked mathematics", "agents"), template="several", schedule="bursts"),
        ),
    ),
    "W17": Design(
        _setting(27),
        1400,
        (of(course, 90), of(tutor, 150), FIRM(12), DECLARED(10), of(agency, 45), of(reseller, 60),
         of(labelling_firm, 40, 90), of(synthetic_data, 12), of(reasoning_study, 12), of(release_day, 60),
         of(translators, 25), of(code_reviews, 50), of(private_people, 40), of(families, 60)),
    ),
    "W18": Design(
        _setting(28, form="canonical"),
        1300,
        (OLD_KEYS(70), of(own_key, 60, thinking=False), of(course, 80), of(startups, 30), of(agent_users, 60),
         of(thinking_users, 60), of(synthetic_data, 10)),
    ),
}  # fmt: skip


def _variant(ordinary: int = 1000, *groups: Group, **how: object) -> Design:
    """Return a world of one plain campaign: two rented blocks, few cards, one wave, one client, one template."""
    plan = {"name": "plain", "accounts": 90, "exchanges": 9_000} | how
    return Design(_setting(31), ordinary, groups, (Plan(**plan),))  # type: ignore[arg-type]


NEIGHBOURS = (FIRM(10), of(agency, 30))
VARIANTS = {
    "V1": _variant(),
    "V2": _variant(1000, *NEIGHBOURS, of(own_key, 80)),
    "V3": _variant(1000, *NEIGHBOURS, of(own_key, 80), even=False),
    "V4": _variant(1000, *NEIGHBOURS, OLD_KEYS(80)),
    "V5": _variant(3000, FIRM(10), OLD_KEYS(80, thinking=False)),
    "V6": _variant(network="mixed", signup="batches", client="few"),
    "V7": _variant(accounts=24, exchanges=2_400),
    "V8": Design(_setting(32), 1000, (OLD_KEYS(100, thinking=False, middle=25),)),
    "V9": Design(_setting(33), 1000, (), (Plan("plain", 90, 9_000, signup="aged"),)),
    "V10": _variant(2000, FIRM(10)),
}
DESIGNS = WORLDS | VARIANTS
