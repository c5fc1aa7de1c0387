"""A signer, measures in one line, and real processes that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.response.ladder import Rung
from stillwatch.response.standing import Scope, Standing
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

    def begin(*words: object, most_file_bytes: int | None = None) -> Living:
        living = Living(tmp_path / f"{len(started)}.log", *words, most_file_bytes=most_file_bytes)
        started.append(living)
        return living

    yield begin
    for one in started:
        theirs = children(one.child.pid)
        one.stop()
        end(theirs)
