"""Postings are the lists of hashes turned round: nothing is lost, whatever piece, file or range they come in."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.signals import habits
from stillwatch.signals.columns import Ragged
from stillwatch.signals.postings import POSTED_KINDS, STACK_KINDS, Postings
from stillwatch.signals.sketch import Kind

hashes = st.builds(lambda kind, low: int(kind) << 60 | low, st.sampled_from(list(Kind)), st.integers(0, 6))
some_lists = st.lists(st.lists(hashes, max_size=6, unique=True), max_size=12)


def ragged(rows: list[list[int]]) -> Ragged:
    """Return lists as a frame holds them."""
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return Ragged(offsets, np.array([value for row in rows for value in row], np.uint64))


def turned(rows: list[list[int]]) -> dict[int, list[int]]:
    """Return the rows of each hash of a kind that is posted, in plain Python."""
    out = defaultdict(list)
    for number, row in enumerate(rows):
        for value in row:
            if value >> 60 in POSTED_KINDS:
                out[value].append(number)
    return dict(out)


def told(held: Postings) -> dict[int, list[int]]:
    """Return postings as a dictionary."""
    return {int(v): held.rows[held.start[i] : held.start[i + 1]].tolist() for i, v in enumerate(held.values)}


@settings(deadline=None)
@given(some_lists)
def test_postings_are_the_lists_turned_round(rows: list[list[int]]) -> None:
    """Each wanted hash, ascending, with the rows that hold it; other kinds are left out; a file gives the same."""
    held = Postings.of(ragged(rows))
    assert told(held) == turned(rows)
    assert held.values.tolist() == sorted(turned(rows))
    with TemporaryDirectory() as folder:
        held.write(Path(folder) / "one")
        assert told(Postings.read(Path(folder) / "one")) == turned(rows)


@settings(deadline=None)
@given(some_lists, st.integers(0, 9))
def test_rows_may_have_numbers_of_their_own(rows: list[list[int]], seed: int) -> None:
    """Lists that lie in another order than their rows give the same rows."""
    order = np.random.default_rng(seed).permutation(len(rows))
    held = Postings.of(ragged([rows[i] for i in order]), order)
    assert {value: sorted(mine) for value, mine in told(held).items()} == turned(rows)


@settings(deadline=None)
@given(st.lists(some_lists, max_size=3), st.integers(64, 90))
def test_ranges_hold_every_hash_once(pieces: list[list[list[int]]], at_once: int) -> None:
    """However small the ranges, within them is all that says how prompts are built, in order."""
    held = [Postings.of(ragged(rows)) for rows in pieces]
    before, habits._MOST_AT_ONCE = habits._MOST_AT_ONCE, at_once
    try:
        ranges = habits._ranges(held)
    finally:
        habits._MOST_AT_ONCE = before
    assert [low for low, _ in ranges] == [0, *(high + np.uint64(1) for _, high in ranges[:-1])]
    for one, rows in zip(held, pieces, strict=True):
        built = turned([[value for value in row if value >> 60 in STACK_KINDS] for row in rows])
        parts = [told(one.within(low, high)) for low, high in ranges]
        assert [value for part in parts for value in part] == sorted(built)
        assert {value: mine for part in parts for value, mine in part.items()} == built


@settings(deadline=None)
@given(some_lists, st.lists(hashes, max_size=8, unique=True), st.integers(1, 3))
def test_groups_are_counted_by_row(rows: list[list[int]], wanted: list[int], groups: int) -> None:
    """How many hashes of a group a row holds; rows without any are not listed, and unknown hashes count nothing."""
    of = {value: number % groups for number, value in enumerate(wanted)}
    ordered = sorted(wanted, key=lambda value: of[value])
    group = np.array([of[value] for value in ordered], np.int32)
    counts, found, start = Postings.of(ragged(rows)).counted(np.array(ordered, np.uint64), group, groups, len(rows))
    expected = Counter((of[value], number) for value, mine in turned(rows).items() if value in of for number in mine)
    which = np.repeat(np.arange(groups), np.diff(start))
    got = dict(zip(zip(which.tolist(), found.tolist(), strict=True), counts.tolist(), strict=True))
    assert got == dict(expected)
