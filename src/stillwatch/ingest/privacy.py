"""Keyed hashing of personal values before anything is written: ``hmac-sha256:KEYID:HEX``.

The same value under the same key gives the same hash, in every file and run, so accounts still join; without the
key nobody can try addresses one after another. The key id is no secret; the key is never printed.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stillwatch.errors import ConfigError

PREFIX = "hmac-sha256:"
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_SECRET = re.compile(r"(?:sk|pk|rk|key|Bearer)[-_ ][A-Za-z0-9_\-.]{16,}", re.IGNORECASE)
_PORT = re.compile(r"^(\d+\.\d+\.\d+\.\d+):\d+$|^\[([^\]]+)\](?::\d+)?$")
_SHORTEST = 16
_SCRUBBED = re.compile(
    rb"(?P<email>[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+\.[A-Za-z]{2,})"
    rb"|(?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?:[0-9A-Fa-f]{1,4}:){3,7}[0-9A-Fa-f:]*)"
    rb"|(?P<secret>(?:\bsk|\bBearer)[-_ ][A-Za-z0-9_\-.]{16,})"
    rb"|(?P<digits>\+?\d(?:[ \-]?\d){9,18})(?![\d.])"
)


@dataclass(frozen=True, slots=True)
class Key:
    """A secret key, its public id, and where it came from (for the report).

    >>> key = Key(b"0123456789abcdef")
    >>> key.hash("email", "a@b.example") == key.hash("email", "a@b.example") != key.hash("phone", "a@b.example")
    True
    >>> key.hash("ip", key.hash("ip", "10.0.0.1")) == key.hash("ip", "10.0.0.1")
    True
    >>> "0123" in repr(key)
    False
    """

    secret: bytes
    origin: str = "given"

    def __repr__(self) -> str:
        return f"Key(id={self.id}, origin={self.origin})"

    @property
    def id(self) -> str:
        """Return the public id: eight hex digits that tell keys apart."""
        return hashlib.sha256(b"stillwatch key id\x00" + self.secret).hexdigest()[:8]

    def hash(self, kind: str, value: str) -> str:
        """Hash a value of a kind (ip, email, phone, payment, device, key); what is hashed already stays."""
        if value.startswith(PREFIX):
            return value
        message = f"{kind}\x00{value}".encode("utf-8", "surrogatepass")
        return f"{PREFIX}{self.id}:{hmac.digest(self.secret, message, 'sha256').hex()}"


def find_key(key_file: Path | None, environment: Mapping[str, str], *, make: bool = True) -> Key:
    """Return the key: from the file named, else ``STILLWATCH_KEY``, else the user's key file, made on first use.

    The user's file is ``$XDG_CONFIG_HOME/stillwatch/key`` (``~/.config`` by default), readable by its owner only.
    With ``make`` false (a dry run) a missing key file is not made: a key for this run alone stands in.

    Raises :class:`ConfigError` for a missing file that was named, or a key under 16 bytes.
    """
    if key_file is not None:
        return _checked(_read(key_file), str(key_file))
    if environment.get("STILLWATCH_KEY"):
        return _checked(environment["STILLWATCH_KEY"].encode(), "STILLWATCH_KEY")
    home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".config")
    path = Path(home, "stillwatch", "key")
    if not path.exists():
        if not make:
            return Key(secrets.token_bytes(32), "this run only")
        _write_new(path)
    return _checked(_read(path), str(path))


def _write_new(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return  # another run was first
    except OSError as error:
        raise ConfigError(f"the key cannot be kept: {error.strerror}; name one with --key-file", path=path) from error
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32) + "\n")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"the key cannot be read: {error.strerror}", path=path) from error


def _checked(secret: bytes, origin: str) -> Key:
    if len(secret) < _SHORTEST:
        raise ConfigError(f"the key is shorter than {_SHORTEST} bytes", path=origin)
    return Key(secret, origin)


def address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read a client address as logs write it: with port, in brackets, mapped, or first of a forwarded list.

    >>> address("10.1.2.3:443"), address("::ffff:10.1.2.3"), address("10.1.2.3, 10.9.9.9"), address("unknown")
    (IPv4Address('10.1.2.3'), IPv4Address('10.1.2.3'), IPv4Address('10.1.2.3'), None)
    """
    text = value.split(",", 1)[0].strip()
    if match := _PORT.match(text):
        text = match[1] or match[2]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def prefix_of(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return the /24 (IPv4) or /48 (IPv6) that an address is in.

    >>> prefix_of(ipaddress.ip_address("10.1.2.3")), prefix_of(ipaddress.ip_address("2001:db8:1:2::3"))
    ('10.1.2.0/24', '2001:db8:1::/48')
    """
    if isinstance(found, ipaddress.IPv4Address):
        return str(found).rpartition(".")[0] + ".0/24"
    return f"{ipaddress.IPv6Address(int(found) >> 80 << 80)}/48"


def email(value: str) -> str:
    """Bring an address to the form that is hashed.

    >>> email(" Ann@B.Example ")
    'ann@b.example'
    """
    return value.strip().lower()


def digits(value: str) -> str:
    """Bring a phone or card number to the form that is hashed: digits and a leading plus.

    >>> digits("+44 (0)20 7946"), digits("4111-1111 11")
    ('+440207946', '4111111111')
    """
    found = re.sub(r"\D", "", value)
    return f"+{found}" if value.strip().startswith("+") else found


def is_card(number: str) -> bool:
    """Say whether digits can be a card number: 13 to 19 of them whose check digit (Luhn) is right.

    >>> is_card("4111111111111111"), is_card("4111111111111112")
    (True, False)
    """
    if not (number.isdigit() and 13 <= len(number) <= 19):
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in number[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in number[-1::-2])) % 10 == 0


def sealed_id(key: Key, value: str) -> str:
    """Hash an identifier that is really an e-mail address or a secret key; leave any other as it is.

    >>> key = Key(b"0123456789abcdef")
    >>> sealed_id(key, "team-7"), sealed_id(key, "ann@b.example").startswith("hmac-sha256:")
    ('team-7', True)
    """
    if "@" in value and _EMAIL.fullmatch(value.strip()):
        return key.hash("email", email(value))
    if len(value) > 18 and _SECRET.fullmatch(value):
        return key.hash("key", value)
    return value


def is_sealed(value: str) -> bool:
    """Say whether the logs hold an identifier under a keyed hash instead of as it is.

    >>> is_sealed("team-7"), is_sealed("ann@b.example")
    (False, True)
    """
    return sealed_id(Key(b"only to see whether it seals"), value) != value


def sealed_ids(names: Iterable[str], key_file: Path | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Return identifiers as the logs hold them, by the name that they were given; the key is looked for when needed.

    Raises :class:`ConfigError` when a name needs the key and there is none.

    >>> sealed_ids(["team-7"], None, {})
    {'team-7': 'team-7'}
    """
    given = list(names)
    if not any(map(is_sealed, given)):
        return {name: name for name in given}
    key = find_key(key_file, environment, make=False)
    if key.origin == "this run only":
        raise ConfigError("e-mail addresses and keys as ids are stored under a keyed hash: name the --key-file")
    return {name: sealed_id(key, name) for name in given}


def scrub(key: Key, raw: bytes) -> bytes:
    """Replace addresses, e-mails, keys, phone and card numbers in the raw bytes of a reject by their keyed hashes.

    >>> scrub(Key(b"0123456789abcdef"), b'{"ip": "10.1.2.3"}')[:20]
    b'{"ip": "hmac-sha256:'
    """

    def replace(match: re.Match[bytes]) -> bytes:
        kind = match.lastgroup or "digits"
        text = match[0].decode("ascii", "replace")
        if kind == "digits" and not (text.startswith("+") or is_card(digits(text))):
            return match[0]
        shaped = {"email": email, "digits": digits}.get(kind, str)(text)
        return key.hash({"digits": "number", "secret": "key"}.get(kind, kind), shaped).encode()

    return _SCRUBBED.sub(replace, raw)
