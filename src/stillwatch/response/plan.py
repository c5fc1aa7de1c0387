"""From findings to a proposed plan: who would come to which rung, who is left alone and why, and who must agree.

A verdict is not an action: nothing here is in force until :mod:`stillwatch.response.actions` applies it.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from stillwatch.cases.folder import Campaign, ScanOutput
from stillwatch.errors import ConfigError
from stillwatch.response.customers import Customers
from stillwatch.response.journal import canonical
from stillwatch.response.ladder import HIGHEST_AUTOMATIC, LADDER, Rung
from stillwatch.response.policy import Policy, Rule, exemption
from stillwatch.response.standing import Cap, Limit, Scope, Standing


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One measure proposed for one account: begins ``wait_s`` seconds after it is applied, lasts ``lasts_s``."""

    account_id: str
    campaign_id: str
    rule: str
    rung: Rung
    scope: Scope
    probability: float
    wait_s: float
    lasts_s: float
    limit: Limit | None = None
    cap: Cap | None = None
    delay_ms: tuple[int, int] | None = None
    reason_code: str = "abnormal-usage"
    told: bool = True
    automatic: bool = False
    paying_tokens: int = 0

    def standing(self, plan_id: str, now: datetime, *, shadow: bool) -> Standing:
        """Return the standing that applying this at ``now`` brings about; in shadow it begins at once."""
        begins = now if shadow else now + timedelta(seconds=self.wait_s)
        return Standing(
            account_id=self.account_id,
            campaign_id=self.campaign_id,
            plan_id=plan_id,
            rung=self.rung,
            scope=self.scope,
            starts_at=begins,
            expires_at=begins + timedelta(seconds=self.lasts_s),
            limit=self.limit,
            cap=self.cap,
            delay_ms=self.delay_ms,
            reason_code=self.reason_code,
            visible=self.told,
            shadow=shadow,
        )


class LeftAlone(msgspec.Struct, frozen=True):
    """A member that a plan does not touch, and why."""

    account_id: str
    campaign_id: str
    why: str


class Need(msgspec.Struct, frozen=True):
    """A rung that must be agreed to: by these roles, each held by another person."""

    rung: Rung
    accounts: int
    roles: tuple[str, ...]


class Touch(msgspec.Struct, frozen=True):
    """How an account that feels a measure counts: probability of membership and paying tokens in the window."""

    probability: float
    paying_tokens: int = 0


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a plan and all that is in force would be felt by: the blast radius; ``over`` says which bound it breaks.

    ``innocents`` is the sum of (1 - probability): what is expected, were the probabilities calibrated.
    """

    accounts: int
    accounts_share: float
    innocents: float
    paying_tokens_share: float | None
    over: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal: everything that an approver sees, and the policy it was made under."""

    plan_id: str
    made_at: datetime
    scan_sha256: str
    policy: Policy
    accounts: int
    paying_tokens: int | None
    actions: tuple[Action, ...]
    left_alone: tuple[LeftAlone, ...]
    tell_owners: tuple[str, ...]
    needs: tuple[Need, ...]
    reach: Reach

    @property
    def shadow(self) -> bool:
        """Whether applying it is never felt."""
        return self.policy.mode == "shadow"

    def by_rung(self) -> dict[str, int]:
        """Return accounts by rung, mildest first."""
        counted = Counter(action.rung for action in self.actions)
        return {rung.label: counted[rung] for rung in sorted(counted)}


@dataclass(frozen=True)
class Circumstances:
    """What a plan takes into account besides the scan.

    ``excused`` says of accounts why they are left alone (verified, appeal granted), ``in_force`` which rung an account
    stands at for a campaign, ``touched`` who feels something already, of any plan, and ``taken_back`` which accounts
    and campaigns people took back, by kind and id.
    """

    customers: Customers
    in_force: Mapping[tuple[str, str], Rung] = field(default_factory=dict)
    excused: Mapping[str, str] = field(default_factory=dict)
    touched: Mapping[str, Touch] = field(default_factory=dict)
    taken_back: Mapping[tuple[str, str], str] = field(default_factory=dict)


def propose(
    scan: ScanOutput, policy: Policy, circumstances: Circumstances, *, now: datetime, chance: random.Random
) -> Plan:
    """Return the plan that a policy makes of a scan; ``chance`` draws the waiting times.

    Raises :class:`ConfigError` as :func:`exempted` does.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (pathlib.Path(folder) / "campaigns.json").write_text("[]")
    ...     plan = propose(ScanOutput.open(folder), Policy(name="p"), Circumstances(Customers(accounts=10)),
    ...                    now=datetime(2026, 9, 1), chance=random.Random(1))
    >>> plan.shadow, plan.by_rung(), plan.reach.accounts
    (True, {}, 0)
    """
    members = scan.table("members")["account_id"].to_pylist()
    exempt = exempted(policy, circumstances.customers, members, now)
    actions: list[Action] = []
    left_alone: list[LeftAlone] = []
    owners: list[str] = []
    for campaign in scan.campaigns:
        scope = _scopes(scan, campaign)
        for member in scan.table("members", campaign.campaign_id).to_pylist():
            why = exempt.get(member["account_id"])
            outcome = (
                LeftAlone(member["account_id"], campaign.campaign_id, why)
                if why
                else _answer(campaign, member, scope, policy, circumstances)
            )
            if isinstance(outcome, LeftAlone):
                left_alone.append(outcome)
                continue
            wait = chance.random() * policy.timing.jitter_hours * 3600
            actions.append(msgspec.structs.replace(outcome, wait_s=round(wait, 3)))
            if outcome.reason_code == _STOLEN:
                owners.append(outcome.account_id)
    return _identified(scan, policy, circumstances, now, (actions, left_alone, owners))


def exempted(policy: Policy, customers: Customers, accounts: Iterable[str], now: datetime) -> dict[str, str]:
    """Return those of the accounts that a policy exempts at ``now``, each with why: asked before any rule.

    Raises :class:`ConfigError` when the policy exempts by organisation, programme or reseller and the accounts are not
    known: an exemption that cannot be checked must not be lost.

    >>> from stillwatch.response.customers import UNKNOWN
    >>> from stillwatch.response.policy import Exemption
    >>> policy = Policy(name="p", exempt=(Exemption(name="lab", why="contract", accounts=frozenset({"a"})),))
    >>> exempted(policy, UNKNOWN, ["a", "b"], datetime(2026, 9, 1))
    {'a': 'exempt: lab'}
    """
    if policy.asks_who() and not customers.known:
        raise ConfigError("the policy exempts organisations, programmes or resellers: name the dataset with --data")
    found = {account: exemption(policy, account, customers.of(account), now) for account in accounts}
    return {account: f"exempt: {one.name}" for account, one in found.items() if one is not None}


_STOLEN = "key-may-be-stolen"
Answers = tuple[list[Action], list[LeftAlone], list[str]]


def _identified(scan: ScanOutput, policy: Policy, known: Circumstances, now: datetime, answers: Answers) -> Plan:
    actions, left_alone, owners = answers
    paying = known.customers.paying_tokens if known.customers.known else None
    plan = Plan(
        plan_id="",
        made_at=now,
        scan_sha256=scan.run.input_sha256,
        policy=policy,
        accounts=known.customers.accounts,
        paying_tokens=paying,
        actions=tuple(actions),
        left_alone=tuple(left_alone),
        tell_owners=tuple(sorted(set(owners))),
        needs=() if policy.mode == "shadow" else tuple(needs(policy, actions)),
        reach=reach(actions, known.touched, policy, known.customers.accounts, paying),
    )
    return msgspec.structs.replace(plan, plan_id="P-" + hashlib.sha256(canonical(plan)).hexdigest()[:10])


Scopes = tuple[tuple[int, ...], tuple[str, ...]]


def _scopes(scan: ScanOutput, campaign: Campaign) -> Scopes:
    templates = scan.table("templates", campaign.campaign_id)["template_id"].to_pylist()
    return tuple(sorted({int(one) for one in templates if one is not None})), tuple(campaign.models)


def _answer(
    campaign: Campaign,
    member: dict[str, Any],
    scopes: Scopes,
    policy: Policy,
    known: Circumstances,
) -> Action | LeftAlone:
    """Return what a member that is not exempt comes to."""
    account, role = str(member["account_id"]), str(member["role"])
    probability = float(member["probability"] or 0.0)
    customer = known.customers.of(account)
    rule = policy.rule_for(campaign, probability, role)
    scope = _scope(rule, role, scopes) if rule else Scope()
    if (spared := _spared(known, account, campaign)) is not None:
        why = spared
    elif role == "closed":
        why = "already closed"
    elif rule is None:
        why = "no rule holds"
    elif _held(known, account, campaign) >= rule.step:
        why = "already in force"
    elif scope == Scope():
        why = "has other traffic, and the scan names no template to tell it apart"
    else:
        paying = customer.tokens if customer.plan not in (None, "free") else 0
        victim = role == "mixed" and _owner_may_be_victim(campaign)
        return _action(rule, (account, campaign, probability, scope), role=role, victim=victim, paying=paying)
    return LeftAlone(account, campaign.campaign_id, why)


def _spared(known: Circumstances, account: str, campaign: Campaign) -> str | None:
    """Say why an account is left alone whatever a rule says: what it proved, or what a person took back."""
    named = [("account", account), *(("campaign", name) for name in (campaign.campaign_id, *campaign.lineage.previous))]
    return known.excused.get(account) or next((known.taken_back[one] for one in named if one in known.taken_back), None)


def _held(known: Circumstances, account: str, campaign: Campaign) -> int:
    """Return the highest rung in force for a campaign under any name it has had; below all rungs when there is none."""
    names = (campaign.campaign_id, *campaign.lineage.previous)
    return max(known.in_force.get((account, name), Rung.OBSERVE - 1) for name in names)


def _scope(rule: Rule, role: str, scopes: Scopes) -> Scope:
    """Return the part of the account's traffic that is the campaign's: all of it only when it has little of its own."""
    templates, models = scopes
    if role == "mixed":
        return Scope(templates=templates)
    return Scope(models=models) if rule.step is Rung.RESTRICT and models else Scope(whole_account=True)


def _owner_may_be_victim(campaign: Campaign) -> bool:
    return any(
        e.name == "stolen keys" and e.outcome in ("possible", "explains") for e in campaign.innocent_explanations
    )


def _action(rule: Rule, member: tuple[str, Campaign, float, Scope], *, role: str, victim: bool, paying: int) -> Action:
    account, campaign, probability, scope = member
    rung = min(rule.step, Rung.RESTRICT) if role == "mixed" else rule.step
    rung = min(rung, Rung.STEP_UP) if victim else rung
    budget = rule.budget
    return Action(
        account_id=account,
        campaign_id=campaign.campaign_id,
        rule=rule.name,
        rung=rung,
        scope=scope,
        probability=probability,
        wait_s=0.0,
        lasts_s=rule.lasts.total_seconds(),
        limit=Limit(campaign.campaign_id, budget.tokens_per_minute, budget.burst) if budget else None,
        cap=rule.cap,
        delay_ms=rule.delay_ms,
        reason_code=_STOLEN if victim else "verification-required" if rung is Rung.STEP_UP else "abnormal-usage",
        told=rule.told,
        automatic=rule.automatic and campaign.verdict == "campaign" and rung <= HIGHEST_AUTOMATIC,
        paying_tokens=paying,
    )


def needs(policy: Policy, actions: Iterable[Action]) -> list[Need]:
    """Return who must agree before actions begin, a line a rung; those that may begin by themselves need nobody.

    >>> needs(Policy(name="p"), [])
    []
    """
    counted = Counter(action.rung for action in actions if not action.automatic)
    return [Need(rung, n, policy.approvals.needed(rung, n)) for rung, n in sorted(counted.items())]


def reach(
    actions: Iterable[Action], touched: Mapping[str, Touch], policy: Policy, accounts: int, paying_tokens: int | None
) -> Reach:
    """Return who would feel the actions, with all who feel something already, against the policy's bounds.

    >>> reach([], {"a": Touch(0.75)}, Policy(name="p"), 10, None).over
    ('10.0 % of accounts; the policy allows 2.0 %',)
    """
    felt = dict(touched)
    for action in actions:
        if LADDER[action.rung].felt:
            before = felt.get(action.account_id, Touch(1.0))
            felt[action.account_id] = Touch(
                min(before.probability, action.probability), max(before.paying_tokens, action.paying_tokens)
            )
    share = len(felt) / max(1, accounts)
    innocents = sum(1.0 - touch.probability for touch in felt.values())
    paying = sum(touch.paying_tokens for touch in felt.values()) / paying_tokens if paying_tokens else None
    bounds = policy.radius
    over = []
    if share > bounds.accounts_share:
        over.append(f"{share:.1%} of accounts; the policy allows {bounds.accounts_share:.1%}")
    if innocents > bounds.innocents:
        over.append(f"{innocents:.1f} innocents expected; the policy allows {bounds.innocents:g}")
    if (paying or 0.0) > bounds.paying_tokens_share:
        over.append(f"{paying:.1%} of paying tokens; the policy allows {bounds.paying_tokens_share:.1%}")
    return Reach(
        accounts=len(felt),
        accounts_share=share,
        innocents=round(innocents, 4),
        paying_tokens_share=paying,
        over=tuple(one.replace("%", " %") for one in over),
    )
