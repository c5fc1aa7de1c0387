"""`POST /v1/decide`: raw ASGI around the decision, with what happens when there is no good snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import msgspec

from stillwatch.response.decide import UNAVAILABLE, Counters, Decision, Request, decide
from stillwatch.service.answers import DIALECTS, Answer, problem, refusal
from stillwatch.service.keys import Door
from stillwatch.service.meters import Meters
from stillwatch.service.node import Node
from stillwatch.service.web import Problem, Receive, Scope, presented_key, read_body

MOST_BYTES = 4 << 20
OnFailure = Literal["open", "closed"]


class Decider:
    """Answers requests on one machine from its snapshot and its counters; no database, no disk, no network.

    ``on_failure`` says what is answered without a snapshot, or with one older than ``max_age`` seconds: ``open``
    allows, ``closed`` refuses (503); both are counted. ``sealed`` brings an account's name to the form that the logs
    were stored in. ``clock`` returns seconds since 1970.

    >>> from stillwatch.service.signing import Trust
    >>> node = Node(Trust.of())
    >>> Decider(node, None, on_failure="closed").answer(Request(account="a")).action
    'unavailable'
    >>> Decider(node, None).answer(Request(account="a")).degraded
    'no-snapshot'
    """

    def __init__(
        self,
        node: Node,
        counters: Counters | None,
        *,
        on_failure: OnFailure = "open",
        max_age: float = 86_400.0,
        sealed: Callable[[str], str] | None = None,
        template_of: Callable[[Request], int | None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep what a decision needs; ``counters`` may be None only while there is no snapshot."""
        self.node, self.on_failure, self.max_age = node, on_failure, max_age
        self.meters = Meters()
        self.counters, self._sealed, self._template_of, self._clock = counters, sealed, template_of, clock

    def answer(self, request: Request) -> Decision:
        """Return the decision on one request, and count it."""
        now = self._clock()
        snapshot = self.node.current
        missing = self.trouble(now)
        if missing or snapshot is None or self.counters is None:
            decision = self._without(missing or "no-snapshot")
        else:
            if self._sealed is not None:
                request = self._in_stored_form(request, self._sealed)
            decision = decide(snapshot, request, self.counters, now, template_of=self._template_of)
        self.meters.decided(decision)
        return decision

    def lists(self, request: Request) -> bool:
        """Say whether the request's account has a measure in force; without a good snapshot nobody has."""
        now = self._clock()
        snapshot = self.node.current
        if snapshot is None or self.trouble(now):
            return False
        if self._sealed is not None:
            request = self._in_stored_form(request, self._sealed)
        return bool(snapshot.find(request.subject, now))

    def trouble(self, now: float) -> str:
        """Say why the node has no good snapshot: ``no-snapshot``, ``stale``, or nothing when it has."""
        if self.node.current is None:
            return "no-snapshot"
        return "stale" if now - self.node.current.head.created_at > self.max_age else ""

    def _without(self, why: str) -> Decision:
        version = self.node.current.version if self.node.current else 0
        action = UNAVAILABLE if self.on_failure == "closed" else "allow"
        return Decision(action=action, degraded=why, version=version)

    def _in_stored_form(self, request: Request, sealed: Callable[[str], str]) -> Request:
        stored = sealed(request.subject)
        return request if stored == request.subject else msgspec.structs.replace(request, account=stored)


class Told(msgspec.Struct, omit_defaults=True):
    """The response that a gateway relays to a refused client; ``body`` is text."""

    status: int
    headers: dict[str, str]
    body: str


class Verdict(msgspec.Struct, omit_defaults=True):
    """What `POST /v1/decide` answers: the decision and, when it refuses, the response for the client."""

    decision: Decision
    answer: Told | None = None


_decode = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode
_JSON = {"content-type": "application/json"}


class DecideEndpoint:
    """The endpoint, on raw ASGI: a :class:`Request` in, a :class:`Verdict` out, both JSON."""

    def __init__(self, decider: Decider, door: Door) -> None:
        """Serve what ``decider`` answers to whom ``door`` admits."""
        self._decider, self._door = decider, door

    async def __call__(self, scope: Scope, receive: Receive) -> Answer:
        """Answer one request; raises :class:`~stillwatch.service.web.Problem` for what the caller did wrong."""
        if scope["method"] != "POST":
            raise Problem(problem(405, "Method not allowed", "Ask with POST.", allow="POST"))
        self._door.admit(presented_key(scope), "decide")
        request = parse(await read_body(receive, MOST_BYTES))
        return Answer(200, _JSON, _body(self._decider.answer(request), request.dialect))


@lru_cache(maxsize=4_096)
def _body(decision: Decision, dialect: str | None) -> bytes:
    """Return the verdict as JSON: the same decision, which most requests share, is written once."""
    return _encode(Verdict(decision, told(decision, dialect)))


def parse(body: bytes) -> Request:
    """Read a request; raises :class:`~stillwatch.service.web.Problem` (400) that says what is wrong with it.

    >>> parse(b'{"account": "a", "model": "m"}').subject
    'a'
    """
    try:
        request = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(problem(400, "Not a request", str(error))) from None
    if not request.subject:
        raise Problem(problem(400, "Not a request", "Name the account or the key."))
    if request.dialect is not None and request.dialect not in DIALECTS:
        raise Problem(problem(400, "Not a request", f"Unknown dialect; known: {', '.join(DIALECTS)}."))
    return request


def told(decision: Decision, dialect: str | None) -> Told | None:
    """Return what a refused client is told; None when the request goes on.

    >>> told(Decision(), None) is None, told(Decision(action="suspend"), "openai").status
    (True, 403)
    """
    if not decision.refuses:
        return None
    answer = refusal(decision, dialect)
    return Told(answer.status, answer.headers, answer.body.decode())
