"""Who the accounts are: every attribute is a function of a key, and to share an attribute is to share its key."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.simulate.chance import Floats, Ints, Keys, hex_names, mix, pick, pick_index, unit, zipf
from stillwatch.simulate.endpoints import Endpoints, connect
from stillwatch.simulate.networks import places
from stillwatch.simulate.sharing import shared_key
from stillwatch.simulate.spec import Population

Names = NDArray[np.object_]
DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Span:
    """The time a world covers, epoch microseconds."""

    start: int
    end: int


@dataclass(frozen=True)
class People:
    """Accounts of one population: keys (account, group), member number in the group, country, times and texts.

    ``owner`` is the key of the account whose identifiers are used: another's where a key is stolen.
    """

    population: Population
    seed: int
    key: Keys
    group: Keys
    member: Ints
    country: Ints
    created: Ints
    closed: Ints
    active_from: Ints
    active_to: Ints
    language: Names
    columns: dict[str, pa.Array]
    endpoints: Endpoints
    owner: Keys

    @property
    def size(self) -> int:
        """Return the number of accounts."""
        return int(self.key.size)


def people(population: Population, count: int, span: Span, seed: int) -> People:
    """Return ``count`` accounts of a population, plus one for every banned account that a campaign replaces.

    >>> from stillwatch.simulate.spec import load_world
    >>> office = next(p for p, _ in load_world("tiny").populations if p.name == "office")
    >>> crowd = people(office, 60, Span(0, 10 * DAY_US), seed=1)
    >>> crowd.size, len(set(crowd.group.tolist())) < 10
    (60, True)
    """
    number, member = _groups(population, count, seed)
    original = np.arange(count)
    banned = round(count * population.campaign.banned) if population.campaign else 0
    if banned:
        again = np.argsort(mix(seed, population.name, original, "banned"))[:banned]
        original = np.concatenate([original, again])
        number, member = np.concatenate([number, number[again]]), np.concatenate([member, member[again]])
    part, station = population.part, population.campaign.station if population.campaign else ""
    key = mix(seed, population.name, np.arange(original.size) + part.cohort * 1_000_003, "account")
    group = mix(seed, station or population.name, number + part.pool * 1_009, "group")
    behind = np.zeros(key.size, bool)
    if population.campaign and population.campaign.behind:
        behind = unit(mix(group, member // 40, "behind")) < population.campaign.behind_share
        group = np.where(behind, mix(seed, population.campaign.behind, number % 3, "group"), group)
    country = pick_index(places().weight, unit(mix(group if population.one_country else key, "country")))
    created = _signups(population, key, group, member, span)
    closed = np.where(
        unit(mix(key, "closed")) < 0.004, (span.start + unit(mix(key, "when")) * (span.end - span.start)), -1
    ).astype(np.int64)
    if banned:
        created, closed = _replacements(population, created, closed, original, count, span)
    closed = np.where(closed > created, closed, -1)
    language = _languages(population, key, country)
    attributes = _columns(population, key, group, member, country, behind)
    columns = {name: pa.array(values.tolist(), pa.string()) for name, values in attributes.items()}
    start, end = _active(population, group, member, created, closed, span)
    crowd = mix(seed, station or population.name, np.zeros_like(member) + part.pool, "crowd")
    points = connect(population, key, group, member, (country, behind, crowd))
    times = (created, closed, start, end)
    return People(population, seed, key, group, member, country, *times, language, columns, points, key)


def _languages(population: Population, key: Keys, country: Ints) -> Names:
    draws = unit(mix(key, "language"))
    if population.language == "native":
        return np.where(draws < 0.8, places().native[country], "en")
    local = (draws < places().local[country]) & (population.language == "local")
    return np.where(local, places().language[country], "en")


def _groups(population: Population, count: int, seed: int) -> tuple[Ints, Ints]:
    low, high = population.group
    if population.campaign:  # one group, or one a reseller: at least four resellers however small the world
        low = high = min(high, max(8, count / 4)) if population.reseller else count
    draws = unit(mix(seed, population.name, np.arange(count), "size"))
    sizes = np.round(low * (high / low) ** draws).astype(np.int64)
    ends = np.cumsum(sizes)
    sizes = sizes[: int(np.searchsorted(ends, count)) + 1]
    number = np.repeat(np.arange(sizes.size), sizes)[:count]
    member = (np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes))[:count]
    return number, member


def _signups(population: Population, key: Keys, group: Keys, member: Ints, span: Span) -> Ints:
    days = (span.end - span.start) / DAY_US
    alone = unit(mix(key, "signup"))
    shared, inside = shared_key(population, "signup", key, group, member)
    moment = unit(mix(shared, "moment"))
    if population.campaign:
        own = alone * 120 - 118
        center = moment * 45 - 43
        day = np.where(inside, center + alone * population.campaign.signup_days, own)
    elif population.signup == "event":
        day = 1 + unit(mix(group, "event")) * (days - 4) + alone * population.signup_days * 0.4
    elif population.signup == "burst":
        reach = population.signup_reach
        center = unit(mix(group, "moment")) * reach - reach + 3
        day = np.where(inside, center + alone * population.signup_days, -alone * 400 + 4)
    elif population.signup == "handover":
        day = np.where(member % 2 == 0, -alone * 400 - 20, _handover(group, days) - 0.2 * alone)
    elif population.signup == "adoption":
        day = days - 1 - population.signup_days * np.square(alone)
    else:
        day = days - 1 - population.signup_days * alone**1.3
    return (span.start + day * DAY_US).astype(np.int64)


def _replacements(
    population: Population, created: Ints, closed: Ints, original: Ints, count: int, span: Span
) -> tuple[Ints, Ints]:
    """Close the banned accounts and open their successors some hours later."""
    assert population.campaign is not None
    created, closed = created.copy(), closed.copy()
    again = original[count:]
    moment = span.start + (0.15 + 0.75 * unit(mix(again, "ban"))) * (span.end - span.start)
    created[again] = np.minimum(created[again], (moment - 2 * DAY_US).astype(np.int64))
    closed[again] = moment.astype(np.int64)
    wait = (0.2 + 0.8 * unit(mix(again, "wait"))) * population.campaign.replace_hours * HOUR_US
    created[count:] = (moment + wait).astype(np.int64)
    closed[count:] = -1
    return created, closed


def _active(
    population: Population, group: Keys, member: Ints, created: Ints, closed: Ints, span: Span
) -> tuple[Ints, Ints]:
    start = np.maximum(created + 5 * 60_000_000, span.start)
    end = np.where(closed >= 0, closed, span.end)
    if population.signup == "event":
        end = np.minimum(end, created + round(population.signup_days * 1.6 * DAY_US))
    if population.signup == "handover":
        moment = span.start + (_handover(group, (span.end - span.start) / DAY_US) * DAY_US).astype(np.int64)
        start, end = np.where(member % 2, np.maximum(start, moment), start), np.where(member % 2, end, moment)
    return start, end


def _handover(group: Keys, days: float) -> Floats:
    """Return the day on which the odd members of a group take over from the even ones."""
    return np.asarray((0.25 + 0.5 * unit(mix(group, "handover"))) * days)


def _columns(
    population: Population, key: Keys, group: Keys, member: Ints, country: Ints, behind: NDArray[np.bool_]
) -> dict[str, Names]:
    verification = pick(population.verification, unit(mix(key, "verification")))
    programme = pick(population.programme, unit(mix(key, "programme")))
    declared = unit(mix(group, "declared")) < population.declared
    referred = unit(mix(key, "referred")) < population.referral
    device, _ = shared_key(population, "device", key, group, member)
    reseller = np.full(key.size, population.reseller)
    plan = pick(population.plan, unit(mix(key, "plan")))
    return {
        "account_id": np.array([f"acct_{name}" for name in hex_names(mix(key, "id"))], object),
        "org_id": _where(declared, _named("org_", mix(group, "org"), 12)),
        "plan": plan,
        "programme": np.where(_known(programme), programme, "none"),
        "reseller_id": _where(reseller, _named("reseller-", mix(group, "reseller"), 8)),
        "verification": np.where(_known(verification), verification, "none"),
        "device": _where(unit(mix(key, "seen")) < 0.8, _named("dev_", mix(device, "device"), 16)),
        "referral": _where(referred, _named("ref-", mix(group, "code"), 6)),
        **_contacts(population, key, group, member, verification),
        **_payments(population, key, group, member, (country, behind, plan)),
    }


def _contacts(population: Population, key: Keys, group: Keys, member: Ints, verification: Names) -> dict[str, Names]:
    email, _ = shared_key(population, "email", key, group, member)
    phone, _ = shared_key(population, "phone", key, group, member)
    domain = _domains(population, key, email)
    boxes = zip(hex_names(mix(key, "mail")), domain, strict=True)
    return {
        "email_domain": domain,
        "email": _where(_known(domain), [f"{name}@{where}" for name, where in boxes]),
        "phone": _where(verification == "phone", _named("+999", mix(phone, "phone") % np.uint64(10**9), 16)),
    }


def _payments(
    population: Population, key: Keys, group: Keys, member: Ints, more: tuple[Ints, NDArray[np.bool_], Names]
) -> dict[str, Names]:
    country, behind, plan = more
    payment, _ = shared_key(population, "payment", key, group, member, behind)
    kind = pick(population.payment, unit(mix(payment, "kind")))
    free = (plan == "free") & (unit(mix(key, "as you go")) > 0.12)
    kind = _where(~free, np.where(_known(kind), kind, "card"))  # a paid plan is paid by something
    paid = _known(kind)
    card = np.isin(kind.astype(str), ["card", "virtual_card", "prepaid"])
    abroad = unit(mix(payment, "abroad")) > 0.94
    billing = np.where(abroad, pick_index(places().weight, unit(mix(payment, "billing"))), country)
    issuer = zipf(30, unit(mix(payment, "bin"))) + np.where(kind == "card", 100, 140)
    return {
        "payment": _where(paid, _named("pay_", mix(payment, "instrument"), 16)),
        "payment_bin": _where(card, [f"9{number:05d}" for number in issuer.tolist()]),
        "payment_kind": np.where(paid, kind, "none"),
        "billing_country": _where(paid, places().code[billing]),
    }


def _named(prefix: str, keys: Keys, digits: int) -> list[str]:
    return [f"{prefix}{name[:digits]}" for name in hex_names(keys)]


def _known(values: Names) -> NDArray[np.bool_]:
    return np.array([value is not None for value in values.tolist()], bool)


def _where(mask: NDArray[np.bool_], values: object) -> Names:
    found = np.array(values, object)
    found[~np.asarray(mask, bool)] = None
    return found


def _domains(population: Population, key: Keys, email: Keys) -> Names:
    kind = pick(population.email, unit(mix(email, "kind"))).astype(str)
    rank = zipf(24, unit(mix(key, "provider"))).tolist()
    thrown = zipf(40, unit(mix(key, "thrown"))).tolist()
    names = hex_names(mix(email, "domain"))
    found = np.full(key.size, None, object)
    for row, what in enumerate(kind.tolist()):
        if what == "common":
            found[row] = f"mail{rank[row]:02d}.example"
        elif what == "company":
            found[row] = f"co-{names[row][:8]}.example"
        elif what == "university":
            found[row] = f"uni-{names[row][:6]}.test"
        elif what == "disposable":
            found[row] = f"drop{thrown[row]:02d}.invalid"
    return found
