"""Silence is not health: a source that stops sending raises an alarm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from stillwatch.service.node import write_whole

log = logging.getLogger("stillwatch.service")


class Silence:
    """Knows every source that ever sent, across restarts, and which of them have been silent too long.

    ``expected`` are sources that must send though they never did; ``after`` is in seconds, ``clock`` never goes back.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     silence = Silence(Path(folder, "sources.json"), after=10.0, expected=["/v1/logs:k"], clock=lambda: 0.0)
    ...     [silence.silent({}, now) for now in (5.0, 11.0)], silence.silent({"/v1/logs:k": 9.0}, 11.0)
    ([{}, {'/v1/logs:k': 11.0}], {})
    """

    def __init__(self, path: Path, *, after: float, expected: Iterable[str] = (), clock: Callable[[], float]) -> None:
        """Recall the sources of earlier runs; each has from now on ``after`` seconds to send something."""
        self._path, self.after, self._begun = path, after, clock()
        self._known = set(expected) | set(self._recalled())
        self._alarmed: set[str] = set()

    def silent(self, last_seen: dict[str, float], now: float) -> dict[str, float]:
        """Return the silent sources and for how many seconds; an alarm that begins or ends is logged once."""
        fresh = set(last_seen) - self._known
        if fresh:
            self._known |= fresh
            self._store()
        quiet = {name: now - last_seen.get(name, self._begun) for name in sorted(self._known)}
        found = {name: seconds for name, seconds in quiet.items() if seconds > self.after}
        for name in found.keys() - self._alarmed:
            log.error("source is silent", extra={"source": name, "seconds": round(found[name])})
        for name in self._alarmed - found.keys():
            log.info("source sends again", extra={"source": name})
        self._alarmed = set(found)
        return found

    async def run(self, last_seen: dict[str, float], clock: Callable[[], float]) -> None:
        """Look again and again, until cancelled."""
        while True:
            self.silent(last_seen, clock())
            await asyncio.sleep(min(30.0, self.after / 4))

    def _recalled(self) -> list[str]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[str])
        except (OSError, msgspec.MsgspecError):
            return []

    def _store(self) -> None:
        try:
            write_whole(self._path, msgspec.json.encode(sorted(self._known)))
        except OSError as error:
            log.warning("sources not stored: %s", error.strerror)
