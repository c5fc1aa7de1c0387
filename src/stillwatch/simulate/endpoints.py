"""Where accounts connect from: networks, addresses and clients of up to four endpoints an account, or two dozen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.simulate.chance import Ints, Keys, mix, pick, pick_index, unit
from stillwatch.simulate.networks import KINDS, addresses, clients, dotted, places
from stillwatch.simulate.sharing import shared_key
from stillwatch.simulate.spec import Population

Names = NDArray[np.object_]
_FEW, _MANY = 4, 24  # rows kept for an account; a key that a team or a fleet shares is seen in many places


@dataclass(frozen=True)
class Endpoints:
    """Where accounts connect from: ``each`` rows an account, how many it uses, the key of its program's settings."""

    columns: dict[str, pa.Array]
    count: Ints
    habit: Keys
    each: int = _FEW


def connect(
    population: Population, key: Keys, group: Keys, member: Ints, more: tuple[Ints, NDArray[np.bool_], Keys]
) -> Endpoints:
    """Return the endpoints of accounts; the first two are on the shared network when there is one.

    ``more``: country numbers, which accounts stand behind another population's reseller, and the key of the crowd.

    >>> keys, none = mix(np.arange(3)), np.zeros(3, np.int64)
    >>> found = connect(Population("p", "", ""), keys, keys, none, (none, none > 0, keys))
    >>> len(found.columns["ip"]), bool((found.count <= 4).all())
    (12, True)
    """
    each = _FEW if population.endpoints <= _FEW else _MANY
    which, owner = np.tile(np.arange(each), key.size), np.repeat(np.arange(key.size), each)
    columns = _places(population, key, group, member, (*more[:2], which))
    shared, together = shared_key(population, "client", key, more[2] if population.campaign else group, member)
    client = np.where(together[owner], shared[owner], mix(key[owner], which // 2, "client"))
    made = pick(population.client, unit(mix(client, "made")))
    surface = np.where(made == "sdk", pick(population.surface, unit(mix(key, "surface")))[owner], "web")
    agents, hello, order = clients(made, client, population.own_client)
    columns |= {"user_agent": agents, "surface": surface, "tls_fingerprint": hello, "client_fingerprint": order}
    _forget(columns, mix(key[owner], which, "net"))
    spare = np.floor(-np.log(1 - unit(mix(key, "points"))) * max(0.0, population.endpoints - 1) + 0.3)
    kept = {name: _packed(name, values) for name, values in columns.items()}
    return Endpoints(kept, np.minimum(1 + spare.astype(np.int64), each), client[::each], each)


def _packed(name: str, values: Names) -> pa.Array:
    """Return a column as Arrow keeps it: numbers, or codes of texts of which each is kept once."""
    if name == "asn":
        return pa.array(values.tolist(), pa.int64())
    return pa.array(values.tolist(), pa.string()).dictionary_encode()


def _places(
    population: Population, key: Keys, group: Keys, member: Ints, more: tuple[Ints, NDArray[np.bool_], Ints]
) -> dict[str, Names]:
    country, behind, which = more
    owner = np.repeat(np.arange(key.size), which.size // max(1, key.size))
    net, inside = shared_key(population, "network", key, group, member, behind)
    own = mix(key[owner], which, "net")
    if population.campaign:
        home = unit(mix(key, "home")) < population.campaign.residential
        inside = inside & ~home
        kind = np.where(home[owner], KINDS.index("residential"), KINDS.index("hosting"))
    else:
        kind = _numbers(
            pick(population.network, unit(mix(np.where(inside[owner], own, mix(key[owner], which // 2)), "kind")))
        )
    common = inside[owner] & ((which < 2) | (unit(mix(own, "out")) < 0.4))
    nets = np.where(common, net[owner], own)
    kind = np.where(common, KINDS.index(next(iter(population.network))), kind)
    host = np.where(common, nets if population.one_address else mix(key[owner] % np.uint64(6), nets), own)
    travels = (which > 0) & (unit(mix(key, "travels")) < population.travel)[owner]
    abroad = travels | (kind >= KINDS.index("proxy")) | (common & (not population.one_country))
    place = np.where(abroad, pick_index(places().weight, unit(mix(nets, "place"))), country[owner])
    asn, ip = addresses(kind, place, nets, host)
    ips = np.array(dotted(ip), object)
    return {
        "ip": ips,
        "ip_prefix": np.array([f"{text.rsplit('.', 1)[0]}.0/24" for text in ips], object),
        "asn": asn.astype(object),
        "network_kind": np.array(KINDS, object)[kind],
        "country": places().code[place],
    }


def _numbers(names: Names) -> Ints:
    return np.array([KINDS.index(name) for name in names.tolist()], np.int64)


def _forget(columns: dict[str, Names], keys: Keys) -> None:
    """Blank what a provider would not know: clouds and aggregators hide clients, some networks have no class."""
    hidden = np.array([":" in text for text in columns["surface"].tolist()])
    for name in ("user_agent", "tls_fingerprint", "client_fingerprint"):
        columns[name][hidden] = None
    cloud = np.array([text.startswith("cloud:") for text in columns["surface"].tolist()])
    for name in ("ip", "ip_prefix", "asn", "network_kind", "country"):
        columns[name][cloud] = None
    columns["network_kind"][(unit(mix(keys, "unclassified")) < 0.06) & ~cloud] = "unknown"
    columns["tls_fingerprint"][unit(mix(keys, "untapped")) < 0.05] = None
