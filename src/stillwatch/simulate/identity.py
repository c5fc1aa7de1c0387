"""Who the accounts are: every attribute is a function of a key, and to share an attribute is to share its key."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.simulate.chance import Ints, Keys, hex_names, mix, pick, pick_index, unit, zipf
from stillwatch.simulate.networks import KINDS, addresses, clients, dotted, places
from stillwatch.simulate.spec import Population, Sharing

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
    """Accounts of one population: keys (account, group), member number in the group, country, times and texts."""

    population: Population
    key: Keys
    group: Keys
    member: Ints
    country: Ints
    created: Ints
    closed: Ints
    active_from: Ints
    active_to: Ints
    language: Names
    columns: dict[str, Names]
    endpoints: Endpoints

    @property
    def size(self) -> int:
        """Return the number of accounts."""
        return int(self.key.size)


@dataclass(frozen=True)
class Endpoints:
    """Where accounts connect from: four rows an account, how many of them it uses, and the key of its program's settings."""

    columns: dict[str, Names]
    count: Ints
    habit: Keys


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
    key = mix(seed, population.name, np.arange(original.size), "account")
    group = mix(seed, population.name, number, "group")
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
    local = unit(mix(key, "language")) < places().local[country]
    language = np.where(local & (population.language == "local"), places().language[country], "en")
    columns = _columns(population, key, group, member, country, behind)
    start, end = _active(population, created, closed, span)
    points = _endpoints(population, key, group, member, country, behind)
    return People(population, key, group, member, country, created, closed, start, end, language, columns, points)


def _groups(population: Population, count: int, seed: int) -> tuple[Ints, Ints]:
    low, high = population.group
    draws = unit(mix(seed, population.name, np.arange(count), "size"))
    sizes = np.round(low * (high / low) ** draws).astype(np.int64)
    ends = np.cumsum(sizes)
    sizes = sizes[: int(np.searchsorted(ends, count)) + 1]
    number = np.repeat(np.arange(sizes.size), sizes)[:count]
    member = (np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes))[:count]
    return number, member


def _sharing(population: Population, what: str) -> Sharing:
    c = population.campaign
    if c is None:
        return population.shared.get(what, Sharing())
    known = {
        "payment": Sharing(c.payment_share, c.accounts_per_payment), "network": Sharing(c.subnet_share, c.subnet_size),
        "signup": Sharing(c.signup_share, c.signup_size), "client": Sharing(1 - c.own_client, 0),
        "device": Sharing(c.device_share, 5), "phone": Sharing(c.device_share, 3),
    }  # fmt: skip
    return population.shared.get(what, known.get(what, Sharing()))


def _shared_key(
    population: Population, what: str, key: Keys, group: Keys, member: Ints, behind: NDArray[np.bool_] | None = None
) -> tuple[Keys, NDArray[np.bool_]]:
    """Return the key each account draws an attribute from, and whether it shares it."""
    sharing = _sharing(population, what)
    inside = unit(mix(key, what, "shares")) < sharing.share
    cluster = member // max(1, round(sharing.size)) if sharing.size else np.zeros_like(member)
    if behind is not None:
        cluster = np.where(behind, 0, cluster)
    return np.where(inside, mix(group, cluster, what), mix(key, what)), inside


def _signups(population: Population, key: Keys, group: Keys, member: Ints, span: Span) -> Ints:
    days = (span.end - span.start) / DAY_US
    alone = unit(mix(key, "signup"))
    shared, inside = _shared_key(population, "signup", key, group, member)
    moment = unit(mix(shared, "moment"))
    if population.campaign:
        own = alone * 60 - 58
        center = moment * 45 - 43
        day = np.where(inside, center + alone * population.campaign.signup_days, own)
    elif population.signup == "event":
        day = 1 + unit(mix(group, "event")) * (days - 4) + alone * population.signup_days * 0.4
    elif population.signup == "burst":
        reach = 14 if population.name == "class" else 300
        center = unit(mix(group, "moment")) * reach - reach + 3
        day = np.where(inside, center + alone * population.signup_days, -alone * 400 + 4)
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


def _active(population: Population, created: Ints, closed: Ints, span: Span) -> tuple[Ints, Ints]:
    start = np.maximum(created + 5 * 60_000_000, span.start)
    end = np.where(closed >= 0, closed, span.end)
    if population.signup == "event":
        end = np.minimum(end, created + round(population.signup_days * 1.6 * DAY_US))
    return start, end


def _columns(
    population: Population, key: Keys, group: Keys, member: Ints, country: Ints, behind: NDArray[np.bool_]
) -> dict[str, Names]:
    payment, _ = _shared_key(population, "payment", key, group, member, behind)
    email, _ = _shared_key(population, "email", key, group, member)
    device, _ = _shared_key(population, "device", key, group, member)
    phone, _ = _shared_key(population, "phone", key, group, member)
    verification = pick(population.verification, unit(mix(key, "verification")))
    kind = pick(population.payment, unit(mix(payment, "kind")))
    paid = kind != None  # noqa: E711 - elementwise
    card = np.isin(kind.astype(str), ["card", "virtual_card", "prepaid"])
    billing = np.where(
        unit(mix(payment, "abroad")) < 0.94, country, pick_index(places().weight, unit(mix(payment, "billing")))
    )
    plan = pick(population.plan, unit(mix(key, "plan")))
    domain = _domains(population, key, email)
    declared = unit(mix(group, "declared")) < population.declared
    reseller = np.array([f"reseller-{name[:8]}" for name in hex_names(mix(group, "reseller"))], object)
    return {
        "account_id": np.array([f"acct_{name}" for name in hex_names(mix(key, "id"))], object),
        "org_id": _where(declared, [f"org_{name[:12]}" for name in hex_names(mix(group, "org"))]),
        "plan": plan,
        "programme": np.where(
            pick(population.programme, unit(mix(key, "programme"))) == None,
            "none",
            pick(population.programme, unit(mix(key, "programme"))),
        ),
        "reseller_id": reseller if population.reseller else np.full(key.size, None, object),
        "verification": np.where(verification == None, "none", verification),  # noqa: E711
        "email_domain": domain,
        "email": _where(
            domain != None, [f"{name}@{where}" for name, where in zip(hex_names(mix(key, "mail")), domain, strict=True)]
        ),
        "phone": _where(verification == "phone", [f"+999{name[:10]}" for name in hex_names(mix(phone, "phone"))]),
        "payment": _where(paid, [f"pay_{name}" for name in hex_names(mix(payment, "instrument"))]),
        "payment_bin": _where(
            card,
            [
                f"9{100 + 30 * v + z:05d}"
                for v, z in zip(
                    (kind != "card").astype(int).tolist(), zipf(30, unit(mix(payment, "bin"))).tolist(), strict=True
                )
            ],
        ),
        "payment_kind": np.where(paid, kind, "none"),
        "billing_country": _where(paid, places().code[billing]),
        "device": _where(unit(mix(key, "seen")) < 0.8, [f"dev_{name}" for name in hex_names(mix(device, "device"))]),
        "referral": _where(
            unit(mix(key, "referred")) < population.referral,
            [f"ref-{name[:6]}" for name in hex_names(mix(group, "code"))],
        ),
    }


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


def _endpoints(
    population: Population, key: Keys, group: Keys, member: Ints, country: Ints, behind: NDArray[np.bool_]
) -> Endpoints:
    """Return four endpoints an account: the first two from the shared network when there is one."""
    net, inside = _shared_key(population, "network", key, group, member, behind)
    client, together = _shared_key(
        population, "client", key, np.full_like(group, mix(population.name)) if population.campaign else group, member
    )
    weights = dict(population.network)
    if population.campaign:
        weights = {"hosting": 1 - population.campaign.residential, "residential": population.campaign.residential}
        inside = inside & (unit(mix(key, "home")) >= population.campaign.residential)
    which = np.tile(np.arange(4), key.size)
    owner = np.repeat(np.arange(key.size), 4)
    own = mix(key[owner], which, "net")
    common = inside[owner] & ((which < 2) | (unit(mix(own, "out")) < 0.4))
    nets = np.where(common, net[owner], own)
    kind = _kind_numbers(pick(weights, unit(mix(np.where(inside[owner], own, mix(key[owner], which // 2)), "kind"))))
    kind = np.where(common, KINDS.index(next(iter(weights))), kind)
    host = nets if population.one_address else np.where(common, mix(key[owner] % np.uint64(6), nets), own)
    asn, ip = addresses(kind, country[owner], nets, np.where(common, host, own))
    ckey = np.where(together[owner], client[owner], mix(key[owner], which // 2, "client"))
    made = pick(population.client, unit(mix(ckey, "made")))
    agents, hello, order = clients(made, ckey, population.own_client)
    surface = np.where(made == "sdk", pick(population.surface, unit(mix(key, "surface")))[owner], "web")
    ips = np.array(dotted(ip), object)
    columns: dict[str, Names] = {
        "ip": ips, "ip_prefix": np.array([f"{text.rsplit('.', 1)[0]}.0/24" for text in ips], object), "asn": asn.astype(object),
        "network_kind": np.array(KINDS, object)[kind], "country": places().code[country[owner]], "user_agent": np.array(agents, object),
        "tls_fingerprint": np.array(hello, object), "client_fingerprint": np.array(order, object), "surface": surface,
    }  # fmt: skip
    _forget(columns, own)
    count = np.minimum(
        1
        + np.random.default_rng(int(mix(key, "points")[0]) if key.size else 0).poisson(
            max(0.0, population.endpoints - 1), key.size
        ),
        4,
    )
    return Endpoints(columns, count, ckey[::4])


def _kind_numbers(names: Names) -> Ints:
    return np.array([KINDS.index(name) for name in names.tolist()], np.int64)


def _forget(columns: dict[str, Names], keys: Keys) -> None:
    """Blank what a provider would not know: clouds and aggregators hide the client, some networks are not classified."""
    hidden = np.array([":" in text for text in columns["surface"].tolist()])
    for name in ("user_agent", "tls_fingerprint", "client_fingerprint"):
        columns[name][hidden] = None
    cloud = np.array([text.startswith("cloud:") for text in columns["surface"].tolist()])
    for name in ("ip", "ip_prefix", "asn", "network_kind", "country"):
        columns[name][cloud] = None
    columns["network_kind"][(unit(mix(keys, "unclassified")) < 0.06) & ~cloud] = "unknown"
    columns["tls_fingerprint"][unit(mix(keys, "untapped")) < 0.05] = None
