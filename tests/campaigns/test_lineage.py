"""The same campaign tomorrow: continued, split, merged, new accounts under old constructions, ids never used twice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.campaigns.kinship import Kinship
from stillwatch.campaigns.lineage import Lineage, Trace, fresh_id, overlap, remembered, trace_lineage


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
    """One id goes on; both are named."""
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
        for one in (names[p] for p in line.previous):
            assert overlap(trace.accounts, one.accounts) >= 0.3 or overlap(trace.templates, one.templates) >= 0.6
        assert len(line.because) == len(line.previous)
        assert (line.campaign_id in names) == (line.event in {"continued", "merged"})
    assert len({line.campaign_id for line in lines}) == len(lines)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_order_in_which_campaigns_are_listed_changes_no_id(order: list[int]) -> None:
    """The part with most of the accounts is settled first wherever it stands."""
    today = [now("abcdef"), now("ghixyz")]
    lines = trace_lineage([today[i] for i in order], [then("SW-1", "abcdefghi")])
    assert lines[order.index(0)].campaign_id == "SW-1"


def test_a_campaign_that_has_not_changed_keeps_the_lineage_it_had() -> None:
    """A scan repeated on the same data says the same as before, not that the campaign went on."""
    before = Lineage("SW-1", "new", ())
    then = [Trace("SW-1", frozenset("abc"), frozenset(), before)]
    (same,) = trace_lineage([(Trace("", frozenset("abc"), frozenset()), ["a", "b", "c"])], then)
    (grown,) = trace_lineage([(Trace("", frozenset("abcd"), frozenset()), ["a", "b", "c", "d"])], then)
    assert same == before
    assert (grown.campaign_id, grown.event) == ("SW-1", "continued")


SAME = Kinship(built=5.0, what=8.0, time=-2.0, replaced=0.9)
OTHER = Kinship(built=4.0, what=3.0, time=-2.0, replaced=0.9)


def scans(*days: list[str], kin: Kinship | None = None) -> list[list[Lineage]]:
    """Return the lineages of campaigns of one-letter accounts, day by day, each day knowing all days before."""
    known: list[Trace] = []
    told = []
    for day in days:
        today = [now(accounts) for accounts in day]
        told.append(trace_lineage(today, known, lambda number, accounts: kin))
        known = remembered([trace for trace, _ in today], known, told[-1])
    return told


def test_a_campaign_that_one_scan_did_not_find_has_its_id_again() -> None:
    """Found, not found, found: one id, and it says by which accounts it is known."""
    first, _, third = scans(["abcdef"], [], ["defxyz"])
    assert third[0].campaign_id == first[0].campaign_id
    assert (third[0].event, len(third[0].because)) == ("continued", 1)
    assert third[0].because[0].startswith("3 of its 6 accounts were in reports of SW-")


def test_others_found_after_a_pause_are_new() -> None:
    """The twin: what comes after a campaign that is gone is not that campaign."""
    first, _, third = scans(["abcdef"], [], ["uvwxyz"])
    assert third[0].campaign_id != first[0].campaign_id
    assert (third[0].event, third[0].because) == ("new", ())


def test_two_parts_that_grow_together_have_the_older_id() -> None:
    """The younger part is more alike, but the case is the older one."""
    first, second, third = scans(["abcdefgh"], ["abcdefgh", "uvwxyz"], ["abcduvwxyz"])
    assert third[0].campaign_id == first[0].campaign_id
    assert (third[0].event, set(third[0].previous)) == ("merged", {line.campaign_id for line in second})


def test_a_merge_is_told_once_and_a_part_that_leaves_again_has_its_old_id() -> None:
    """Day after day the same two parts together are no news; apart, each is what it was."""
    days = scans(["abcdefgh", "uvwxyz"], ["abcdefghuvwxyz"], ["abcdefgiuvwxyz"], ["abcdefgi", "uvwxyz"])
    large, small = (line.campaign_id for line in days[0])
    assert [(line.campaign_id, line.event) for line in days[1]] == [(large, "merged")]
    assert [(line.campaign_id, line.event) for line in days[2]] == [(large, "continued")]
    assert [line.campaign_id for line in days[3]] == [large, small]


def test_two_campaigns_that_one_scan_ran_together_come_apart_under_their_own_ids() -> None:
    """The younger may be the larger: it does not leave with the older one's id."""
    days = scans(["abcd"], ["abcd", "rstuvwxyz"], ["abcdrstuvwxyz"], ["abcd", "rstuvwxyz"])
    assert [line.campaign_id for line in days[3]] == [line.campaign_id for line in days[1]]


def test_of_two_parts_that_with_most_of_the_accounts_has_the_id() -> None:
    """A small part that is wholly the old campaign's does not take the id from the bulk."""
    first, second = scans(["abcdefghi"], ["abc", "defghiuvwxyz"])
    assert [line.campaign_id == first[0].campaign_id for line in second] == [False, True]
    assert (second[0].event, second[0].previous) == ("split", (first[0].campaign_id,))


def test_a_later_generation_with_the_same_work_has_the_id_and_says_why() -> None:
    """Every account replaced: construction, work and the moment they began make it the same campaign."""
    first, second = scans(["abcdef"], ["uvwxyz"], kin=SAME)
    assert (second[0].campaign_id, second[0].event) == (first[0].campaign_id, "continued")
    assert "(5.0 nats; 3 are needed)" in second[0].because[0]
    assert "90 % of the later ones first asked within two days" in second[0].because[0]


def test_a_later_group_with_other_work_is_new() -> None:
    """The twin: honest newcomers of the days after a ban, and campaigns with another queue of work."""
    first, second = scans(["abcdef"], ["uvwxyz"], kin=OTHER)
    assert second[0].campaign_id != first[0].campaign_id
    assert (second[0].event, second[0].case) == ("new", second[0].campaign_id)


def test_templates_do_not_outvote_what_the_accounts_show() -> None:
    """A public wording makes no lineage where the earlier accounts can still be looked at."""
    today, yesterday = [now("uvwxyz", {7, 8})], [then("SW-1", "abcdef", {7, 8})]
    assert trace_lineage(today, yesterday)[0].event == "continued"
    assert trace_lineage(today, yesterday, lambda number, accounts: OTHER)[0].event == "new"


def test_two_generations_in_one_scan_are_one_case_under_two_ids() -> None:
    """Each report keeps its id; the younger is laid to the case of the older, for good."""
    first, second, third = scans(["abcdef", "uvwx"], ["abcdef", "uvwxy"], ["uvwxy"], kin=SAME)
    large, small = first
    assert (large.case, small.case) == (large.campaign_id, large.campaign_id)
    assert small.because
    assert [line.campaign_id for line in second] == [large.campaign_id, small.campaign_id]
    assert (third[0].campaign_id, third[0].case) == (small.campaign_id, large.campaign_id)


def test_two_campaigns_side_by_side_are_two_cases() -> None:
    """The twin: found by the same scans, with different work."""
    for day in scans(["abcdef", "uvwx"], ["abcdefg", "uvwxy"], kin=OTHER):
        assert all(line.case == line.campaign_id for line in day)


@settings(max_examples=150, deadline=None)
@given(_traces, st.lists(st.lists(_accounts, max_size=4), max_size=4), st.booleans())
def test_a_scan_repeated_changes_nothing(
    yesterday: list[tuple[set[str], set[int]]], days: list[list[set[str]]], akin: bool
) -> None:
    """Whatever was found before: the same disjoint campaigns again give the same lineages and the same memory."""
    known = [Trace(f"SW-{i}", frozenset(a), frozenset(t)) for i, (a, t) in enumerate(yesterday)]
    for day in days:
        apart = [accounts - set().union(*day[:i]) for i, accounts in enumerate(day)]
        today = [(Trace("", frozenset(a), frozenset()), sorted(a)) for a in apart if a]
        lines = trace_lineage(today, known, lambda number, accounts: SAME if akin else OTHER)
        known = remembered([trace for trace, _ in today], known, lines)
        again = trace_lineage(today, known, lambda number, accounts: SAME if akin else OTHER)
        assert again == lines
        assert remembered([trace for trace, _ in today], known, again) == known
