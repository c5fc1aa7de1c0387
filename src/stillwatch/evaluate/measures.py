"""What the scorecard measures of one detector on one world: counts, so that worlds can be pooled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stillwatch.evaluate.calibration import Masses, masses
from stillwatch.evaluate.partition import Ints, b_cubed, shared_pairs
from stillwatch.evaluate.ranking import area, average_precision, precision_within, recall_at
from stillwatch.evaluate.truth import Comparison

Bools = npt.NDArray[np.bool_]
BUDGETS = (50, 200, 1000)
FALSE_ALARM_RATES = (0.001, 0.01)
PART = 0.1  # a group that holds this share of a campaign's accounts is a part of it


def measure(found: Comparison) -> dict[str, Any]:
    """Return every measure of one world, as values that JSON can hold.

    >>> sorted(measure(example_comparison()))[:3]
    ['accounts', 'alike', 'campaigns']
    """
    return {
        "campaigns": campaigns(found),
        "groups": groups(found),
        "accounts": accounts(found),
        "swept": swept(found),
        "victims": victims(found),
        "exchanges": exchanges(found),
        "alike": alikeness(found),
        "ranking": ranking(found),
        "membership": membership(found),
    }


def campaigns(found: Comparison) -> list[dict[str, Any]]:
    """Return a record a campaign: its size, the reported group that holds most of it, and whether that finds it.

    Found: at least half of its accounts are in one reported campaign, and at least half of that one's are its own.
    ``parts`` counts the reported campaigns that hold a tenth of its accounts or more: above 1 it was split.

    >>> [one["found"] for one in campaigns(example_comparison())]
    [True, True, True]
    """
    truth, sizes = found.truth, _sizes(found.reported, len(found.groups))
    records = []
    for code, name in enumerate(truth.campaigns):
        mine = truth.belongs == code
        held = _sizes(found.reported[mine], len(found.groups))
        best = int(np.argmax(held)) if held.any() else -1
        asked, taken = truth.asked == code, (found.taken == best) & (best >= 0)
        recall = float(held[best] / mine.sum()) if best >= 0 else 0.0
        purity = float(held[best] / sizes[best]) if best >= 0 else 0.0
        records.append(
            {
                "campaign": name,
                "accounts": int(mine.sum()),
                "exchanges": int(asked.sum()),
                "group": found.groups[best] if best >= 0 else None,
                "found": recall >= 0.5 and purity >= 0.5,
                "recall": recall,
                "purity": purity,
                "parts": int((held >= PART * max(int(mine.sum()), 1)).sum()),
                **_rates(asked, taken),
            }
        )
    return records


def groups(found: Comparison) -> list[dict[str, Any]]:
    """Return a record a group: verdict, q-value, size, how many belong to campaigns, and whether it is false or merged.

    False: less than half of its accounts belong to a campaign. Merged: it holds half or more of two campaigns at least.

    >>> [(one["false"], one["merged"]) for one in groups(example_comparison())]
    [(False, False), (False, False), (False, False)]
    """
    belongs, size = found.truth.belongs, _sizes(found.truth.belongs, len(found.truth.campaigns))
    records = []
    for code, name in enumerate(found.groups):
        mine = found.group == code
        guilty = int((mine & (belongs >= 0)).sum())
        held = _sizes(belongs[mine], len(size))
        q_value = float(found.q_value[code])
        records.append(
            {
                "group": name,
                "verdict": "campaign" if found.accused[code] else "needs_person",
                "q_value": q_value if np.isfinite(q_value) else None,
                "accounts": int(mine.sum()),
                "guilty": guilty,
                "false": 2 * guilty < int(mine.sum()) or not mine.any(),
                "merged": int(((held > 0) & (2 * held >= size)).sum()) > 1,
            }
        )
    return records


def _sizes(codes: Ints, of: int) -> Ints:
    return np.bincount(codes[codes >= 0], minlength=of)


def _rates(wanted: Bools, taken: Bools) -> dict[str, int]:
    """Return how many were rightly taken, wrongly taken and missed."""
    hit = int((wanted & taken).sum())
    return {"hit": hit, "wrong": int(taken.sum()) - hit, "missed": int(wanted.sum()) - hit}


def accounts(found: Comparison) -> dict[str, int]:
    """Return how many accounts were rightly accused, wrongly accused and missed; victims of stolen keys are neither.

    >>> accounts(example_comparison())["wrong"]
    1
    """
    judged = ~found.truth.victim
    return _rates((found.truth.owner >= 0)[judged], (found.reported >= 0)[judged])


def swept(found: Comparison) -> dict[str, tuple[int, int]]:
    """Return by innocent population how many accounts are in a reported campaign, and how many there are.

    >>> sum(hit for hit, _ in swept(example_comparison()).values())
    1
    """
    innocent = np.flatnonzero(found.truth.belongs < 0)
    counts: dict[str, tuple[int, int]] = {}
    for place in innocent:
        name = found.truth.population[place]
        hit, of = counts.get(name, (0, 0))
        counts[name] = hit + int(found.reported[place] >= 0), of + 1
    return dict(sorted(counts.items()))


def victims(found: Comparison) -> dict[str, int]:
    """Return how many victims of stolen keys there are and are accused, and of the exchanges on their keys.

    ``hit``, ``wrong`` and ``missed`` are exchanges on victims' accounts: wrong ones are the owner's own.

    >>> victims(example_comparison())["accounts"]
    0
    """
    victim, asker = found.truth.victim, found.truth.asker
    on_key = np.append(victim, False)[asker]
    return {
        "accounts": int(victim.sum()),
        "accused": int((victim & (found.reported >= 0)).sum()),
        **_rates((found.truth.asked >= 0)[on_key], (found.taken >= 0)[on_key]),
    }


def exchanges(found: Comparison) -> dict[str, dict[str, int]]:
    """Return exchanges rightly laid to a reported campaign, wrongly laid and missed: of all, and of mixed accounts.

    A mixed account has campaign exchanges and exchanges of its own.

    >>> exchanges(example_comparison())["all"]["missed"]
    0
    """
    asked, taken, asker = found.truth.asked >= 0, found.taken >= 0, found.truth.asker
    n = len(found.truth.owner)
    guilty, own = np.bincount(asker[asked], minlength=n), np.bincount(asker[~asked], minlength=n)
    mixed = ((guilty > 0) & (own > 0))[asker]
    return {"all": _rates(asked, taken), "mixed": _rates(asked[mixed], taken[mixed])}


def alikeness(found: Comparison) -> dict[str, Any]:
    """Return B-cubed sums and shared pairs over the accounts that belong to a campaign or are accused.

    ``precision`` and ``recall`` of B-cubed are sums over ``items``, so that worlds can be added up.

    >>> alikeness(example_comparison())["pairs"]["missed"]
    0
    """
    truth, reported = found.truth.belongs, found.reported
    kept = (truth >= 0) | (reported >= 0)
    score, items = b_cubed(truth[kept], reported[kept]), int(kept.sum())
    both, found_only, true_only = shared_pairs(truth[kept], reported[kept])
    return {
        "items": items,
        "precision": score.precision * items,
        "recall": score.recall * items,
        "pairs": {"hit": both, "wrong": found_only, "missed": true_only},
    }


def ranking(found: Comparison) -> dict[str, float | None]:
    """Return how the scores rank campaign accounts over innocent ones; None where a world has only one kind.

    >>> round(ranking(example_comparison())["auc"], 3)
    1.0
    """
    judged = ~found.truth.victim
    score, guilty = found.score[judged], (found.truth.owner >= 0)[judged]
    within = {f"precision_{k}": precision_within(score, guilty, k) for k in BUDGETS}
    return {
        "auc": area(score, guilty),
        "auprc": average_precision(score, guilty),
        **{f"recall_{rate:g}": recall_at(score, guilty, rate) for rate in FALSE_ALARM_RATES},
        **(within if guilty.any() else dict.fromkeys(within)),
    }


def membership(found: Comparison) -> Masses:
    """Return stated membership probabilities of reported campaigns with how many came true.

    True: the account belongs to the campaign that most of its group belong to.

    >>> [(stated, of - true) for stated, of, true in membership(example_comparison())]
    [(0.9, 1)]
    """
    kept = (found.reported >= 0) & np.isfinite(found.probability)
    majority = found.majority[found.reported[kept]]
    true = (majority >= 0) & (majority == found.truth.belongs[kept])
    return masses(found.probability[kept], true)
