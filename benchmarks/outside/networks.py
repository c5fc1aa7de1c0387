"""Where requests come from: homes, mobile carriers, offices, clouds, VPNs and residential proxies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.outside.world import DAY, START, Address, Net, World
from benchmarks.real_world import zipf

CLOUDS = {  # ASN and country: share of hosted traffic
    (16509, "us"): 0.3, (14618, "us"): 0.12, (15169, "us"): 0.1, (396982, "us"): 0.12, (8075, "us"): 0.14,
    (24940, "de"): 0.09, (16276, "fr"): 0.05, (14061, "us"): 0.06, (20473, "us"): 0.03, (45102, "sg"): 0.03,
    (132203, "hk"): 0.02,
}  # fmt: skip


def _carrier(world: World, country: str, *, mobile: bool = False) -> tuple[int, list[str]]:
    """Draw an access network of a country: its ASN and prefixes."""
    key = country, mobile
    if key not in world.carriers:
        world.carriers[key] = [
            (int(world.rng.integers(3000, 64_000)), [world.prefix() for _ in range(60 if mobile else 900)])
            for _ in range(2 if mobile else 4)
        ]
    return world.pick(world.carriers[key], [0.7, 0.3] if mobile else zipf(4, 1.1))


def _seen_as(world: World, kind: str) -> str:
    """Return the kind of network as an address database says it: one in eight is unknown or wrong."""
    return world.weighed({kind: 0.88, "unknown": 0.096, "business": 0.008, "hosting": 0.008, "residential": 0.008})


def host(world: World, prefix: str, low: int = 1, high: int = 254) -> str:
    """Draw an address of a /24."""
    return f"{prefix}.{world.rng.integers(low, high)}"


def fixed(world: World, ips: Sequence[str], asn: int, kind: str, country: str) -> Net:
    """Return a network that takes any of its addresses each time."""
    return lambda at: Address(world.pick(ips), asn, kind, country)


def block(world: World, prefixes: Sequence[str], asn: int, kind: str, country: str) -> Net:
    """Return a network that takes any address of its /24s each time."""
    return lambda at: Address(host(world, world.pick(prefixes)), asn, kind, country)


def home(world: World, country: str, change: float = 0.12) -> Net:
    """Return a home connection: one address, another one after some nights."""
    asn, prefixes = _carrier(world, country)
    kind, first, by_day = _seen_as(world, "residential"), host(world, world.pick(prefixes)), dict[int, str]()

    def net(at: float) -> Address:
        day = int((at - START) // DAY)
        if day not in by_day:
            moved = world.chance(change)
            by_day[day] = host(world, world.pick(prefixes)) if moved else by_day.get(day - 1, first)
        return Address(by_day[day], asn, kind, country)

    return net


def mobile(world: World, country: str) -> Net:
    """Return a mobile connection: few addresses that very many people share."""
    asn, prefixes = _carrier(world, country, mobile=True)
    return lambda at: Address(host(world, world.pick(prefixes), 1, 20), asn, "mobile", country)


def mixed(world: World, first: Net, second: Net, share: float = 0.5) -> Net:
    """Return a network that is ``first`` for a share of the 90-minute stretches, else ``second``."""
    salt, stretches = int(world.rng.integers(1 << 30)), dict[int, bool]()

    def net(at: float) -> Address:
        stretch = int(at // 5400)
        if stretch not in stretches:
            stretches[stretch] = bool(np.random.default_rng([salt, stretch]).random() < share)
        return (first if stretches[stretch] else second)(at)

    return net


def personal(world: World, country: str) -> Net:
    """Return how a person comes in: home, home and mobile, a VPN, or home and a server."""
    own = home(world, country)
    way = world.weighed({"home": 0.5, "mobile": 0.3, "vpn": 0.08, "server": 0.12})
    if way == "home":
        return own
    if way == "vpn":
        return vpn(world)
    return mixed(world, own, mobile(world, country), 0.8) if way == "mobile" else mixed(world, own, cloud(world))


def cloud(world: World, size: int = 1) -> Net:
    """Return servers in a cloud, with so many addresses of unlike prefixes."""
    asn, country = world.weighed(CLOUDS)
    return fixed(world, [host(world, world.prefix()) for _ in range(size)], asn, _seen_as(world, "hosting"), country)


def ephemeral(world: World) -> Net:
    """Return the shared build machines of a public code host."""
    return fixed(world, world.runners, 8075, "hosting", "us")


def vpn(world: World) -> Net:
    """Return a commercial VPN: few exits that strangers share, another one every four hours."""
    place = int(world.rng.choice(len(world.vpn_exits), p=zipf(len(world.vpn_exits), 1.1)))
    prefix, asn = world.vpn_exits[place]
    exits = [f"{prefix}.{n}" for n in world.rng.integers(2, 40, 3)]
    kind, country = "proxy" if place % 3 else "hosting", "us" if place % 2 else "nl"
    return lambda at: Address(exits[int(at // 14_400) % 3], asn, kind, country)


def shared(world: World, country: str, kind: str = "business", size: int = 1) -> Net:
    """Return an office's or a campus's way out: everybody has the same few addresses."""
    own = kind != "business" or world.chance(0.4)
    asn = int(world.rng.integers(3000, 64_000)) if own else _carrier(world, country)[0]
    prefix = world.prefix()
    ips = [host(world, prefix) for _ in range(size)]
    return lambda at: Address(ips[int(at // 3600) % size], asn, kind, country)


def residential_proxies(world: World, sticky: float = 1800) -> Net:
    """Return bought residential exits: another home in another country every half hour."""
    places: dict[int, Address] = {}

    def net(at: float) -> Address:
        turn = int(at // sticky)
        if turn not in places:
            country = world.pick(("us", "gb", "de", "jp", "br", "in"))
            asn, prefixes = _carrier(world, country)
            kind = "proxy" if world.chance(0.15) else "residential"
            places[turn] = Address(host(world, world.pick(prefixes)), asn, kind, country)
        return places[turn]

    return net
