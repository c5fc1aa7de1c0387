"""The work beside the requests: take telemetry over, scan on a schedule, plan, and publish what is in force."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

import msgspec

from stillwatch.errors import StillwatchError
from stillwatch.response.appeals import feed_back
from stillwatch.response.store import State
from stillwatch.service.node import Node
from stillwatch.service.planning import PolicyFile, in_force, plan_scan
from stillwatch.service.publish import Publisher
from stillwatch.service.takeover import TakeOver, stillwatch
from stillwatch.tables import Dataset

log = logging.getLogger("stillwatch.service")
_KEPT_SCANS = 5


class Rhythm(msgspec.Struct, frozen=True):
    """How often, in seconds: take over, scan (when something came), look for changed measures, sign anew."""

    take_over: float = 10.0
    scan: float = 3_600.0
    look: float = 2.0
    refresh: float = 300.0


class Progressed(msgspec.Struct):
    """What was done last, for `/v1/status` and meters; times in seconds since 1970, 0: never."""

    taken_over_at: float = 0.0
    scanned_at: float = 0.0
    scan: str = ""
    scan_seconds: float = 0.0
    planned_at: float = 0.0
    plan: str = ""
    published_at: float = 0.0
    failures: dict[str, int] = {}


class Cycle:
    """Runs the stages one after another, each failure counted and logged, none of them the end.

    ``state_url`` names the response's database; without a ``policy`` nothing is planned.
    """

    def __init__(
        self,
        home: Path,
        taking: TakeOver,
        publisher: Publisher,
        node: Node,
        *,
        policy: PolicyFile | None,
        state_url: str,
        rhythm: Rhythm,
    ) -> None:
        """Prepare; scans go to ``home/scans``, ``latest`` pointing at the newest whole one.

        Fingerprints stay in ``home/fingerprints``, so that a scan reads only the text that came since the last.
        """
        self.taking, self.publisher, self.node, self.rhythm = taking, publisher, node, rhythm
        self.scans, self._fingerprints, self._lock = home / "scans", home / "fingerprints", home / "scan.lock"
        self.done = Progressed()
        self._policy, self._url = policy, state_url
        self._state: State | None = None
        self._published: tuple[int, float] | None = None
        self._unscanned = False

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.gather(
            self._again("take over", self.rhythm.take_over, self.take_over),
            self._again("scan", self.rhythm.scan, self.scan),
            self._again("publish", self.rhythm.look, self.publish),
        )

    async def _again(self, name: str, every: float, stage: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await stage()
            except (StillwatchError, OSError) as error:
                self.failed(name, str(error))
            except Exception:
                self.failed(name, "unforeseen error")
                log.exception("unforeseen error", extra={"stage": name})
            await asyncio.sleep(every)

    def failed(self, stage: str, why: str) -> None:
        """Count and log a stage that did not end well; it is tried again."""
        self.done.failures[stage] = self.done.failures.get(stage, 0) + 1
        log.error("%s failed: %s", stage, why)

    async def take_over(self) -> int:
        """Take over what was delivered; returns the number of exchanges added."""
        added = await self.taking.step()
        self._unscanned = self._unscanned or added > 0
        self.done.taken_over_at = time.time()
        return added

    async def scan(self) -> Path | None:
        """Scan the dataset when something came since the last scan, then plan; returns the scan's folder.

        One scan at a time: while the scan of a service that was killed goes on, this one waits for the next turn.
        """
        if not (self._unscanned or (self.taking.dataset.exists() and not (self.scans / "latest").exists())):
            return None
        with self._lock.open("wb") as lock:
            if not is_ours(lock):
                log.warning("the scan of an earlier service is still under way")
                return None
            fresh = await self._scan(lock.fileno())
        await self._plan(fresh)
        return fresh

    async def _scan(self, lock: int) -> Path:
        """Scan a frozen copy into a folder of its own; the process that scans holds the lock too."""
        self._unscanned, begun = False, time.monotonic()
        latest, fresh = self.scans / "latest", self.scans / _next(self.scans)
        _sweep(self._fingerprints)
        previous = ["--previous", str(latest.resolve())] if (latest / "campaigns.json").exists() else []
        frozen = await self.taking.frozen(await self._proofs())
        told: list[str | Path] = ["--out", fresh, *previous, "--keep", self._fingerprints, "--quiet"]
        done = await stillwatch("scan", frozen, *told, holding=(lock,))
        if done.code != 0:
            self._unscanned = True
            raise StillwatchError(f"exit code {done.code}: {done.err}")
        _point(latest, fresh)
        _prune(self.scans)
        self.done.scan, self.done.scanned_at = fresh.name, time.time()
        self.done.scan_seconds = round(time.monotonic() - begun, 1)
        log.info("scanned", extra={"scan": fresh.name, "seconds": self.done.scan_seconds})
        return fresh

    async def _proofs(self) -> Callable[[], object]:
        """Return what writes successful verifications into the dataset, as evidence for the scan."""
        try:
            state = await self.opened()
        except StillwatchError as error:
            self.failed("feed back", str(error))
            return lambda: 0
        return lambda: feed_back(state, Dataset.open(self.taking.dataset))

    async def _plan(self, scan: Path) -> None:
        if self._policy is None:
            return
        state = await self.opened()
        chance = random.Random(os.urandom(16))
        plan = await asyncio.to_thread(plan_scan, state, scan, self.taking.dataset, self._policy, chance=chance)
        self.done.planned_at = time.time()
        if plan is not None:
            self.done.plan = plan.plan_id
            log.info("planned", extra={"plan": plan.plan_id, "accounts": plan.reach.accounts, "shadow": plan.shadow})

    async def publish(self) -> bool:
        """Publish a new snapshot when a measure or the policy changed or the last is old; says whether it did."""
        now = time.time()
        state = await self.opened()
        fresh = await asyncio.to_thread(state.revision), self._policy.mark() if self._policy else 0.0
        held = self.publisher.current
        if held is not None and fresh == self._published and 0 <= now - held.head.created_at < self.rhythm.refresh:
            return False
        snapshot = await asyncio.to_thread(self._publish, state, now)
        self._published, self.done.published_at = fresh, now
        self.node.offer(snapshot)
        return True

    def _publish(self, state: State, now: float) -> bytes:
        return self.publisher.publish(in_force(state, self.taking.dataset, self._policy), now).data

    async def opened(self) -> State:
        """Return the state, opened on first use; raises :class:`~stillwatch.errors.StateError`."""
        if self._state is None:
            self._state = await asyncio.to_thread(State.open, self._url)
        return self._state


def is_ours(lock: IO[bytes]) -> bool:
    """Take a file for this process alone; the system lets go of it when all who hold it have ended, however they do.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as one, open(one.name, "rb") as other:
    ...     is_ours(one), is_ours(other)
    (True, False)
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(fingerprints: Path) -> None:
    """Clear away the beginnings of files that a killed scan left; nobody else scans now."""
    for left in fingerprints.rglob("*.new-*"):
        left.unlink(missing_ok=True)


def _next(scans: Path) -> str:
    """Name the next scan; one that a crash left unfinished is cleared away."""
    scans.mkdir(parents=True, exist_ok=True)
    numbers = [int(path.name) for path in scans.iterdir() if path.name.isdigit()]
    for path in scans.iterdir():
        if path.name.isdigit() and not (path / "run.json").exists():
            shutil.rmtree(path, ignore_errors=True)
    return f"{max(numbers, default=0) + 1:06d}"


def _point(link: Path, target: Path) -> None:
    """Point a symbolic link at a folder beside it, in one step."""
    fresh = link.with_name(f".{link.name}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target.name)
    fresh.replace(link)


def _prune(scans: Path) -> None:
    old = sorted(path for path in scans.iterdir() if path.name.isdigit())[:-_KEPT_SCANS]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
