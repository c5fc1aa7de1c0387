"""Groups -> campaigns: expand what is coordinated, let campaigns compete for accounts, split their exchanges."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stillwatch.campaigns.expand import expanded
from stillwatch.campaigns.kinship import kinship
from stillwatch.campaigns.profile import MEMBER_BAR, WHO_BLOCKS, Profile, fit_profile, tied, with_strangers
from stillwatch.campaigns.split import Split, split_exchanges
from stillwatch.linkage.groups import LEAST_EFFECT, LEAST_MEMBERS, Candidate, Group, ViewResult, examine, view_result
from stillwatch.linkage.space import CAPS, WHO, Space
from stillwatch.linkage.views import Sharing
from stillwatch.signals.frame import Ints
from stillwatch.signals.traits import Incidence
from stillwatch.signals.worth import group_worth
from stillwatch.tables.memory import give_back
from stillwatch.tables.threads import mapped
from stillwatch.types import Progress, silent

Floats = npt.NDArray[np.float64]
LEAST_P = 0.001
_PASSES = 3
_SPOKEN = 5  # exchanges from which on an account has shown what it is for
_STEERED = 1.5  # nats a member
_EPISODE = 0.5  # of all that is asked in the 24 busiest hours
_HOUR_US = 3_600_000_000
_RARER = 20  # times rarer among the rest than among members: a construction of their own


@dataclass(frozen=True)
class Found:
    """A coordinated group with its members: what the attribution stage judges.

    ``members`` are account codes with ``probability``; ``profile`` the fitted terms for all accounts; ``views`` the
    four WHO views and STACK and TASK measured again on the members; ``worth`` and its ``worth_parts`` on the campaign's
    exchanges only; ``floor`` what benign groups of this data reach; ``construction`` the share of members that hold
    their commonest construction; ``brief`` the share of what members ask for it in its 24 busiest hours;
    ``instruments`` what identities show beyond chance without ranges of card issuers, nats a member.
    """

    seed: Group
    members: Ints
    probability: Floats
    profile: Profile
    views: dict[str, ViewResult]
    split: Split
    worth: float
    worth_parts: dict[str, float]
    floor: float
    construction: float
    brief: float
    instruments: float

    @property
    def cohesion(self) -> float:
        """Return the mean WHO evidence of the members, nats, each one's own contribution left out."""
        return float(self.profile.total(WHO_BLOCKS)[self.members].mean()) if len(self.members) else 0.0

    @property
    def coordinated(self) -> int:
        """Return how many of the four WHO views stand out.

        >>> from types import SimpleNamespace
        >>> beyond, ordinary = ViewResult(1.0, 0.2, 1e-5, 1.0), ViewResult(0.2, 0.2, 0.5, 1.0)
        >>> views = {"NET": beyond, "ID": beyond, "LIFE": ordinary, "TIME": ordinary}
        >>> Found.coordinated.fget(SimpleNamespace(views=views))
        2
        """
        return sum(stands_out(self.views[name]) for name in WHO)

    @property
    def likeness(self) -> float:
        """Return what the members share in what they ask, beyond chance: construction and kind of work, nats a member.

        >>> from types import SimpleNamespace
        >>> view = ViewResult(2.5, 0.5, 1e-6, 1.0)
        >>> Found.likeness.fget(SimpleNamespace(views={"STACK": view, "TASK": view}))
        4.0
        """
        return sum(max(0.0, self.views[name].excess) for name in ("STACK", "TASK"))

    @property
    def connected(self) -> bool:
        """Say whether networks or identities show anything at all: half a nat a member, at one in a hundred.

        >>> from types import SimpleNamespace
        >>> some, ordinary = ViewResult(0.9, 0.3, 0.004, 1.0), ViewResult(0.2, 0.2, 0.5, 1.0)
        >>> Found.connected.fget(SimpleNamespace(views={"NET": ordinary, "ID": some}))
        True
        """
        return any(_shown(self.views[name], 2 * LEAST_EFFECT) for name in ("NET", "ID"))

    @property
    def taken_in(self) -> bool:
        """Say whether one organiser who takes strangers in explains who they are, as a school or a product does.

        They signed up together and share networks or cards of one issuer, not both, and no other identity.

        >>> from types import SimpleNamespace
        >>> much, ordinary = ViewResult(1.9, 0.3, 0.0004, 1.0), ViewResult(0.2, 0.2, 0.5, 1.0)
        >>> views = {"NET": much, "LIFE": much, "ID": ordinary}
        >>> Found.taken_in.fget(SimpleNamespace(views=views, instruments=0.0))
        True
        >>> Found.taken_in.fget(SimpleNamespace(views={**views, "ID": much}, instruments=0.0))
        False
        """
        both = all(_shown(self.views[name], 2 * LEAST_EFFECT) for name in ("NET", "ID"))
        together = _shown(self.views["LIFE"], _STEERED)
        return together and not both and self.instruments < _STEERED

    @property
    def steered(self) -> bool:
        """Say whether identities or rhythm show one hand behind the members: 1.5 nats a member, at one in a hundred.

        Rhythm does so only beyond an episode: where half is asked in 24 hours of all, deadlines or an event set it.

        >>> from types import SimpleNamespace
        >>> much, ordinary = ViewResult(1.9, 0.3, 0.004, 1.0), ViewResult(0.2, 0.2, 0.5, 1.0)
        >>> group = {"views": {"ID": ordinary, "TIME": much}}
        >>> [Found.steered.fget(SimpleNamespace(brief=brief, **group)) for brief in (0.2, 0.6)]
        [True, False]
        """
        rhythm = self.brief < _EPISODE and _shown(self.views["TIME"], _STEERED)
        return rhythm or _shown(self.views["ID"], _STEERED)


def _shown(view: ViewResult, least: float) -> bool:
    return view.excess >= least and view.p_value < 0.01


def stands_out(view: ViewResult) -> bool:
    """Say whether a view of the members is beyond chance in size and in probability.

    Stricter than the test of the seed (p < 0.001): the members were chosen with these views in mind.

    >>> stands_out(ViewResult(effect=1.0, expected=0.2, p_value=1e-5, known=1.0))
    True
    >>> stands_out(ViewResult(effect=0.3, expected=0.2, p_value=1e-5, known=1.0))
    False
    """
    return view.p_value < LEAST_P and view.excess >= LEAST_EFFECT


def worth_floor(space: Space, proposed: list[Candidate], groups: list[Group], q: float) -> float:
    """Return the worth that 90 % of this data's benign groups stay under.

    Benign are the candidate groups, tested or too poor to be tested, of which less than a quarter are members of any
    significant group. Half the scale at least; 0.6 when there are fewer than ten groups to learn from.

    ``q`` is the q-value up to which a group is significant; the answer lies between 0.5 and 1.

    >>> from types import SimpleNamespace
    >>> space = SimpleNamespace(frame=SimpleNamespace(n_accounts=110))
    >>> ordinary = [Candidate("B", "alike work", np.arange(10 * i, 10 * i + 10), worth=i / 10) for i in range(11)]
    >>> worth_floor(space, ordinary, [], 0.1), worth_floor(space, ordinary[:3], [], 0.1)
    (0.9, 0.6)
    """
    suspect = np.zeros(space.frame.n_accounts, bool)
    for group in groups:
        if group.q_value <= q:
            suspect[group.candidate.members] = True
    values = [c.worth for c in proposed if np.isfinite(c.worth) and suspect[c.members].mean() < 0.25]
    return float(max(0.5, np.quantile(values, 0.9))) if len(values) >= 10 else 0.6


def discover(
    space: Space, proposed: list[Candidate], *, q: float = 0.1, seed: int = 0, progress: Progress = silent
) -> list[Found]:
    """Test candidate groups and turn them into coordinated networks with members and exchanges.

    ``q`` bounds the expected share of false groups among the seeds. Networks hide each other: the accounts of one are
    the "strangers" that another is compared with. So the search is repeated with the networks found so far barred from
    the comparison, until a pass finds nothing new (step-down; three passes at most).

    >>> from stillwatch.linkage.groups import candidates
    >>> found = discover(example_space(), candidates(example_space()))
    >>> max(one.coordinated for one in found) >= 2
    True
    """
    barred = np.zeros(space.frame.n_accounts, bool)
    taken: list[tuple[Group, Profile]] = []
    floor = 0.6
    for attempt in range(1 if "step-down" in space.without else _PASSES):
        remaining = [c for c in proposed if barred[c.members].mean() < 0.5]
        groups = examine(replace(space, barred=barred), remaining, seed=seed, progress=progress)
        floor = worth_floor(space, proposed, groups, q) if attempt == 0 else floor
        give_back()
        fresh = expanded(space, groups, taken, q, progress)
        taken = [*taken, *fresh] if "merging" in space.without else _merged(space, [*taken, *fresh])
        mask = barred.copy()
        for _, profile in fresh:
            members = profile.members(MEMBER_BAR)
            known = space.worth.account[members]
            known = known[np.isfinite(known)]
            if "WORTH" in space.without or (len(known) and float(known.mean()) >= floor):
                mask[members] = True
        if (mask == barred).all():
            break
        barred = mask
    final = replace(space, barred=barred)
    found = list(mapped(taken, lambda pair: measured(final, pair[0], with_strangers(space, pair[1]), floor, seed)))
    first = _compete(final, [one for one in found if one.coordinated >= 2], [], seed)
    return [*first, *_compete(final, [one for one in found if one.coordinated < 2], first, seed)]


def _merged(space: Space, taken: list[tuple[Group, Profile]]) -> list[tuple[Group, Profile]]:
    """Join networks that are parts of one: each one's members fit the other's construction, work and rhythm.

    Seeds inside different resellers, or on different cards, find parts of one campaign; the larger part absorbs.
    """
    parts = sorted(taken, key=lambda pair: -len(pair[1].members(MEMBER_BAR)))
    done: list[tuple[Group, Profile]] = []
    while parts:
        group, profile = parts.pop(0)
        own = (profile, profile.members(MEMBER_BAR))
        kin = [part for part in parts if kinship(space.frame, own, (part[1], part[1].members(MEMBER_BAR))).alike]
        if kin:
            together = np.unique(np.concatenate([p.members(MEMBER_BAR) for p in (profile, *(k[1] for k in kin))]))
            profile = fit_profile(space, together)
            parts = [part for part in parts if not any(part is k for k in kin)]
        done.append((group, profile))
    return done


def _compete(space: Space, found: list[Found], before: list[Found], seed: int) -> list[Found]:
    """Give each account to the network that explains it best; others lose it, and so do all to those ``before``.

    A network that loses accounts is measured again.
    """
    n = space.frame.n_accounts
    gone = np.zeros(n, bool)
    for one in before:
        gone |= one.profile.probability >= MEMBER_BAR
    best, most = np.zeros(n, np.int64), np.full(n, -np.inf)
    for number, one in enumerate(found):
        logit = np.where((one.profile.probability >= MEMBER_BAR) & ~gone, one.profile.odds(), -np.inf)
        best = np.where(logit > most, number, best)
        np.maximum(most, logit, out=most)

    def left(number: int) -> Found | None:
        one = found[number]
        profile = replace(one.profile, probability=np.where((best == number) & ~gone, one.profile.probability, 0.0))
        members = len(profile.members(MEMBER_BAR))
        if members < LEAST_MEMBERS:
            return None
        same = members == len(one.profile.members(MEMBER_BAR))
        return replace(one, profile=profile) if same else measured(space, one.seed, profile, one.floor, seed)

    return [one for one in mapped(range(len(found)), left) if one is not None]


def measured(space: Space, group: Group, profile: Profile, floor: float, seed: int) -> Found:
    """Measure a network once more on its members: views, exchanges and worth; ``seed`` draws the comparisons.

    >>> one = example_found()
    >>> again = measured(example_space(), one.seed, one.profile, one.floor, 0)
    >>> bool((again.members == one.members).all())
    True
    """
    members = profile.members(MEMBER_BAR)
    split = split_exchanges(space, members, profile.probability[members])
    apart = _apart_in_all(space, members, split, profile)
    if apart.any() and not apart.all():
        members = members[~apart]
        split = split_exchanges(space, members, profile.probability[members])
    probability = profile.probability[members]
    rng = np.random.default_rng([seed, len(members)])
    views = {name: view_result(space, name, members, rng, 100) for name in (*WHO, "STACK", "TASK")}
    rows = split.rows[split.probability >= 0.5]
    worth, parts = group_worth(space.frame, space.labels, space.worth, rows) if len(rows) else (0.0, {})
    construction = common_construction(space.bundles.held, members, np.flatnonzero(space.barred))
    own = (construction, brief(space.frame.account[rows], space.frame.ts[rows]))
    instruments = _instruments(space, members, views["ID"])
    return Found(group, members, probability, profile, views, split, worth, parts, floor, *own, instruments)


def _instruments(space: Space, members: Ints, view: ViewResult) -> float:
    """Return what identities but ranges of card issuers show beyond chance: strangers have cards of one issuer, too."""
    kept = tuple(pairs for name, pairs in space.identity.items() if name != "payment_bin")
    effect = Sharing(kept, CAPS["ID"], space.site).effect(members) if view.known >= 0.1 else 0.0
    return effect - view.expected


def brief(account: npt.NDArray[np.integer], ts: Ints) -> float:
    """Return the share of some exchanges that falls in their 24 busiest hours, accounts counting alike.

    ``account`` and ``ts`` (microseconds) have an entry an exchange; 0 without any.

    >>> brief(np.zeros(48, int), np.arange(48) * 3_600_000_000)
    0.5
    """
    if not len(ts):
        return 0.0
    _, owner, volume = np.unique(account, return_inverse=True, return_counts=True)
    _, hour = np.unique(ts // _HOUR_US, return_inverse=True)
    busy = np.sort(np.bincount(hour.reshape(-1), weights=1.0 / volume[owner.reshape(-1)]))[::-1]
    return float(busy[:24].sum() / len(volume))


def _apart_in_all(space: Space, members: Ints, split: Split, profile: Profile) -> npt.NDArray[np.bool_]:
    """Say which members asked nothing for the campaign and are not of it.

    Those who asked five times or more for other things; and of the silent, who may be its reserve, those whom who they
    are does not tie to the ones that do ask for it.
    """
    asked = space.frame.volume()[members]
    place = np.searchsorted(members, space.frame.account[split.rows[split.probability >= 0.5]])
    never = np.asarray(np.bincount(place, minlength=len(members)) == 0, np.bool_)
    if not never.any():
        return never
    return np.asarray(never & ((asked >= _SPOKEN) | ~tied(space, profile, members[~never])[members]), np.bool_)


def common_construction(held: Incidence, members: Ints, apart: Ints) -> float:
    """Return the share of members that hold their commonest construction, of those twenty times rarer among the rest.

    ``held`` is which account holds which construction; ``apart`` are accounts of any network, which are not the rest:
    parts of one campaign hold the same. 0 when none is that rare, or there are no members.

    >>> from stillwatch.signals.traits import incidence
    >>> template, framework = np.zeros(13, np.int64), np.ones(100, np.int64)
    >>> account = np.concatenate((np.arange(13), np.arange(100))).astype(np.int32)
    >>> held = incidence(account, np.concatenate((template, framework)), 100)
    >>> common_construction(held, np.arange(4), np.arange(13)), common_construction(held, np.arange(4), np.arange(4))
    (1.0, 0.0)
    """
    if not len(members):
        return 0.0
    networks = np.union1d(members, apart)
    count = held.among(members)
    rest = (held.holders() - held.among(networks) + 0.5) / (len(held.start) - len(networks))
    rare = count / len(members) >= _RARER * rest
    return float(count[rare].max(initial=0.0) / len(members))
