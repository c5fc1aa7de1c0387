"""The same campaign tomorrow: continued, split, merged, new accounts under old constructions, ids never used twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.campaigns.lineage import Lineage, Trace, fresh_id, likeness, trace_lineage


def then(name: str, accounts: str, templates: set[int] | None = None) -> Trace:
    """Return an earlier campaign of one-letter accounts."""
    return Trace(name, frozenset(accounts), frozenset(templates or set()))


def now(accounts: str, templates: set[int] | None = None) -> tuple[Trace, list[str]]:
    """Return a campaign of this scan with its accounts in order of first exchange."""
    return Trace("", frozenset(accounts), frozenset(templates or set())), list(accounts)


def test_a_first_scan_gives_fresh_ids() -> None:
    """Without an earlier scan every campaign is new, and different campaigns have different ids."""
    lines = trace_lineage([now("abc"), now("xyz")], [])
    assert [line.event for line in lines] == ["new", "new"]
    assert len({line.campaign_id for line in lines}) == 2
    assert lines[0].campaign_id == fresh_id(list("abc"))


def test_a_grown_campaign_keeps_its_id() -> None:
    """Yesterday's accounts are among today's: the campaign goes on."""
    (line,) = trace_lineage([now("abcdefgh")], [then("SW-1", "abc")])
    assert (line.campaign_id, line.event, line.previous) == ("SW-1", "continued", ("SW-1",))


def test_successors_of_closed_accounts_belong_to_the_campaign() -> None:
    """Every account replaced, constructions the same: the id goes on."""
    (line,) = trace_lineage([now("wxyz", {7, 8})], [then("SW-1", "abcd", {7, 8, 9})])
    assert (line.campaign_id, line.event) == ("SW-1", "continued")


def test_others_with_other_constructions_are_new() -> None:
    """The twin: neither accounts nor constructions in common."""
    (line,) = trace_lineage([now("wxyz", {1})], [then("SW-1", "abcd", {7, 8, 9})])
    assert (line.event, line.previous) == ("new", ())
    assert line.campaign_id != "SW-1"


def test_one_shared_account_of_many_is_no_lineage() -> None:
    """An account in ten does not make two campaigns one."""
    (line,) = trace_lineage([now("abcdefghij")], [then("SW-1", "jklmnopqrs")])
    assert line.event == "new"


def test_two_parts_of_one_campaign_are_a_split() -> None:
    """The more alike part keeps the id; the other gets its own and says where it comes from."""
    larger, smaller = trace_lineage([now("abcdef"), now("ghixyz")], [then("SW-1", "abcdefghi")])
    assert (larger.campaign_id, larger.event) == ("SW-1", "continued")
    assert (smaller.event, smaller.previous) == ("split", ("SW-1",))
    assert smaller.campaign_id not in {"SW-1", larger.campaign_id}


def test_two_campaigns_in_one_are_a_merge() -> None:
    """The most alike lends its id; both are named."""
    (line,) = trace_lineage([now("abcdefghij")], [then("SW-1", "abcdefg"), then("SW-2", "hij", {1})])
    assert line.event == "merged"
    assert set(line.previous) == {"SW-1", "SW-2"}
    assert line.campaign_id in {"SW-1", "SW-2"}


def test_merged_then_separated_gives_no_id_twice() -> None:
    """Two campaigns that were both in one earlier campaign never both keep its id."""
    lines = trace_lineage([now("abc"), now("def"), now("ghi")], [then("SW-1", "abcdefghi")])
    assert [line.campaign_id for line in lines].count("SW-1") == 1
    assert len({line.campaign_id for line in lines}) == 3


def test_a_fresh_id_avoids_the_ids_of_earlier_campaigns() -> None:
    """A new campaign whose first accounts once made another campaign's id gets an id of its own."""
    first = [f"account-{i}" for i in range(8)]
    earlier = Trace(fresh_id(first), frozenset([*first, *(f"gone-{i}" for i in range(40))]), frozenset())
    today = [*first, *(f"fresh-{i}" for i in range(40))]
    (line,) = trace_lineage([(Trace("", frozenset(today), frozenset()), today)], [earlier])
    assert line.event == "new"
    assert line.campaign_id not in {earlier.campaign_id, fresh_id(today)}


def test_two_campaigns_with_the_same_first_accounts_have_two_ids() -> None:
    """Ids are told apart within a scan too."""
    one, two = trace_lineage([now("abcdefghij"), now("abcdefghkl")], [])
    assert one.campaign_id != two.campaign_id


_accounts = st.sets(st.sampled_from("abcdefghijkl"), min_size=1, max_size=8)
_templates = st.sets(st.integers(1, 6), max_size=3)
_traces = st.lists(st.tuples(_accounts, _templates), max_size=5)


@settings(max_examples=150, deadline=None)
@given(_traces, _traces)
def test_ids_are_never_used_twice(
    today: list[tuple[set[str], set[int]]], yesterday: list[tuple[set[str], set[int]]]
) -> None:
    """However campaigns overlap: distinct ids, events that fit, earlier ids only where they are like."""
    before = [Trace(f"SW-{i}", frozenset(a), frozenset(t)) for i, (a, t) in enumerate(yesterday)]
    fresh = [(Trace("", frozenset(a), frozenset(t)), sorted(a)) for a, t in today]
    lines = trace_lineage(fresh, before)
    assert len(lines) == len(today)
    kept = [line.campaign_id for line in lines if line.event in {"continued", "merged"}]
    assert len(set(kept)) == len(kept)
    names = {trace.campaign_id: trace for trace in before}
    for (trace, _), line in zip(fresh, lines, strict=True):
        assert (line.event == "new") == (not line.previous)
        assert all(likeness(trace, names[p]) >= 0.3 for p in line.previous)
        assert (line.campaign_id in names) == (line.event in {"continued", "merged"})
    assert len({line.campaign_id for line in lines}) == len(lines)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_order_in_which_campaigns_are_listed_changes_no_id(order: list[int]) -> None:
    """The most alike pair is settled first wherever it stands."""
    today = [now("abcdef"), now("ghixyz")]
    lines = trace_lineage([today[i] for i in order], [then("SW-1", "abcdefghi")])
    assert lines[order.index(0)].campaign_id == "SW-1"


@settings(max_examples=60, deadline=None)
@given(_accounts, _accounts, _templates, _templates)
def test_likeness_is_symmetric_and_a_share(a: set[str], b: set[str], s: set[int], t: set[int]) -> None:
    """From 0 to 1, the same both ways, 1 with itself; constructions alone never count for more than half."""
    one, two = Trace("1", frozenset(a), frozenset(s)), Trace("2", frozenset(b), frozenset(t))
    assert likeness(one, two) == likeness(two, one)
    assert 0 <= likeness(one, two) <= 1
    assert likeness(one, one) == 1
    if not a & b:
        assert likeness(one, two) <= 0.5


def test_a_campaign_that_has_not_changed_keeps_the_lineage_it_had() -> None:
    """A scan repeated on the same data says the same as before, not that the campaign went on."""
    before = Lineage("SW-1", "new", ())
    then = [Trace("SW-1", frozenset("abc"), frozenset(), before)]
    (same,) = trace_lineage([(Trace("", frozenset("abc"), frozenset()), ["a", "b", "c"])], then)
    (grown,) = trace_lineage([(Trace("", frozenset("abcd"), frozenset()), ["a", "b", "c", "d"])], then)
    assert same == before
    assert (grown.campaign_id, grown.event) == ("SW-1", "continued")
