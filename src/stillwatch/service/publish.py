"""The publisher: standings become signed snapshots; nodes fetch them whole, or what changed since theirs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stillwatch.errors import SnapshotRefused
from stillwatch.response.standing import Standing
from stillwatch.service.answers import problem
from stillwatch.service.delta import make_delta
from stillwatch.service.keys import Door
from stillwatch.service.node import write_whole
from stillwatch.service.signing import Signer, Trust
from stillwatch.service.snapshot import Snapshot, build, open_snapshot
from stillwatch.service.web import Problem, presented_key

_KEPT = 8
_BINARY = "application/octet-stream"


class Publisher:
    """Signs snapshots and keeps the newest on disk, and a few older ones to tell differences from.

    A version is the last one plus one, or the time in seconds when that is more: so versions grow even when the
    folder was lost, and when the clock goes back.

    >>> import tempfile
    >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     publisher = Publisher(Path(folder, "snapshot.bin"), Signer(Ed25519PrivateKey.generate()))
    ...     [publisher.publish([], now).version for now in (100.0, 50.0)]
    [100, 101]
    """

    def __init__(self, path: Path, signer: Signer) -> None:
        """Begin with the snapshot on disk, when it is ours and whole."""
        self.path, self.signer = path, signer
        self._trust = Trust.of(signer.public)
        self._recent: OrderedDict[int, Snapshot] = OrderedDict()
        self._deltas: dict[tuple[int, int], bytes] = {}
        if path.exists():
            self._resume(path)

    def _resume(self, path: Path) -> None:
        try:
            snapshot = open_snapshot(path.read_bytes(), self._trust)
        except SnapshotRefused:
            return
        self._recent[snapshot.version] = snapshot

    @property
    def current(self) -> Snapshot | None:
        """The newest snapshot."""
        return next(reversed(self._recent.values()), None)

    def publish(self, standings: Iterable[Standing], now: float) -> Snapshot:
        """Build, sign and store the next snapshot; ``now`` is in seconds since 1970. Raises :class:`OSError`."""
        version = max(self.current.version + 1 if self.current else 1, int(now))
        data = build(standings, version=version, created_at=now, signer=self.signer)
        write_whole(self.path, data)
        snapshot = open_snapshot(data, self._trust)
        self._recent[version] = snapshot
        while len(self._recent) > _KEPT:
            self._recent.popitem(last=False)
        self._deltas.clear()
        return snapshot

    def delta(self, since: int) -> bytes | None:
        """Return the way from a version to the newest; None when that version is not kept any more."""
        before, after = self._recent.get(since), self.current
        if before is None or after is None:
            return None
        place = (before.version, after.version)
        if place not in self._deltas:
            self._deltas[place] = make_delta(before, after)
        return self._deltas[place]


def publishing_routes(publisher: Publisher, door: Door) -> list[Route]:
    """Return the routes of `/v1/snapshot` and `/v1/deltas`; both need the scope ``read``.

    >>> publishing_routes.__name__
    'publishing_routes'
    """

    async def whole(request: Request) -> Response:
        door.admit(presented_key(request.scope), "read")
        held = publisher.current
        if held is None:
            raise Problem(problem(404, "No snapshot yet", "Nothing has been published.", retry_after="5"))
        etag = f'"{held.version}-{held.head.digest[:16]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        return Response(held.data, media_type=_BINARY, headers={"etag": etag})

    async def changes(request: Request) -> Response:
        door.admit(presented_key(request.scope), "read")
        since = _since(request)
        if publisher.current is not None and publisher.current.version == since:
            return Response(status_code=204)
        delta = await asyncio.to_thread(publisher.delta, since)
        if delta is None:
            raise Problem(problem(410, "Too far back", "That version is not kept; fetch /v1/snapshot."))
        return Response(delta, media_type=_BINARY)

    return [Route("/v1/snapshot", whole), Route("/v1/deltas", changes)]


def _since(request: Request) -> int:
    text = request.query_params.get("since", "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Problem(problem(400, "Not a version", "since is the number of a snapshot."))
    return int(text)
