"""A frame taken piece by piece, from stored fingerprints or from text, is the frame of everything read at once."""

from __future__ import annotations

import errno
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.signals import habits, stored
from stillwatch.signals.columns import Lists, Ragged, Resting, blocks, room, tallies
from stillwatch.signals.fingerprint import fingerprint
from stillwatch.signals.frame import CODED, FLAGS, NUMBERS, Frame, read_frame
from stillwatch.signals.habits import habits_of
from stillwatch.signals.postings import STACK_KINDS, postings_of, prompts_of
from stillwatch.signals.sketch import kind_of
from stillwatch.signals.tasks import tasks
from stillwatch.signals.traits import content_traits
from stillwatch.signals.worth import high_value_ids, repeats, worth
from stillwatch.tables import EXCHANGES, Dataset, DatasetWriter

HOUR = 3_600_000_000
START = 1_780_000_000_000_000


def some_rows(seed: int, count: int = 120) -> list[dict[str, Any]]:
    """Return exchanges of a week whose times tie and do not ascend, with absent values of every kind."""
    rng = np.random.default_rng(seed)
    return [
        {
            "exchange_id": f"e{seed}-{rng.integers(10**9)}-{i}",
            "account_id": f"a{rng.integers(12)}",
            "ts": START + int(rng.integers(40)) * 4 * HOUR,
            "model": f"m{rng.integers(3)}",
            "country": [None, "", "DE", "BR"][rng.integers(4)],
            "asn": [None, 64500, 7][rng.integers(3)],
            "session_id": [None, f"s{rng.integers(60)}"][rng.integers(2)],
            "input_tokens": [None, 5, 70][rng.integers(3)],
            "temperature": [None, 0.0, 0.7][rng.integers(3)],
            "refused": [None, True, False][rng.integers(3)],
            "system_text": [None, "Answer as a harbour pilot who knows every rule."][rng.integers(2)],
            "prompt_text": [None, f"grade item {rng.integers(9)} of the rubric, then explain it"][rng.integers(2)],
        }
        for i in range(count)
    ]


def written(folder: Path, *commits: list[dict[str, Any]]) -> Dataset:
    """Write rows in several commits, so that a day has several files."""
    for rows in commits:
        columns = sorted({name for row in rows for name in row})
        arrays = [pa.array([row[name] for row in rows], EXCHANGES.field(name).type) for name in columns]
        with DatasetWriter(folder) as writer:
            writer.add_exchanges(pa.table(arrays, columns))
            writer.commit()
    return Dataset.open(folder)


def lists(rows: Ragged | Lists) -> list[list[int]]:
    """Return a Ragged as lists."""
    return [rows.flat[a:b].tolist() for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]


def plain(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the rows as Python sorts them, with the fingerprint of each."""
    table = pa.Table.from_batches(list(dataset.batches(EXCHANGES.names)))
    made = fingerprint(table.drop_columns(["sketch", "template_id", "cues", "capability", "novelty"])).to_pylist()
    return sorted(made, key=lambda row: (row["account_id"], row["ts"], row["exchange_id"]))


def same(one: Frame, two: Frame) -> None:
    """Demand that two frames hold the same."""
    assert one.exchange_ids.to_pylist() == two.exchange_ids.to_pylist()
    for name in ("account", "ts", "template", "capability", "start"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert lists(one.sketch) == lists(two.sketch)
    assert lists(one.cues) == lists(two.cues)
    assert one.coverage == two.coverage


@pytest.mark.parametrize("seed", range(4))
def test_the_frame_is_the_sorted_table(tmp_path: Path, seed: int) -> None:
    """Every column of the frame is that of the rows sorted by account, time and id, absent as -1, NaN or empty."""
    dataset = written(tmp_path, some_rows(seed), some_rows(seed + 10), some_rows(seed + 20))
    frame, rows = read_frame(dataset), plain(dataset)
    assert frame.exchange_ids.to_pylist() == [row["exchange_id"] for row in rows]
    assert frame.account_ids.take(pa.array(frame.account)).to_pylist() == [row["account_id"] for row in rows]
    for name in CODED:
        spelt = [frame.names[name][code] if code >= 0 else None for code in frame.code[name]]
        assert spelt == [None if row[name] in (None, "") else str(row[name]) for row in rows], name
        assert frame.names[name] == sorted(frame.names[name])
    for name in NUMBERS:
        assert [None if np.isnan(x) else x for x in frame.number[name]] == [row[name] for row in rows], name
    for name in FLAGS:
        assert frame.flag[name].tolist() == [-1 if row[name] is None else int(row[name]) for row in rows]
    assert lists(frame.sketch) == [row["sketch"] or [] for row in rows]
    assert lists(frame.cues) == [row["cues"] or [] for row in rows]
    assert frame.template.tolist() == [row["template_id"] or 0 for row in rows]
    for name in ("sketch", "template_id", "cues", "capability", "novelty", "country", "input_tokens"):
        assert frame.coverage[name] == pytest.approx(np.mean([row[name] is not None for row in rows]))


@pytest.mark.parametrize("resting", [False, True])
def test_content_traits_of_pieces_are_those_of_everything(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resting: bool
) -> None:
    """Habits, holders and labels as counted over all sketches at once, in memory or a run of accounts at a time."""
    monkeypatch.setattr(habits, "_MOST_AT_ONCE", 50_000)
    frame = read_frame(tiny, keep=tmp_path if resting else None)
    wanted = np.isin(kind_of(frame.sketch.flat), np.array(STACK_KINDS))
    rows, values = frame.sketch.rows()[wanted], frame.sketch.flat[wanted]
    label, code = np.unique(values, return_inverse=True)
    keys, counts = np.unique(frame.account[rows].astype(np.int64) * len(label) + code, return_counts=True)
    owner, value = keys // len(label), keys % len(label)
    habit = (counts >= 2) | (frame.volume()[owner] <= 4)
    kept = np.bincount(value[habit], minlength=len(label)) >= 5
    use = habit & kept[value]
    got = content_traits(frame)
    assert got.label is not None
    assert np.array_equal(got.label, label[kept])
    assert np.array_equal(got.label[got.value], label[value[use]])
    assert np.array_equal(got.account, owner[use])
    assert np.array_equal(got.count, counts[use])


def test_worth_of_exchanges_as_counted_by_hand(tmp_path: Path) -> None:
    """Repeats of a prompt within an account and everywhere, and being alone in a session."""
    dataset = written(tmp_path, some_rows(1), some_rows(2))
    frame, rows = read_frame(dataset), plain(dataset)
    mine = Counter((row["account_id"], row["prompt_text"]) for row in rows)
    all_of = Counter(row["prompt_text"] for row in rows)
    sessions = Counter(row["session_id"] for row in rows)
    everywhere = repeats(frame)
    measured = worth(frame, tasks(frame), high_value=high_value_ids()).exchange
    for i, row in enumerate(rows):
        if row["prompt_text"] is None:
            assert everywhere[i] == 0
            assert np.isnan(measured[i : i + 1, 0][0])
        else:
            times = mine[row["account_id"], row["prompt_text"]]
            assert everywhere[i] == all_of[row["prompt_text"]]
            assert measured[i : i + 1, 0][0] == 1 / times
        assert measured[i : i + 1, 1][0] == float(row["session_id"] is None or sessions[row["session_id"]] == 1)


def test_a_second_frame_reads_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept stands for the text: nothing is fingerprinted for what a scan asks, and the frame is the same."""
    dataset = written(tmp_path / "data", some_rows(1), some_rows(2))
    first = read_frame(dataset, keep=tmp_path / "kept")
    monkeypatch.setattr(stored, "marks", None)
    second = read_frame(dataset, keep=tmp_path / "kept")
    assert np.array_equal(content_traits(second).label, content_traits(first).label)
    assert np.array_equal(prompts_of(second.sketch), prompts_of(first.sketch))
    assert lists(second.cues) == lists(first.cues)
    monkeypatch.undo()
    same(second, first)
    same(read_frame(dataset), first)


def test_a_new_day_is_all_that_is_fingerprinted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grown dataset costs its new rows; the frame is that of a full read."""
    dataset = written(tmp_path / "data", some_rows(1))
    read_frame(dataset, keep=tmp_path / "kept")
    late = [
        {**row, "exchange_id": f"late-{i}", "ts": START + 9 * 24 * HOUR + i} for i, row in enumerate(some_rows(5, 30))
    ]
    written(tmp_path / "data", late)
    seen: list[int] = []
    marks = stored.marks

    def counting(table: pa.Table) -> pa.Table:
        seen.append(len(table))
        return marks(table)

    monkeypatch.setattr(stored, "marks", counting)
    grown = read_frame(dataset, keep=tmp_path / "kept")
    assert sum(seen) == 30
    same(grown, read_frame(dataset))


def test_what_is_kept_of_a_file_that_is_gone_or_broken_goes(tmp_path: Path) -> None:
    """Fingerprints of a removed file are removed, and a broken file of fingerprints is made anew."""
    dataset = written(tmp_path / "data", some_rows(1), some_rows(2))
    whole, kept = read_frame(dataset, keep=tmp_path / "kept"), sorted((tmp_path / "kept").iterdir())
    for file in (kept[0], kept[3]):
        file.write_bytes(b"broken")
    same(read_frame(dataset, keep=tmp_path / "kept"), whole)
    gone = dataset.exchange_files()[0]
    gone.unlink()
    less = read_frame(dataset, keep=tmp_path / "kept")
    assert less.n_exchanges < whole.n_exchanges
    assert len(list((tmp_path / "kept").iterdir())) == len(kept) - 2


def test_many_fingerprints_rest_in_a_folder_that_goes_away(
    tmp_path: Path, write_dataset: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a folder to keep them, fingerprints of a large dataset take disk for as long as the frame lives."""
    dataset = write_dataset(some_rows(3))
    small = read_frame(dataset)
    monkeypatch.setattr(stored, "IN_MEMORY_ROWS", 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    large = read_frame(dataset)
    same(large, small)
    assert list(tmp_path.glob("stillwatch-*"))
    del large
    assert not list(tmp_path.glob("stillwatch-*"))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.integers(0, 12), max_size=6), max_size=12), st.integers(1, 4), st.randoms())
def test_habits_are_counted_exactly(drawn: list[list[int]], least: int, random: Any) -> None:
    """A pair seen twice, or once in a quiet account, of a hash that enough accounts so hold is there with its count."""
    hashes = [sorted({(0, 3, 6)[v % 3] << 60 | v * 977 for v in row}) for row in drawn]
    account = np.sort(np.array([random.randrange(4) for _ in hashes], np.int32))
    parts = []
    for rows in np.array_split(np.arange(len(hashes)), 3):
        mine = [hashes[i] for i in rows]
        offsets = np.concatenate(([0], np.cumsum([len(m) for m in mine]))).astype(np.int64)
        parts.append((rows, Ragged(offsets, np.array([v for m in mine for v in m], np.uint64))))
    few = np.array([True, False, True, False])
    lists = Lists(lambda: iter(parts), len(hashes))
    owner, value, count, label = habits_of(postings_of(lists), account, few, least)
    got = dict(zip(zip(owner.tolist(), label[value].tolist(), strict=True), count.tolist(), strict=True))
    seen = Counter((int(account[i]), v) for i, row in enumerate(hashes) for v in row if v >> 60 in STACK_KINDS)
    habits = {pair: times for pair, times in seen.items() if times >= 2 or few[pair[0]]}
    holders = Counter(v for _, v in habits)
    assert got == {pair: times for pair, times in habits.items() if holders[pair[1]] >= least}
    assert len(label) == len(np.unique(value))
    assert list(got) == sorted(got)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=30))
def test_tallies_count_part_by_part(drawn: list[int]) -> None:
    """The same counts however few values a part holds; none for zero."""
    counts = Counter(drawn)
    wanted = [counts[v] if v else 0 for v in drawn]
    for rows in (1, 4, 100):
        assert tallies(np.array(drawn, np.uint64), rows=rows).tolist() == wanted
    owner = np.arange(len(drawn), dtype=np.int32) % 3
    mine = Counter(zip(owner.tolist(), drawn, strict=True))
    wanted = [mine[pair] if pair[1] else 0 for pair in zip(owner.tolist(), drawn, strict=True)]
    assert tallies(np.array(drawn, np.uint64), owner, rows=4).tolist() == wanted


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 8))
def test_blocks_split_no_account(drawn: list[int], rows: int) -> None:
    """Slices cover all rows in order, and an account lies in one of them."""
    account = np.sort(np.array(drawn, np.int32))
    cuts = blocks(account, rows=rows)
    assert np.concatenate([np.arange(len(account))[cut] for cut in cuts]).tolist() == list(range(len(account)))
    homes = [(int(a), number) for number, cut in enumerate(cuts) for a in np.unique(account[cut])]
    assert len(homes) == len({a for a, _ in homes})


def test_a_large_column_rests_in_a_file(tmp_path: Path) -> None:
    """Its values are the same, nobody can change them, and the file has no name that could be left behind."""
    column = Resting(np.arange(1000), tmp_path, large=100)
    assert column.array.sum() == 499_500
    assert not column.array.flags.writeable
    assert not list(tmp_path.iterdir())


def test_large_room_is_in_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is filled like any array and holds what it was given; nothing is left behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = room(1000, np.int32, large=100)
    array[np.arange(999, -1, -1)] = np.arange(1000)
    assert array[:3].tolist() == [999, 998, 997]
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_and_small_columns_need_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the folder and the size, before a byte is written; what stays in memory asks for nothing."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    for make in (lambda: Resting(np.arange(3), tmp_path, large=1), lambda: room(3, np.int64, large=1)):
        with pytest.raises(OSError, match="No space left on device for a column of 24 bytes") as caught:
            make()
    assert caught.value.filename == tempfile.gettempdir()
    assert room(3, np.int64).shape == Resting(np.arange(3), tmp_path).array.shape == (3,)
