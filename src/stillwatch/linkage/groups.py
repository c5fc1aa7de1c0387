"""Candidate groups and their tests: two routes, honest nulls, false discovery controlled.

Route B chooses groups by WHAT is asked (bundles of shared prompt construction, communities of alike work) and tests the
four views of WHO. Route A chooses groups by shared networks and identities and tests WHAT, sign-ups and rhythm. A view
that chose a group never tests it.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from stillwatch.linkage.communities import communities, nearest, shared_values
from stillwatch.linkage.nulls import benjamini_hochberg, draws, partial_conjunction, sample, tail, unit_draws
from stillwatch.linkage.space import WHO, Space
from stillwatch.linkage.views import Likeness
from stillwatch.signals.frame import Ints
from stillwatch.signals.sketch import Kind
from stillwatch.signals.worth import group_worth
from stillwatch.types import Progress, silent

LEAST_MEMBERS = 8
MOST_TESTED = 1_000
MOST_MEASURED = 5_000
LEAST_EFFECT = 0.25
LEAST_WORTH = 0.5
SCREEN_DRAWS, DRAWS = 40, 200


@dataclass(frozen=True)
class Candidate:
    """A group to test: its route (A or B), where it comes from in words, its accounts, any bundle, and its worth.

    >>> Candidate("B", "alike work", np.arange(8)).bundle
    -1
    """

    route: str
    what: str
    members: Ints
    bundle: int = -1
    worth: float = 0.0


@dataclass(frozen=True)
class ViewResult:
    """One view of one group: nats a member, the null's mean, p-value, and the share of members with evidence.

    >>> round(ViewResult(effect=1.5, expected=0.2, p_value=1e-6, known=1.0).excess, 2)
    1.3
    """

    effect: float
    expected: float
    p_value: float
    known: float

    @property
    def excess(self) -> float:
        """Return nats a member beyond what chance gives.

        >>> ViewResult(effect=1.5, expected=0.5, p_value=1e-6, known=1.0).excess
        1.0
        """
        return self.effect - self.expected


@dataclass(frozen=True)
class Group:
    """A tested candidate: views by name, the p-value that two independent kinds of evidence hold, and its q-value.

    >>> view = ViewResult(effect=1.5, expected=0.2, p_value=1e-6, known=1.0)
    >>> Group(Candidate("B", "alike work", np.arange(8)), {"NET": view, "ID": view}, 3e-6, 0.001).q_value
    0.001
    """

    candidate: Candidate
    views: dict[str, ViewResult]
    p_value: float
    q_value: float


def candidates(space: Space, *, seed: int = 0) -> list[Candidate]:
    """Propose groups by both routes, largest first, near-duplicates left out.

    Groups are of eight accounts at least and half of all at most; a near-duplicate has Jaccard similarity ≥ 0.8 with
    an earlier group of the same route. Each comes with its worth; the same ``seed`` gives the same groups.

    >>> sorted({candidate.route for candidate in candidates(example_space())})
    ['A', 'B']
    """
    n = space.frame.n_accounts
    proposed = [
        *([] if "route B" in space.without else [*_by_construction(space), *_by_work(space, seed)]),
        *([] if "route A" in space.without else _by_sharing(space, seed)),
    ]
    kept: list[Candidate] = []
    seen: dict[str, _Seen] = {"A": _Seen(n), "B": _Seen(n)}
    for candidate in sorted(proposed, key=lambda c: -len(c.members)):
        fits = LEAST_MEMBERS <= len(candidate.members) <= n / 2
        if fits and seen[candidate.route].fresh(candidate.members):
            kept.append(candidate)
    return _valued(space, kept)


def _valued(space: Space, proposed: list[Candidate]) -> list[Candidate]:
    """Return candidates with their worth: of the exchanges that carry a candidate's bundle, else of its accounts."""
    built = np.array([candidate.bundle for candidate in proposed if candidate.bundle >= 0], np.int64)
    carried, row, valued = space.carried.by(built), 0, []
    for candidate in proposed:
        if candidate.bundle >= 0:
            rows = np.sort(carried.indices[carried.indptr[row] : carried.indptr[row + 1]])
            value, row = group_worth(space.frame, space.labels, space.worth, rows)[0], row + 1
        else:
            value = worth_of(space, candidate.members)
        valued.append(replace(candidate, worth=value))
    return valued


def worth_of(space: Space, members: Ints) -> float:
    """Return the mean worth of some accounts, from 0 to 1 (0.5 is the middle account); 0 when nothing is known.

    >>> from types import SimpleNamespace
    >>> space = SimpleNamespace(worth=SimpleNamespace(account=np.array([0.25, 0.75, np.nan])))
    >>> worth_of(space, np.arange(3))
    0.5
    """
    values = space.worth.account[members]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else 0.0


class _Seen:
    """Remember groups so that a later one that is nearly one of them (Jaccard ≥ 0.8) is left out."""

    def __init__(self, n_accounts: int) -> None:
        self._groups: list[Ints] = []
        self._of: list[list[int]] = [[] for _ in range(n_accounts)]

    def fresh(self, members: Ints) -> bool:
        """Say whether no earlier group is nearly this one, and remember it."""
        near = Counter(number for account in members[:: max(1, len(members) // 50)] for number in self._of[account])
        for number, _ in near.most_common(5):
            both = len(np.intersect1d(members, self._groups[number], assume_unique=True))
            if both >= 0.8 * (len(members) + len(self._groups[number]) - both):
                return False
        for account in members:
            self._of[account].append(len(self._groups))
        self._groups.append(members)
        return True


def _by_construction(space: Space) -> list[Candidate]:
    """Propose who shares prompt construction: bundles of three or more hashes, or of a system text or tool set."""
    by_bundle = space.by_bundle
    whole = np.isin(space.hashes >> np.uint64(60), np.array([Kind.SYSTEM_ID, Kind.TOOLSET], np.uint64))
    strong = np.zeros(by_bundle.pairs.n_values, bool)
    strong[space.bundles.of[whole]] = True
    strong |= space.bundles.size >= 3
    found = []
    for number in np.flatnonzero(strong):
        members = by_bundle.account[by_bundle.start[number] : by_bundle.start[number + 1]].astype(np.int64)
        found.append(
            Candidate("B", f"shared prompt construction ({space.bundles.size[number]} hashes)", members, int(number))
        )
    return found


def _by_work(space: Space, seed: int) -> list[Candidate]:
    """Propose who asks for alike work: communities of the nearest-neighbour graph of task vectors."""
    vectors = space.views["TASK"].vectors  # type: ignore[attr-defined]
    graph = nearest(vectors)
    groups = communities(graph, (1.0, 5.0, 25.0), least=LEAST_MEMBERS, seed=seed)
    return [Candidate("B", "alike work", group.astype(np.int64)) for group in groups]


def _by_sharing(space: Space, seed: int) -> list[Candidate]:
    """Propose who shares rare networks and identities."""
    graph = shared_values([*space.net.values(), *space.identity.values()], space.frame.n_accounts)
    groups = communities(graph, (0.2, 1.0, 4.0), least=LEAST_MEMBERS, seed=seed)
    return [Candidate("A", "shared networks and identities", group.astype(np.int64)) for group in groups]


def examine(space: Space, proposed: list[Candidate], *, seed: int = 0, progress: Progress = silent) -> list[Group]:
    """Test the candidates and correct for their number (Benjamini–Hochberg at q / 2 a route).

    Groups whose pooled worth is below that of the middle account are not tested: no trainer wants them, and worth takes
    no part in the tests, so leaving them out costs no validity and buys power.

    The q-values bound the false groups of both routes together; a seed and a candidate's place decide its draws.

    >>> examine(example_space(), [Candidate("B", "alike work", np.arange(8), worth=0.3)])
    []
    """
    proposed = [c for c in proposed if c.worth >= LEAST_WORTH or "WORTH" in space.without]
    results = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        streams = [np.random.default_rng([seed, number]) for number in range(len(proposed))]
        for result in pool.map(partial(_test, space), proposed, streams):
            results.append(result)
            progress("test groups", len(results), len(proposed), "groups")
    groups: list[Group] = []
    for route in ("A", "B"):
        mine = [(c, v, p) for c, (v, p) in zip(proposed, results, strict=True) if c.route == route]
        p_values = np.array([p for _, _, p in mine])
        adjusted = p_values if "false discovery" in space.without else 2 * benjamini_hochberg(p_values)
        q_values = np.minimum(1.0, adjusted)
        groups += [Group(c, v, p, float(qv)) for (c, v, p), qv in zip(mine, q_values, strict=True)]
    return groups


def _test(space: Space, candidate: Candidate, rng: np.random.Generator) -> tuple[dict[str, ViewResult], float]:
    members = candidate.members
    if len(members) > MOST_TESTED:
        members = np.sort(rng.choice(members, MOST_TESTED, replace=False))
    names = WHO if candidate.route == "B" else ("STACK", "TASK", "LIFE", "TIME")
    views = {name: view_result(space, name, members, rng, SCREEN_DRAWS) for name in names}
    if combined(candidate.route, views) < 0.1:
        views = {
            name: view_result(space, name, members, rng, DRAWS) if view.p_value < 0.5 else view
            for name, view in views.items()
        }
    return views, combined(candidate.route, views)


def view_result(space: Space, name: str, members: Ints, rng: np.random.Generator, count: int) -> ViewResult:
    """Measure one view of a group against stratified draws.

    ``count`` draws; the p-value is NaN when fewer than a tenth of the members have evidence. A group of more than 5,000
    is measured on as many drawn from it: nats a member do not grow with the group.

    >>> from types import SimpleNamespace
    >>> from stillwatch.linkage.views import Signups
    >>> unknown = Signups(np.full(9, -1), np.zeros(0, np.int64), np.arange(9, dtype=np.int32))
    >>> space, rng = SimpleNamespace(views={"LIFE": unknown}, without=()), np.random.default_rng(0)
    >>> view_result(space, "LIFE", np.arange(3), rng, 40).p_value
    nan
    """
    view = space.views[name]
    if len(members) > MOST_MEASURED:
        members = np.sort(rng.choice(members, MOST_MEASURED, replace=False))
    known = 0.0 if name in space.without else view.known(members)
    if known < 0.1:
        return ViewResult(0.0, 0.0, float("nan"), known)
    effect = view.effect(members)
    draw = unit_draws if isinstance(view, Likeness) else draws
    null = sample(view.effect, draw(members, space.strangers[name], rng, count))
    return ViewResult(effect, float(null.mean()), tail(effect, null), known)


def combined(route: str, views: dict[str, ViewResult]) -> float:
    """Return the p-value that two kinds of evidence hold which did not propose the group.

    Route B (alike work): two of WHO (partial conjunction). Route A (sharing): what is asked, and sign-ups or rhythm.
    A view below the least effect counts as chance.

    >>> strong, none = ViewResult(2.0, 0.1, 1e-6, 1.0), ViewResult(0.1, 0.1, 0.5, 1.0)
    >>> views = {"STACK": strong, "TASK": none, "LIFE": none, "TIME": strong}
    >>> combined("A", views) < 1e-5, combined("A", {**views, "TIME": none}) < 0.5
    (True, False)
    """
    p = {name: (v.p_value if v.excess >= LEAST_EFFECT else max(v.p_value, 0.5)) for name, v in views.items()}
    if route == "B":
        return partial_conjunction(np.array([p[name] for name in WHO]))
    what = min(1.0, 2 * np.nanmin([p["STACK"], p["TASK"], 1.0]))
    who = min(1.0, 2 * np.nanmin([p["LIFE"], p["TIME"], 1.0]))
    return float(max(what, who))
