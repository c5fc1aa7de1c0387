"""Paths into records: ``metadata.user_api_key_hash``, ``choices.0.message``, or a flat key that holds dots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stillwatch.ingest.decode import embedded


def getter(path: str) -> Callable[[Any], Any]:
    """Compile a path to a function that looks it up and gives None where nothing is.

    A flat key that holds the dots (OpenTelemetry, flattened CSV) wins over nesting; JSON kept as text on the way is
    decoded; list items are named by their number; members of ``…headers`` match whatever their case and whether
    they are written with - or _.

    >>> getter("a.b")({"a": {"b": 1}}), getter("a.b")({"a.b": 2}), getter("a.0.c")({"a": '[{"c": 3}]'})
    (1, 2, 3)
    >>> getter("headers.x-ja4")({"headers": {"X-JA4": "t13"}})
    't13'
    """
    steps = path.split(".")
    if len(steps) == 1:
        return lambda value: value.get(path) if isinstance(value, dict) else None
    shorter = [(".".join(steps[:n]), steps[n - 1 :]) for n in range(len(steps) - 1, 0, -1)]

    def get(value: Any) -> Any:
        if not isinstance(value, dict):
            return None
        if path in value:
            return value[path]
        for key, rest in shorter:
            if key in value:
                return _walk(value[key], rest)
        return None

    return get


def _walk(value: Any, steps: list[str]) -> Any:
    """Follow the steps after the first, which names what ``value`` was found under."""
    for position in range(1, len(steps)):
        if isinstance(value, str):
            value = embedded(value)
        step = steps[position]
        if isinstance(value, dict):
            found = value.get(step)
            if found is None and steps[position - 1].endswith("headers"):
                found = _any_case(value, step)
            value = found
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _any_case(headers: dict[str, Any], name: str) -> Any:
    wanted = name.lower().replace("_", "-")
    return next((value for key, value in headers.items() if str(key).lower().replace("_", "-") == wanted), None)
