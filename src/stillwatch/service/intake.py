"""From requests to the spool: many deliveries, one sync, and a bound on what may wait."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from stillwatch.service.answers import problem
from stillwatch.service.spool import Delivery, Spool
from stillwatch.service.web import Problem

log = logging.getLogger("stillwatch.service")
Batch = list[tuple[Delivery, asyncio.Future[bool]]]


class Bounds(NamedTuple):
    """How much may wait, in bytes: in memory for the disk, and on disk for the dataset."""

    memory: int = 64 << 20
    disk: int = 8 << 30


class Intake:
    """Takes deliveries and returns when they are on disk; refuses what it could not keep.

    ``accepted``, ``repeated`` and ``refused`` count deliveries (refused by reason), ``left_out`` OTLP items that were
    not taken; ``last_seen`` holds, by source, when something last came (by ``clock``, seconds that never go back).

    >>> import tempfile
    >>> from pathlib import Path
    >>> async def twice(folder):
    ...     intake = Intake(Spool(Path(folder)))
    ...     writer = asyncio.ensure_future(intake.run())
    ...     found = [await intake.put(Delivery("litellm", "k", b"{}")) for _ in range(2)]
    ...     writer.cancel()
    ...     return found
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(twice(folder))
    [True, False]
    """

    def __init__(
        self, spool: Spool, bounds: Bounds | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with nothing waiting."""
        self.spool, self.bounds, self._clock = spool, bounds or Bounds(), clock
        self.accepted: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.last_seen: dict[str, float] = {}
        self.on_disk = spool.nbytes
        self._waiting: Batch = []
        self._waiting_bytes = 0
        self._work = asyncio.Event()
        self.lock = asyncio.Lock()

    async def put(self, delivery: Delivery) -> bool:
        """Return once the delivery is on disk; says whether it is new.

        Raises :class:`Problem`: 429 when too much waits in memory, 503 when the disk is full or too much waits there.
        """
        self.last_seen[delivery.source] = self._clock()
        size = len(delivery.body)
        if self._waiting and self._waiting_bytes + size > self.bounds.memory:
            raise self._full("memory", 429, "Too much at once", "1")
        if self.on_disk + self._waiting_bytes + size > self.bounds.disk:
            raise self._full("backlog", 503, "The backlog is full", "30")
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, written))
        self._waiting_bytes += size
        self._work.set()
        try:
            is_new = await written
        except OSError as error:
            raise self._full("disk", 503, "The disk does not take it", "10") from error
        (self.accepted if is_new else self.repeated)[delivery.kind] += 1
        return is_new

    def _full(self, why: str, status: int, title: str, retry: str) -> Problem:
        self.refused[why] += 1
        return Problem(problem(status, title, "Nothing was kept; send it again later.", retry_after=retry))

    async def run(self) -> None:
        """Write what waits, batch by batch, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if batch:
                async with self.lock:
                    await self._write(batch)

    async def _write(self, batch: Batch) -> None:
        """Write a batch in a thread and tell those who wait."""
        try:
            news = await asyncio.to_thread(self.spool.append, [delivery for delivery, _ in batch])
        except OSError as error:
            log.error("spool not written: %s", error.strerror)
            _fail(batch, OSError(error.errno, error.strerror))
            return
        except Exception:
            log.exception("spool not written")
            _fail(batch, RuntimeError("the spool was not written; the cause is in the log"))
            return
        self.on_disk += sum(len(delivery.body) for (delivery, _), is_new in zip(batch, news, strict=True) if is_new)
        for (_, written), is_new in zip(batch, news, strict=True):
            if not written.done():
                written.set_result(is_new)


def _fail(batch: Batch, error: Exception) -> None:
    """Tell all who wait that their delivery was not kept."""
    for _, written in batch:
        if not written.done():
            written.set_exception(error)
