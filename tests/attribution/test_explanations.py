"""Innocent explanations: each has a group that it explains, and a twin of which it is excluded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillwatch.attribution.explanations import TESTS, Explanation, Facts, explanations, facts
from stillwatch.campaigns.split import Split
from stillwatch.linkage.groups import ViewResult
from stillwatch.linkage.space import Space, build_space
from stillwatch.signals.frame import Frame

NAN = float("nan")
OUT = ViewResult(3.0, 0.1, 1e-9, 1.0)
ORDINARY = ViewResult(0.1, 0.1, 0.5, 1.0)
# A harvesting network: nothing innocent about it, every fact known.
GUILTY = Facts(
    organisation=0.0, payer=0.1, payers=20, domain=0.3, domain_held=5.0, site=0.1, campus=0.1, education=0.0,
    reseller=0.2, verified=0.1, referral=0.1, novelty=0.95, cells=20.0, same_hour=0.1, span_days=10.0,
    signup_days=20.0, mixed=0.1, outside_holders=0.1, before_share=0.1,
    colleagues=0, strangers_coordinated=4,
)  # fmt: skip


def group(worth: float = 0.9, members: int = 4_000, **ordinary: ViewResult) -> Any:
    """Return a group whose views all stand out but those given."""
    views = {**dict.fromkeys(("NET", "ID", "LIFE", "TIME", "STACK", "TASK"), OUT), **ordinary}
    return SimpleNamespace(views=views, worth=worth, floor=0.6, members=np.arange(members))


def tried(name: str, measured: Facts, found: Any = None) -> Explanation:
    """Run every test on a group and return the one of this name."""
    results = [test(measured, found or group()) for test in TESTS]
    return next(result for result in results if name in result.name)


def test_a_harvesting_network_has_no_innocent_explanation() -> None:
    """Every test excludes it, each with a reason in words."""
    for test in TESTS:
        result = test(GUILTY, group())
        assert result.outcome == "excluded", result
        assert len(result.reason) > 10


CASES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("framework", {"outside_holders": 8.0}, "explains", {"outside_holders": 0.5}),
    ("declared organisation", {"organisation": 0.9}, "possible", {"organisation": 0.5}),
    ("own fleet", {"payer": 0.95}, "possible", {"payer": 0.4}),
    ("own fleet", {"domain": 0.95, "domain_held": 0.0}, "possible", {"domain": 0.95, "domain_held": 40.0}),
    ("office, campus", {"site": 0.9, "campus": 0.9, "novelty": 0.5}, "explains", {"site": 0.9, "campus": 0.1}),
    ("office, campus", {"site": 0.9, "education": 0.9}, "possible", {"site": 0.2, "education": 0.9}),
    ("reseller", {"reseller": 0.95}, "explains", {"reseller": 0.4}),
    ("evaluation", {"novelty": 0.2}, "explains", {"novelty": 0.95}),
    ("evaluation", {"novelty": 0.6}, "possible", {"novelty": 0.75}),
    ("nightly", {"same_hour": 0.9, "cells": 1.5}, "explains", {"same_hour": 0.9, "cells": 12.0}),
    ("hackathon", {"signup_days": 1.0, "span_days": 2.0, "site": 0.9}, "possible", {"signup_days": 1.0, "site": 0.9}),
    (
        "hackathon",
        {"signup_days": 1.0, "span_days": 2.0, "referral": 0.9},
        "possible",
        {"signup_days": 1.0, "span_days": 2.0},
    ),
    ("within", {"colleagues": 1_500, "strangers_coordinated": 1}, "possible", {"colleagues": 1_500}),
    ("within", {"colleagues": 1_500, "strangers_coordinated": 1}, "possible", {"colleagues": 5}),
    ("permitted", {"verified": 0.9}, "possible", {"verified": 0.3}),
    ("stolen keys", {"before_share": 0.8}, "possible", {"before_share": 0.2}),
]


def views_of(name: str) -> dict[str, ViewResult]:
    """Return the views that are ordinary when the innocent reading is true."""
    if name in {"framework", "evaluation"}:
        return {"NET": ORDINARY, "ID": ORDINARY, "LIFE": ORDINARY}
    return {"STACK": ORDINARY, "TASK": ORDINARY} if name == "reseller" else {}


@pytest.mark.parametrize(("name", "innocent", "outcome", "twin"), CASES)
def test_each_explanation_has_its_case_and_its_twin(
    name: str, innocent: dict[str, Any], outcome: str, twin: dict[str, Any]
) -> None:
    """It holds for the innocent group, and is excluded for one that lacks what makes it innocent."""
    views = views_of(name)
    assert tried(name, replace(GUILTY, **innocent), group(**views)).outcome == outcome
    assert tried(name, replace(GUILTY, **twin), group(**views)).outcome == "excluded"


def test_every_explanation_has_a_case() -> None:
    """No test of the catalogue goes without."""
    names = [test(GUILTY, group()).name for test in TESTS]
    assert all(any(case in name for case, *_ in CASES) for name in names)
    assert len(set(names)) == len(names)


def test_hiding_in_a_popular_framework_does_not_help() -> None:
    """Members of a construction that thousands use, who also share networks and payments, are not explained by it."""
    assert tried("framework", replace(GUILTY, outside_holders=8.0)).outcome == "excluded"


def test_a_campaign_behind_one_reseller_is_not_explained_by_it() -> None:
    """Customers of one reseller who all ask for the same work are no chance."""
    assert tried("reseller", replace(GUILTY, reseller=0.95)).outcome == "excluded"


def test_a_class_with_a_harvest_is_for_a_person() -> None:
    """One school, but new inputs of high worth: coursework or a campaign, the data cannot say."""
    measured = replace(GUILTY, site=0.9, education=0.9, novelty=0.95)
    assert tried("office, campus", measured).outcome == "possible"
    assert tried("office, campus", measured, group(worth=0.4)).outcome == "explains"


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("own fleet", {"payer": NAN, "domain": NAN}),
        ("office, campus", {"site": NAN, "domain": NAN}),
        ("evaluation", {"novelty": NAN}),
        ("permitted", {"verified": NAN}),
        ("hackathon", {"signup_days": NAN, "span_days": 2.0}),
    ],
)
def test_absent_evidence_is_no_data_and_no_exclusion(name: str, absent: dict[str, float]) -> None:
    """What the data lack is said, not taken for guilt."""
    assert tried(name, replace(GUILTY, **absent)).outcome == "no data"


def test_no_test_fails_when_everything_is_absent() -> None:
    """All facts unknown: every test answers, and none explains."""
    unknown = replace(GUILTY, **{f.name: NAN for f in fields(Facts) if f.type == "float"})
    for test in TESTS:
        assert test(unknown, group()).outcome in {"excluded", "no data"}


ABSENT = ("payer", "domain", "domain_held", "site", "campus", "education", "verified", "novelty", "signup_days")


@pytest.mark.parametrize("absent", [(), *((name,) for name in (*ABSENT, "outside_holders")), ABSENT])
def test_a_reason_says_what_is_not_known_and_never_prints_it(absent: tuple[str, ...]) -> None:
    """Whatever facts the data lack, no sentence holds a number that is none."""
    measured = replace(GUILTY, payers=0 if "payer" in absent else 20, **dict.fromkeys(absent, NAN))
    for found in (group(), group(members=40), group(NET=ORDINARY, ID=ORDINARY, LIFE=ORDINARY, TIME=ORDINARY)):
        for test in TESTS:
            assert not re.search(r"\bnan\b", test(measured, found).reason)


def test_a_missing_column_is_named() -> None:
    """Without payments, networks or sign-up times the reason says so and speaks of what is known instead."""
    assert tried("own fleet", replace(GUILTY, payer=NAN, payers=0)).reason == (
        "payments are not known; the commonest e-mail domain has 30% of members"
    )
    assert tried("office, campus", replace(GUILTY, site=NAN)).reason == (
        "networks are not known; the commonest e-mail domain has 30% of members"
    )
    assert tried("hackathon", replace(GUILTY, signup_days=NAN)).reason == (
        "sign-up times are not known; use spreads over 10 days"
    )
    assert tried("own fleet", GUILTY).reason == "20 payment instruments, the commonest at 10%"


def test_a_few_accounts_of_unknown_owners_may_be_one_customers() -> None:
    """Where neither payments nor domains are known a group is for a person; thousands are no one's fleet."""
    unknown = replace(GUILTY, payer=NAN, domain=NAN)
    assert tried("own fleet", unknown, group(members=40)).outcome == "possible"
    assert tried("own fleet", unknown, group(members=400)).outcome == "possible"
    assert tried("own fleet", unknown, group(members=4_000)).outcome == "no data"


def test_a_network_that_draws_from_a_benchmark_is_no_evaluation() -> None:
    """Repeated items do not clear members who share networks and payments, as unrelated labs would not."""
    assert tried("evaluation", replace(GUILTY, novelty=0.2)).outcome == "excluded"


def test_two_shared_views_do_not_prove_that_repeated_items_are_no_benchmark() -> None:
    """A class and labs that run one benchmark share networks and payments too: a person decides, unless more agrees."""
    quiet = group(LIFE=ORDINARY, TIME=ORDINARY)
    assert tried("evaluation", replace(GUILTY, novelty=0.4), quiet).outcome == "possible"
    assert tried("evaluation", replace(GUILTY, novelty=0.8), quiet).outcome == "excluded"
    assert tried("evaluation", replace(GUILTY, novelty=0.4), group(LIFE=ORDINARY)).outcome == "excluded"


START = 1_780_000_000_000_000
DAY = 86_400_000_000
FrameOf = Callable[..., Frame]


def measured(frame: Frame, members: int) -> tuple[Space, Facts]:
    """Measure the facts of the first accounts as a group, all their exchanges taken."""
    space = build_space(frame)
    rows = np.flatnonzero(frame.account < members)
    split = Split(rows, np.ones(len(rows)), np.ones(members))
    found: Any = SimpleNamespace(members=np.arange(members), split=split)
    return space, facts(space, found)


def people(n: int, **columns: Any) -> list[dict[str, Any]]:
    """Return account rows; a callable column is given the number of the account."""
    return [
        {"account_id": f"a{i:02d}", **{k: v(i) if callable(v) else v for k, v in columns.items()}} for i in range(n)
    ]


def asked(n: int, each: int = 5, **columns: Any) -> list[dict[str, Any]]:
    """Return exchanges of n accounts, one an hour."""
    rows = [(i, j) for i in range(n) for j in range(each)]
    base = [{"account_id": f"a{i:02d}", "ts": START + j * 3_600_000_000} for i, j in rows]
    more = [{k: v(i) if callable(v) else v for k, v in columns.items()} for i, _ in rows]
    return [{**b, **m} for b, m in zip(base, more, strict=True)]


def test_facts_see_a_common_owner(frame_of: FrameOf) -> None:
    """Eight of ten members declare one organisation."""
    _, seen = measured(frame_of(asked(20), people(20, org_id=lambda i: "acme" if i < 8 else None)), 10)
    assert seen.organisation == pytest.approx(0.8)


def test_facts_see_one_campus(frame_of: FrameOf) -> None:
    """Members on one prefix of an education network in an education programme; outsiders are elsewhere."""
    rows = asked(
        20,
        ip_prefix=lambda i: "campus" if i < 10 else f"home-{i}",
        network_kind=lambda i: "education" if i < 10 else "residential",
    )
    _, seen = measured(frame_of(rows, people(20, programme=lambda i: "education" if i < 10 else "none")), 10)
    assert (seen.site, seen.campus, seen.education) == (1.0, 1.0, 1.0)


def test_facts_see_who_pays(frame_of: FrameOf) -> None:
    """One card is one payer; a mail host that everybody uses is held outside too."""
    accounts = people(20, payment_hash=lambda i: "card" if i < 9 else f"card-{i}", email_domain="mail.example")
    _, seen = measured(frame_of(asked(20), accounts), 10)
    assert seen.payer == pytest.approx(0.9)
    assert seen.payers == 2
    assert (seen.domain, seen.domain_held) == (1.0, 1.0)


def test_facts_see_repeated_items(frame_of: FrameOf) -> None:
    """A benchmark's items come again from account to account; each prompt once is a novelty of one (the twin)."""
    items = asked(12)
    for i, row in enumerate(items):
        row["prompt_text"] = f"what is the tallest bridge number {i % 5} in the northern harbour district"
    _, repeated = measured(frame_of(items), 10)
    for i, row in enumerate(items):
        row["prompt_text"] = f"what is the tallest bridge number {i} in the northern harbour district of town {i * 7}"
    _, fresh = measured(frame_of(items), 10)
    assert repeated.novelty < 0.2
    assert fresh.novelty == pytest.approx(1.0)


def test_facts_of_bare_logs_are_unknown(frame_of: FrameOf) -> None:
    """Without accounts, networks or prompts the shares are NaN (or zero where only a declaration counts)."""
    space, seen = measured(frame_of(asked(12)), 10)
    for name in ("payer", "domain", "site", "campus", "education", "verified", "novelty", "signup_days"):
        assert np.isnan(getattr(seen, name)), name
    assert seen.payers == 0
    assert (seen.organisation, seen.reseller) == (0.0, 0.0)
    rows = np.flatnonzero(space.frame.account < 10)
    split = Split(rows, np.ones(len(rows)), np.ones(10))
    found = group()
    found.members, found.split = np.arange(10), split
    assert len(explanations(space, found)) == len(TESTS)


def test_colleagues_are_all_but_the_first_of_an_owner_an_invitation_or_the_commonest_network(frame_of: FrameOf) -> None:
    """Four of one company, three of one invitation and four of one network leave three; two are no group."""
    accounts = people(
        14,
        org_id=lambda i: "acme" if i < 4 else None,
        referral=lambda i: "meetup" if 4 <= i < 7 else "friend" if i >= 12 else None,
    )
    rows = asked(14, ip_prefix=lambda i: "venue" if 7 <= i < 11 else f"home-{i}")
    _, seen = measured(frame_of(rows, accounts), 14)
    assert seen.colleagues == 3 + 2 + 3


def test_an_invited_group_lends_strangers_its_coordination_and_a_campaign_needs_none(
    tiny_space: Space, planted: dict[str, np.ndarray]
) -> None:
    """Without its hackathon a mixed group is nobody's; without any one place a campaign is still one."""
    event = np.concatenate([planted["hackathon"][:20], planted["ordinary"][::40][:10]])
    outcomes = {}
    for name, members in (("event", np.sort(event)), ("campaign", planted["reseller_fleet"])):
        rows = np.flatnonzero(np.isin(tiny_space.frame.account, members))
        found = group(members=len(members))
        found.members, found.split = members, Split(rows, np.ones(len(rows)), np.ones(len(members)))
        seen = facts(tiny_space, found)
        found.coordinated = 4
        outcomes[name] = seen
    assert outcomes["event"].colleagues >= 10
    assert outcomes["event"].strangers_coordinated < 2
    assert outcomes["campaign"].strangers_coordinated >= 2
