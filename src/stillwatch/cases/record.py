"""A judged group -> the records of the out folder: one campaign, its members, terms, evidence, links, templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stillwatch.attribution.verdict import Judged
from stillwatch.campaigns.discover import stands_out
from stillwatch.campaigns.harvest import Harvest
from stillwatch.campaigns.lineage import Lineage
from stillwatch.campaigns.profile import BLOCKS, WHAT_BLOCKS, WHO_BLOCKS
from stillwatch.cases.about import about
from stillwatch.cases.evidence import AXIS_OF, Evidence, axis_records
from stillwatch.cases.wording import plural
from stillwatch.linkage.space import Space
from stillwatch.signals.frame import Ints
from stillwatch.signals.traits import Incidence

Floats = npt.NDArray[np.float64]
_MOST_TEMPLATES, _MOST_LINKS = 30, 3_000


def iso(us: int) -> str:
    """Return microseconds since 1970 as ISO 8601 UTC.

    >>> iso(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Recorded:
    """A judged group with its id, harvest and evidence: all that the writers need."""

    judged: Judged
    lineage: Lineage
    harvest: Harvest
    evidence: list[Evidence]


def campaign_record(recorded: Recorded, space: Space) -> dict[str, Any]:
    """Return the record of ``campaigns.json``: times in ISO 8601 UTC, counts beside their 95 % intervals.

    >>> recorded = example_recorded()
    >>> campaign_record(recorded, example_space())["verdict"]
    'campaign'
    """
    judged, taken = recorded.judged, recorded.harvest
    return {
        "campaign_id": recorded.lineage.campaign_id,
        "verdict": judged.verdict,
        "first_seen": iso(taken.first_seen),
        "last_seen": iso(taken.last_seen),
        "accounts": taken.accounts,
        "exchanges": taken.exchanges,
        "tokens": taken.tokens,
        "accounts_interval": list(taken.accounts_interval),
        "exchanges_interval": list(taken.exchanges_interval),
        "tokens_interval": list(taken.tokens_interval),
        "capabilities": list(taken.capability_shares),
        "capability_shares": taken.capability_shares,
        "models": list(taken.models),
        "surfaces": list(taken.surfaces),
        "about": about(space, judged.found.members),
        "q_value": significant(judged.found.seed.q_value),
        "axes": axis_records(judged.found),
        "evidence": [line.text for line in recorded.evidence],
        "innocent_explanations": [
            {"name": e.name, "outcome": e.outcome, "reason": e.reason} for e in judged.explanations
        ],
        "person_reason": judged.reason if judged.verdict == "needs_person" else None,
        "decided_by": judged.decided_by or None,
        "lineage": {
            "event": recorded.lineage.event,
            "previous": list(recorded.lineage.previous),
            "case": recorded.lineage.case,
            "because": list(recorded.lineage.because),
        },
    }


def cleared_record(judged: Judged, space: Space, number: int) -> dict[str, Any]:
    """Return the record of ``considered.json`` of a group that was cleared; ``members`` are its account ids, sorted.

    >>> from types import SimpleNamespace
    >>> views = dict.fromkeys(WHO_BLOCKS, SimpleNamespace(p_value=0.25))
    >>> seed = SimpleNamespace(candidate=SimpleNamespace(what="alike work"))
    >>> found = SimpleNamespace(members=np.array([0, 2]), seed=seed, worth=0.4, views=views)
    >>> judged = SimpleNamespace(found=found, decided_by="worth", reason="worth too little")
    >>> frame = SimpleNamespace(volume=lambda: np.array([5, 9, 6]), account_ids=pa.array(["b", "c", "a"]))
    >>> record = cleared_record(judged, SimpleNamespace(frame=frame), 1)
    >>> record["group_id"], record["exchanges"], record["views"]["NET"], record["members"]
    ('G-001', 11, 0.25, ['a', 'b'])
    """
    found = judged.found
    volume = space.frame.volume()
    return {
        "group_id": f"G-{number:03d}",
        "accounts": len(found.members),
        "exchanges": int(volume[found.members].sum()),
        "what": found.seed.candidate.what,
        "worth": round(found.worth, 4),
        "views": {name: significant(found.views[name].p_value) for name in WHO_BLOCKS},
        "cleared_by": judged.decided_by,
        "reason": judged.reason,
        "members": sorted(space.frame.account_ids.take(pa.array(found.members)).to_pylist()),
    }


def significant(value: float, digits: int = 3) -> float | None:
    """Round to significant digits; NaN becomes None.

    >>> significant(0.00123456)
    0.00123
    """
    return None if not np.isfinite(value) else float(f"{value:.{digits}g}")


def member_rows(recorded: Recorded, space: Space) -> list[dict[str, Any]]:
    """Return the rows of ``members.parquet``, likeliest first; ratios in nats, times in microseconds since 1970 UTC.

    >>> recorded = example_recorded()
    >>> len(member_rows(recorded, example_space())) == recorded.harvest.accounts
    True
    """
    found, frame = recorded.judged.found, space.frame
    first, last = _seen(recorded, space)
    what, who = found.profile.total(WHAT_BLOCKS), found.profile.total(WHO_BLOCKS)
    worth = found.profile.terms["WORTH"]
    roles = _roles(recorded, space)
    order = np.lexsort((found.members, -found.probability))
    return [
        {
            "campaign_id": recorded.lineage.campaign_id,
            "account_id": frame.account_ids[int(found.members[i])].as_py(),
            "probability": round(float(found.probability[i]), 6),
            "role": roles[i],
            "log_lr_what": round(float(what[found.members[i]]), 4),
            "log_lr_who": round(float(who[found.members[i]]), 4),
            "log_lr_worth": round(float(worth[found.members[i]]), 4),
            "first_seen": int(first[i]) if first[i] >= 0 else None,
            "last_seen": int(last[i]) if last[i] >= 0 else None,
        }
        for i in order
    ]


def _seen(recorded: Recorded, space: Space) -> tuple[Ints, Ints]:
    """Return the first and last campaign exchange of each member, -1 when it has none."""
    found, frame = recorded.judged.found, space.frame
    rows = found.split.rows[found.split.probability >= 0.5]
    place = np.searchsorted(found.members, frame.account[rows])
    first = np.full(len(found.members), np.iinfo(np.int64).max)
    last = np.full(len(found.members), -1, np.int64)
    np.minimum.at(first, place, frame.ts[rows])
    np.maximum.at(last, place, frame.ts[rows])
    return np.where(last >= 0, first, -1), last


def _roles(recorded: Recorded, space: Space) -> list[str]:
    """Name each member's part: closed, successor (signed up within two days after a closure), reserve, mixed or pool.

    A reserve has no exchange of the campaign yet.
    """
    found, frame = recorded.judged.found, space.frame
    asked = np.isin(found.members, frame.account[found.split.rows[found.split.probability >= 0.5]])
    closures = np.sort(frame.closed[found.members][frame.closed[found.members] >= 0])
    roles = []
    for account, share, active in zip(found.members, found.split.share, asked, strict=True):
        since = frame.created[account] - closures
        if frame.closed[account] >= 0:
            roles.append("closed")
        elif frame.created[account] >= 0 and ((since >= 0) & (since < 2 * 86_400_000_000)).any():
            roles.append("successor")
        else:
            roles.append("reserve" if not active else "mixed" if share < 0.8 else "pool")
    return roles


def term_rows(recorded: Recorded, space: Space) -> list[dict[str, Any]]:
    """Return the rows of ``member_terms.parquet``: the prior and every block's nats of every member.

    >>> recorded = example_recorded()
    >>> sorted({row["axis"] for row in term_rows(recorded, example_space())})
    ['ID', 'LIFE', 'NET', 'PRIOR', 'TIME', 'WHAT', 'WORTH']
    """
    found, campaign = recorded.judged.found, recorded.lineage.campaign_id
    details = _details(recorded, space)
    rows = []
    for place, account in enumerate(found.members):
        name = space.frame.account_ids[int(account)].as_py()
        base = {"campaign_id": campaign, "account_id": name}
        prior = f"{len(found.members)} of {space.frame.n_accounts} accounts"
        rows.append(
            {**base, "axis": "PRIOR", "term": "prior odds", "detail": prior, "log_lr": round(found.profile.prior, 4)}
        )
        for block in BLOCKS:
            nats = round(float(found.profile.terms[block][account]), 4)
            detail = details.get((block, place), "")
            rows.append({**base, "axis": AXIS_OF[block], "term": TERM[block], "detail": detail, "log_lr": nats})
    return rows


TERM = {
    "STACK": "prompt construction and client",
    "TASK": "kind of work",
    "NET": "network",
    "ID": "identity and payment",
    "LIFE": "sign-up time",
    "TIME": "rhythm",
    "WORTH": "worth to a trainer",
}


def _details(recorded: Recorded, space: Space) -> dict[tuple[str, int], str]:
    """Say for networks and identities which value a member shares with how many others: the one that tells the most."""
    members = recorded.judged.found.members
    out: dict[tuple[str, int], str] = {}
    for block, families in (("NET", space.net), ("ID", space.identity)):
        most = np.zeros(len(members))
        for family, pairs in families.items():
            count = pairs.among(members)
            times = np.where(count >= 2, (count - 1) / (pairs.holders() - count + 0.5), 0.0)
            for place, account in enumerate(members):
                held = pairs.value[pairs.start[account] : pairs.start[account + 1]]
                best = held[np.argmax(times[held])] if len(held) else -1
                if best >= 0 and times[best] > most[place]:
                    most[place] = times[best]
                    out[block, place] = f"shares {family} with {plural(int(count[best]) - 1, 'other member')}"
    return out


def link_rows(recorded: Recorded, space: Space) -> list[dict[str, Any]]:
    """Return the rows of ``links.parquet``: pairs of members that share a value, likeliest values first, capped.

    Holders of a value are chained, not all paired, so that the rows grow with the holders and not with their square.
    Weights are nats.

    >>> recorded = example_recorded()
    >>> sorted({row["axis"] for row in link_rows(recorded, example_space())})
    ['ID', 'NET', 'WHAT']
    """
    members, campaign = recorded.judged.found.members, recorded.lineage.campaign_id
    inside = np.zeros(space.frame.n_accounts, bool)
    inside[members] = True
    families = [("NET", f) for f in space.net.values()] + [("ID", f) for f in space.identity.values()]
    families.append(("WHAT", space.bundles.held))
    links = pa.concat_tables([_chained(pairs, inside, axis) for axis, pairs in families])
    best = links.group_by(["a", "b", "axis"]).aggregate([("weight", "max")])
    order = [("weight_max", "descending"), ("a", "ascending"), ("b", "ascending"), ("axis", "ascending")]
    ids = space.frame.account_ids
    return [
        {
            "campaign_id": campaign,
            "account_a": ids[row["a"]].as_py(),
            "account_b": ids[row["b"]].as_py(),
            "axis": row["axis"],
            "weight": round(row["weight_max"], 4),
        }
        for row in best.sort_by(order).slice(0, _MOST_LINKS).to_pylist()
        if row["weight_max"] > 0
    ]


def _chained(pairs: Incidence, inside: npt.NDArray[np.bool_], axis: str) -> pa.Table:
    """Link the members that hold a value, each to the next (``a``, ``b``), with the nats that sharing it says."""
    mine = inside[pairs.account]
    order = np.lexsort((pairs.account[mine], pairs.value[mine]))
    value, account = pairs.value[mine][order], pairs.account[mine][order]
    same = np.flatnonzero(value[1:] == value[:-1])
    odds = 0.5 * (len(inside) + 1) / (pairs.holders()[value[same]] + 0.5)
    ends = {"a": account[same], "b": account[same + 1]}
    return pa.table({**ends, "axis": pa.repeat(axis, len(same)), "weight": np.log(np.maximum(1.0, odds))})


def template_rows(recorded: Recorded, space: Space) -> list[dict[str, Any]]:
    """Return the rows of ``templates.parquet``: the constructions most used in the campaign's exchanges.

    In place of ``head`` they have ``exchange_id``: the exchange whose prompt shows it, the first that there was, so
    that it stays the same as the dataset grows.

    >>> from types import SimpleNamespace
    >>> found = SimpleNamespace(split=SimpleNamespace(rows=np.array([0, 1]), probability=np.ones(2)))
    >>> recorded = SimpleNamespace(judged=SimpleNamespace(found=found), lineage=SimpleNamespace(campaign_id="SW-1"))
    >>> frame = SimpleNamespace(template=np.array([7, 7]), account=np.array([0, 1]), ts=np.array([5, 9]))
    >>> frame.exchange_ids = pa.array(["e1", "e2"])
    >>> row = template_rows(recorded, SimpleNamespace(frame=frame))[0]
    >>> row["template_id"], row["exchange_id"], row["accounts"]
    (7, 'e1', 2)
    """
    frame, split = space.frame, recorded.judged.found.split
    rows = split.rows[split.probability >= 0.5]
    rows = rows[frame.template[rows] > 0]
    ids, inverse, exchanges = np.unique(frame.template[rows], return_inverse=True, return_counts=True)
    number = inverse.reshape(-1)
    width = int(frame.account[rows].max(initial=0)) + 1
    accounts = np.bincount(np.unique(number * width + frame.account[rows]) // width, minlength=len(ids))
    by_time = np.lexsort((rows, frame.ts[rows]))
    first = rows[by_time[np.unique(number[by_time], return_index=True)[1]]]
    top = np.lexsort((ids, -exchanges, -accounts))[:_MOST_TEMPLATES]
    shown = frame.exchange_ids.take(pa.array(first[top])).to_pylist()
    return [
        {
            "campaign_id": recorded.lineage.campaign_id,
            "template_id": int(ids[i]),
            "exchange_id": name,
            "accounts": int(accounts[i]),
            "exchanges": int(exchanges[i]),
        }
        for i, name in zip(top, shown, strict=True)
    ]


def ordered_accounts(judged: Judged, space: Space) -> Sequence[str]:
    """Return a group's accounts in the order of their first campaign exchange (ties by id).

    >>> from types import SimpleNamespace
    >>> split = SimpleNamespace(rows=np.array([0, 1]), probability=np.ones(2))
    >>> judged = SimpleNamespace(found=SimpleNamespace(members=np.array([0, 1]), split=split))
    >>> frame = SimpleNamespace(n_accounts=2, account=np.array([0, 1]), ts=np.array([9, 5]))
    >>> frame.account_ids = pa.array(["a", "b"])
    >>> ordered_accounts(judged, SimpleNamespace(frame=frame))
    ['b', 'a']
    """
    found, frame = judged.found, space.frame
    rows = found.split.rows[found.split.probability >= 0.5]
    first = np.full(frame.n_accounts, np.iinfo(np.int64).max)
    np.minimum.at(first, frame.account[rows], frame.ts[rows])
    order = found.members[np.lexsort((found.members, first[found.members]))]
    return [frame.account_ids[int(a)].as_py() for a in order]


def evidence_rows(recorded: Recorded) -> list[dict[str, Any]]:
    """Return the rows of ``evidence.parquet``, each query with the campaign's id in it.

    >>> from types import SimpleNamespace
    >>> line = Evidence("NET", "shared network", "2 of 9 members share one", 1.23456, 2, "… = '{campaign}'")
    >>> row = evidence_rows(SimpleNamespace(lineage=SimpleNamespace(campaign_id="SW-1"), evidence=[line]))[0]
    >>> row["weight_nats"], row["query"]
    (1.2346, "… = 'SW-1'")
    """
    return [
        {
            "campaign_id": recorded.lineage.campaign_id,
            "axis": line.axis,
            "name": line.name,
            "text": line.text,
            "weight_nats": round(line.weight_nats, 4),
            "accounts": line.accounts,
            "query": line.query.replace("{campaign}", recorded.lineage.campaign_id),
        }
        for line in recorded.evidence
    ]


def beyond(judged: Judged) -> list[str]:
    """Return the WHO views that stand out.

    >>> from types import SimpleNamespace
    >>> chance, far = SimpleNamespace(p_value=0.4, excess=0.0), SimpleNamespace(p_value=1e-6, excess=2.0)
    >>> views = {"NET": far, "ID": chance, "LIFE": chance, "TIME": far}
    >>> beyond(SimpleNamespace(found=SimpleNamespace(views=views)))
    ['NET', 'TIME']
    """
    return [name for name in WHO_BLOCKS if stands_out(judged.found.views[name])]
