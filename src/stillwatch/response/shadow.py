"""Shadow mode measures itself: who would have been touched, and what is known of them since."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from stillwatch.response import schema
from stillwatch.response.ladder import LADDER
from stillwatch.response.standing import Standing
from stillwatch.response.store import State


class Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts that measures of one kind touched (ended and expired ones too), and how many of them spoke up.

    ``verified`` proved themselves and ``granted`` won an appeal: signs of innocents.
    ``refused`` lost one. ``both`` are touched in shadow and felt: where a trial policy agrees with the one in force.
    """

    shadow: bool
    accounts: int
    would_feel: int
    by_rung: dict[str, int]
    verified: int
    granted: int
    refused: int
    both: int


def overlaps(state: State) -> tuple[Overlap, Overlap]:
    """Return what shadow measures would have touched, and what felt ones did.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [one.accounts for one in overlaps(State.open(f"sqlite:///{folder}/state.db"))]
    [0, 0]
    """
    found = [msgspec.json.decode(row["body"], type=Standing) for row in state.rows(sa.select(schema.standings.c.body))]
    split = tuple([one for one in found if one.shadow is shadow] for shadow in (True, False))
    both = {one.account_id for one in split[0]} & {one.account_id for one in split[1]}
    return _overlap(state, split[0], True, len(both)), _overlap(state, split[1], False, len(both))


def _overlap(state: State, measures: list[Standing], shadow: bool, both: int) -> Overlap:
    accounts = {one.account_id for one in measures}
    rungs = {one.rung: {two.account_id for two in measures if two.rung == one.rung} for one in measures}
    proofs, appeals = schema.verifications, schema.appeals

    def spoke(query: sa.Select[tuple[str]]) -> int:
        return len({row["account_id"] for row in state.rows(query)} & accounts)

    return Overlap(
        shadow=shadow,
        accounts=len(accounts),
        would_feel=len({one.account_id for one in measures if LADDER[one.rung].felt}),
        by_rung={rung.label: len(rungs[rung]) for rung in sorted(rungs)},
        verified=spoke(sa.select(proofs.c.account_id).where(proofs.c.succeeded)),
        granted=spoke(sa.select(appeals.c.account_id).where(appeals.c.status == "granted")),
        refused=spoke(sa.select(appeals.c.account_id).where(appeals.c.status == "refused")),
        both=both,
    )
