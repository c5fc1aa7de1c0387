"""Masking, and the compiled word splitter against it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillwatch.signals.hashing import SEED, hash_word
from stillwatch.signals.sketch import _maps, spans
from stillwatch.signals.text import masked, masked_head, masked_words
from stillwatch.signals.words import split_rows

PIECES = st.sampled_from(
    [
        "hello",
        "WORLD",
        "Ünïcode",
        "Жизнь",
        "слово",
        "字",
        "你好世界",
        "カタカナ",
        "ไทย",
        "42",
        "3.14",
        "1,000",
        "a1b2c3",
        "deadbeef01",
        "x" * 30,
        "user_42",
        "___",
        '"',
        '"',
        "`",
        "```",
        "“",
        "”",
        "«",
        "»",
        "「",
        "」",
        "\n",
        "\n\n",
        " ",
        " ",
        ".",
        ",",
        "://",
        "http://a.b/c?d=e)",
        "www.",
        "me@example.org",
        "first.last+tag@example.org",
        "@",
        "-",
        "é",
        "😀",
        "\ufffd",
        "ＡＢ７",
        "٣٤",
        "\u3000",
        "a@",
        "2026-11-22",
        "10:30",
        "é1",
        "IJ",
        "ß",
        "\x00",
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=60))


def kernel_words(data: bytes) -> tuple[list[int], list[int], int]:
    """Plain hashes without their content bit, masked hashes and payload of one text, from the compiled splitter."""
    buffer = np.frombuffer(data, np.uint8)
    found = (np.empty(len(data) // 2 + 3, np.uint64), np.empty(len(data) // 2 + 3, np.uint64))
    counts = (np.empty(1, np.int64), np.empty(1, np.int64), np.empty(1, np.uint64))
    split_rows(buffer, np.array([0]), np.array([len(data)]), _maps(), found, counts)
    return (found[0][: counts[0][0]] & ~np.uint64(1)).tolist(), found[1][: counts[1][0]].tolist(), int(counts[2][0])


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example('say "one" and 5" or "two\n\nthree"')
@example("a" * 24 + " " + "b" * 25)
@example('"\x00\x00"')
def test_kernel_masks_as_the_plain_form_does(text: str) -> None:
    """The compiled splitter hashes exactly the words that the plain Python masking shows."""
    text = text.encode("utf-8", "replace").decode()
    expected = [hash_word(word.text) for word in masked_words(text)]
    assert kernel_words(text.encode())[1] == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_invalid_bytes_part_words_and_do_nothing_else(data: bytes) -> None:
    """Bytes that are no UTF-8 count as punctuation."""
    expected = [hash_word(word.text) for word in masked_words(data.decode("utf-8", "replace"))]
    assert kernel_words(data)[1] == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Sum 3, 4 and 1,000.5!", "sum <num> and <num>"),
        ('Judge "a b c" now', "judge <quote> now"),
        ("Run `ls -la` or ```\nmany\nlines```", "run <code> or <code>"),
        ("see https://example.org/a?b=1, or www.example.org", "see <url> or <url>"),
        ("write to first.last@example.org.", "write to <mail>"),
        ("key sk4f9a8b7c6d5e please", "key <hex> please"),
        ("user42 likes 550e8400-e29b", "user# likes <hex>"),
        ("x" * 25, "<long>"),
        ("「引用」と本文です", "<quote> と本文です"),
        ('it\'s 5" wide and 6" high', "it s <num> wide and <num> high"),
        ("", ""),
        ("?!…", ""),
    ],
)
def test_what_varies_becomes_a_placeholder(text: str, shown: str) -> None:
    """Each kind of varying part has its own placeholder; what does not vary is kept."""
    assert masked(text) == shown


def test_two_fillings_of_one_template_look_alike_and_two_templates_do_not() -> None:
    """Masking hides the filling and keeps the construction."""
    template = 'Rate the answer "{}" from {} to {}.'
    assert masked(template.format("blue", 1, 5)) == masked(template.format("a red one", 0, 10))
    assert masked(template.format("blue", 1, 5)) != masked('Praise the answer "blue" from 1 to 5.')


def test_head_is_the_start_of_the_masked_text() -> None:
    """The head that people see is cut by words, not by characters."""
    assert masked_head("one two 3 four five", words=4) == "one two <num> four"
    assert masked_head("short") == "short"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Hello  World\n", "hello world", True),
        ("2+2", "2-2", False),
        ("1.5", "15", False),
        ("ab cd", "abcd", False),
        ("say 41", "say 42", False),
        ("你 好", "你好", True),
    ],
)
def test_payload_ignores_case_and_white_space_alone(one: str, other: str, same: bool) -> None:
    """The payload hash tells any two texts apart that differ in more than case and white space."""
    assert (kernel_words(one.encode())[2] == kernel_words(other.encode())[2]) is same


def test_text_without_characters_has_no_payload() -> None:
    """Empty and blank texts leave the running hash at its seed."""
    assert kernel_words(b" \n\t")[2] == int(SEED)


def test_spans_read_slices_and_both_offset_widths_in_place() -> None:
    """A slice and its copy give the same texts; nulls are empty whatever lies under them."""
    for kind in (pa.string(), pa.large_string()):
        sliced = pa.array(["zero", "one", None, "three"], kind).slice(1, 3)
        data, starts, ends = spans(sliced)
        assert [bytes(data[a:b]).decode() for a, b in zip(starts, ends, strict=True)] == ["one", "", "three"]
