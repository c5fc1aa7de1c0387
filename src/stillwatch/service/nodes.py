"""From settings to a running node: what `stillwatch gateway` puts together."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from stillwatch.errors import MissingExtra
from stillwatch.ingest.privacy import find_key, sealed_id
from stillwatch.response.buckets import open_buckets
from stillwatch.response.decide import Counters, Request
from stillwatch.service.authz_http import check_route
from stillwatch.service.check import Desk, Names
from stillwatch.service.deciding import Decider, OnFailure
from stillwatch.service.follow import Follower
from stillwatch.service.gateway import Work, gateway_app
from stillwatch.service.keys import Door
from stillwatch.service.listen import Listen, bind
from stillwatch.service.node import Node
from stillwatch.service.signing import Trust
from stillwatch.service.templates import template_of
from stillwatch.service.web import Front


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told; times in seconds, ``per_second`` 0 for no bound."""

    source: str
    trust: tuple[Path, ...]
    state: Path | None = None
    on_failure: OnFailure = "open"
    max_age: float = 86_400.0
    every: float = 5.0
    keys: Path | None = None
    per_second: float = 0.0
    counters: str | None = None
    hash_key: Path | None = None
    read_key: str | None = None
    ca: Path | None = None
    grpc: Listen | None = None
    names: Names = Names()


def node_app(settings: NodeSettings) -> Front:
    """Return the application of a thin node; raises :class:`~stillwatch.errors.ConfigError` for bad keys.

    >>> callable(node_app(NodeSettings(source="snapshot.bin", trust=())))
    True
    """
    template_of(Request(prompt="Hello"))  # loads compiled code now, not while the first customer waits
    store = settings.state / "snapshot.bin" if settings.state else None
    node = Node(Trust.load(settings.trust), store)
    follower = Follower(node, settings.source, key=settings.read_key, every=settings.every, ca=settings.ca)
    decider = Decider(
        node,
        buckets(settings.counters),
        on_failure=settings.on_failure,
        max_age=settings.max_age,
        sealed=sealer(settings.hash_key),
        template_of=template_of,
    )
    door = Door(settings.keys, per_second=settings.per_second, clock=time.monotonic)
    desk = Desk(decider.answer, decider.lists, settings.names)
    work: list[Work] = [follower.run]
    if settings.grpc is not None:
        work.append(grpc_work(settings.grpc, desk, door))
    return gateway_app(decider, door, work=work, routes=[check_route(desk, door)])


def grpc_work(listen: Listen, desk: Desk, door: Door) -> Work:
    """Return the work of answering Envoy over gRPC.

    Raises :class:`~stillwatch.errors.MissingExtra` without grpcio, :class:`~stillwatch.errors.ConfigError` when the
    port is taken.

    >>> callable(grpc_work(Listen(port=0), Desk(lambda request: None, lambda request: True, Names()), Door(None)))
    True
    """
    try:
        from stillwatch.service.grpc_server import serve_grpc
    except ImportError as error:
        raise MissingExtra("grpcio", extra="grpc", purpose="Envoy's gRPC filters") from error
    bind(listen).close()
    return lambda: serve_grpc(listen, desk, door)


def sealer(key_file: Path | None) -> Callable[[str], str] | None:
    """Return how account names were sealed in the logs, when the key is at hand.

    >>> sealer(None) is None
    True
    """
    if key_file is None:
        return None
    key = find_key(key_file, {})
    return lambda account: sealed_id(key, account)


def buckets(url: str | None) -> Counters:
    """Return the token buckets: of this process, or shared by URL.

    >>> type(buckets(None)).__name__
    'LocalBuckets'
    """
    return open_buckets(url)
