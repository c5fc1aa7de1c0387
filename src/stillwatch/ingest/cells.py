"""From cells as found to values of the contract: types, times, bounds; the one place where a row can be refused.

A value that does not fit a column which a row needs rejects the row with a reason; in any other column the value is
left out, counted and named, so that nothing is lost silently and no odd field hides an exchange. Words for "nothing"
(``null``, ``N/A``, ``-`` …) in number columns and addresses that are none count as absent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from stillwatch.ingest.decode import embedded
from stillwatch.ingest.networks import Network, Networks, network_kind
from stillwatch.ingest.privacy import PREFIX, Key, address, prefix_of, sealed_id
from stillwatch.ingest.reader import Cells, RowError, kind_of
from stillwatch.tables import ACCOUNTS, EXCHANGES, LAUNCHES

Converter = Callable[[Any, Counter[str]], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000
_EARLIEST_US = int(datetime(2015, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_NOTHING = {"", "null", "none", "nan", "n/a", "na", "-", "undefined"}
_TRUE, _FALSE = {"true", "yes", "1", "t", "y"}, {"false", "no", "0", "f", "n"}
_INT64 = 1 << 63
_LONGEST_NUMBER = 10**40
_KEPT_ADDRESSES = 1 << 18


def text(found: object, notes: Counter[str]) -> str | None:
    r"""Return text; numbers and flags are written out, unpaired surrogates become U+FFFD and are counted.

    >>> notes = Counter()
    >>> text("a\ud800", notes), text(7, notes), dict(notes)
    ('a�', '7', {'texts with unpaired surrogates, replaced': 1})
    """
    if type(found) is str and found.isascii():
        return found or None
    if not isinstance(found, str):
        if isinstance(found, bool):
            return "true" if found else "false"
        if not isinstance(found, int | float):
            raise RowError(f"expected text, got {kind_of(found)}")
        if isinstance(found, float) and not math.isfinite(found):
            return None
        if abs(found) >= _LONGEST_NUMBER:
            raise RowError("number out of range")
        return str(found)
    if not found.isascii():
        try:
            found.encode()
        except UnicodeEncodeError:
            notes["texts with unpaired surrogates, replaced"] += 1
            return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return found or None


def integer(found: object, notes: Counter[str]) -> int | None:
    """Return a whole number that fits in 64 bits.

    >>> integer("12", Counter()), integer(3.0, Counter()), integer("N/A", Counter())
    (12, 3, None)
    """
    number = found if type(found) is int else _whole(found, notes)
    if number is not None and not -_INT64 <= number < _INT64:
        raise RowError("number out of range")
    return number


def _whole(found: object, notes: Counter[str]) -> int | None:
    if isinstance(found, str) and len(found) < 20 and found.strip().lstrip("+-").isdecimal():
        return int(found)
    number = decimal(found, notes)
    if number is None:
        return None
    if number != int(number):
        raise RowError(f"expected a whole number, got {found!r}")
    return int(number)


def amount(found: object, notes: Counter[str]) -> int | None:
    """Return a whole number that cannot be negative; -1 stands for unknown in many logs.

    >>> amount(-1, Counter()) is None
    True
    """
    number = integer(found, notes)
    if number is not None and number < -1:
        raise RowError(f"expected no negative number, got {number}")
    return None if number == -1 else number


def decimal(found: object, _: Counter[str]) -> float | None:
    """Return a number; what is not finite is absent.

    >>> decimal("0.5", Counter()), decimal(float("nan"), Counter())
    (0.5, None)
    """
    if isinstance(found, str):
        found = found.strip().lower()
        if found in _NOTHING:
            return None
    elif isinstance(found, bool) or not isinstance(found, int | float):
        raise RowError(f"expected a number, got {kind_of(found)}")
    try:
        number = float(found)
    except ValueError:
        raise RowError(f"expected a number, got {str(found)[:40]!r}") from None
    except OverflowError:
        raise RowError("number out of range") from None
    return number if math.isfinite(number) else None


def flag(found: object, _: Counter[str]) -> bool | None:
    """Return true or false.

    >>> flag("yes", Counter()), flag(0, Counter())
    (True, False)
    """
    if isinstance(found, bool):
        return found
    word = str(found).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    if word in _NOTHING:
        return None
    raise RowError(f"expected true or false, got {str(found)[:40]!r}")


def instant(found: object, _: Counter[str]) -> int | None:
    """Return microseconds since 1970 UTC, from a number (its size tells s, ms, us or ns), ISO 8601 text or a moment.

    Text without a zone is UTC.

    >>> {instant(value, Counter()) for value in ("2026-01-01T00:00:00Z", 1767225600, 1767225600000, 1767225600.0)}
    {1767225600000000}
    """
    if isinstance(found, str):
        word = found.strip()
        if word.lower() in _NOTHING:
            return None
        try:
            found = datetime.fromisoformat(word) if not _is_number(word) else float(word) if "." in word else int(word)
        except ValueError:
            raise RowError(f"no time: {word[:40]!r}") from None
    if isinstance(found, datetime):
        moment = found if found.tzinfo else found.replace(tzinfo=UTC)
        delta = moment - _EPOCH
        return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise RowError(f"expected a time, got {kind_of(found)}")
    if not abs(found) < 1e19:
        raise RowError("expected a time, got a number out of range")
    return _micros(found)


def _is_number(word: str) -> bool:
    """Tell a count of seconds (or finer) from a date such as 20260102, which ISO 8601 writes with eight digits."""
    return word.lstrip("-").replace(".", "", 1).isdigit() and not (word.isdigit() and len(word) == 8)


def _micros(number: float) -> int:
    size = abs(number)
    if size < 1e11:
        return round(number * 1_000_000)
    if size < 1e14:
        return round(number * 1_000)
    if size < 1e17:
        return round(number)
    return int(number) // 1_000


def words(found: object, notes: Counter[str]) -> list[str] | None:
    """Return a list of texts; one text is a list of one, unless it is a JSON list.

    >>> words("text", Counter()), words('["text","image"]', Counter())
    (['text'], ['text', 'image'])
    """
    found = embedded(found)
    if isinstance(found, str):
        return [found]
    if not isinstance(found, list | tuple):
        raise RowError(f"expected a list, got {kind_of(found)}")
    return [word for part in found if part is not None and (word := text(part, notes))] or None


def _numbers(found: object, notes: Counter[str]) -> list[int] | None:
    found = embedded(found)
    if not isinstance(found, list | tuple):
        raise RowError(f"expected a list of numbers, got {kind_of(found)}")
    return [_unsigned(part, notes) or 0 for part in found]


def _below(limit: int, convert: Converter) -> Converter:
    """Refuse numbers that the column's type cannot hold."""

    def bounded(found: object, notes: Counter[str]) -> object:
        value = convert(found, notes)
        for number in value if isinstance(value, list) else [value or 0]:
            if number >= limit:
                raise RowError("number out of range")
        return value

    return bounded


def _unsigned(found: object, notes: Counter[str]) -> int | None:
    if isinstance(found, str) and found.isdecimal() and len(found) <= 20:
        found = int(found)  # CSV writes 64 bits unsigned as text
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 64:
        return found
    number = integer(found, notes)
    if number is not None and number < 0:
        raise RowError(f"expected no negative number, got {number}")
    return number


def _kind(found: object, notes: Counter[str]) -> str | None:
    word = text(found, notes)
    return network_kind(word) if word else None


def _country(found: object, notes: Counter[str]) -> str | None:
    word = text(found, notes)
    return word.strip().upper() or None if word and word.strip().lower() not in _NOTHING else None


def _asn(found: object, notes: Counter[str]) -> int | None:
    return amount(found[2:] if isinstance(found, str) and found[:2].upper() == "AS" else found, notes)


_SPECIAL: Mapping[str, Converter] = {
    "network_kind": _kind,
    "country": _country,
    "billing_country": _country,
    "asn": _asn,
    "capability": _below(1 << 8, _unsigned),
    "cues": _below(1 << 16, _numbers),
    "sketch": _numbers,
    "template_id": _unsigned,
    "status": integer,
}


def converters(schema: pa.Schema) -> dict[str, Converter]:
    """Return the conversion of every column of a schema.

    >>> converters(LAUNCHES)["released_at"] is instant
    True
    """
    return {field.name: _SPECIAL.get(field.name) or _by_type(field.type) for field in schema}


def _by_type(kind: pa.DataType) -> Converter:
    if pa.types.is_timestamp(kind):
        return instant
    if pa.types.is_boolean(kind):
        return flag
    if pa.types.is_list(kind):
        return words
    if pa.types.is_integer(kind):
        return amount
    return decimal if pa.types.is_floating(kind) else text


CONVERT = {"exchanges": converters(EXCHANGES), "accounts": converters(ACCOUNTS), "launches": converters(LAUNCHES)}
REQUIRED = ("account_id", "ts", "model")
STRICT = frozenset((*REQUIRED, "exchange_id", "created_at"))
IDS = ("account_id", "api_key_id", "end_user_id", "session_id")


@dataclass(slots=True)
class Desk:
    """What finishing a row needs; notes of what was mended; ``unread``: what was left out of the row finished last."""

    key: Key
    now_us: int
    networks: Networks | None = None
    notes: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)
    addresses: dict[str, tuple[str, str, Network] | None] = field(default_factory=dict)

    def read(self, column: str, found: object, origin: str, convert: Converter) -> Any:
        """Return the value of a cell, None for one that cannot be read: counted, and added to ``unread``.

        Raises :class:`RowError` when a row cannot do without the column.

        >>> desk = Desk(Key(b"0123456789abcdef"), now_us=0)
        >>> desk.read("max_tokens", True, "max_completion_tokens", amount)
        >>> desk.unread
        ['max_tokens (from max_completion_tokens): expected a number, got true or false']
        """
        try:
            return convert(found, self.notes)
        except RowError as error:
            said = f"{column} (from {origin}): {error}"
            if column in STRICT:
                raise RowError(said) from None
            self.unread.append(said)
            self.notes[f"unreadable {column}, left out"] += 1
            return None

    def place(self, raw: str) -> tuple[str, str, Network] | None:
        """Return hash, prefix and network of a raw address, or None when it is none; remembered, bounded."""
        if raw not in self.addresses:
            if len(self.addresses) >= _KEPT_ADDRESSES:
                self.addresses.clear()
            found = address(raw)
            if found is None:
                self.addresses[raw] = None
            else:
                known = self.networks.find(found) if self.networks else Network()
                self.addresses[raw] = (self.key.hash("ip", str(found)), prefix_of(found), known)
        return self.addresses[raw]


def finish_exchange(cells: Cells, desk: Desk) -> Cells:
    """Return the cells of an exchange as the contract wants them, personal values hashed.

    An optional value that does not fit is left out (:meth:`Desk.read`). Raises :class:`RowError` when a required
    column is missing or does not fit.

    >>> desk = Desk(Key(b"0123456789abcdef"), now_us=1_800_000_000_000_000)
    >>> row = {"account_id": ("a", "x"), "ts": (1767225600, "t"), "model": ("m", "m"), "ip": ("10.1.2.3", "addr")}
    >>> {name: value for name, (value, _) in finish_exchange(row, desk).items() if name != "ip"}
    {'account_id': 'a', 'ts': 1767225600000000, 'model': 'm', 'ip_prefix': '10.1.2.0/24'}
    """
    done: Cells = {}
    desk.unread.clear()
    for column, (found, origin) in cells.items():
        if (value := desk.read(column, found, origin, CONVERT["exchanges"][column])) is not None:
            done[column] = (value, origin)
    for column in REQUIRED:
        if column not in done:
            raise RowError(f"{column} is missing")
    moment, origin = done["ts"]
    if wrong := check_time(moment, desk.now_us):
        raise RowError(f"ts (from {origin}): {wrong}")
    for column in IDS:
        if column in done:
            value, origin = done[column]
            done[column] = (sealed_id(desk.key, str(value)), origin)
    if "ip" in done:
        _place(done, desk)
    return done


def check_time(moment: object, now_us: int) -> str | None:
    """Say what is wrong with a time, in microseconds since 1970, when it cannot be that of an exchange.

    >>> check_time(0, 1_800_000_000_000_000)
    '1970-01-01T00:00:00Z is before 2015, when nobody sold a language model'
    """
    if not isinstance(moment, int):
        return "is missing"
    if moment > now_us + _DAY_US:
        return f"{_shown(moment)} lies in the future"
    if moment < _EARLIEST_US:
        return f"{_shown(moment)} is before 2015, when nobody sold a language model"
    return None


def _shown(moment: int) -> str:
    try:
        return datetime.fromtimestamp(moment / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{moment} microseconds since 1970"


def derived(raw: str, origin: str, desk: Desk) -> tuple[str | None, list[tuple[str, object, str]]]:
    """Return the hash of a raw address, and what follows from it: (column, value, where from); None when it is none.

    >>> derived("no address", "client.address", Desk(Key(b"0123456789abcdef"), now_us=0))
    (None, [])
    """
    found = desk.place(raw)
    if found is None:
        desk.notes["addresses that are none, left out"] += 1
        return None, []
    hashed, prefix, known = found
    facts = (("asn", known.asn), ("network_kind", known.kind), ("country", known.country))
    more = [(column, fact, "networks file") for column, fact in facts if fact is not None]
    return hashed, [("ip_prefix", prefix, f"derived from {origin}"), *more]


def _place(done: Cells, desk: Desk) -> None:
    """Hash the address, after deriving its prefix and what the networks file knows of it."""
    value, origin = done.pop("ip")
    raw = str(value)
    hashed, facts = (raw, []) if raw.startswith(PREFIX) else derived(raw, origin, desk)
    if hashed is not None:
        done["ip"] = (hashed, origin)
    for column, fact, whence in facts:
        done.setdefault(column, (fact, whence))
