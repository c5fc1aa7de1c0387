"""The same campaign tomorrow: ids that last over scans, over replaced accounts, splits and merges."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Event = Literal["new", "continued", "split", "merged"]


@dataclass(frozen=True)
class Trace:
    """What a campaign is recognised by: its accounts and its prompt constructions (template ids).

    ``lineage`` is what an earlier scan recorded of it, None for a campaign of this scan.

    >>> Trace("SW-7e18f73731", frozenset({"a", "b"}), frozenset({17})).templates
    frozenset({17})
    """

    campaign_id: str
    accounts: frozenset[str]
    templates: frozenset[int]
    lineage: Lineage | None = None


@dataclass(frozen=True)
class Lineage:
    """Where a campaign comes from: the event and the earlier ids, most alike first.

    >>> Lineage("SW-7e18f73731", "continued", ("SW-7e18f73731",)).event
    'continued'
    """

    campaign_id: str
    event: Event
    previous: tuple[str, ...]


def fresh_id(accounts: Sequence[str]) -> str:
    """Return an id made from the campaign's first accounts (in order of their first campaign exchange).

    >>> fresh_id(["a", "b"])
    'SW-7e18f73731'
    """
    return "SW-" + hashlib.sha256("\n".join(accounts[:8]).encode()).hexdigest()[:10]


def likeness(now: Trace, then: Trace) -> float:
    """Return how far two traces are one campaign: overlap of accounts, or of constructions when accounts were replaced.

    The overlap coefficient |A ∩ B| / min(|A|, |B|); constructions alone count for half.

    >>> a = Trace("x", frozenset("abc"), frozenset())
    >>> likeness(a, Trace("y", frozenset("bcd"), frozenset()))
    0.6666666666666666
    """
    accounts = len(now.accounts & then.accounts) / max(1, min(len(now.accounts), len(then.accounts)))
    templates = len(now.templates & then.templates) / max(1, min(len(now.templates), len(then.templates)))
    return max(accounts, 0.5 * templates)


def trace_lineage(now: list[tuple[Trace, Sequence[str]]], then: list[Trace], *, bar: float = 0.3) -> list[Lineage]:
    """Give every campaign of this scan its id: an earlier campaign's where they are one, else a fresh one.

    Pairs are taken from the most alike on. A campaign that takes several earlier ones keeps the id of the most alike
    and is ``merged``; a second campaign like an already taken one gets a fresh id and is ``split``. ``now`` pairs
    a trace (its id ignored) with its accounts in order of first exchange. A campaign whose accounts have not changed
    keeps the lineage it had, so that a scan repeated on the same data writes the same bytes.

    >>> was = Trace("SW-1", frozenset("abcd"), frozenset())
    >>> now = [(Trace("", frozenset("abx"), frozenset()), "abx"), (Trace("", frozenset("yz"), frozenset()), "yz")]
    >>> [(line.campaign_id, line.event) for line in trace_lineage(now, [was])]
    [('SW-1', 'continued'), ('SW-154fe76ca1', 'new')]
    """
    pairs = sorted(
        (
            (likeness(trace, earlier), i, earlier.campaign_id)
            for i, (trace, _) in enumerate(now)
            for earlier in then
            if likeness(trace, earlier) >= bar
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    given: dict[int, str] = {}
    relatives: dict[int, list[str]] = {}
    for _, i, earlier_id in pairs:
        relatives.setdefault(i, []).append(earlier_id)
        if i not in given and earlier_id not in given.values():
            given[i] = earlier_id
    used = {earlier.campaign_id for earlier in then}
    known = {(earlier.campaign_id, earlier.accounts): earlier.lineage for earlier in then}
    result = []
    for i, (trace, order) in enumerate(now):
        previous = tuple(relatives.get(i, ()))
        if i not in given:
            result.append(Lineage(_unused(order, used), "split" if previous else "new", previous))
            used.add(result[-1].campaign_id)
            continue
        unchanged = known.get((given[i], trace.accounts))
        if unchanged is not None:
            result.append(unchanged)
            continue
        absorbed = [p for p in previous if p != given[i] and p not in given.values()]
        result.append(Lineage(given[i], "merged" if absorbed else "continued", previous))
    return result


def _unused(order: Sequence[str], used: set[str]) -> str:
    """Return a fresh id that no earlier campaign and no other of this scan has."""
    candidate = fresh_id(order)
    while candidate in used:
        candidate = fresh_id([candidate, *order])
    return candidate
