"""What a campaign's playbook does to its exchanges: wordings, refusals, and requests that are sent on for others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stillwatch.simulate.chance import Floats, Ints, Keys, mix, unit

if TYPE_CHECKING:
    from stillwatch.simulate.arrivals import Draw, Stream

_FEW_REFUSED = 0.04  # of requests in a wording that works
_TRIES = 16


def wordings(stream: Stream, job: Ints, unique: Keys) -> Keys:
    """Return the key of the fixed words of each campaign request: equal keys, equal words.

    By the paraphrase level (one a job, three, sixty-four, or a new one for each request), or by the variant that a
    probing stage tries. A campaign that adapts writes anew after each enforcement round. ``job``: number in the mix,
    ``unique``: key of each row; shapes (n,).
    """
    people, spec = stream.people, stream.content.population
    knobs, stage = people.population.campaign, spec.part.stage
    if stage and stage.variants:
        tried = mix(unique, "variant") % np.uint64(stage.working if stage.keep else stage.variants)
        return mix(people.seed, people.population.name, tried, "technique")
    if knobs is None or knobs.paraphrase >= 3:
        return mix(unique, "frame")
    again = 1_009 * spec.part.cohort if knobs.adapts else 0
    variants = (1, 3, 64)[max(knobs.paraphrase, 0)]
    return mix(people.seed, spec.name, job + again, mix(unique, "variant") % np.uint64(variants), "frame")


def refusals(stream: Stream, unique: Keys, usual: Floats) -> Floats:
    """Return the chance that each request is refused: the jobs' usual one, a stage's, or few for wordings that work."""
    stage = stream.content.population.part.stage
    if stage is None or stage.refused < 0:
        return usual
    if not stage.variants:
        return np.full(unique.size, stage.refused)
    tried = mix(unique, "variant") % np.uint64(stage.working if stage.keep else stage.variants)
    return np.where(tried < stage.working, _FEW_REFUSED, stage.refused)


def relayed(stream: Stream, draw: Draw) -> tuple[Draw, Draw]:
    """Return the exchanges as their authors made them and as the carrier's accounts send them, row for row.

    Each session goes to one account that is open at that time, another after a ban; what finds no open account is not
    sent. Without a carrier both are the same.
    """
    if stream.carrier is None:
        return draw, draw
    fleet, pool = stream.carrier.people, stream.carrier.accounts
    chosen = np.full(draw.ts.size, -1, np.int64)
    for attempt in range(_TRIES):
        place = (mix(draw.session, attempt, "sent by") % np.uint64(pool.size)).astype(np.int64)
        open_ = (fleet.active_from[pool[place]] <= draw.ts) & (draw.ts < fleet.active_to[pool[place]])
        chosen = np.where((chosen < 0) & open_, place, chosen)
    sent = np.flatnonzero(chosen >= 0)
    kept = draw.take(sent)
    return kept, replace(kept, account=chosen[sent])


def takes_part(key: Keys, name: str, share: float) -> Ints:
    """Return the numbers of the accounts that do a stage's work.

    >>> takes_part(mix(np.arange(4)), "judge", 1.0).tolist()
    [0, 1, 2, 3]
    """
    return np.flatnonzero(unit(mix(key, name, "takes part")) < share)
