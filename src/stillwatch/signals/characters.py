"""Classes and folds of code points that the text kernel, the cue automaton and the plain Python forms share.

The ranges are written out here and never taken from the running Python's Unicode tables, so that two machines
with different Python versions give the same fingerprints. Tables cover the basic plane; :func:`class_of` adds
the rest by rule.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stillwatch.signals.compiled import inlined, whole

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]


_PLAIN, _JOINER = 5, 6


class Class(IntEnum):
    """What a code point is to the word splitter."""

    MARK = 0  # punctuation, symbols, controls, invalid bytes
    LETTER = 1  # part of a word of a script that puts spaces between words
    DIGIT = 2
    UNSPACED = 3  # Han, kana, Thai …: scripts without spaces, split in pairs of characters
    SPACE = 4


_LETTERS = (
    (0x41, 0x5A), (0x61, 0x7A), (0x5F, 0x5F), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x37D), (0x37F, 0x386),
    (0x388, 0x589), (0x591, 0x60B), (0x60D, 0x61A), (0x61C, 0x61E), (0x620, 0x66A), (0x66E, 0x6D3),
    (0x6D5, 0x963), (0x966, 0xDFF), (0xF00, 0xFFF), (0x10A0, 0x177F), (0x1800, 0x1FFF), (0x2C00, 0x2DFF),
    (0x3130, 0x318F), (0xA4D0, 0xD7FF), (0xFB00, 0xFDFF), (0xFE70, 0xFEFE), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A),
)  # fmt: skip
_UNSPACED = (
    (0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3041, 0x312F),
    (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0xA4CF), (0xF900, 0xFAFF), (0xFF66, 0xFF9D),
)  # fmt: skip
_DIGITS = (0x30, 0x660, 0x6F0, 0x966, 0xFF10)
_SPACES = (0x9, 0xA, 0xB, 0xC, 0xD, 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200C), 0x2028, 0x2029, 0x202F, 0x205F,
           0x3000, 0xFEFF)  # fmt: skip
_MARKS_INSIDE = (0x30FB, 0x30A0, *range(0x1360, 0x1369), *range(0x55A, 0x560), 0x589, 0x5BE, 0x5C0, 0x5C3, 0x5F3, 0x5F4,
                 0x66A, 0x970, 0xE4F, 0xE5A, 0xE5B, 0xF0B, 0xF0C, 0xF0D, 0x104A, 0x104B, 0x10FB, 0x17D4)  # fmt: skip
_ACCENTS = (
    "àaáaâaãaäaåaçcèeéeêeëeìiíiîiïiñnòoóoôoõoöoøoùuúuûuüuýyÿyāaăaąaćcčcďdēeęeěeğgīiįiłlńnňnōoőořrśsşsšsťtūuůuűuźzżzžzёе"
)


class Tables(NamedTuple):
    """The three tables, each of 65,536 entries indexed by code point."""

    kind: npt.NDArray[np.uint8]
    fold: npt.NDArray[np.uint16]
    bare: npt.NDArray[np.uint16]


def _kinds() -> npt.NDArray[np.uint8]:
    kind = np.zeros(65536, np.uint8)
    for first, last in _LETTERS:
        kind[first : last + 1] = Class.LETTER
    for first, last in _UNSPACED:
        kind[first : last + 1] = Class.UNSPACED
    for zero in _DIGITS:
        kind[zero : zero + 10] = Class.DIGIT
    kind[list(_SPACES)] = Class.SPACE
    kind[list(_MARKS_INSIDE)] = Class.MARK
    return kind


def _folds() -> npt.NDArray[np.uint16]:
    fold = np.arange(65536, dtype=np.uint16)
    for first, last, shift in ((0x41, 0x5A, 32), (0xC0, 0xD6, 32), (0xD8, 0xDE, 32), (0x391, 0x3A1, 32),
                               (0x3A3, 0x3AB, 32), (0x410, 0x42F, 32), (0x400, 0x40F, 80)):  # fmt: skip
        fold[first : last + 1] += shift
    for first, last in ((0x100, 0x12F), (0x132, 0x137), (0x14A, 0x177), (0x460, 0x481), (0x48A, 0x4BF)):
        fold[first : last + 1 : 2] += 1
    for first, last in ((0x139, 0x148), (0x179, 0x17E), (0x4C1, 0x4CE)):
        fold[first : last + 1 : 2] += 1
    for zero in _DIGITS:
        fold[zero : zero + 10] = np.arange(0x30, 0x3A)
    fold[0xFF21:0xFF3B] = fold[0xFF41:0xFF5B] = np.arange(0x61, 0x7B)
    return fold


@cache
def tables() -> Tables:
    """Return the class, case-fold and accent-fold table, each shape (65536,), read-only.

    ``fold`` maps capitals of the Latin, Greek and Cyrillic scripts, full-width letters and the digits of other
    scripts to the plain small form; ``bare`` also drops the accents of Latin letters (used for cues only).

    >>> chr(tables().fold[ord("Ж")]), chr(tables().bare[ord("É")]), chr(tables().fold[ord("７")])
    ('ж', 'e', '7')
    """
    kind, fold = _kinds(), _folds()
    bare = fold.copy()
    for accented, plain in zip(_ACCENTS[::2], _ACCENTS[1::2], strict=True):
        bare[fold == ord(accented)] = ord(plain)
    for table in (kind, fold, bare):
        table.setflags(write=False)
    return Tables(kind, fold, bare)


class Bytes(NamedTuple):
    """What each ASCII byte is to a word, each of shape (256,).

    ``weight``: 0 where the byte is no part of a word, else what it adds to the counts of the word: one character in the
    lowest 16 bits, one digit in the next, one of a-f in the next, one ``_`` in the highest. ``role`` of the others:
    4 a space, 5 a mark, 6 a mark that may join an address or URL to the word before, 0 where the full rules must look.
    """

    weight: npt.NDArray[np.uint64]
    role: U8


def byte_tables() -> Bytes:
    """Return the tables of the word splitter's short inner loop.

    >>> tables = byte_tables()
    >>> tables.weight[ord("a")] == 1 + (1 << 32), tables.role[[0x20, 0x21, 0x3A, 0x22]].tolist()
    (np.True_, [4, 5, 6, 0])
    """
    kinds, folds, _ = tables()
    weight, role = np.zeros(256, np.uint64), np.zeros(256, np.uint8)
    for byte in range(128):
        if kinds[byte] in (Class.SPACE, Class.MARK):
            role[byte] = Class.SPACE if kinds[byte] else _JOINER if chr(byte) in ".:@-+%" else _PLAIN
        else:
            digit, hexadecimal = kinds[byte] == Class.DIGIT, 0x61 <= folds[byte] <= 0x66
            weight[byte] = 1 << 48 if byte == 0x5F else 1 + (digit << 16) + (hexadecimal << 32)
    role[[0x22, 0x60]] = 0
    return Bytes(weight, role)


def class_of(char: str) -> Class:
    """Return the class of one character.

    Outside the basic plane, ideographs (planes 2 and 3) are unspaced, historic scripts (U+10000 to U+1CFFF) and
    Adlam are letters, everything else (emoji, mathematical letters, private use) is a mark.

    >>> class_of("a").name, class_of("字").name, class_of("！").name
    ('LETTER', 'UNSPACED', 'MARK')
    """
    point = ord(char)
    if point < 0x10000:
        return Class(int(tables().kind[point]))
    if 0x20000 <= point < 0x40000:
        return Class.UNSPACED
    return Class.LETTER if point < 0x1D000 or 0x1E900 <= point < 0x1E960 else Class.MARK


def fold(char: str) -> str:
    """Return one character in small form, accents kept.

    >>> fold("Ä"), fold("字")
    ('ä', '字')
    """
    point = ord(char)
    return chr(tables().fold[point]) if point < 0x10000 else char


@inlined
def point_at(data: U8, i: int, end: int) -> tuple[int, int]:
    """Return the code point at byte ``i`` and its width; (-1, 1) where the bytes are no UTF-8."""
    b = whole(data[i])
    width = 1 if b < 0x80 else 2 if b < 0xE0 else 3 if b < 0xF0 else 4
    if width == 1:
        return b, 1
    if b < 0xC2 or b > 0xF4 or i + width > end:
        return -1, 1
    point = b & (0x7F >> width)
    for k in range(1, width):
        c = whole(data[i + k])
        if c & 0xC0 != 0x80:
            return -1, 1
        point = (point << 6) | (c & 0x3F)
    if (width == 3 and point < 0x800) or (width == 4 and (point < 0x10000 or point > 0x10FFFF)):
        return -1, 1
    return (-1, 1) if 0xD800 <= point < 0xE000 else (point, width)


@inlined
def kind_of(point: int, kinds: U8) -> int:
    """Return the class of a code point (``characters.class_of``)."""
    if point < 0:
        return 0
    if point < 0x10000:
        return whole(kinds[point])
    if 0x20000 <= point < 0x40000:
        return 3
    return 1 if point < 0x1D000 or 0x1E900 <= point < 0x1E960 else 0
