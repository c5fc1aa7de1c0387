"""The invented internet: autonomous systems, addresses from ranges that belong to nobody, and clients.

Consumer lines live in 10.0.0.0/8, carriers' shared addresses in 100.64.0.0/10, offices and campuses in 172.16.0.0/12,
privacy exits in 192.168.0.0/16, data centres in 198.18.0.0/15. System numbers are from the private range.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from stillwatch.simulate.chance import Ints, Keys, mix, named, unit, zipf

KINDS = ("residential", "mobile", "business", "education", "proxy", "hosting")
_BASE = np.array(
    [
        10 << 24,
        (100 << 24) + (64 << 16),
        (172 << 24) + (16 << 16),
        (172 << 24) + (28 << 16),
        192 << 24 | 168 << 16,
        (198 << 24) + (18 << 16),
    ]
)
_SYSTEMS = np.array([5, 2, 6, 3, 1, 1])  # autonomous systems of each kind in a country (hosting, proxy: worldwide)
_WORLDWIDE = {4: 6, 5: 24}
_BLOCKS = np.array([480, 300, 24, 12, 42, 21])  # /24s of each autonomous system
_FIRST_ASN = 4_200_000_000


@dataclass(frozen=True)
class Places:
    """Countries in order: code, weight, hours from UTC, language, the share that writes in it, and the native one."""

    code: NDArray[np.object_]
    weight: NDArray[np.float64]
    offset_h: NDArray[np.float64]
    language: NDArray[np.object_]
    local: NDArray[np.float64]
    native: NDArray[np.object_]


@cache
def places() -> Places:
    """Return the countries.

    >>> "DE" in places().code
    True
    """
    rows = tomllib.loads(resources.files("stillwatch.simulate").joinpath("places.toml").read_text("utf-8"))["country"]
    weight, offset, language, local, native = zip(*[[*row, row[2]][:5] for row in rows.values()], strict=True)
    return Places(
        np.array(list(rows), object),
        np.array(weight, float),
        np.array(offset, float),
        np.array(language, object),
        np.array(local, float),
        np.array(native, object),
    )


def addresses(kind: Ints, country: Ints, net: Keys, host: Keys) -> tuple[Ints, Ints]:
    """Return (system number, IPv4 as a number) for kinds and countries; equal ``net`` keys share a /24.

    >>> asn, ip = addresses(np.array([0]), np.array([0]), np.array([7], np.uint64), np.array([9], np.uint64))
    >>> int(ip[0]) >> 24
    10
    """
    systems = _SYSTEMS[kind]
    rank = zipf_by(systems, unit(mix(net, "system")))
    local = country * systems + rank
    for where, count in _WORLDWIDE.items():
        local = np.where(kind == where, zipf_by(np.full(kind.size, count), unit(mix(net, "system"))), local)
    span = np.where(
        kind == 5,
        512,
        np.where(
            kind == 4, 256, np.where(kind == 3, 1024, np.where(kind == 2, 3072, np.where(kind == 1, 16384, 65536)))
        ),
    )
    block = unit(mix(net, "block"))
    block = np.where((kind == 1) | (kind == 4), np.square(block), block)  # carriers and privacy exits crowd a few
    subnet = (local * _BLOCKS[kind] + (block * _BLOCKS[kind]).astype(np.int64)) % span
    return _FIRST_ASN + kind * 1000 + local, _BASE[kind] + subnet * 256 + 1 + (
        mix(host, "host") % np.uint64(254)
    ).astype(np.int64)


def zipf_by(counts: Ints, draws: NDArray[np.float64]) -> Ints:
    """Return a rank below each count, low ranks more often.

    >>> zipf_by(np.array([1, 5]), np.array([0.9, 0.0])).tolist()
    [0, 0]
    """
    return np.asarray(np.minimum(np.exp(draws * np.log(counts + 1.0)).astype(np.int64) - 1, counts - 1))


def dotted(numbers: Ints) -> list[str]:
    """Return IPv4 addresses as text.

    >>> dotted(np.array([(10 << 24) + 258]))
    ['10.0.1.2']
    """
    return [f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in numbers.tolist()]


_RUNTIMES = (
    "python-httpx/0.2{} llm-sdk-python/1.{}",
    "llm-sdk-node/4.{} undici/{}",
    "python-requests/2.3{} {}",
    "okhttp/4.{} llm-sdk-java/0.{}",
    "Go-http-client/{}.1 llm-go/0.{}",
    "axios/1.{} node/{}",
    "aiohttp/3.{} llm-sdk-python/1.{}",
    "curl/8.{}.{}",
    "llm-sdk-rust/0.{}.{}",
    "langbridge/0.{} python/3.{}",
)
_OWN = {
    "pathfinder": "pathfinder-cli/1.{} node/2{}",
    "rowboat": "rowboat/0.{} python/3.1{}",
    "harbour": "harbour-web/2.{}.{}",
    "benchrun": "benchrun/0.{} python/3.1{}",
}
_OF_ITS_OWN, _APP, _BROWSER = 20, 30, 40  # numbers of programs that are no runtime
_SYSTEMS_UA = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Windows NT 11.0; Win64; x64",
    "iPhone; CPU iPhone OS 19_{} like Mac OS X",
    "Linux; Android 1{}; K",
)


def clients(kind: NDArray[np.object_], key: Keys, own: str) -> tuple[NDArray[np.object_], ...]:
    """Return (user agent, JA4, header-order fingerprint) of clients; equal keys are one client.

    Popular versions are shared by many; the fingerprint also depends on how a client was built (eight variants of
    most, a rare one for one in ten).

    >>> one, two = clients(np.array(["sdk", "sdk"], object), np.array([3, 3], np.uint64), "")[0]
    >>> one == two
    True
    """
    family = zipf(len(_RUNTIMES), unit(mix(key, "family")))
    major, minor = zipf(9, unit(mix(key, "major"))), zipf(7, unit(mix(key, "minor")))
    common = zipf(8, unit(mix(key, "build"))).astype(np.uint64)
    build = np.where(mix(key, "rare") % np.uint64(10) == 0, mix(key, "build") % np.uint64(4096), common)
    program = np.where(kind == "app", _APP, _BROWSER + family % 4)
    program = np.where(kind == "sdk", _OF_ITS_OWN + sorted(_OWN).index(own) if own else family, program)
    order = named("h", mix(program, major // 2, build) << np.uint64(24), 10)
    _, first, which = np.unique((program * 9 + major) * 7 + minor, return_index=True, return_inverse=True)
    made = list(zip(program[first].tolist(), major[first].tolist(), minor[first].tolist(), strict=True))
    agents = np.array([_agent(*parts) for parts in made], object)
    hello = np.array([_ja4(number, version // 3) for number, version, _ in made], object)
    return agents[which], hello[which], order.to_numpy(zero_copy_only=False)


def _agent(program: int, major: int, minor: int) -> str:
    if program >= _BROWSER:
        system = _SYSTEMS_UA[program % 4]
        return f"Mozilla/5.0 ({system}) AppleWebKit/537.36 Chrome/{141 - major}.0.0.0 Safari/537.36"
    if program >= _APP:
        return f"LLMChat/5.{9 - major} ({_SYSTEMS_UA[4 + minor % 2].format(minor)})"
    if program >= _OF_ITS_OWN:
        return _OWN[sorted(_OWN)[program - _OF_ITS_OWN]].format(9 - major, 3 - minor % 4)
    return _RUNTIMES[program].format(9 - major, 12 - minor)


@cache
def _ja4(family: int, version: int) -> str:
    word = f"{int(mix(family, version, 'ja4')):016x}{int(mix(family, version, 'ja4b')):016x}"
    return f"t13d{10 + family % 9:02d}{8 + version:02d}h{1 + family % 2}_{word[:12]}_{word[12:24]}"
