"""A signer, measures in one line, and real processes that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.response import schema
from stillwatch.response.journal import canonical
from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Scope, Standing
from stillwatch.response.store import State, micros
from stillwatch.service.signing import Signer, Trust

from .living import Living, children, end

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
Measured = Callable[..., Standing]


def measured(account: str, rung: Rung = Rung.SUSPEND, **rest: Any) -> Standing:
    """Return a felt measure of one account, in force for a day from noon."""
    usual: dict[str, Any] = {
        "account_id": account,
        "campaign_id": "SW-1",
        "plan_id": "P-1",
        "rung": rung,
        "scope": Scope(whole_account=True),
        "starts_at": NOON,
        "expires_at": NOON + timedelta(days=1),
        "shadow": False,
    }
    return Standing(**{**usual, **rest})


def put_in_force(state: State, standing: Standing) -> None:
    """Write one measure as applying a plan does."""
    row = {"standing_id": f"P-1/SW-1/{standing.account_id}", "plan_id": "P-1", "campaign_id": "SW-1",
           "account_id": standing.account_id, "starts_at": micros(standing.starts_at),
           "expires_at": micros(standing.expires_at), "ended_at": None, "ended_by": None,
           "body": canonical(standing).decode()}  # fmt: skip
    with state.changing("anna", "apply", "a test") as change:
        change.insert(schema.standings, [row])


@pytest.fixture(scope="session")
def signer() -> Signer:
    """Return the publisher's key."""
    return Signer(Ed25519PrivateKey.generate())


@pytest.fixture(scope="session")
def trust(signer: Signer) -> Trust:
    """Return what a node trusts."""
    return Trust.of(signer.public)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Living]]:
    """Return a function that starts a real process of ours; all end with the test, and what they had started."""
    started: list[Living] = []

    def begin(*words: object, **how: Any) -> Living:
        living = Living(tmp_path / f"{len(started)}.log", *words, **how)
        started.append(living)
        return living

    yield begin
    for one in started:
        theirs = children(one.child.pid)
        one.stop()
        end(theirs)
