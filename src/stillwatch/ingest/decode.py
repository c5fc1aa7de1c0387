"""JSON in and out, tolerant where logs are sloppy: lone surrogates, NaN and Infinity are read, not refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_sorted = msgspec.json.Encoder(order="sorted")
_plain = msgspec.json.Encoder()


class NotJson(Exception):  # noqa: N818 - named after what was found
    """The text is no JSON; ``column`` (from 1, in characters) is where it stops being."""

    def __init__(self, reason: str, column: int | None = None) -> None:
        """Keep the place apart from the reason."""
        self.reason, self.column = reason, column
        super().__init__(reason)


def decode(data: bytes | str) -> Any:
    """Decode one JSON value.

    The fast decoder refuses lone surrogates and non-numbers; those texts are read again by the tolerant one, and
    the surrogates stay in the strings (:func:`stillwatch.ingest.cells.text` replaces and counts them).

    Raises :class:`NotJson` with the column where the text breaks.

    >>> decode(b'{"a": 1}'), decode('[NaN]')
    ({'a': 1}, [nan])
    >>> decode(b'{"a" 1}')
    Traceback (most recent call last):
    stillwatch.ingest.decode.NotJson: not JSON: expecting ':' delimiter
    """
    try:
        return _decoder.decode(data)
    except RecursionError:
        raise NotJson("not JSON: nested too deeply") from None
    except UnicodeDecodeError:
        raise NotJson("not UTF-8") from None
    except (msgspec.DecodeError, UnicodeEncodeError):
        return _tolerant(data)


def _tolerant(data: bytes | str) -> Any:
    try:
        return json.loads(data if isinstance(data, str) else data.decode())
    except UnicodeDecodeError as error:
        raise NotJson("not UTF-8", error.start + 1) from None
    except json.JSONDecodeError as error:
        raise NotJson(f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", error.pos + 1) from None
    except RecursionError:
        raise NotJson("not JSON: nested too deeply") from None
    except ValueError as error:  # such as more digits than Python converts
        raise NotJson(f"not JSON: {error}") from None


def embedded(value: Any) -> Any:
    """Decode text that holds a JSON object or list (a column of a CSV, a message attribute); else give it back.

    >>> embedded('[{"role": "user"}]'), embedded("plain"), embedded({"a": 1})
    ([{'role': 'user'}], 'plain', {'a': 1})
    """
    if not isinstance(value, str) or value[:64].lstrip()[:1] not in ("{", "["):
        return value
    try:
        return decode(value)
    except NotJson:
        return value


def compact(value: Any) -> str:
    """Encode as compact JSON, members in the order they came.

    >>> compact({"b": [1, "é"]})
    '{"b":[1,"é"]}'
    """
    try:
        return _plain.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def canonical_bytes(value: Any) -> bytes:
    """Encode so that equal values give equal bytes, whatever the order of members.

    >>> canonical_bytes({"b": 1, "a": 2}) == canonical_bytes({"a": 2, "b": 1})
    True
    """
    try:
        return _sorted.encode(value)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(value, sort_keys=True, ensure_ascii=True, default=str).encode()
