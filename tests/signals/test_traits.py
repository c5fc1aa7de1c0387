"""Who holds which trait: pairs counted once, habits told from accidents, against plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.signals.frame import Frame
from stillwatch.signals.traits import (
    client_traits,
    content_traits,
    identity_traits,
    incidence,
    main_value,
    network_traits,
)

START = 1_780_000_000_000_000
FrameOf = Callable[..., Frame]
_pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(-1, 8)), max_size=40)


@settings(max_examples=80, deadline=None)
@given(_pairs)
def test_incidence_counts_pairs(drawn: list[tuple[int, int]]) -> None:
    """Pairs sorted by account then value with their counts; negative values left out; slices by account."""
    wanted = sorted(Counter((a, v) for a, v in drawn if v >= 0).items())
    got = incidence(np.array([a for a, _ in drawn], np.int32), np.array([v for _, v in drawn], np.int64), 7)
    assert [((a, v), n) for a, v, n in zip(got.account, got.value, got.count, strict=True)] == wanted
    for account in range(7):
        mine = [v for (a, v), _ in wanted if a == account]
        assert got.value[got.start[account] : got.start[account + 1]].tolist() == mine
    assert got.holders().tolist() == [sum(v == value for (_, v), _ in wanted) for value in range(got.n_values)]


@settings(max_examples=80, deadline=None)
@given(_pairs.filter(lambda pairs: any(v >= 0 for _, v in pairs)), st.randoms())
def test_keep_filters_and_recodes(drawn: list[tuple[int, int]], random: object) -> None:
    """Only the wanted pairs and values stay; values are dense anew and keep their labels."""
    account = np.array([a for a, _ in drawn], np.int32)
    values = np.array([v for _, v in drawn], np.int64)
    label = np.arange(100, 109, dtype=np.uint64)
    pairs = incidence(account, values, 7, label)
    rng = np.random.default_rng(len(drawn))
    mask, wanted = rng.random(len(pairs.account)) < 0.7, rng.random(pairs.n_values) < 0.7
    kept = pairs.keep(mask, wanted)
    named = [(a, label[v]) for a, v, m in zip(pairs.account, pairs.value, mask, strict=True) if m and wanted[v]]
    assert kept.label is not None
    assert [(a, kept.label[v]) for a, v in zip(kept.account, kept.value, strict=True)] == named
    assert kept.n_values == wanted.sum()
    assert kept.start.tolist() == [sum(a < i for a, _ in named) for i in range(8)]


TEMPLATE = (
    "You will now compare the two summaries below and state which is clearer for a harbour master reading at night"
)


def test_a_template_is_a_trait_of_those_who_use_it_habitually(frame_of: FrameOf) -> None:
    """Accounts that send one construction again and again hold its hashes; a busy account that did once does not."""
    rows = []
    for account in range(8):
        rows += [
            {"account_id": f"a{account}", "ts": START + i, "prompt_text": f"{TEMPLATE} {i}{account}"} for i in range(6)
        ]
    own = "tell me about the weather over the northern mountains on day"
    rows += [{"account_id": "once", "ts": START + i, "prompt_text": f"{own} {i}"} for i in range(9)]
    rows += [{"account_id": "once", "ts": START + 50, "prompt_text": TEMPLATE}]
    frame = frame_of(rows)
    traits = content_traits(frame, min_holders=5)
    assert traits.n_values > 0
    holders = set(traits.account.tolist())
    assert holders == set(range(8))
    assert (traits.holders() == 8).all()


def test_hashes_of_few_accounts_link_nobody(frame_of: FrameOf) -> None:
    """The twin: the same construction in four accounts is below the bar."""
    rows = [{"account_id": f"a{i % 4}", "ts": START + i, "prompt_text": f"{TEMPLATE} {i}"} for i in range(24)]
    assert content_traits(frame_of(rows), min_holders=5).n_values == 0


def test_a_client_used_now_and_then_is_no_trait(frame_of: FrameOf) -> None:
    """A user agent in a tenth of the exchanges is not held; the usual one is."""
    rows = [{"account_id": "a", "ts": START + i, "user_agent": "usual" if i else "rare"} for i in range(10)]
    frame = frame_of(rows)
    held = client_traits(frame)["user_agent"]
    assert [frame.names["user_agent"][v] for v in held.value] == ["usual"] or held.n_values == 2
    assert held.count.tolist() == [9]


def test_unset_parameters_are_no_trait(frame_of: FrameOf) -> None:
    """Requests that set neither a limit nor a temperature share nothing; those that set the same do."""
    rows = [
        {"account_id": "a", "max_tokens": None, "temperature": None},
        {"account_id": "b", "max_tokens": 2048, "temperature": 0.7},
        {"account_id": "c", "max_tokens": 2048, "temperature": 0.7},
        {"account_id": "d", "max_tokens": 2048, "temperature": None},
    ]
    held = client_traits(frame_of(rows))["parameters"]
    by_account = dict(zip(held.account.tolist(), held.value.tolist(), strict=True))
    assert 0 not in by_account
    assert by_account[1] == by_account[2] != by_account[3]


def test_networks_keep_the_most_used(frame_of: FrameOf) -> None:
    """An account that roams over many prefixes holds the ones it used most."""
    rows = [{"account_id": "a", "ts": START + i, "ip_prefix": f"p{i % 5}"} for i in range(13)]
    frame = frame_of(rows)
    held = network_traits(frame, most=3)["ip_prefix"]
    assert len(held.value) == 3
    assert held.count.tolist() == [3, 3, 3]


def test_identities_come_from_the_accounts_table(frame_of: FrameOf) -> None:
    """Two accounts on one card share one value; an account without a card holds none."""
    accounts = [{"account_id": name, "payment_hash": card} for name, card in (("a", "c1"), ("b", "c1"), ("c", None))]
    held = identity_traits(frame_of((), accounts))["payment_hash"]
    assert list(zip(held.account.tolist(), held.value.tolist(), strict=True)) == [(0, 0), (1, 0)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([None, "AT", "BR", "CL"])), min_size=1, max_size=25))
def test_main_value_is_the_commonest(drawn: list[tuple[int, str | None]]) -> None:
    """The most used value of each account, the first by spelling on ties, -1 without any (checked by counting)."""
    names = sorted({c for _, c in drawn if c})
    account = np.array([a for a, _ in drawn], np.int32)
    code = np.array([names.index(c) if c else -1 for _, c in drawn], np.int32)
    frame = Bare(account, code)
    for a, got in enumerate(main_value(frame, "country").tolist()):  # type: ignore[arg-type]
        counts = Counter(c for b, c in zip(account, code, strict=True) if b == a and c >= 0)
        assert got == (min(counts, key=lambda c: (-counts[c], c)) if counts else -1)


class Bare:
    """What main_value reads of a frame."""

    def __init__(self, account: np.ndarray, code: np.ndarray) -> None:
        """Keep one column."""
        self.account, self.code, self.n_accounts = account, {"country": code}, 5
