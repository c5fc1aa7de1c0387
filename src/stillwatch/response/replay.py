"""Run plans over days that are past: what they would have stopped, whom they would have hit, and what it costs.

Nothing is decided here: the measures are those of :mod:`stillwatch.response.plan`, the buckets those of
:mod:`stillwatch.response.buckets`. Customers are taken to go on as they did, which nobody does who is stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.response.buckets import LocalBuckets
from stillwatch.response.ladder import LADDER, Rung
from stillwatch.response.standing import Limit, Standing
from stillwatch.response.store import micros
from stillwatch.signals.frame import Frame

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_SHUT = (Rung.STEP_UP, Rung.RESTRICT, Rung.SUSPEND)


@dataclass(frozen=True)
class Effect:
    """What measures do to each exchange of a frame, in the frame's order.

    ``stopped`` is refused, by a closed door or for want of tokens; ``delay_ms`` and ``cut`` (output tokens held back)
    are of those that go on; ``touched`` felt any of these.
    """

    stopped: Bools
    delay_ms: Floats
    cut: Floats

    @property
    def touched(self) -> Bools:
        """Whether the customer felt anything."""
        return self.stopped | (self.delay_ms > 0) | (self.cut > 0)


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """What one campaign got: exchanges and tokens before the first felt measure, after it all the same, and stopped.

    ``acted_at`` is when the first felt measure began, microseconds since 1970 UTC; None: never.
    """

    campaign: str
    exchanges: int
    before: int
    after: int
    stopped: int
    tokens: int
    tokens_stopped: int
    acted_at: int | None


class Bystanders(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic that is not a campaign's, of one group of accounts: how much of it felt something.

    ``stopped_tokens`` are tokens not sold, ``delay_s`` the seconds waited by all of the group.
    """

    group: str
    accounts: int
    accounts_touched: int
    exchanges: int
    touched: int
    stopped: int
    stopped_tokens: int
    delay_s: float


def tokens_of(frame: Frame) -> Floats:
    """Return input and output tokens of each exchange; unknown counts as none.

    >>> from types import SimpleNamespace
    >>> numbers = {"input_tokens": np.array([1.0, np.nan]), "output_tokens": np.array([2.0, 5.0])}
    >>> tokens_of(SimpleNamespace(number=numbers)).tolist()
    [3.0, 5.0]
    """
    return np.nan_to_num(frame.number["input_tokens"]) + np.nan_to_num(frame.number["output_tokens"])


def effect(frame: Frame, standings: Iterable[Standing]) -> Effect:
    """Return what standings do to the exchanges of a frame, shadow ones as if they were felt.

    >>> bool(effect(example_frame(), []).touched.any())
    False
    """
    found = Effect(np.zeros(frame.n_exchanges, bool), np.zeros(frame.n_exchanges), np.zeros(frame.n_exchanges))
    place = {account: number for number, account in enumerate(frame.account_ids.to_pylist())}
    limits: dict[int, dict[str, Limit]] = {}
    for standing in standings:
        if standing.account_id not in place or not LADDER[standing.rung].felt:
            continue
        rows = _covered(frame, place[standing.account_id], standing)
        if standing.rung in _SHUT:
            found.stopped[rows] = True
        if standing.limit is not None:
            for row in rows.tolist():
                limits.setdefault(row, {})[standing.limit.bucket] = standing.limit
        if standing.delay_ms is not None:
            found.delay_ms[rows] = np.maximum(found.delay_ms[rows], sum(standing.delay_ms) / 2)
        if standing.cap is not None and standing.cap.max_tokens is not None:
            given = np.nan_to_num(frame.number["output_tokens"][rows])
            found.cut[rows] = np.maximum(found.cut[rows], given - standing.cap.max_tokens)
    _ration(frame, limits, found.stopped)
    found.delay_ms[found.stopped] = 0.0
    found.cut[found.stopped] = 0.0
    return found


def _covered(frame: Frame, account: int, standing: Standing) -> Ints:
    """Return the rows of an account that a standing covers."""
    first, last = (int(n) for n in frame.start[account : account + 2])
    begin, end = np.searchsorted(frame.ts[first:last], [micros(standing.starts_at), micros(standing.expires_at)])
    rows = np.arange(first + int(begin), first + int(end))
    scope = standing.scope
    if scope.models:
        names = frame.names["model"]
        rows = rows[np.isin(frame.code["model"][rows], [i for i, name in enumerate(names) if name in scope.models])]
    if scope.whole_account:
        return rows
    if scope.templates:
        return rows[np.isin(frame.template[rows], np.array(scope.templates, np.uint64))]
    return rows if scope.models else rows[:0]


def _ration(frame: Frame, limits: Mapping[int, Mapping[str, Limit]], stopped: Bools) -> None:
    """Let the rows that share buckets draw from them in the order of time; what finds too little is stopped."""
    buckets, tokens = LocalBuckets(), tokens_of(frame)
    rows = np.array(sorted(limits), np.int64)
    for row in rows[np.argsort(frame.ts[rows], kind="stable")].tolist():
        if stopped[row]:
            continue
        now = float(frame.ts[row]) / 1e6
        taken = [buckets.take(limit, float(tokens[row]), now).granted for limit in limits[row].values()]
        stopped[row] = not all(taken)


def leaks(frame: Frame, found: Effect, asked: Mapping[str, pa.Array], standings: Sequence[Standing]) -> list[Leak]:
    """Return what each campaign got; ``asked`` names the exchanges of each.

    ``acted_at`` is the earliest beginning of a felt measure that names the campaign, or, when ``asked`` has names of
    another source, of any felt measure on an account that asked.

    >>> frame = example_frame()
    >>> first = frame.exchange_ids.take(np.array([0]))
    >>> leaks(frame, effect(frame, []), {"SW-1": first}, [])[0].stopped
    0
    """
    tokens = tokens_of(frame)
    result = []
    for campaign, exchanges in sorted(asked.items()):
        rows = np.flatnonzero(_named(frame, exchanges))
        accounts = set(frame.account_ids.take(pa.array(np.unique(frame.account[rows]))).to_pylist())
        begins = [micros(one.starts_at) for one in standings if one.account_id in accounts and LADDER[one.rung].felt]
        acted = min(begins, default=None)
        before = frame.ts[rows] < (np.iinfo(np.int64).max if acted is None else acted)
        stopped = found.stopped[rows]
        result.append(
            Leak(
                campaign=campaign,
                exchanges=len(rows),
                before=int(before.sum()),
                after=int((~before & ~stopped).sum()),
                stopped=int(stopped.sum()),
                tokens=int(tokens[rows].sum()),
                tokens_stopped=int(tokens[rows][stopped].sum()),
                acted_at=acted,
            )
        )
    return result


def _named(frame: Frame, exchanges: pa.Array) -> Bools:
    """Say of each row of a frame whether its exchange is one of these."""
    ids = frame.exchange_ids.take(np.arange(frame.n_exchanges))
    return np.asarray(pc.is_in(ids, value_set=exchanges).to_numpy(zero_copy_only=False), bool)


def bystanders(frame: Frame, found: Effect, ours: pa.Array, group_of: Mapping[str, str]) -> list[Bystanders]:
    """Return how much of the traffic that is nobody's campaign felt something, by group of account, hit most first.

    ``ours`` names all exchanges of campaigns; ``group_of`` gives each account's group (population or plan).

    >>> frame = example_frame()
    >>> [one.group for one in bystanders(frame, effect(frame, []), pa.array([], pa.string()), {})]
    ['unknown']
    """
    own = np.flatnonzero(~_named(frame, ours))
    names = [group_of.get(account) or "unknown" for account in frame.account_ids.to_pylist()]
    labels, code = np.unique(names, return_inverse=True)
    tokens, owner = tokens_of(frame), frame.account
    result = []
    for number, label in enumerate(labels.tolist()):
        rows = own[code[owner[own]] == number]
        touched, stopped = found.touched[rows], found.stopped[rows]
        result.append(
            Bystanders(
                group=label,
                accounts=int((code == number).sum()),
                accounts_touched=len(np.unique(owner[rows][touched])),
                exchanges=len(rows),
                touched=int(touched.sum()),
                stopped=int(stopped.sum()),
                stopped_tokens=int(tokens[rows][stopped].sum()),
                delay_s=float(found.delay_ms[rows].sum() / 1000),
            )
        )
    return sorted(result, key=lambda one: (-one.touched, one.group))


def by_campaign(table: pa.Table, key: str = "campaign_id") -> dict[str, pa.Array]:
    """Return the exchange ids of each campaign from a table of both columns; rows without a campaign are left out.

    >>> by_campaign(pa.table({"exchange_id": ["e1", "e2"], "campaign_id": ["SW-1", None]}))["SW-1"].to_pylist()
    ['e1']
    """
    named: dict[str, Any] = {}
    for campaign in pc.unique(pc.drop_null(table[key])).to_pylist():
        named[campaign] = table.filter(pc.equal(table[key], campaign))["exchange_id"].combine_chunks()
    return named
