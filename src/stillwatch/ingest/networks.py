"""What is known of the network an address is in, by longest prefix, from a file the user brings."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from stillwatch.errors import ConfigError
from stillwatch.ingest.containers import Limits, container_of, records
from stillwatch.ingest.reader import Rejected
from stillwatch.ingest.sources import SourceFile

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
KINDS = ("hosting", "residential", "mobile", "education", "business", "proxy", "unknown")
_ALIASES = {
    "datacenter": "hosting",
    "data-centre": "hosting",
    "cloud": "hosting",
    "cloud_or_service": "hosting",
    "isp": "residential",
    "cellular": "mobile",
    "university": "education",
    "corporate": "business",
    "vpn": "proxy",
    "tor": "proxy",
    "open_proxy": "proxy",
}


class Network(NamedTuple):
    """What the file says of a range; None where it says nothing."""

    asn: int | None = None
    kind: str | None = None
    country: str | None = None


def network_kind(value: str) -> str:
    """Bring a word for a network to the contract's words; an unheard-of one is ``unknown``.

    >>> network_kind("VPN"), network_kind("hosting"), network_kind("moonbase")
    ('proxy', 'hosting', 'unknown')
    """
    word = value.strip().lower()
    return word if word in KINDS else _ALIASES.get(word, "unknown")


@dataclass(frozen=True, slots=True)
class Networks:
    """Ranges by version and length, longest first.

    >>> rows = [{"range": "10.0.0.0/8", "asn": 1}, {"range": "10.1.0.0/16", "asn": 2, "kind": "vpn"}]
    >>> networks = build_networks(rows)
    >>> networks.find(ipaddress.ip_address("10.1.2.3")), networks.find(ipaddress.ip_address("10.2.2.3")).asn
    (Network(asn=2, kind='proxy', country=None), 1)
    """

    tables: Mapping[int, tuple[tuple[int, Mapping[int, Network]], ...]]

    def find(self, address: Address) -> Network:
        """Return what the longest range around an address says; nothing when none does."""
        number, bits = int(address), address.max_prefixlen
        for length, ranges in self.tables.get(address.version, ()):
            found = ranges.get(number >> (bits - length))
            if found is not None:
                return found
        return Network()


def build_networks(rows: Iterable[Mapping[str, Any]]) -> Networks:
    """Build the lookup from rows with ``range`` (CIDR) and any of ``asn``, ``kind``, ``country``.

    Raises ValueError naming the value that is no range or number. Of a range given twice the last row counts.
    """
    tables: dict[int, dict[int, dict[int, Network]]] = {4: {}, 6: {}}
    for row in rows:
        found = ipaddress.ip_network(str(row["range"]).strip(), strict=False)
        asn, kind, country = row.get("asn"), row.get("kind"), row.get("country")
        number = int(str(asn).upper().removeprefix("AS")) if asn not in (None, "") else None
        known = Network(number, network_kind(str(kind)) if kind else None, str(country).upper() if country else None)
        ranges = tables[found.version].setdefault(found.prefixlen, {})
        ranges[int(found.network_address) >> (found.max_prefixlen - found.prefixlen)] = known
    return Networks({version: tuple(sorted(t.items(), reverse=True)) for version, t in tables.items()})


def load_networks(path: Path) -> Networks:
    """Read the ranges from CSV, NDJSON, JSON or Parquet.

    Raises :class:`ConfigError` at the line of a row that is none.
    """
    file = SourceFile(path, path.name)

    def rows() -> Iterable[Mapping[str, Any]]:
        for record in records(file, container_of(file), Limits()):
            if isinstance(record, Rejected):
                raise ConfigError(record.reason, path=path, line=record.record.line)
            if not isinstance(record.value, dict) or not record.value.get("range"):
                raise ConfigError("a network needs a range, such as 10.0.0.0/8", path=path, line=record.line)
            last["line"] = record.line
            yield record.value

    last = {"line": 1}
    try:
        return build_networks(rows())
    except ValueError as error:
        raise ConfigError(str(error), path=path, line=last["line"]) from error
