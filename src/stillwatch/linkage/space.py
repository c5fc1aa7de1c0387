"""Everything that links accounts, computed once from the frame: traits, bundles, vectors, views and strata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from stillwatch.linkage.bundles import Bundles, bundle
from stillwatch.linkage.carried import Carried
from stillwatch.linkage.cells import Cells, Holders, Moments
from stillwatch.linkage.entities import entities
from stillwatch.linkage.nulls import Owners, Strangers, Strata, strata
from stillwatch.linkage.views import Likeness, Sharing, Signups, View
from stillwatch.signals.activity import rhythm
from stillwatch.signals.columns import U64, Columns, blocks
from stillwatch.signals.frame import Codes, Frame, Ints
from stillwatch.signals.tasks import Tasks, task_vectors, tasks
from stillwatch.signals.traits import (
    ENTITY_FAMILIES,
    Incidence,
    client_traits,
    content_traits,
    identity_traits,
    incidence,
    main_value,
    network_traits,
)
from stillwatch.signals.worth import Worth, high_value_ids, repeats, worth
from stillwatch.tables.memory import give_back
from stillwatch.types import Progress, silent

WHO = ("NET", "ID", "LIFE", "TIME")
CAPS = {"STACK": 9.0, "TASK": 5.0, "NET": 8.0, "ID": 9.0, "LIFE": 4.0, "TIME": 4.0}
# A cosine between two accounts' residuals over some hundred independent directions, in nats: half the directions.
RHYTHM_NATS = 64.0
TASK_NATS = 8.0
# A domain of so few accounts is a small company's own; a larger one may be anybody's mail host.
MOST_COLLEAGUES = 12
# What a scan can be told to do without, so that its worth can be measured: blocks of evidence, the worth axis, routes
# to groups, corrections and the weighing of innocent explanations.
PARTS = (
    *CAPS, "WORTH", "route A", "route B", "owners", "false discovery", "step-down", "merging", "explanations",
)  # fmt: skip


@dataclass(frozen=True)
class Space:
    """The linking evidence of a dataset. ``views`` holds NET, ID, LIFE, TIME, STACK and TASK.

    ``barred`` accounts belong to networks already found and take no part in what chance is measured on.

    ``hashes`` are the content traits that ``bundles`` joins, the kind of each in the top four bits.
    ``stack``, ``net`` and ``identity`` hold pairs of account and value by family; ``payer`` and ``site`` are the
    unit of each account by payment and by place; ``carried`` counts the hashes of a bundle in each exchange when asked;
    ``main`` holds each account's commonest network kind, country and network prefix;
    ``strata`` says by view who is compared with whom. ``without`` names the parts of the
    method (of ``PARTS``) that are left out, for ablations.
    """

    frame: Frame
    labels: Tasks
    worth: Worth
    hashes: U64
    bundles: Bundles
    stack: dict[str, Incidence]
    net: dict[str, Incidence]
    identity: dict[str, Incidence]
    payer: Codes
    site: Codes
    views: dict[str, View]
    strata: dict[str, Strata]
    owners: Owners
    carried: Carried
    main: Mapping[str, Codes]
    barred: npt.NDArray[np.bool_]
    without: AbstractSet[str] = frozenset()

    @cached_property
    def repeats(self) -> npt.NDArray[np.uint32]:
        """Return how often each exchange's whole prompt occurs in all the data (0 without), counted once.

        >>> int(example_space().repeats.min())
        1
        """
        return repeats(self.frame)

    def kinds(self, rows: Ints | slice) -> list[npt.NDArray[np.int16]]:
        """Return what can tell an account's exchanges apart: capability, topic, form, elicitation, and alone or not.

        ``rows`` are exchanges; every list entry has a small number an exchange. Client and network are left out: they
        belong to the account.

        >>> [len(kind) for kind in example_space().kinds(slice(0, 3))]
        [3, 3, 3, 3, 3]
        """
        labels = self.labels
        alone = np.nan_to_num(self.worth.exchange[rows, 1], nan=2.0)
        columns = [column[rows] for column in (self.frame.capability, labels.topic, labels.form, labels.elicits)]
        return [column.astype(np.int16) for column in (*columns, alone)]

    @cached_property
    def everyday(self) -> list[npt.NDArray[np.float64]]:
        """Return how often each value of :meth:`kinds` occurs in all exchanges, accounts counting alike.

        >>> bool(example_space().everyday[0].sum() <= example_space().frame.n_accounts + 1e-6)
        True
        """
        account, each = self.frame.account, 1.0 / np.maximum(self.frame.volume(), 1)
        parts = [
            [np.bincount(kind, weights=each[account[block]]) for kind in self.kinds(block)] for block in blocks(account)
        ]
        return [_summed(kind) for kind in zip(*parts, strict=True)]

    @cached_property
    def shared(self) -> dict[str, Cells]:
        """Return what accounts share of networks (NET) and identities (ID) by reseller × network kind × country.

        >>> sorted(example_space().shared)
        ['ID', 'NET']
        """
        columns = [self.frame.attribute["reseller_id"], self.main["network_kind"], self.main["country"]]
        stratum = strata(columns).of
        return {"NET": Cells.of(self.net.values(), stratum), "ID": Cells.of(self.identity.values(), stratum)}

    @cached_property
    def built(self) -> list[Holders]:
        """Return who holds what of prompt construction and client, both ways.

        >>> len(example_space().built) == 1 + len(example_space().stack)
        True
        """
        others = [Holders.of(pairs) for pairs in self.stack.values() if pairs.n_values]
        return [self.by_bundle, *others] if self.bundles.held.n_values else others

    @cached_property
    def by_bundle(self) -> Holders:
        """Return who holds which bundle, both ways.

        >>> example_space().by_bundle is example_space().built[0]
        True
        """
        return Holders.of(self.bundles.held)

    @cached_property
    def moments(self) -> Moments:
        """Return who signed up when, and who did so or was closed shortly before.

        >>> len(example_space().moments.account) <= example_space().frame.n_accounts
        True
        """
        return Moments.of(self.frame.created, self.frame.closed)

    @cached_property
    def strangers(self) -> dict[str, Strangers]:
        """Return by view whom chance may draw, gathered once for all groups.

        >>> len(example_space().strangers["NET"].free) == example_space().frame.n_accounts
        True
        """
        return {name: Strangers.of_all(self.barred, one, self.owners) for name, one in self.strata.items()}


def build_space(
    frame: Frame,
    *,
    content: Incidence | None = None,
    seed: int = 0,
    without: AbstractSet[str] = frozenset(),
    progress: Progress = silent,
) -> Space:
    """Compute all linking evidence of a frame; ``seed`` draws the random directions that rhythms are seen along.

    ``content`` are the content traits where an engine has counted them, else they are counted here.
    ``without`` leaves parts of the method out; KeyError when one is not among ``PARTS``.

    >>> sorted(build_space(example_frame()).views)
    ['ID', 'LIFE', 'NET', 'STACK', 'TASK', 'TIME']
    """
    if unknown := set(without) - set(PARTS):
        raise KeyError(f"no part of the method is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    steps = iter(range(1, 7))

    def note() -> None:
        give_back()
        progress("traits", next(steps), 6, "steps")

    hashes, bundles = _constructions(frame, content)
    del content
    note()
    labels = tasks(frame)
    note()
    measured = worth(frame, labels, high_value=high_value_ids())
    note()
    net, identity, stack = network_traits(frame), identity_traits(frame), client_traits(frame)
    payer, site = _units(frame, net, identity)
    note()
    main = Columns(("network_kind", "country", "ip_prefix"), partial(main_value, frame), None)
    rhythms = rhythm(frame, main["country"], seed=seed)
    note()
    views: dict[str, View] = {
        "NET": Sharing(tuple(net.values()), CAPS["NET"], payer),
        "ID": Sharing(tuple(identity.values()), CAPS["ID"], site),
        "LIFE": Signups(frame.created, np.sort(frame.created[frame.created >= 0]), payer, CAPS["LIFE"]),
        "TIME": Likeness(rhythms, payer, RHYTHM_NATS, CAPS["TIME"]),
        "STACK": Sharing((bundles.held, *stack.values()), CAPS["STACK"], payer),
        "TASK": Likeness(task_vectors(frame, labels), payer, TASK_NATS, CAPS["TASK"]),
    }
    note()
    return Space(
        frame,
        labels,
        measured,
        hashes,
        bundles,
        stack,
        net,
        identity,
        payer,
        site,
        views,
        _strata(frame, main),
        Owners.of(np.arange(frame.n_accounts, dtype=np.int32) if "owners" in without else payer),
        Carried(frame, hashes, bundles),
        main,
        np.zeros(frame.n_accounts, bool),
        frozenset(without),
    )


def _constructions(frame: Frame, content: Incidence | None) -> tuple[U64, Bundles]:
    """Return the hashes that say how prompts are built, and the bundles they come in."""
    content = content_traits(frame) if content is None else content
    return content.label if content.label is not None else np.zeros(0, np.uint64), bundle(content)


def _summed(parts: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Add up arrays of different lengths, zeros standing for what is missing."""
    out = np.zeros(max(len(part) for part in parts))
    for part in parts:
        out[: len(part)] += part
    return out


def _units(frame: Frame, net: dict[str, Incidence], identity: dict[str, Incidence]) -> tuple[Codes, Codes]:
    """Return the unit of common payment of each account, and its unit of openly common place, company or owner."""
    everyone = np.arange(frame.n_accounts, dtype=np.int32)
    owners = {
        name: incidence(everyone, frame.attribute[name].astype(np.int64), frame.n_accounts) for name in ENTITY_FAMILIES
    }
    declared = owners.pop("org_id")
    company = identity["email_domain"].keep(
        np.ones(len(identity["email_domain"].account), bool), identity["email_domain"].holders() <= MOST_COLLEAGUES
    )
    places = [_main(net["ip"], frame), _main(net["ip_prefix"], frame)]
    payer = _with_company(list(owners.values()), company, declared, frame.n_accounts)
    return payer, _with_company(places, company, declared, frame.n_accounts)


def _with_company(strong: list[Incidence], company: Incidence, declared: Incidence, n_accounts: int) -> Codes:
    """Return units by what is shared, a company's mail domain joining only accounts that share nothing else.

    A domain of few accounts may also be a rare public one: it must not chain the owners of different cards together.
    """
    unit = entities(strong, n_accounts, declared=declared)
    alone = np.bincount(unit)[unit] == 1
    rest = company.keep(alone[company.account], np.ones(company.n_values, bool))
    return entities([*strong, rest], n_accounts, declared=declared)


def _main(pairs: Incidence, frame: Frame) -> Incidence:
    """Keep the values that carry at least half of an account's exchanges."""
    often = pairs.count * 2 >= frame.volume()[pairs.account]
    return pairs.keep(often, np.ones(pairs.n_values, bool))


def _strata(frame: Frame, main: Mapping[str, Codes]) -> dict[str, Strata]:
    """Return the strata of each view's null: who is compared with whom."""
    volume = frame.volume()
    busy = np.digitize(volume, np.unique(np.quantile(volume, [0.25, 0.5, 0.75]))) if len(volume) else volume
    created = frame.created.astype(float)
    edges = np.quantile(created[created >= 0], np.linspace(0.125, 0.875, 7)) if (created >= 0).any() else np.zeros(1)
    tenure = np.where(created >= 0, np.digitize(created, edges), -1).astype(np.int32)
    kind, region = main["network_kind"], main["country"]
    reseller = frame.attribute["reseller_id"]
    activity = busy.astype(np.int32)
    shared = strata([reseller, kind, region, activity])
    return {
        "NET": shared,
        "ID": shared,
        "LIFE": strata([tenure, kind, activity]),
        "TIME": strata([region, activity, kind]),
        "STACK": strata([kind, activity]),
        "TASK": strata([activity, kind]),
    }
