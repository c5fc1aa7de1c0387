"""Where each peer works: a planted group that it was made to find, and the innocent twin that it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.evaluate.peers.conftest import DAY, HOUR, MINUTE, START, Plan, Row, singled_out, words

from stillwatch.evaluate.detectors import detector
from stillwatch.evaluate.peers.catalogue import PEERS
from stillwatch.tables import Dataset

SHARED = [words(np.random.default_rng(seed), 12, first=1_000) for seed in range(12)]


def alike(row: Row, member: int, number: int) -> Row:
    """Ask what all members ask, within seconds of them."""
    return row | {"prompt_text": f"{SHARED[number]} please", "ts": START + number * 9 * HOUR + member * 2_000_000}


def alike_whenever(row: Row, member: int, number: int) -> Row:
    """Ask what all members ask, each at a time of its own."""
    return row | {"prompt_text": f"{SHARED[number]} please"}


def hammering(row: Row, member: int, number: int) -> Row:
    """Ask nearly the same every fifth of a second."""
    prompt = f"{SHARED[0]} {'abcdefghijkl'[number % 12]}"
    return row | {"prompt_text": prompt, "ts": START + member * HOUR + number * 200_000}


def calm(row: Row, member: int, number: int) -> Row:
    """Ask different things, hours apart."""
    return row | {"ts": START + number * 4 * HOUR + member * MINUTE}


def one_hand(row: Row, member: int) -> Row:
    """Sign up with the others, on their device and card."""
    return row | {"payment_hash": "card", "device_hash": "box", "created_at": START - 5 * DAY + member * MINUTE}


def common_issuer(row: Row, member: int) -> Row:
    """Share only a card issuer's range and a popular mail domain."""
    return row | {"payment_bin": "b1", "email_domain": "mail.example"}


def one_invoice(row: Row, member: int) -> Row:
    """Pay through the same intermediary as everybody else."""
    return row | {"payment_hash": "reseller"}


def loud(row: Row, member: int, number: int) -> Row:
    """Draw long answers at a steady pace."""
    return row | {"output_tokens": 6_000 + number, "ts": START + number * HOUR + member * MINUTE}


def narrow(row: Row, member: int, number: int) -> Row:
    """Ask one narrow kind of thing in words of its own."""
    return row | {"prompt_text": words(np.random.default_rng(100 * member + number), 14, first=1_000, kinds=12)}


def repeating(row: Row, member: int, number: int) -> Row:
    """Ask the same few things all the time."""
    return row | {"prompt_text": SHARED[number % 4]}


def preamble(row: Row, member: int, number: int) -> Row:
    """Use one system text from one address, at a steady pace, each session new."""
    steady = {"ts": START + number * HOUR + member * MINUTE, "session_id": f"s{member}-{number}"}
    return row | steady | {"system_text": SHARED[3], "ip_prefix": "10.9.9.0/24"}


CASES = {
    "toolkit-60s": (Plan(alike), Plan(alike_whenever)),
    "toolkit-600s": (Plan(alike), Plan(alike_whenever)),
    "honeypotllm": (Plan(hammering, each=60), Plan(calm, each=60)),
    "splink": (Plan(person=one_hand), Plan(person=common_issuer)),
    "fraudar": (Plan(alike_whenever, one_hand), Plan(alike_whenever, everyone=True)),
    "copycatch": (Plan(alike), Plan(alike_whenever)),
    "synchrotrap": (Plan(alike), Plan(alike_whenever)),
    "mmd-windows": (Plan(narrow), Plan()),
    "tfidf-network-tuned": (Plan(alike_whenever), Plan(alike_whenever, everyone=True)),
    "isolation-forest-tuned": (Plan(loud, each=100), Plan()),
    "boosting": (Plan(loud, each=40), Plan()),
    "volume": (Plan(each=120), Plan()),
    "uniqueness": (Plan(each=120), Plan(repeating, each=120)),
    "weighted-sum-tuned": (Plan(preamble, one_hand, each=60), Plan()),
    "shared-indicators": (Plan(person=one_hand), Plan(person=one_invoice, everyone=True)),
}


def test_every_peer_has_its_case() -> None:
    """No peer goes without a group that it should find and a twin that it should not."""
    assert {name.removesuffix("-tuned") for name in CASES} == {name.removesuffix("-tuned") for name in PEERS}


@pytest.mark.parametrize("name", CASES)
def test_finds_its_group_and_leaves_the_twin(
    name: str, write: Callable[..., Dataset], need: Callable[[str], None], tmp_path: Path
) -> None:
    """The planted group is reported as one, and the same accounts without what the method looks for are not."""
    need(name)
    plan, twin = CASES[name]
    peer = detector(name).fit(write(plan, 7))
    for case, expected in ((plan, True), (twin, False)):
        dataset = write(case, 8)
        work = tmp_path / f"work-{expected}"
        work.mkdir()
        assert singled_out(peer.find(dataset, work), dataset) is expected, (name, expected)
