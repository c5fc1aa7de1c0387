"""Named lines of evidence of a group: a sentence, its weight in nats a member and the query that rebuilds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stillwatch.campaigns.discover import LEAST_P, Found, stands_out
from stillwatch.campaigns.harvest import Harvest
from stillwatch.cases.wording import plural
from stillwatch.linkage.groups import LEAST_EFFECT, ViewResult
from stillwatch.linkage.space import CAPS, WHO, Space
from stillwatch.signals.traits import Incidence

AXIS_OF = {"STACK": "WHAT", "TASK": "WHAT", "NET": "NET", "ID": "ID", "LIFE": "LIFE", "TIME": "TIME", "WORTH": "WORTH"}
_MEMBERS = "SELECT account_id FROM 'members.parquet' WHERE campaign_id = '{campaign}'"
_SHARED = (
    "SELECT {column}, count(DISTINCT account_id) AS accounts FROM {table} "
    f"WHERE account_id IN ({_MEMBERS}) GROUP BY 1 HAVING count(DISTINCT account_id) > 1 ORDER BY 2 DESC"
)


@dataclass(frozen=True)
class Evidence:
    """One line: axis, name, sentence, nats a member, how many members it speaks of, and its query.

    ``{campaign}`` in the query stands for the campaign's id; it runs on the dataset's tables and the out folder's.

    >>> Evidence("LIFE", "sign-up bursts", "7 of 9 within six hours", 1.5, 7, "SELECT …").axis
    'LIFE'
    """

    axis: str
    name: str
    text: str
    weight_nats: float
    accounts: int
    query: str


def evidence_lines(space: Space, found: Found, taken: Harvest) -> list[Evidence]:
    """Return the evidence of a group, strongest first, what may be chance last; lines below a quarter of a nat go.

    >>> from stillwatch.campaigns.harvest import harvest
    >>> lines = evidence_lines(example_space(), example_found(), harvest(example_frame(), example_found()))
    >>> lines[0].weight_nats > 0.25
    True
    """
    lines = [
        *_construction(space, found),
        _task(found),
        *_shared(space, found, "NET", space.net, "exchanges"),
        *_shared(space, found, "ID", space.identity, "accounts"),
        _signups(space, found),
        _rhythm(found),
        _worth(found, taken),
    ]
    kept = [line for line in lines if line.axis == "WORTH" or line.weight_nats >= 0.25]
    chance = {name for name in WHO if not stands_out(found.views[name])}
    return sorted(kept, key=lambda line: (line.axis in chance, -line.weight_nats, line.name))


def _construction(space: Space, found: Found) -> list[Evidence]:
    view = found.views["STACK"]
    held = space.bundles.held
    count = held.among(found.members)
    lift = count / len(found.members) * np.log((count + 0.5) / (held.holders() - count + 0.5) + 1.0)
    if not len(count) or count.max() < 2:
        return []
    best = int(lift.argmax())
    outside = int(held.holders()[best] - count[best])
    text = (
        f"{int(count[best])} of {len(found.members)} members share one prompt construction "
        f"({int(space.bundles.size[best])} sampled hashes); {plural(outside, 'account')} outside the group "
        f"{'holds' if outside == 1 else 'hold'} it"
    )
    query = (
        "SELECT template_id, count(DISTINCT account_id) AS accounts, count(*) AS exchanges FROM exchanges "
        f"WHERE account_id IN ({_MEMBERS}) GROUP BY 1 ORDER BY 2 DESC"
    )
    return [Evidence("WHAT", "shared prompt construction", text, view.excess, int(count[best]), query)]


def _task(found: Found) -> Evidence:
    view = found.views["TASK"]
    beyond = "beyond" if stands_out(view) else "though not clearly beyond"
    text = f"the members ask for the same mix of tasks, topics and forms of answer, {beyond} what similar accounts do"
    query = f"SELECT capability, count(*) FROM exchanges WHERE account_id IN ({_MEMBERS}) GROUP BY 1 ORDER BY 2 DESC"
    return Evidence("WHAT", "alike work", text, view.excess, len(found.members), query)


def _shared(space: Space, found: Found, axis: str, families: dict[str, Incidence], table: str) -> list[Evidence]:
    """Return a line for each family of values that members share; the view's weight goes to the widest one."""
    inside = np.zeros(space.frame.n_accounts, bool)
    inside[found.members] = True
    rows = []
    for family, pairs in families.items():
        count = pairs.among(found.members)
        shared = count >= 2
        rare = shared & (pairs.holders() - count <= count)
        holders = len(np.unique(pairs.account[inside[pairs.account] & rare[pairs.value]])) if rare.any() else 0
        if holders:
            rows.append((holders, family, int(rare.sum())))
    rows.sort(reverse=True)
    lines = []
    for place, (holders, family, values) in enumerate(rows):
        text = (
            f"{holders} of {len(found.members)} members share a {_WORDS.get(family, family)} with another member "
            f"({values} such values, each used by few others)"
        )
        weight = found.views[axis].excess / (1 + place)
        query = _SHARED.replace("{column}", family).replace("{table}", table)
        lines.append(Evidence(axis, f"shared {_WORDS.get(family, family)}", text, weight, holders, query))
    return lines


_WORDS = {
    "ip": "network address",
    "ip_prefix": "network prefix",
    "payment_hash": "payment instrument",
    "payment_bin": "card issuer's range",
    "device_hash": "sign-up device",
    "phone_hash": "phone number",
    "email_hash": "e-mail address",
    "email_domain": "e-mail domain",
    "referral": "referral code",
}


def _signups(space: Space, found: Found) -> Evidence:
    created = np.sort(space.frame.created[found.members])
    created = created[created >= 0]
    close = int((np.diff(created) < 6 * 3_600_000_000).sum()) + 1 if len(created) else 0
    view = found.views["LIFE"]
    what = "sign-ups come in bursts" if stands_out(view) else "sign-ups are not clearly closer than chance has them"
    text = f"{what}: {close} of {len(found.members)} within six hours of another member's"
    query = f"SELECT account_id, created_at FROM accounts WHERE account_id IN ({_MEMBERS}) ORDER BY created_at"
    return Evidence("LIFE", "sign-up bursts", text, view.excess, close, query)


def _rhythm(found: Found) -> Evidence:
    view = found.views["TIME"]
    hours = "the same hours of the same days, after daily habits and time zones are taken out"
    if stands_out(view):
        text = f"the members are active in {hours}"
    else:
        text = f"the members are not clearly more often active in {hours}, than chance has it"
    query = (
        "SELECT date_trunc('hour', ts) AS hour, count(DISTINCT account_id) AS accounts FROM exchanges "
        f"WHERE account_id IN ({_MEMBERS}) GROUP BY 1 ORDER BY 1"
    )
    return Evidence("TIME", "common rhythm", text, view.excess, len(found.members), query)


def _worth(found: Found, taken: Harvest) -> Evidence:
    high = sorted(found.worth_parts.items(), key=lambda item: -item[1])[:3]
    names = ", ".join(f"{name} (percentile {value:.0%})" for name, value in high)
    text = f"worth to a trainer {found.worth:.2f}, against {found.floor:.2f} that benign groups here reach: {names}"
    query = (
        "SELECT capability, count(*), sum(output_tokens) FROM exchanges "
        "JOIN 'campaign_exchanges.parquet' USING (exchange_id) GROUP BY 1"
    )
    return Evidence("WORTH", "worth to a trainer", text, found.worth - found.floor, taken.accounts, query)


def axis_records(found: Found) -> list[dict[str, Any]]:
    """Return the six axes of ``campaigns.json``: nats a member beyond chance, p-value, strength 0 to 1, missing.

    >>> from types import SimpleNamespace
    >>> views = dict.fromkeys(("STACK", "TASK", *WHO), ViewResult(1.0, 0.2, 1e-6, 1.0))
    >>> found = SimpleNamespace(views=views, worth=0.8, floor=0.6, worth_parts={"elicitation": 0.8})
    >>> [record["axis"] for record in axis_records(found)], axis_records(found)[1]["text"]
    (['WHAT', 'NET', 'ID', 'LIFE', 'TIME', 'WORTH'], 'stands out: 0.80 nats a member beyond chance, p = 1.0e-06')
    """
    what = min((found.views[n] for n in ("STACK", "TASK")), key=lambda v: (v.p_value, -v.excess))
    records = [_axis("WHAT", what, CAPS["STACK"])]
    records += [_axis(name, found.views[name], CAPS[name]) for name in WHO]
    records.append(
        {
            "axis": "WORTH",
            "effect": round(found.worth - found.floor, 4),
            "p_value": None,
            "strength": round(found.worth, 4),
            "missing": not found.worth_parts,
            "text": f"{found.worth:.2f}: the middle account is 0.50 and benign groups here reach {found.floor:.2f}",
        }
    )
    return records


def _axis(name: str, view: ViewResult, cap: float) -> dict[str, Any]:
    missing = not np.isfinite(view.p_value)
    strength = 0.0 if missing else float(np.clip(view.excess / cap, 0.0, 1.0)) ** 0.5 if view.excess > 0 else 0.0
    return {
        "axis": name,
        "effect": round(view.excess, 4),
        "p_value": None if missing else float(f"{view.p_value:.3g}"),
        "strength": round(strength, 4),
        "missing": missing,
        "text": "the data hold no evidence of this kind" if missing else _standing(view),
    }


def _standing(view: ViewResult) -> str:
    """Say whether a view stands out, would by its size if chance could be ruled out, or is ordinary."""
    beyond, p = f"{view.excess:.2f} nats a member beyond chance", f"p = {view.p_value:.1e}"
    if stands_out(view):
        return f"stands out: {beyond}, {p}"
    if view.excess < LEAST_EFFECT:
        return f"is ordinary: {beyond}, {p}"
    return f"is not sure enough: {beyond}, but {p}, not under {LEAST_P:g}: chance, or too few like accounts to be sure"
