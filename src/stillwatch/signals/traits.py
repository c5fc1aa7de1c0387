"""The frame -> who holds which trait: sparse account × value tables, one a family.

Blocks and families (docs/detection.md): STACK (what the client and its prompts are built from), NET and ID. Values are
dense codes; a row of an :class:`Incidence` says in how many of its exchanges an account showed the value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from stillwatch.signals.columns import Codes, Ints, blocks, slices
from stillwatch.signals.compiled import lean
from stillwatch.signals.frame import Frame
from stillwatch.signals.habits import habits_of
from stillwatch.signals.postings import postings_of

FEW_EXCHANGES = 4  # an account of no more has a habit in what it used once
IDENTITY_FAMILIES = (
    "payment_hash",
    "device_hash",
    "phone_hash",
    "email_hash",
    "payment_bin",
    "email_domain",
    "referral",
)
Counts = npt.NDArray[np.int32] | npt.NDArray[np.int64]
ENTITY_FAMILIES = ("payment_hash", "device_hash", "phone_hash", "org_id")


@dataclass(frozen=True)
class Incidence:
    """Account × value pairs, sorted by account then value; ``count`` is exchanges (1 for account attributes).

    ``start[a]:start[a + 1]`` are the pairs of account a; ``holders`` counts the accounts of each value.

    >>> pairs = incidence(np.array([0, 0, 1], np.int32), np.array([1, 1, 0]), 2)
    >>> list(zip(pairs.account.tolist(), pairs.value.tolist(), pairs.count.tolist()))
    [(0, 1, 2), (1, 0, 1)]
    """

    account: Codes
    value: Codes
    count: Counts
    start: Ints
    n_values: int
    label: npt.NDArray[np.uint64] | None = None

    def holders(self) -> Ints:
        """Return the number of accounts that hold each value (``n_values`` long).

        >>> incidence(np.array([0, 1, 1], np.int32), np.array([0, 0, 1]), 2).holders().tolist()
        [2, 1]
        """
        return self._holders

    @cached_property
    def _holders(self) -> Ints:
        count = np.zeros(self.n_values, np.int64)
        _tally(self.value, self.start[:1], self.start[-1:], count)
        return count

    def among(self, members: Ints) -> Ints:
        """Return how many of some distinct accounts hold each value, looking at no others.

        >>> incidence(np.array([0, 1, 1], np.int32), np.array([0, 0, 1]), 2).among(np.array([0])).tolist()
        [1, 0]
        """
        count = np.zeros(self.n_values, np.int64)
        _tally(self.value, self.start[members], self.start[members + 1], count)
        return count

    def keep(self, mask: npt.NDArray[np.bool_], values: npt.NDArray[np.bool_]) -> Incidence:
        """Return the pairs under ``mask`` whose value is in ``values``, with values coded densely anew.

        ``mask`` has an entry a pair, ``values`` an entry a value.

        >>> pairs = incidence(np.array([0, 1, 1], np.int32), np.array([0, 0, 1]), 2)
        >>> kept = pairs.keep(np.ones(3, bool), np.array([False, True]))
        >>> kept.account.tolist(), kept.value.tolist()
        ([1], [0])
        """
        mask = mask & values[self.value]
        dense = np.cumsum(values) - 1
        label = None if self.label is None else self.label[values]
        account = self.account[mask]
        value = dense[self.value[mask]].astype(np.int32)
        start = np.searchsorted(account, np.arange(len(self.start))).astype(np.int64)
        return Incidence(account, value, self.count[mask], start, int(values.sum()), label)


@lean
def _tally(value: Codes, first: Ints, last: Ints, count: Ints) -> None:
    """Count the values from each of ``first`` to before each of ``last``."""
    for run in range(len(first)):
        for i in range(first[run], last[run]):
            count[value[i]] += 1


def incidence(
    account: Codes, value: npt.NDArray[np.signedinteger], n_accounts: int, label: npt.NDArray[np.uint64] | None = None
) -> Incidence:
    """Count account × value pairs; rows with a negative value are left out.

    >>> pairs = incidence(np.array([0, 0, 1], np.int32), np.array([1, 1, 0]), 2)
    >>> pairs.count.tolist(), pairs.start.tolist()
    ([2, 1], [0, 1, 2])
    """
    n_values = len(label) if label is not None else int(value.max(initial=-1)) + 1
    width = max(1, n_values)
    found, counted = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for block in blocks(account):
        there = value[block] >= 0
        keys = account[block][there].astype(np.int64) * width + value[block][there]
        distinct, counts = np.unique(keys, return_counts=True)
        found.append(distinct)
        counted.append(counts)
    keys, counts = np.concatenate(found), np.concatenate(counted)
    owner = (keys // width).astype(np.int32)
    start = np.searchsorted(owner, np.arange(n_accounts + 1)).astype(np.int64)
    return Incidence(owner, (keys % width).astype(np.int32), counts, start, n_values, label)


def content_traits(frame: Frame, *, min_holders: int = 5) -> Incidence:
    """Return which sampled hashes of prompt, system text and tools each account uses as a habit.

    A habit is at least two of the account's exchanges, or one when it has no more than four. Hashes held by fewer
    than ``min_holders`` accounts link nobody and are left out. ``label`` is the hash, its kind in the top four bits.

    >>> from types import SimpleNamespace
    >>> from stillwatch.signals.frame import Ragged
    >>> from stillwatch.signals.sketch import Kind
    >>> hashes = np.array([Kind.HEAD, Kind.HEAD, Kind.PAYLOAD], np.uint64) << np.uint64(60)
    >>> frame = SimpleNamespace(sketch=Ragged(np.array([0, 1, 3]), hashes), account=np.array([0, 1], np.int32))
    >>> frame.n_accounts, frame.volume = 2, lambda: np.array([1, 1])
    >>> content_traits(frame, min_holders=2).account.tolist()
    [0, 1]
    """
    few = frame.volume() <= FEW_EXCHANGES
    account, value, count, label = habits_of(postings_of(frame.sketch), frame.account, few, min_holders)
    start = np.searchsorted(account, np.arange(frame.n_accounts + 1)).astype(np.int64)
    return Incidence(account, value, count, start, len(label), label)


def client_traits(frame: Frame) -> dict[str, Incidence]:
    """Return who uses which client stack: user agent, TLS and client fingerprint, request parameters, by that name.

    A value is held when it is in at least a fifth of the account's exchanges.

    >>> from types import SimpleNamespace
    >>> unset, agent = np.full(6, np.nan), np.array([0, 0, 0, 0, 0, 1])
    >>> frame = SimpleNamespace(account=np.zeros(6, np.int32), n_accounts=1, volume=lambda: np.array([6]))
    >>> frame.code = {"user_agent": agent, "tls_fingerprint": agent * 0, "client_fingerprint": agent * 0}
    >>> frame.number = {"max_tokens": unset, "temperature": unset, "n_choices": unset}
    >>> frame.flag = {"logprobs_requested": np.full(6, -1)}
    >>> client_traits(frame)["user_agent"].value.tolist()
    [0]
    """
    held = {}
    for name in ("user_agent", "tls_fingerprint", "client_fingerprint", "parameters"):
        value = _parameters(frame) if name == "parameters" else frame.code[name]
        pairs = incidence(frame.account, value, frame.n_accounts)
        often = pairs.count >= 0.2 * frame.volume()[pairs.account]
        held[name] = pairs.keep(often, np.ones(pairs.n_values, bool))
    return held


def _parameters(frame: Frame) -> Codes:
    """Code the combination of request parameters, in the order of their values; -1 where none was set."""
    number = [frame.number[name] for name in ("max_tokens", "temperature", "n_choices")]
    columns: list[npt.NDArray[Any]] = [*number, frame.flag["logprobs_requested"]]
    some = slices(len(frame.account))

    def given(column: npt.NDArray[Any], rows: slice) -> npt.NDArray[Any]:
        return np.asarray(np.nan_to_num(column[rows], nan=-1.0))

    distinct = [_union(given(column, rows) for rows in some) for column in columns]

    def combined(rows: slice) -> Ints:
        key = np.zeros(rows.stop - rows.start, np.int64)
        for column, values in zip(columns, distinct, strict=True):
            key *= len(values)
            key += np.searchsorted(values, given(column, rows))
        return key

    known = _union(map(combined, some))
    out = np.empty(len(frame.account), np.int32)
    for rows in some:
        unset = (given(number[0], rows) < 0) & (given(number[1], rows) < 0)
        out[rows] = np.where(unset, -1, np.searchsorted(known, combined(rows)))
    return out


def _union(parts: Iterable[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.unique(np.concatenate([np.unique(part) for part in parts]))


def network_traits(frame: Frame, *, most: int = 64) -> dict[str, Incidence]:
    """Return who came from which address and network prefix (``most`` used ones an account at most), by column name.

    >>> from types import SimpleNamespace
    >>> codes = np.array([0, 0, 1, 2], np.int32)
    >>> frame = SimpleNamespace(account=np.zeros(4, np.int32), n_accounts=1, code={"ip": codes, "ip_prefix": codes * 0})
    >>> held = network_traits(frame, most=2)
    >>> held["ip"].value.tolist(), held["ip_prefix"].count.tolist()
    ([0, 1], [4])
    """
    held = {}
    for name in ("ip", "ip_prefix"):
        pairs = incidence(frame.account, frame.code[name], frame.n_accounts)
        order = np.lexsort((-pairs.count, pairs.account))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - pairs.start[pairs.account[order]]
        held[name] = pairs.keep(place < most, np.ones(pairs.n_values, bool))
    return held


def identity_traits(frame: Frame) -> dict[str, Incidence]:
    """Return who signed up with which payment, device, phone, address domain or referral, by column name.

    >>> from types import SimpleNamespace
    >>> unknown, card = np.full(3, -1), np.array([0, 0, -1])
    >>> attribute = {**dict.fromkeys(IDENTITY_FAMILIES, unknown), "payment_hash": card}
    >>> identity_traits(SimpleNamespace(n_accounts=3, attribute=attribute))["payment_hash"].holders().tolist()
    [2]
    """
    everyone = np.arange(frame.n_accounts, dtype=np.int32)
    return {name: incidence(everyone, frame.attribute[name], frame.n_accounts) for name in IDENTITY_FAMILIES}


def main_value(frame: Frame, name: str) -> Codes:
    """Return the commonest code of a column for each account, -1 when it has none; ties go to the lower code.

    >>> from types import SimpleNamespace
    >>> frame = SimpleNamespace(account=np.array([0, 0, 0, 1]), n_accounts=3, code={"country": np.array([4, 4, 2, -1])})
    >>> main_value(frame, "country").tolist()
    [4, -1, -1]
    """
    pairs = incidence(frame.account, frame.code[name], frame.n_accounts)
    order = np.lexsort((pairs.value, -pairs.count, pairs.account))
    first = np.full(frame.n_accounts, -1, np.int32)
    owners, at = np.unique(pairs.account[order], return_index=True)
    first[owners] = pairs.value[order][at]
    return first
