"""The detectors that can be measured, by name."""

from __future__ import annotations

from stillwatch.errors import ConfigError
from stillwatch.evaluate.findings import Detector
from stillwatch.evaluate.ours import Stillwatch
from stillwatch.evaluate.peers.catalogue import PEERS

DETECTORS: dict[str, Detector] = {"stillwatch": Stillwatch(), **PEERS}
"""Name -> detector at its defaults. What a peer needs besides is imported or run when it judges, not before."""


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
    return DETECTORS[name]
