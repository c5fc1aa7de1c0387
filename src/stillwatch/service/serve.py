"""`stillwatch serve`: one process that takes telemetry in, scans, plans, publishes snapshots and decides."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stillwatch.errors import ConfigError
from stillwatch.service.cycle import Cycle, Rhythm, is_ours
from stillwatch.service.deciding import Decider, OnFailure
from stillwatch.service.enforcing import enforcing_routes
from stillwatch.service.gateway import gateway_app
from stillwatch.service.intake import Bounds, Intake
from stillwatch.service.keys import Door
from stillwatch.service.meters import counts, gauge
from stillwatch.service.node import Node
from stillwatch.service.nodes import buckets, sealer
from stillwatch.service.openapi import serve_document
from stillwatch.service.planning import PolicyFile
from stillwatch.service.publish import Publisher, publishing_routes
from stillwatch.service.receiving import receiving_routes
from stillwatch.service.signing import Trust, find_signer
from stillwatch.service.silence import Silence
from stillwatch.service.spool import Spool
from stillwatch.service.takeover import TakeOver
from stillwatch.service.templates import template_of
from stillwatch.service.web import Front, presented_key


class ServeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `stillwatch serve` is told. ``home`` holds everything it keeps; times in seconds, sizes in bytes."""

    home: Path
    policy: PolicyFile | None = None
    state_url: str | None = None
    watched: tuple[Path, ...] = ()
    ingest_options: tuple[str, ...] = ()
    rhythm: Rhythm = Rhythm()
    bounds: tuple[int, int] = Bounds()
    silent_after: float = 900.0
    expected: tuple[str, ...] = ()
    on_failure: OnFailure = "open"
    max_age: float = 86_400.0
    keys: Path | None = None
    per_second: float = 0.0
    counters: str | None = None
    hash_key: Path | None = None
    signing_key: Path | None = None


def serve_app(settings: ServeSettings) -> Front:
    """Return the application; what it keeps is made in ``home`` when it is not there.

    Raises :class:`~stillwatch.errors.ConfigError` for a bad policy or bad keys, before anything is made, and
    :class:`OSError` for a folder that cannot be used.
    """
    if settings.policy is not None:
        settings.policy.load()
    home = settings.home
    home.mkdir(parents=True, exist_ok=True)
    lock = _locked(home)
    intake = Intake(Spool(home / "spool"), Bounds(*settings.bounds))
    signer = find_signer(settings.signing_key or home / "signing.pem")
    publisher = Publisher(home / "snapshot.bin", signer)
    node = Node(Trust.of(signer.public))
    if publisher.current is not None:
        node.offer(publisher.current.data)
    taking = TakeOver(intake, home, watched=settings.watched, options=settings.ingest_options)
    url = settings.state_url or f"sqlite:///{home.resolve() / 'state.db'}"
    cycle = Cycle(home, taking, publisher, node, policy=settings.policy, state_url=url, rhythm=settings.rhythm)
    silence = Silence(
        home / "sources.json", after=settings.silent_after, expected=settings.expected, clock=time.monotonic
    )
    decider = _decider(settings, node)
    door = Door(settings.keys, per_second=settings.per_second, clock=time.monotonic)
    decider.meters.read(lambda: serve_metrics(intake, cycle, silence))
    routes = [
        *receiving_routes(intake, door),
        *publishing_routes(publisher, door),
        *enforcing_routes(cycle.opened, door),
        Route("/v1/status", lambda request: _status(request, door, intake, cycle, silence)),
    ]

    async def listening() -> None:
        with lock:  # held for as long as the application lives
            await silence.run(intake.last_seen, time.monotonic)

    work = [intake.run, cycle.run, listening]
    return gateway_app(decider, door, work=work, routes=routes, document=serve_document())


def _decider(settings: ServeSettings, node: Node) -> Decider:
    return Decider(
        node,
        buckets(settings.counters),
        on_failure=settings.on_failure,
        max_age=settings.max_age,
        sealed=sealer(settings.hash_key),
        template_of=template_of,
    )


def _locked(home: Path) -> IO[bytes]:
    """Take the folder for this process alone."""
    lock = (home / "lock").open("wb")
    if not is_ours(lock):
        lock.close()
        raise ConfigError("another `stillwatch serve` works in this folder", path=home)
    return lock


def _status(request: Request, door: Door, intake: Intake, cycle: Cycle, silence: Silence) -> Response:
    door.admit(presented_key(request.scope), "read")
    now, taking = time.monotonic(), cycle.taking
    body: dict[str, Any] = {
        "sources": {name: round(now - at, 1) for name, at in sorted(intake.last_seen.items())},
        "silent": {name: round(seconds, 1) for name, seconds in silence.silent(intake.last_seen, now).items()},
        "waiting_bytes": intake.on_disk,
        "exchanges_added": taking.added,
        "exchanges_repeated": taking.duplicates,
        "rows_rejected": taking.rejected,
        "files_put_aside": taking.put_aside,
        **msgspec.structs.asdict(cycle.done),
    }
    return Response(msgspec.json.encode(body), media_type="application/json")


def serve_metrics(intake: Intake, cycle: Cycle, silence: Silence) -> Iterable[Metric]:
    """Return the readings of the work beside the decisions."""
    taking, done = cycle.taking, cycle.done
    yield counts("accepted_deliveries", "Request bodies on disk", "kind", dict(intake.accepted))
    yield counts("repeated_deliveries", "Request bodies that were there already", "kind", dict(intake.repeated))
    yield counts("refused_deliveries", "Request bodies refused: memory, backlog or disk", "why", dict(intake.refused))
    yield counts(
        "left_out_items", "OTLP items that name no span: told as partial success", "kind", dict(intake.left_out)
    )
    yield gauge("waiting_bytes", "Bytes on disk that wait for the dataset", intake.on_disk)
    yield gauge("spool_dropped_bytes", "Bytes of a record that a crash had cut", intake.spool.dropped_bytes)
    yield gauge("exchanges_added", "Exchanges taken over since the start", taking.added)
    yield gauge("rows_rejected", "Rows that could not be read, kept in rejects/", taking.rejected)
    yield gauge("files_put_aside", "Files that no reader takes, kept in refused/", taking.put_aside)
    yield counts("failed_stages", "Stages that did not end well and are tried again", "stage", done.failures)
    yield gauge("scanned_seconds", "When the last scan ended", done.scanned_at)
    yield gauge("scan_duration_seconds", "How long it took", done.scan_seconds)
    yield gauge("published_seconds", "When a snapshot was last signed", done.published_at)
    silent = GaugeMetricFamily("stillwatch_source_silent_seconds", "Sources silent for too long", labels=["source"])
    for name, seconds in silence.silent(intake.last_seen, time.monotonic()).items():
        silent.add_metric([name], seconds)
    yield silent
