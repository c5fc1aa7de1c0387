"""Parts of a network: what nothing of who the accounts are ties together is several, and a campaign's pools are one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stillwatch.campaigns.parts import parts
from stillwatch.linkage.space import Space, build_space
from stillwatch.signals.frame import Frame

HOUR, DAY = 3_600_000_000, 24 * 3_600_000_000
START = 20_600 * DAY
FrameOf = Callable[..., Frame]
CIRCLE = 24


def table(names: list[str], account: Callable[[int], Any], row: Callable[[int, int], Any]) -> tuple[Any, Any]:
    """Return twelve exchanges of each of some accounts, and the accounts."""
    accounts = [{"account_id": name, **account(i)} for i, name in enumerate(names)]
    rows = [{"account_id": name, **row(i, at)} for i, name in enumerate(names) for at in range(12)]
    return rows, accounts


def circle(name: str, *, day: int, hours: tuple[int, ...], words: str, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return exchanges and accounts of a circle on its own network, cards and mail domain, that works at its hours."""
    domain = {"email_domain": f"{name}.example"}
    signed = START + day * DAY
    return table(
        [f"{name}-{i}" for i in range(CIRCLE)],
        lambda i: (
            domain | {"created_at": signed + int(rng.integers(2 * HOUR)), "payment_hash": f"card-{name}-{i // 4}"}
        ),
        lambda i, at: {
            "ts": START + (12 + at) * DAY + hours[at % len(hours)] * HOUR + int(rng.integers(HOUR)),
            "ip": f"{name}.0.{i % 6}",
            "ip_prefix": f"{name}.0",
            "prompt_text": f"{words} Item {rng.integers(10**6)}: what follows from {rng.integers(10**6)}?",
        },
    )


def ordinary(count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return strangers: a network and card each, one public mail provider, at any hour of any day."""
    domain = {"email_domain": "mail.example"}
    return table(
        [f"stranger-{i}" for i in range(count)],
        lambda i: domain | {"created_at": START - int(rng.integers(200 * DAY)), "payment_hash": f"card-of-{i}"},
        lambda i, at: {
            "ts": START + 12 * DAY + int(rng.integers(12 * DAY)),
            "ip": f"net{i}.0.1",
            "ip_prefix": f"net{i}.0",
            "prompt_text": f"Tell me about thing {rng.integers(10**6)} and thing {rng.integers(10**6)} please",
        },
    )


def space_of(frame_of: FrameOf, *circles: tuple[Any, Any]) -> tuple[Space, np.ndarray]:
    """Return the evidence of circles among strangers, and the circles' accounts."""
    rng = np.random.default_rng(5)
    tables = [*circles, ordinary(300, rng)]
    frame = frame_of([row for rows, _ in tables for row in rows], [row for _, some in tables for row in some])
    names = np.array(frame.account_ids.to_pylist())
    return build_space(frame), np.flatnonzero([not name.startswith("stranger") for name in names])


WORDS = "Explain step by step, show all of your reasoning and check it twice before you answer."


def test_circles_that_share_only_a_prompt_are_several(frame_of: FrameOf) -> None:
    """A class and a campaign with one prompt, each on its networks, cards, days and hours, are two networks."""
    rng = np.random.default_rng(1)
    school = circle("school", day=2, hours=(18, 19), words=WORDS, rng=rng)
    fleet = circle("fleet", day=9, hours=(3, 4), words=WORDS, rng=rng)
    space, members = space_of(frame_of, school, fleet)
    names = space.frame.account_ids.to_pylist()
    found = [{names[a].split("-")[0] for a in part} for part in parts(space, members)]
    assert sorted(map(sorted, found)) == [["fleet"], ["school"]]


@pytest.mark.parametrize("same", ["hours", "cards"])
def test_pools_of_one_hand_are_one(frame_of: FrameOf, same: str) -> None:
    """Two networks of one campaign (twin) stay together by their common hours and days, or by common cards."""
    rng = np.random.default_rng(1)
    one = circle("fleet", day=9, hours=(3, 4), words=WORDS, rng=rng)
    other = circle("reserve", day=9, hours=(3, 4) if same == "hours" else (15, 16), words=WORDS, rng=rng)
    if same == "cards":
        for mine, theirs in zip(one[1], other[1], strict=True):
            theirs["payment_hash"] = mine["payment_hash"]
    space, members = space_of(frame_of, one, other)
    assert [len(part) for part in parts(space, members)] == [2 * CIRCLE]


def test_few_members_are_one(tiny_space: Space) -> None:
    """Fewer than two circles' worth of members, and none, are one part."""
    assert [len(part) for part in parts(tiny_space, np.arange(9))] == [9]
    assert [len(part) for part in parts(tiny_space, np.arange(0))] == [0]
