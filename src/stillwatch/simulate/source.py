"""A TOML file with its text, so that an error can name the line."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from stillwatch.errors import ConfigError


@dataclass(frozen=True)
class Source:
    """A TOML file: its name, where it is, the folder that paths in it are relative to, its text and content.

    >>> source = Source.parse("mine", "mine.toml", Path(), "days = 3")
    >>> source.content, str(source.error("too few", "days"))
    ({'days': 3}, 'mine.toml:1: too few')
    """

    name: str
    place: str
    folder: Path
    text: str
    content: dict[str, Any]

    @classmethod
    def find(cls, kind: str, name: str, folder: Path) -> Source:
        """Read a built-in by name, or a file by path (relative to ``folder``)."""
        if name.endswith(".toml"):
            path = folder / name
            if not path.exists():
                raise ConfigError("no such file", path=path)
            return cls.parse(path.stem, str(path), path.parent, path.read_text(encoding="utf-8"))
        inside = resources.files("stillwatch.simulate").joinpath(kind)
        known = sorted(f.name.removesuffix(".toml") for f in inside.iterdir() if f.name.endswith(".toml"))
        if name not in known:
            raise ConfigError(f"{kind} has no {name!r}; known: {', '.join(known)}, or a path that ends in .toml")
        text = inside.joinpath(f"{name}.toml").read_text(encoding="utf-8")
        return cls.parse(name, f"{kind}/{name}.toml", folder, text)

    @classmethod
    def parse(cls, name: str, place: str, folder: Path, text: str) -> Source:
        """Return the source of a text; a TOML error names file, line and column."""
        try:
            return cls(name, place, folder, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            message, _, where = str(error).partition(" (at line ")
            line, _, column = where.rstrip(")").partition(", column ")
            raise ConfigError(message, path=place, line=_number(line), column=_number(column)) from None

    def error(self, message: str, key: str = "") -> ConfigError:
        """Return the error, with the first line that sets ``key``."""
        lines = self.text.splitlines()
        bare = [line.split("=")[0].strip().strip("\"'[] ") for line in lines]
        hits = [number for number, found in enumerate(bare, 1) if key and found.split(".")[-1] == key]
        inline = [number for number, line in enumerate(lines, 1) if key and key in line]
        return ConfigError(message, path=self.place, line=next(iter(hits or inline), None))

    def known(self, content: Mapping[str, Any], keys: set[str]) -> None:
        """Raise on the first key that is not in ``keys``."""
        for key in content:
            if key not in keys:
                raise self.error(f"unknown key {key!r}; known: {', '.join(sorted(keys))}", key)

    def table(self, content: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Return a sub-table, empty when it is not there."""
        value = content.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"{key!r} must be a table", key)
        return dict(value)

    def check(self, key: str, value: object, wanted: str, inside: str = "") -> None:
        """Raise when a value is not of the wanted kind."""
        good = {
            "str": isinstance(value, str),
            "bool": isinstance(value, bool),
            "int": isinstance(value, int) and not isinstance(value, bool),
            "float": isinstance(value, int | float) and not isinstance(value, bool),
            "list": isinstance(value, list) and all(isinstance(v, int | float) for v in value) and len(value) == 2,
            "Mix": isinstance(value, dict) and bool(value) and all(isinstance(v, int | float) for v in value.values()),
        }
        meaning = {"list": "two numbers", "Mix": "a table of names and weights", "str": "text", "bool": "true or false"}
        kind = wanted.split("[")[0]
        if kind in good and not good[kind]:
            where = f"{inside}.{key}" if inside else key
            raise self.error(f"{where} must be {meaning.get(kind, 'a number')}, not {value!r}", key)

    def build(self, kind: Any, content: Mapping[str, Any]) -> Any:
        """Return a dataclass from a table; unknown keys and wrong types are errors."""
        fields = {f.name: str(f.type) for f in dataclasses.fields(kind)}
        self.known(content, set(fields))
        for key, value in content.items():
            self.check(key, value, fields[key])
        unset = dataclasses.MISSING
        needed = [f.name for f in dataclasses.fields(kind) if f.default is unset and f.default_factory is unset]
        missing = [name for name in needed if name not in content]
        if missing:
            raise self.error(f"{missing[0]!r} is missing")
        return kind(**content)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None
