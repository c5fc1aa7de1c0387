"""`stillwatch gateway`: the thin node. A snapshot and counters in memory, pulled from afar; it needs nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import msgspec
from prometheus_client.core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stillwatch.service.answers import Answer, problem
from stillwatch.service.deciding import DecideEndpoint, Decider
from stillwatch.service.keys import Door
from stillwatch.service.meters import CONTENT_TYPE, counts, gauge
from stillwatch.service.openapi import node_document
from stillwatch.service.web import UNFORESEEN, Front, Problem, log, presented_key

Work = Callable[[], Awaitable[None]]


def gateway_app(
    decider: Decider,
    door: Door,
    *,
    work: Iterable[Work] = (),
    routes: Iterable[Route] = (),
    document: dict[str, Any] | None = None,
) -> Front:
    """Return the ASGI application of a node: `/v1/decide`, `/healthz`, `/readyz`, `/metrics`, `/openapi.json`.

    ``work`` runs beside it for as long as it serves; ``routes`` are further endpoints, which ``document`` declares.

    >>> from stillwatch.service.node import Node
    >>> from stillwatch.service.signing import Trust
    >>> callable(gateway_app(Decider(Node(Trust.of()), None), Door(None)))
    True
    """
    decider.meters.read(lambda: node_metrics(decider))
    pages = [
        Route("/healthz", _healthz),
        Route("/readyz", lambda request: ready(decider)),
        Route("/metrics", lambda request: _metrics(request, decider, door)),
        Route("/openapi.json", lambda request: _openapi(document or node_document())),
        *routes,
    ]
    return Front({"/v1/decide": DecideEndpoint(decider, door)}, paths(pages, work))


def paths(routes: Iterable[Route], work: Iterable[Work] = ()) -> Starlette:
    """Return an application of endpoints whose errors are problem details; ``work`` runs for as long as it serves.

    >>> type(paths([])).__name__
    'Starlette'
    """
    told = {404: _not_found, 405: _wrong_method, Problem: _problem, Exception: _unforeseen}
    return Starlette(routes=list(routes), lifespan=_working(tuple(work)), exception_handlers=told)


def _working(work: tuple[Work, ...]) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(one()) for one in work]
        for task in tasks:
            task.add_done_callback(_log_end)
        app.state.work = tasks
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return lifespan


def _log_end(task: asyncio.Future[None]) -> None:
    """Log work that ended though nobody had told it to: the process should be started anew."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("work beside the requests ended", exc_info=error)


async def _healthz(request: Request) -> Response:
    """Say that the process answers and works; 503 when a part of its work has ended."""
    ended = any(task.done() for task in getattr(request.app.state, "work", ()))
    body = {"status": "work ended" if ended else "ok"}
    return Response(msgspec.json.encode(body), 503 if ended else 200, media_type="application/json")


def ready(decider: Decider) -> Response:
    """Say whether the node has a good snapshot (503 when it has not; it answers all the same, as configured)."""
    trouble = decider.trouble(time.time())
    held = decider.node.current
    body = {
        "status": trouble or "ok",
        "on_failure": decider.on_failure,
        "version": held.version if held else None,
        "accounts": held.rows if held else 0,
    }
    return Response(msgspec.json.encode(body), 503 if trouble else 200, media_type="application/json")


def _metrics(request: Request, decider: Decider, door: Door) -> Response:
    door.admit(presented_key(request.scope), "read")
    return Response(decider.meters.text(), media_type=CONTENT_TYPE)


def _openapi(document: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json")


async def _problem(request: Request, error: Exception) -> Response:
    return respond(error.answer if isinstance(error, Problem) else UNFORESEEN)


async def _unforeseen(request: Request, error: Exception) -> Response:
    """Answer for a fault of ours; Starlette raises it again, and the front logs it."""
    return respond(UNFORESEEN)


async def _not_found(request: Request, error: Exception) -> Response:
    return respond(problem(404, "Not found", "No such path; /openapi.json lists them."))


async def _wrong_method(request: Request, error: Exception) -> Response:
    allowed: dict[str, Any] = getattr(error, "headers", None) or {}
    return respond(
        problem(405, "Method not allowed", "Another method is needed here.", allow=allowed.get("Allow", "GET"))
    )


def respond(answer: Answer) -> Response:
    """Return an answer as Starlette sends it.

    >>> respond(problem(404, "Not found", "No such path.")).status_code
    404
    """
    return Response(answer.body, answer.status, answer.headers)


def node_metrics(decider: Decider) -> Iterable[Metric]:
    """Return the readings of a node's snapshot.

    >>> from stillwatch.service.node import Node
    >>> from stillwatch.service.signing import Trust
    >>> [metric.name for metric in node_metrics(Decider(Node(Trust.of()), None))][:2]
    ['stillwatch_snapshot_version', 'stillwatch_snapshot_accounts']
    """
    node, held = decider.node, decider.node.current
    yield gauge("snapshot_version", "Number of the snapshot in force; 0: none", held.version if held else 0)
    yield gauge("snapshot_accounts", "Rows (accounts under a measure) in the snapshot", held.rows if held else 0)
    yield gauge("snapshot_bytes", "Bytes of the snapshot's columns in memory", held.nbytes if held else 0)
    yield gauge("snapshot_created_seconds", "When it was signed", held.head.created_at if held else 0)
    yield counts("refused_snapshots", "Snapshots offered and not taken", "why", dict(node.refused))
    lost = getattr(decider.counters, "without_server", 0)
    yield counts("lost_counters", "Limits answered while the shared counters were gone", "by", {"this node": lost})
    yield gauge("unstored_snapshots", "Snapshots in force that could not be written to disk", node.unstored)
