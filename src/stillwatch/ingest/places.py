"""Where a key of a TOML file stands, so that errors can point at the line (the parser does not say)."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stillwatch.errors import ConfigError

_HEADER = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""^\s*("[^"]*"|'[^']*'|[A-Za-z0-9_.-]+)\s*=""")


def read_toml(path: Path) -> tuple[dict[str, Any], dict[tuple[str, str], int]]:
    """Read a TOML file, with the line of every ``(section, key)``; a section itself has the key "".

    Raises :class:`ConfigError` with line and column on a syntax error.
    """
    try:
        return parse_toml(path.read_bytes(), path)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error


def parse_toml(content: bytes, path: Path) -> tuple[dict[str, Any], dict[tuple[str, str], int]]:
    r"""Parse what was read from ``path``, as :func:`read_toml` does: for those who must know the very bytes.

    >>> parse_toml(b"[s]\r\nb = 2", Path("a.toml"))
    ({'s': {'b': 2}}, {('s', ''): 1, ('s', 'b'): 2})
    """
    try:
        text = content.decode("utf-8")
        return tomllib.loads(text), lines_of(text)
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8", path=path) from error
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line, column = (int(place[1]), int(place[2])) if place else (None, None)
        reason = str(error).split(" (at ", maxsplit=1)[0]
        raise ConfigError(f"not TOML: {reason[:1].lower()}{reason[1:]}", path=path, line=line, column=column) from error


def lines_of(text: str) -> dict[tuple[str, str], int]:
    r"""Return the line, from 1, of every ``(section, key)`` of a TOML text.

    >>> lines_of('a = 1\n[s]\nb = 2\n')
    {('', 'a'): 1, ('s', ''): 2, ('s', 'b'): 3}
    """
    found: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            section = header[1].strip("\"'")
            found.setdefault((section, ""), number)
        elif key := _KEY.match(line):
            found.setdefault((section, key[1].strip("\"'")), number)
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what a mistyped name may have meant, or what there is.

    >>> nearest("acount_id", ["account_id", "model"])
    'did you mean account_id?'
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
