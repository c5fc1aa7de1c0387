"""One request, one answer: what the measures in force for its account say. In memory, no tables, no database.

The snapshot is anything that :class:`Measures` describes; counters, clock and randomness are passed in, so that the
same inputs give the same decision.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, reduce
from operator import attrgetter
from typing import NamedTuple, Protocol

import msgspec

from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Cap, Limit, Scope, Standing

ALLOW = "allow"
UNAVAILABLE = "unavailable"
USUAL_TOKENS = 1_000.0
"""What a request is charged when neither its tokens nor its prompt are known."""
MOST_TOKENS = 10_000_000
"""What a request is charged at most: what it asks for is the client's word, and no model gives more."""


class Measure(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """A standing without its account and times: what thousands of a campaign's accounts have in common.

    >>> from datetime import UTC, datetime
    >>> moment = datetime(2026, 9, 1, tzinfo=UTC)
    >>> standing = Standing(account_id="a", campaign_id="SW-1", plan_id="P-1", rung=Rung.TAG,
    ...     scope=Scope(whole_account=True), starts_at=moment, expires_at=moment)
    >>> Measure.of(standing).campaign_id
    'SW-1'
    """

    campaign_id: str
    plan_id: str
    rung: Rung
    scope: Scope
    limit: Limit | None = None
    cap: Cap | None = None
    delay_ms: tuple[int, int] | None = None
    reason_code: str = "abnormal-usage"
    visible: bool = True
    shadow: bool = True

    @classmethod
    def of(cls, standing: Standing) -> Measure:
        """Return what a standing shares with the others of its campaign."""
        return cls(**{name: getattr(standing, name) for name in cls.__struct_fields__})


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a gateway asks about. Without ``account`` the key stands for it, as in the logs.

    ``template`` is the prompt's template id where the gateway knows it (uint64, decimal text for clients whose
    numbers are doubles); else ``prompt`` or ``messages`` (as the client sent them) are read, and only when the account
    has a measure for part of its traffic. ``tokens`` is the estimate that limits are charged with, ``max_tokens`` what
    the client asked for at most.

    >>> bytes(msgspec.json.decode(b'{"account": "a", "messages": [{"role": "user"}]}', type=Request).said)
    b'[{"role": "user"}]'
    """

    account: str | None = None
    key: str | None = None
    model: str = ""
    prompt: str | None = None
    messages: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    template: int | str | None = None
    tokens: float | None = None
    max_tokens: int | None = None
    dialect: str | None = None

    @property
    def subject(self) -> str:
        """The account that is looked up; empty when the request names none.

        >>> Request(key="k-1").subject, Request(account="a", key="k-1").subject
        ('k-1', 'a')
        """
        return self.account or self.key or ""

    @property
    def said(self) -> bytes:
        """The messages as the client sent them (JSON); empty when they are not told.

        >>> Request(account="a").said
        b''
        """
        return b"" if self.messages is msgspec.UNSET else bytes(self.messages)

    def cost(self) -> float:
        """Return the tokens that this request is charged: as told, else four bytes of prompt to one token.

        Numbers are what the client says: never less than nothing, never more than :data:`MOST_TOKENS`.

        >>> Request(tokens=12).cost(), Request(prompt="x" * 400, max_tokens=50).cost(), Request().cost()
        (12, 150.0, 1000.0)
        >>> Request(tokens=-9.0).cost(), Request(prompt="x" * 400, max_tokens=-9).cost(), Request(tokens=1e300).cost()
        (0.0, 100.0, 10000000)
        """
        if self.tokens is not None:
            return min(max(0.0, self.tokens), MOST_TOKENS)
        said = len(self.prompt or "") or len(self.said)
        wanted = min(max(0, self.max_tokens or 0), MOST_TOKENS)
        return min(said / 4 + wanted, MOST_TOKENS) if said or wanted else USUAL_TOKENS


class Taken(NamedTuple):
    """What a bucket said: whether the tokens were granted, how many are left, seconds until they would be."""

    granted: bool
    remaining: float
    retry_after: float


class Counters(Protocol):
    """Token buckets by name, shared by every account of a campaign."""

    def take(self, limit: Limit, tokens: float, now: float) -> Taken:
        """Take tokens from a bucket at ``now`` (seconds since 1970), or say how long to wait."""


class Measures(Protocol):
    """A snapshot as the decision sees it."""

    @property
    def version(self) -> int:
        """The number of the snapshot."""

    def find(self, account: str, now: float) -> Sequence[Measure]:
        """Return the measures in force for an account at ``now`` (seconds since 1970)."""


class Edits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the gateway changes in the request before it goes on; the customer is told of it."""

    max_tokens: int | None = None
    logprobs: bool | None = None
    reasoning: str | None = None


class LimitState(msgspec.Struct, frozen=True):
    """A limit as RateLimit headers tell it: ``quota`` tokens in ``window`` s, ``remaining``, more in ``reset`` s."""

    quota: int
    window: int
    remaining: int
    reset: int


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, cache_hash=True):
    """The answer: ``action`` is ``allow``, a rung's label, or ``unavailable`` (fail-closed without a snapshot).

    ``retry_after`` is in seconds, ``delay_ms`` in milliseconds. ``campaign`` is for the operator's logs and never
    shown to a client; ``part`` says that only a part of the account's traffic is touched. ``shadow`` is what measures
    in shadow mode would have done. ``listed`` says that the account has a measure, whether or not it covers this
    request; without one an asker may remember the answer for a moment. ``degraded`` says why the node answered without
    a good snapshot.
    """

    action: str = msgspec.field(default_factory=lambda: ALLOW)  # a factory, so that JSON always says it
    reason: str = ""
    retry_after: float | None = None
    delay_ms: int | None = None
    limit: LimitState | None = None
    edits: Edits | None = None
    campaign: str = ""
    part: bool = False
    visible: bool = True
    shadow: str = ""
    listed: bool = False
    degraded: str = ""
    version: int = 0

    @property
    def refuses(self) -> bool:
        """Say whether the request must not go on.

        >>> Decision(action="rate-limit").refuses, Decision(action="cap").refuses
        (True, False)
        """
        return self.action in _REFUSING


_REFUSING = frozenset({"rate-limit", "step-up", "restrict", "suspend", UNAVAILABLE})
_LABELS = {rung: rung.label for rung in Rung}
_rung = attrgetter("rung")
_SHUT = (Rung.STEP_UP, Rung.RESTRICT, Rung.SUSPEND)


def decide(
    snapshot: Measures,
    request: Request,
    counters: Counters,
    now: float,
    *,
    template_of: Callable[[Request], int | None] = lambda _: None,
    chance: Callable[[], float] = random.random,
) -> Decision:
    """Return the answer to one request at ``now`` (seconds since 1970).

    The measures of the account that cover the request's model and template are applied together: a closed door
    (step-up, restrict, suspend) before a limit, a limit before caps, delays and tags. ``template_of`` is asked only
    when a measure touches certain templates. Measures in shadow mode are computed apart, against buckets of their
    own, and change nothing but ``shadow``.

    >>> class Nobody:
    ...     version = 7
    ...     def find(self, account, now): return ()
    >>> decide(Nobody(), Request(account="a"), None, now=0.0)
    Decision(action='allow', reason='', ..., version=7)
    """
    found = snapshot.find(request.subject, now)
    if not found:
        return _unlisted(snapshot.version)
    live, shadowed = _covering(found, request, template_of)
    decision = _answer(_together(tuple(live), snapshot.version), request, counters, now, chance)
    if not shadowed:
        return decision
    would = _answer(_together(tuple(map(_apart, shadowed)), snapshot.version), request, counters, now, chance)
    return msgspec.structs.replace(decision, shadow=would.action)


@lru_cache(maxsize=16)
def _unlisted(version: int) -> Decision:
    return Decision(version=version)


def _covering(
    found: Iterable[Measure], request: Request, template_of: Callable[[Request], int | None]
) -> tuple[list[Measure], list[Measure]]:
    """Return the measures that cover a request: those that are felt, and those in shadow mode."""
    live: list[Measure] = []
    shadowed: list[Measure] = []
    template: int | None = None
    asked = False
    for measure in found:
        scope = measure.scope
        if scope.templates and not scope.whole_account and not asked:
            template, asked = _template(request, template_of), True
        if scope.covers(request.model, template):
            (shadowed if measure.shadow else live).append(measure)
    return live, shadowed


def _template(request: Request, template_of: Callable[[Request], int | None]) -> int | None:
    if request.template is None:
        return template_of(request)
    text = str(request.template)
    return int(text) if text.isascii() and text.isdigit() else None


@lru_cache(maxsize=16_384)
def _apart(measure: Measure) -> Measure:
    """Give a measure in shadow mode a bucket of its own, so that it takes nothing from a real one."""
    if measure.limit is None:
        return measure
    limit = msgspec.structs.replace(measure.limit, bucket=f"shadow:{measure.limit.bucket}")
    return msgspec.structs.replace(measure, limit=limit)


class _Together(NamedTuple):
    """What measures do together, as far as no request has a say in it.

    ``decision`` is the answer where no limit, no delay and no request for less than the cap changes it, ``mild`` the
    action when nothing is edited, ``limited`` the buckets to charge, each once, with the measure that names it.
    """

    decision: Decision
    mild: str
    limited: tuple[tuple[Limit, Measure], ...] = ()
    waits: tuple[tuple[int, int], ...] = ()


@lru_cache(maxsize=16_384)
def _together(measures: tuple[Measure, ...], version: int) -> _Together:
    """Put measures together, once for all requests; the severest names the decision, a closed door comes before all."""
    if not measures:
        return _Together(Decision(listed=True, version=version), ALLOW)
    first = max(measures, key=_rung)
    if first.rung in _SHUT:
        return _Together(_named(first, _LABELS[first.rung], version), ALLOW)
    edits = _edits([measure.cap for measure in measures if measure.cap])
    mild = _LABELS[Rung.TAG] if first.rung >= Rung.TAG else ALLOW
    limited: dict[str, tuple[Limit, Measure]] = {}
    for measure in measures:
        if measure.limit is not None:
            limited.setdefault(measure.limit.bucket, (measure.limit, measure))
    waits = tuple(measure.delay_ms for measure in measures if measure.delay_ms)
    action = mild if edits is None else _LABELS[Rung.CAP]
    return _Together(_named(first, action, version, edits), mild, tuple(limited.values()), waits)


def _named(measure: Measure, action: str, version: int, edits: Edits | None = None) -> Decision:
    return Decision(
        action=action,
        reason=measure.reason_code,
        edits=edits,
        campaign=measure.campaign_id,
        part=not measure.scope.whole_account,
        visible=measure.visible,
        listed=True,
        version=version,
    )


def _answer(
    together: _Together, request: Request, counters: Counters, now: float, chance: Callable[[], float]
) -> Decision:
    """Apply measures to one request: their limits first, then their edits and delays."""
    decision, mild, limited, waits = together
    limit, short = _charged(limited, request, counters, now) if limited else (None, None)
    if short is not None:
        refused = _named(short[0], _LABELS[Rung.RATE_LIMIT], decision.version)
        return msgspec.structs.replace(refused, retry_after=short[1].retry_after, limit=limit)
    edits = _needed(decision.edits, request)
    if limit is None and not waits and edits is decision.edits:
        return decision
    delay = max(round(low + (high - low) * chance()) for low, high in waits) if waits else None
    action = _LABELS[Rung.CAP] if edits else mild if delay is None else _LABELS[Rung.DELAY]
    return msgspec.structs.replace(decision, action=action, limit=limit, edits=edits, delay_ms=delay)


def _charged(
    limited: tuple[tuple[Limit, Measure], ...], request: Request, counters: Counters, now: float
) -> tuple[LimitState | None, tuple[Measure, Taken] | None]:
    """Charge each bucket; return the tightest limit, and the first that is short of tokens with its measure."""
    tightest: LimitState | None = None
    for limit, measure in limited:
        taken = counters.take(limit, request.cost(), now)
        state = _state(limit, taken)
        if not taken.granted:
            return state, (measure, taken)
        if tightest is None or state.remaining < tightest.remaining:
            tightest = state
    return tightest, None


def _state(limit: Limit, taken: Taken) -> LimitState:
    missing = max(0.0, limit.burst - taken.remaining)
    full = missing / limit.tokens_per_minute * 60 if limit.tokens_per_minute > 0 else 0.0
    reset = taken.retry_after if not taken.granted else full
    return LimitState(int(limit.tokens_per_minute), 60, max(0, int(taken.remaining)), int(-(-reset // 1)))


def _edits(caps: list[Cap]) -> Edits | None:
    """Merge caps, the strictest of each."""
    if not caps:
        return None
    cap = reduce(_strictest, caps)
    edits = Edits(cap.max_tokens, False if cap.no_logprobs else None, "summary" if cap.summarised_reasoning else None)
    return edits if edits != Edits() else None


def _needed(edits: Edits | None, request: Request) -> Edits | None:
    """Return what is to be edited in a request: one that asks for no more than the cap is not edited for it."""
    if edits is None or edits.max_tokens is None or request.max_tokens is None:
        return edits
    if request.max_tokens > edits.max_tokens:
        return edits
    rest = msgspec.structs.replace(edits, max_tokens=None)
    return rest if rest != Edits() else None


def _strictest(one: Cap, other: Cap) -> Cap:
    most = [cap.max_tokens for cap in (one, other) if cap.max_tokens is not None]
    return Cap(
        min(most, default=None),
        one.no_logprobs or other.no_logprobs,
        one.summarised_reasoning or other.summarised_reasoning,
    )
