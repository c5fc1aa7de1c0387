"""Sketch values against a plain Python oracle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.signals.hashing import hash_sequence, hash_word
from stillwatch.signals.sketch import MOST_SHINGLES, Kind, kind_of, of_kind, sketch_texts
from stillwatch.signals.text import masked_words

LOW = (1 << 60) - 1
WORDS = st.lists(
    st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "7", "zeta", "谢谢你", "omega-3", "theta"]),
    max_size=60,
)


def values(text: str, kind: Kind, *, system: bool = False) -> set[int]:
    """Values of one kind of one text, without the kind."""
    flat = sketch_texts(pa.array([text]), system=system).flat
    return {int(v) & LOW for v in flat[kind_of(flat) == kind]}


def oracle_shingles(words: list[int]) -> set[int]:
    """FracMinHash of word triples in plain Python: keep hashes in the lowest eighth."""
    hashes = {hash_sequence(words[i : i + 3]) for i in range(len(words) - 2)}
    return {h & LOW for h in hashes if h < 1 << 61}


@settings(max_examples=150, deadline=None)
@given(WORDS)
def test_shingles_heads_and_tails_are_those_of_the_oracle(words: list[str]) -> None:
    """Shingles, heads, tails and system identity follow from the masked words alone."""
    text = " ".join(words)
    hashes = [hash_word(word.text) for word in masked_words(text)]
    assert values(text, Kind.SHINGLE) == oracle_shingles(hashes) == values(text, Kind.SYSTEM, system=True)
    ends = {Kind.HEAD: (hashes[:6], hashes[:12]), Kind.TAIL: (hashes[-6:], hashes[-12:])}
    for kind, parts in ends.items():
        assert values(text, kind) == ({hash_sequence(part) & LOW for part in parts} if hashes else set())
    assert values(text, Kind.SYSTEM_ID, system=True) == ({hash_sequence(hashes) & LOW} if hashes else set())


def test_one_shingle_in_eight_and_one_word_in_four_is_kept() -> None:
    """The global thresholds keep the shares that the documentation states."""
    rng = np.random.default_rng(3)
    texts = [" ".join("".join(rng.choice(list("abcdefghij"), 7)) for _ in range(18)) for _ in range(400)]
    kinds = np.bincount(kind_of(sketch_texts(pa.array(texts)).flat), minlength=10) / 400
    assert abs(kinds[Kind.SHINGLE] / 16 - 1 / 8) < 0.02
    assert abs(kinds[Kind.WORD] / 18 - 1 / 4) < 0.03


def test_near_copies_share_lanes_and_strangers_do_not() -> None:
    """Most NEAR lanes survive one changed word in sixty; unrelated texts share none."""
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("abcdefghij"), 6)) for _ in range(180)]
    copies = [" ".join([*words[:20], f"changed{n}", *words[21:60]]) for n in range(20)]
    original, stranger = values(" ".join(words[:60]), Kind.NEAR), values(" ".join(words[100:160]), Kind.NEAR)
    assert np.mean([len(values(copy, Kind.NEAR) & original) for copy in copies]) >= 3
    assert not stranger & original


def test_words_are_few_and_of_five_letters_or_more() -> None:
    """Short words and numbers leave no WORD value; long texts at most eight."""
    assert not values("a bb ccc dddd 12345 a1b2c3d4e5 " * 20, Kind.WORD)
    assert (
        len(values(" ".join("w" + chr(97 + a) + chr(97 + b) + "xyz" for a in range(20) for b in range(20)), Kind.WORD))
        == 8
    )


def test_very_long_texts_keep_the_smallest_shingles() -> None:
    """A long text is cut at the cap, ascending, and still shares its values with a part of itself."""
    text = " ".join(
        f"w{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676 % 26)}{chr(97 + i // 17576)}"
        for i in range(60_000)
    )
    long, part = values(text, Kind.SHINGLE), values(text[:30_000], Kind.SHINGLE)
    assert len(long) == MOST_SHINGLES
    assert part & long == {v for v in part if v <= max(long)}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=40)), max_size=12), st.integers(0, 12))
def test_splitting_a_batch_changes_nothing(texts: list[str | None], cut: int) -> None:
    """Two halves give the values of the whole; slices, nulls and large strings too."""
    clean = [t.encode("utf-8", "replace").decode() if t is not None else None for t in texts]
    whole = sketch_texts(pa.array(clean, pa.large_string()))
    array = pa.array(clean, pa.string())
    halves = [sketch_texts(array[:cut]), sketch_texts(array[cut:])]
    assert whole.flat.tolist() == [v for half in halves for v in half.flat.tolist()]
    assert whole.templates.tolist() == [v for half in halves for v in half.templates.tolist()]


def test_threads_change_nothing() -> None:
    """One thread and two give the same sketches."""
    texts = pa.array([f"Some text number {n} about things {n * 7}. " * 40 for n in range(9000)])
    one, two = sketch_texts(texts, threads=1), sketch_texts(texts, threads=2)
    assert np.array_equal(one.flat, two.flat)
    assert np.array_equal(one.offsets, two.offsets)


def test_values_ascend_and_carry_their_kind() -> None:
    """Each row ascends without repeats; of_kind keeps the rows."""
    sketches = sketch_texts(pa.array(["the same words the same words the same words"] * 3 + [None, ""]))
    rows = np.split(sketches.flat, sketches.offsets[1:-1])
    assert all((np.diff(row.astype(object)) > 0).all() for row in rows)
    flat, offsets = of_kind(sketches.flat, sketches.offsets, Kind.PAYLOAD)
    assert len(set(flat.tolist())) == 1
    assert np.diff(offsets).tolist() == [1, 1, 1, 0, 0]


def test_template_ignores_length_and_filling() -> None:
    """The same head and tail give one template id however long the middle is; another head gives another."""
    head, tail = (
        "please read the following text with care and answer in few words ",
        " now write the answer as one short line of plain text only",
    )
    ids = sketch_texts(pa.array([head + "x y z " * n + tail for n in (9, 90)] + ["never " + head + tail])).templates
    assert ids[0] == ids[1] != ids[2]


def test_kernels_compile_whichever_comes_first(tmp_path: Path) -> None:
    """Two processes that fill Numba's cache at once may leave a kernel without its callees: a lean one goes first."""
    first = (
        "import numpy as np; from stillwatch.signals.sketch import _draw_near as draw; "
        "print(draw(np.arange(100, dtype=np.uint64), np.zeros(300, np.uint64), 0))"
    )
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", first], env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr
