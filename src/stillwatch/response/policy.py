"""What an operator has decided in advance: which finding earns which rung, who must agree, whom nothing may touch.

Values only; :mod:`stillwatch.response.policy_file` reads them from TOML and says no to what they may not hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

import msgspec

from stillwatch.cases.folder import WHO_AXES, Campaign
from stillwatch.ingest.privacy import is_sealed
from stillwatch.response.ladder import HIGHEST_AUTOMATIC, LADDER, Rung
from stillwatch.response.signing import from_line
from stillwatch.response.standing import Cap

RungLabel = Literal["observe", "tag", "delay", "rate-limit", "cap", "step-up", "restrict", "suspend"]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Tokens = Annotated[float, msgspec.Meta(gt=0.0, le=1e12)]
Wait = Annotated[int, msgspec.Meta(ge=0, le=60_000)]
Amount = Annotated[float, msgspec.Meta(ge=0.0, le=1e12)]
Word = Annotated[str, msgspec.Meta(min_length=1)]
Days = Annotated[float, msgspec.Meta(gt=0.0, le=90.0)]
Role = Literal["pool", "mixed", "closed", "successor", "reserve"]
Verdict = Literal["campaign", "needs_person"]
Who = Literal["NET", "ID", "LIFE", "TIME"]


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens a minute that all accounts of a campaign share, and how many may be saved up."""

    tokens_per_minute: Tokens
    burst: Tokens


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of the policy: all conditions must hold; the first rule that holds for a member decides.

    ``q_at_most`` and ``worth_at_least`` (distance above the floor of benign groups) are of the campaign,
    ``probability_at_least`` is of the member. ``evidence`` names views of WHO that must be there, and
    ``evidence_at_least`` is how many of the four must: a view is there at a strength of ``strength_at_least``.

    >>> Rule(name="pools", rung="rate-limit", budget=Budget(1e4, 2e4)).step
    <Rung.RATE_LIMIT: 3>
    """

    name: Word
    rung: RungLabel
    verdicts: tuple[Verdict, ...] = ("campaign",)
    roles: tuple[Role, ...] = ("pool", "mixed", "closed", "successor", "reserve")
    q_at_most: Share = 0.1
    probability_at_least: Share = 0.9
    worth_at_least: float = 0.0
    evidence: tuple[Who, ...] = ()
    evidence_at_least: Annotated[int, msgspec.Meta(ge=2, le=4)] = 2
    strength_at_least: Share = 0.2
    lasts_days: Days | None = None
    automatic: bool = False
    told: bool = True
    budget: Budget | None = None
    cap: Cap | None = None
    delay_ms: tuple[Wait, Wait] | None = None

    @property
    def step(self) -> Rung:
        """The rung as a value."""
        return Rung.named(self.rung)

    @property
    def lasts(self) -> timedelta:
        """How long a measure of this rule is in force, unless it is ended before."""
        return LADDER[self.step].lasts if self.lasts_days is None else timedelta(days=self.lasts_days)

    def holds(self, campaign: Campaign, probability: float, role: str) -> bool:
        """Say whether the conditions hold for a member of a campaign.

        >>> rule = Rule(name="watch", rung="tag", probability_at_least=0.9)
        >>> rule.holds(Campaign(campaign_id="SW-1", verdict="campaign", q_value=0.01), 0.99, "pool")
        False
        """
        return (
            role in self.roles
            and probability >= self.probability_at_least
            and campaign.verdict in self.verdicts
            and (1.0 if campaign.q_value is None else campaign.q_value) <= self.q_at_most
            and self._worth(campaign)
            and self._evidence(campaign)
        )

    def _worth(self, campaign: Campaign) -> bool:
        worth = campaign.axis("WORTH")
        return not worth.missing and (worth.effect or 0.0) >= self.worth_at_least

    def _evidence(self, campaign: Campaign) -> bool:
        there = {
            name
            for name in WHO_AXES
            if not campaign.axis(name).missing and (campaign.axis(name).strength or 0.0) >= self.strength_at_least
        }
        return len(there) >= self.evidence_at_least and there.issuperset(self.evidence)


class Approvals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which roles must agree to each rung; each role by another person, and nobody stands in for two.

    A rung that is not named needs one ``responder``. Above ``two_persons_above`` suspended accounts a plan needs two
    persons, whatever the rung's line says.
    """

    roles: dict[RungLabel, tuple[str, ...]] = {}
    two_persons_above: Annotated[int, msgspec.Meta(ge=0, le=25)] = 10

    def needed(self, rung: Rung, accounts: int) -> tuple[str, ...]:
        """Return the roles that must agree before ``accounts`` accounts come to a rung.

        >>> Approvals().needed(Rung.SUSPEND, 3), Approvals().needed(Rung.SUSPEND, 30)
        (('responder',), ('responder', 'responder'))
        """
        roles = self.roles.get(rung.label) or ("responder",)  # type: ignore[call-overload]
        many = rung is Rung.SUSPEND and accounts > self.two_persons_above
        return (roles[0], roles[0]) if many and len(roles) < 2 else tuple(roles)


class Radius(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Most that may be felt at once, counted over the plan and all that is in force already."""

    accounts_share: Share = 0.02
    innocents: Amount = 5.0
    paying_tokens_share: Share = 0.02


class Exemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom nothing may touch, and why: wins over every rule, every plan and all that is in force."""

    name: Word
    why: Word
    accounts: frozenset[str] = frozenset()
    organisations: frozenset[str] = frozenset()
    programmes: frozenset[str] = frozenset()
    resellers: frozenset[str] = frozenset()
    until: date | None = None


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measures begin at a random time within ``jitter_hours``, so that an evader learns little from the moment."""

    jitter_hours: Annotated[float, msgspec.Meta(ge=0.0, le=168.0)] = 6.0
    plan_valid_days: Days = 7.0


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole policy. ``mode`` is ``shadow`` unless the file says ``enforce``: shadow measures are never felt.

    ``keys`` holds the Ed25519 public key of each approver, as one line: with it an approval counts only when signed.

    >>> Policy(name="p").mode, len(Policy(name="p").digest)
    ('shadow', 64)
    """

    name: str
    mode: Literal["shadow", "enforce"] = "shadow"
    rules: tuple[Rule, ...] = ()
    approvals: Approvals = Approvals()
    people: dict[str, tuple[str, ...]] = {}
    keys: dict[str, str] = {}
    radius: Radius = Radius()
    exempt: tuple[Exemption, ...] = ()
    timing: Timing = Timing()
    verified_days: Days = 90.0
    price_per_million_tokens: Amount = 0.0

    @property
    def digest(self) -> str:
        """SHA-256 of the values, so that a plan names the policy it was made under."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def rule_for(self, campaign: Campaign, probability: float, role: str) -> Rule | None:
        """Return the first rule that holds for a member of a campaign, or None."""
        return next((rule for rule in self.rules if rule.holds(campaign, probability, role)), None)

    def asks_who(self) -> bool:
        """Say whether exemptions need more than account ids, so that the accounts table must be read.

        >>> Policy(name="p", exempt=(Exemption(name="lab", why="contract", organisations=frozenset({"o"})),)).asks_who()
        True
        """
        return any(one.organisations or one.programmes or one.resellers for one in self.exempt)


class Customer(msgspec.Struct, frozen=True):
    """What a policy may know of an account: declared owner, programme, reseller, plan and tokens in the window."""

    organisation: str | None = None
    programme: str | None = None
    reseller: str | None = None
    plan: str | None = None
    tokens: int = 0


def exemption(policy: Policy, account_id: str, customer: Customer, now: datetime) -> Exemption | None:
    """Return the exemption that covers an account at ``now``, or None.

    >>> policy = Policy(name="p", exempt=(Exemption(name="lab", why="contract", organisations=frozenset({"org-1"})),))
    >>> noon = datetime(2026, 9, 1, 12)
    >>> exemption(policy, "a", Customer(organisation="org-1"), noon).name, exemption(policy, "a", Customer(), noon)
    ('lab', None)
    """
    for one in policy.exempt:
        if one.until is not None and now.date() > one.until:
            continue
        if (
            account_id in one.accounts
            or customer.organisation in one.organisations
            or customer.programme in one.programmes
            or customer.reseller in one.resellers
        ):
            return one
    return None


def faults(policy: Policy) -> Iterable[tuple[tuple[str | int, ...], str]]:
    """Yield what no policy may say, each with the place it stands at: a path of keys and numbers from 0.

    >>> rule = Rule(name="ban", rung="suspend", automatic=True)
    >>> [path for path, reason in faults(Policy(name="p", rules=(rule,)))]
    [('rules', 0, 'automatic')]
    """
    for number, rule in enumerate(policy.rules):
        for key, reason in _rule_faults(rule):
            yield ("rules", number, key), reason
    for rung, roles in policy.approvals.roles.items():
        missing = [role for role in roles if not any(role in held for held in policy.people.values())]
        if missing and policy.mode == "enforce":
            yield ("approvals", "roles", rung), f"nobody under [people] holds the role {missing[0]!r}"
    yield from _exempt_faults(policy)
    yield from _key_faults(policy)


def _exempt_faults(policy: Policy) -> Iterable[tuple[tuple[str | int, ...], str]]:
    for number, one in enumerate(policy.exempt):
        for key, names in (("accounts", one.accounts), ("organisations", one.organisations)):
            if raw := sorted(filter(is_sealed, names)):
                why = f"the logs hold {raw[0]!r} under a keyed hash, so nobody is exempt: `stillwatch stored` prints it"
                yield ("exempt", number, key), why


def _key_faults(policy: Policy) -> Iterable[tuple[tuple[str | int, ...], str]]:
    owners: dict[str, str] = {}
    for name, line in policy.keys.items():
        if from_line(line) is None:
            yield ("keys", name), "not an Ed25519 public key: the one line between the dashes of its PEM file"
        if name not in policy.people:
            yield ("keys", name), f"nobody under [people] is called {name!r}"
        if (other := owners.setdefault(line, name)) != name:
            yield ("keys", name), f"this is the key of {other!r} too: one person, one key"
    for name in policy.people:
        if policy.keys and name not in policy.keys:
            yield ("people", name), f"{name!r} has no key under [keys]; with that table every approver needs one"


def _rule_faults(rule: Rule) -> Iterable[tuple[str, str]]:
    if rule.automatic and rule.step > HIGHEST_AUTOMATIC:
        yield "automatic", f"{rule.rung} never begins without a person; {HIGHEST_AUTOMATIC.label} is the most"
    if rule.automatic and "needs_person" in rule.verdicts:
        yield "automatic", "a group with the verdict needs_person is never acted on without a person"
    if (rule.step is Rung.RATE_LIMIT) != (rule.budget is not None):
        yield "budget", "a rate-limit needs a budget { tokens_per_minute, burst }, and only a rate-limit has one"
    if (rule.step is Rung.CAP) != (rule.cap is not None):
        yield "cap", "a cap needs cap { max_tokens, no_logprobs, summarised_reasoning }, and only a cap has one"
    if rule.cap == Cap():
        yield "cap", "a cap that holds nothing back: name max_tokens, no_logprobs or summarised_reasoning"
    if (rule.step is Rung.DELAY) != (rule.delay_ms is not None):
        yield "delay_ms", "a delay needs delay_ms = [least, most], and only a delay has one"
    if rule.delay_ms is not None and rule.delay_ms[0] > rule.delay_ms[1]:
        yield "delay_ms", "the least delay is more than the most"
