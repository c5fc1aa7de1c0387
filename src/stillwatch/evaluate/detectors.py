"""The detectors that can be measured, by name."""

from __future__ import annotations

from importlib import import_module

from stillwatch.errors import ConfigError
from stillwatch.evaluate.findings import Detector

# name -> "module:class", imported when it is asked for, so that a peer's packages are needed only by who measures it
DETECTORS: dict[str, str] = {
    "stillwatch": "stillwatch.evaluate.ours:Stillwatch",
}


def detector(name: str) -> Detector:
    """Return a detector at its defaults. Raises :class:`ConfigError` with the known names for another.

    >>> detector("stillwatch").name
    'stillwatch'
    >>> detector("oracle")
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: no detector 'oracle'; known: ...
    """
    if name not in DETECTORS:
        raise ConfigError(f"no detector {name!r}; known: {', '.join(sorted(DETECTORS))}")
    module, _, made_by = DETECTORS[name].partition(":")
    made: Detector = getattr(import_module(module), made_by)()
    return made
