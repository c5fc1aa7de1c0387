"""The same campaign tomorrow: ids that last over scans, over replaced accounts, splits and merges."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Literal

from stillwatch.campaigns.kinship import Kinship

Event = Literal["new", "continued", "split", "merged"]
Kin = Callable[[int, AbstractSet[str]], Kinship | None]
"""Number of a campaign of this scan, accounts -> how well they fit each other; None when the data cannot say."""
BAR = 0.3


@dataclass(frozen=True)
class Lineage:
    """Where a campaign comes from: the event and the earlier ids it is like, that whose id it has first.

    ``case`` is the id of the first report of what one operator does, as far as is known: its own, unless construction
    and work say that it is a part or a later generation of that one. ``because`` says in sentences what this rests on.

    >>> Lineage("SW-7e18f73731", "continued", ("SW-7e18f73731",)).case
    'SW-7e18f73731'
    """

    campaign_id: str
    event: Event
    previous: tuple[str, ...]
    case: str = ""
    because: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Make the campaign a case of its own unless said otherwise."""
        object.__setattr__(self, "case", self.case or self.campaign_id)


@dataclass(frozen=True)
class Trace:
    """What a campaign is recognised by: its accounts and its prompt constructions (template ids).

    Of an earlier campaign ``accounts`` are all that were ever reported in it and are still in the data; ``latest``
    those of its last report, with the ``lineage`` recorded then; ``into`` the campaign that took it in;
    ``decided`` says that a person chose its case.

    >>> Trace("SW-7e18f73731", frozenset({"a", "b"}), frozenset({17})).templates
    frozenset({17})
    """

    campaign_id: str
    accounts: frozenset[str]
    templates: frozenset[int]
    lineage: Lineage | None = None
    latest: frozenset[str] | None = None
    into: str = ""
    decided: bool = False

    def unchanged(self, accounts: AbstractSet[str]) -> bool:
        """Say whether its last report had just these accounts (all that it has, where that is not known).

        >>> Trace("SW-1", frozenset("ab"), frozenset(), latest=frozenset("b")).unchanged({"b"})
        True
        """
        return (self.accounts if self.latest is None else self.latest) == accounts


@dataclass(frozen=True)
class _Tie:
    """Why a campaign of this scan is an earlier one; ``rank`` puts the surer first."""

    rank: tuple[float, ...]
    i: int
    earlier: Trace
    because: str


def fresh_id(accounts: Sequence[str]) -> str:
    """Return an id made from the campaign's first accounts (in order of their first campaign exchange).

    >>> fresh_id(["a", "b"])
    'SW-7e18f73731'
    """
    return "SW-" + hashlib.sha256("\n".join(accounts[:8]).encode()).hexdigest()[:10]


def overlap(some: AbstractSet[str] | AbstractSet[int], others: AbstractSet[str] | AbstractSet[int]) -> float:
    """Return the overlap coefficient |A ∩ B| / min(|A|, |B|), 0 when one is empty.

    >>> overlap({"a", "b", "c"}, {"b", "c", "d", "e"})
    0.6666666666666666
    """
    return len(some & others) / max(1, min(len(some), len(others)))


def trace_lineage(
    now: Sequence[tuple[Trace, Sequence[str]]], then: Sequence[Trace], kin: Kin = lambda number, accounts: None
) -> list[Lineage]:
    """Give every campaign of this scan its id: an earlier campaign's where they are one, else a fresh one.

    ``now`` pairs a trace (its id ignored) with its accounts in order of first exchange; ``then`` are all earlier
    campaigns, the oldest first, in the last scan or not. They are one when they share accounts (overlap of at least
    0.3), or else by ``kin``, or, where the data no longer hold the accounts, by template ids (overlap of 0.6).

    A campaign that holds half of several earlier ones keeps the oldest's id and is ``merged``; of several that are like
    one, that with most of its accounts has the id and the others are ``split`` from it. A campaign whose accounts have
    not changed keeps the lineage it had, so that a scan repeated on the same data writes the same bytes.

    >>> was = Trace("SW-1", frozenset("abcd"), frozenset())
    >>> now = [(Trace("", frozenset("abx"), frozenset()), "abx"), (Trace("", frozenset("yz"), frozenset()), "yz")]
    >>> [(line.campaign_id, line.event) for line in trace_lineage(now, [was])]
    [('SW-1', 'continued'), ('SW-154fe76ca1', 'new')]
    """
    ties = _ties(now, then, kin)
    given: dict[int, Trace] = {}
    for tie in ties:
        if tie.i not in given and tie.earlier.campaign_id not in {one.campaign_id for one in given.values()}:
            given[tie.i] = tie.earlier
    used = {earlier.campaign_id for earlier in then}
    lines = []
    for i, (trace, order) in enumerate(now):
        mine = [tie for tie in ties if tie.i == i]
        known = given.get(i)
        if known is not None and known.lineage is not None and known.unchanged(trace.accounts):
            lines.append(known.lineage)
            continue
        name = known.campaign_id if known else _unused(order, used)
        used.add(name)
        mine.sort(key=lambda tie: (tie.earlier is not known, tie.rank))
        taken = {one.campaign_id for one in given.values()}
        absorbed = any(t.earlier.campaign_id not in taken and t.earlier.into != name for t in mine)
        event: Event = ("merged" if absorbed else "continued") if known else "split" if mine else "new"
        case = known.lineage.case if known and known.lineage else name
        said = tuple(tie.because for tie in mine)
        lines.append(Lineage(name, event, tuple(tie.earlier.campaign_id for tie in mine), case, said))
    return _cases(now, then, lines, kin)


def _ties(now: Sequence[tuple[Trace, Sequence[str]]], then: Sequence[Trace], kin: Kin) -> list[_Tie]:
    """Return the ties between now and then: first those that hold half of the earlier one, from the oldest on."""
    ties = []
    for i, (trace, _) in enumerate(now):
        own = [tie for age, earlier in enumerate(then) if (tie := _by_accounts(i, trace, age, earlier))]
        ties += own or [tie for earlier in then if (tie := _by_likeness(i, trace, earlier, kin))]
    return sorted(ties, key=lambda tie: (tie.rank, tie.i, tie.earlier.campaign_id))


def _by_accounts(i: int, trace: Trace, age: int, earlier: Trace) -> _Tie | None:
    shared = len(trace.accounts & earlier.accounts)
    if overlap(trace.accounts, earlier.accounts) < BAR:
        return None
    rank = (0.0, age, -shared) if 2 * shared >= len(earlier.accounts) else (1.0, -shared, age)
    said = f"{shared:,} of its {len(trace.accounts):,} accounts were in reports of {earlier.campaign_id} before"
    return _Tie(rank, i, earlier, said)


def _by_likeness(i: int, trace: Trace, earlier: Trace, kin: Kin) -> _Tie | None:
    found = kin(i, earlier.accounts)
    if found is not None:
        return _Tie((2.0, -found.what), i, earlier, told(found, earlier.campaign_id)) if found.one else None
    if 0.5 * overlap(trace.templates, earlier.templates) < BAR:
        return None
    shared = len(trace.templates & earlier.templates)
    said = f"it uses {shared:,} of the prompt templates of {earlier.campaign_id}, whose accounts are not in these data"
    return _Tie((3.0, -shared), i, earlier, said)


def told(kinship: Kinship, name: str) -> str:
    """Say what makes a campaign one with another.

    >>> told(Kinship(5.0, 8.4, 0.7, 0.0), "SW-1")  # doctest: +NORMALIZE_WHITESPACE
    'its members and those of SW-1 fit each other in prompt construction and client (5.0 nats; 3 are needed) and, with
    it, kind of work (8.4; 4), and they work at the same hours'
    """
    fit = f"prompt construction and client ({kinship.built:.1f} nats; 3 are needed) and, with it, kind of work"
    after = f"{kinship.replaced:.0%}".replace("%", " %")
    rest = (
        f"{after} of the later ones first asked within two days after one of the others was closed"
        if kinship.replaced
        else "they work at the same hours"
    )
    return f"its members and those of {name} fit each other in {fit} ({kinship.what:.1f}; 4), and {rest}"


def _cases(
    now: Sequence[tuple[Trace, Sequence[str]]], then: Sequence[Trace], lines: Sequence[Lineage], kin: Kin
) -> list[Lineage]:
    """Lay campaigns that are cases of their own to an older case that they are kin to.

    Older is what was reported before; of those first reported by this scan, what has more accounts.
    """
    place = {line.campaign_id: i for i, line in enumerate(lines)}
    known = {earlier.campaign_id: earlier for earlier in then}
    fresh = sorted(place.keys() - known.keys(), key=lambda name: (-len(now[place[name]][0].accounts), name))
    older: list[tuple[str, str, frozenset[str]]] = []
    done = list(lines)
    for name in (*known, *fresh):
        was, i = known.get(name), place.get(name)
        line = done[i] if i is not None else was.lineage if was else None
        here = now[i][0].accounts if i is not None else frozenset[str]()
        settled = was is not None and (was.decided or was.unchanged(here))
        if i is not None and line and line.case == name and not settled:
            line = done[i] = _laid(i, here, line, older, kin)
        older.append((name, line.case if line else name, here | (was.accounts if was else here)))
    return done


def _laid(
    i: int, accounts: frozenset[str], line: Lineage, older: Sequence[tuple[str, str, frozenset[str]]], kin: Kin
) -> Lineage:
    for name, case, others in older:
        found = kin(i, others - accounts)
        if found is not None and found.one:
            said = told(found, name)
            return replace(line, case=case, because=(*line.because, *(() if said in line.because else (said,))))
    return line


def remembered(now: Sequence[Trace], then: Sequence[Trace], lines: Sequence[Lineage]) -> list[Trace]:
    """Return all campaigns known after a scan, the oldest first: what the next scan recognises campaigns by.

    An earlier campaign that was not found this time stays as it was; one found again adds to its accounts those that
    no other is known by, so that two campaigns that one scan ran together come apart under their own ids.

    >>> was = Trace("SW-1", frozenset("ab"), frozenset())
    >>> line = Lineage("SW-1", "continued", ("SW-1",))
    >>> sorted(remembered([Trace("", frozenset("bc"), frozenset())], [was], [line])[0].accounts)
    ['a', 'b', 'c']
    """
    found = {line.campaign_id: (trace, line) for trace, line in zip(now, lines, strict=True)}
    taken_in = {name: line.campaign_id for line in lines for name in line.previous if name not in found}
    kept = []
    for earlier in then:
        if earlier.campaign_id in found:
            trace, line = found.pop(earlier.campaign_id)
            elsewhere = frozenset[str]().union(*(one.accounts for one in then if one is not earlier))
            accounts = earlier.accounts | (trace.accounts - elsewhere)
            templates = trace.templates or earlier.templates
            fresh_look = {"accounts": accounts, "templates": templates, "lineage": line, "latest": trace.accounts}
            kept.append(replace(earlier, into="", **fresh_look))  # type: ignore[arg-type]
        else:
            kept.append(replace(earlier, into=taken_in.get(earlier.campaign_id, earlier.into)))
    fresh = [
        Trace(name, trace.accounts, trace.templates, line, trace.accounts) for name, (trace, line) in found.items()
    ]
    return kept + sorted(fresh, key=lambda trace: (-len(trace.accounts), trace.campaign_id))


def _unused(order: Sequence[str], used: AbstractSet[str]) -> str:
    """Return a fresh id that no earlier campaign and no other of this scan has."""
    candidate = fresh_id(order)
    while candidate in used:
        candidate = fresh_id([candidate, *order])
    return candidate
