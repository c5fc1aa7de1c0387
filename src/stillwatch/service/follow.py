"""How a node keeps its snapshot fresh: from a publisher's URL (deltas first) or from a file that is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from pathlib import Path

import httpx

from stillwatch.errors import SnapshotRefused
from stillwatch.service.node import Node

log = logging.getLogger("stillwatch.service")


class Follower:
    """Looks for a newer snapshot every ``every`` seconds and offers it to the node; failures leave all as it is.

    ``source`` is the base URL of `stillwatch serve` or the path of a snapshot file.

    >>> from stillwatch.service.signing import Trust
    >>> Follower(Node(Trust.of()), "snapshot.bin").failures
    0
    """

    def __init__(
        self,
        node: Node,
        source: str,
        *,
        key: str | None = None,
        every: float = 5.0,
        ca: Path | None = None,
    ) -> None:
        """Prepare; nothing is fetched yet. ``key`` needs the scope ``read``; ``ca`` holds certificates to trust."""
        self.node, self.source, self.every = node, source, every
        self.failures = 0
        self._etag: str | None = None
        self._mark: tuple[int, int] | None = None
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._ca = ca
        self._client: httpx.AsyncClient | None = None

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        try:
            while True:
                await self.step()
                await asyncio.sleep(self.every)
        finally:
            if self._client is not None:
                await self._client.aclose()

    async def step(self) -> bool:
        """Look once; says whether a newer snapshot is in force. Every failure is counted and logged."""
        try:
            at_url = self.source.startswith(("http://", "https://"))
            taken = await self._look_at_url() if at_url else self._look_at_file(Path(self.source))
        except (SnapshotRefused, httpx.HTTPError, OSError) as error:
            self.failures += 1
            log.warning("no newer snapshot: %s", error or type(error).__name__, extra={"source": self.source})
            return False
        except Exception:
            self.failures += 1
            log.exception("unforeseen error", extra={"source": self.source})
            return False
        held = self.node.current
        if taken and held is not None:
            each = round(held.nbytes / max(1, held.rows), 1)
            log.info(
                "snapshot in force",
                extra={"version": held.version, "accounts": held.rows, "mb_per_million_accounts": each},
            )
        return taken

    def _look_at_file(self, path: Path) -> bool:
        found = path.stat()
        mark = found.st_mtime_ns, found.st_size
        if mark == self._mark:
            return False
        self._mark = mark
        return self.node.offer(path.read_bytes())

    async def _look_at_url(self) -> bool:
        if self._client is None:
            context = ssl.create_default_context(cafile=self._ca)
            self._client = httpx.AsyncClient(base_url=self.source, headers=self._headers, verify=context, timeout=10.0)
        held = self.node.current
        if held is not None:
            reply = await self._client.get("/v1/deltas", params={"since": held.version})
            if reply.status_code == 204:
                return False
            if reply.status_code == 200:
                with contextlib.suppress(SnapshotRefused):  # counted by the node; the whole one may still do
                    return self.node.offer(reply.content)
        return await self._fetch_whole(self._client)

    async def _fetch_whole(self, client: httpx.AsyncClient) -> bool:
        reply = await client.get("/v1/snapshot", headers={"if-none-match": self._etag} if self._etag else {})
        if reply.status_code == 304:
            return False
        reply.raise_for_status()
        taken = self.node.offer(reply.content)
        self._etag = reply.headers.get("etag")
        return taken
