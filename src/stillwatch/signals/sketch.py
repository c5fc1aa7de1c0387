"""Sketches: a short list of hashes that stands for a prompt, so that texts can be compared without being kept.

Every value is 64 bits: the :class:`Kind` in the top four, a hash in the other sixty. Sampling is by one global
threshold (FracMinHash), so that the sketches of any two documents, days or machines can be compared: the share of
common values estimates the share of common shingles.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stillwatch.signals.characters import U8, byte_tables, tables
from stillwatch.signals.compiled import compiled, lean
from stillwatch.signals.hashing import SEED, chain, finish, hash_word
from stillwatch.signals.text import PLACEHOLDERS
from stillwatch.signals.words import I64, U64, split_rows

KIND_SHIFT = 60
SHINGLE_SHARE = 1 / 8
WORD_SHARE = 1 / 4
MOST_SHINGLES = 4096
MOST_WORDS = 8
_GATHERED, _FEW = 24, 48
CHUNK_BYTES = 256 * 1024
ONE_THREAD_BYTES = 8 * 1024 * 1024

_LOW = np.uint64((1 << KIND_SHIFT) - 1)
_S60, _S61, _S62 = np.uint64(60), np.uint64(61), np.uint64(62)
_ZERO, _ONE, _ALL = np.uint64(0), np.uint64(1), np.uint64((1 << 64) - 1)
_SHINGLE, _SYSTEM, _PAYLOAD, _HEAD, _TAIL, _SYSTEM_ID, _NEAR, _WORD = (np.uint64(k) for k in (0, 1, 3, 4, 5, 6, 8, 9))


class Kind(IntEnum):
    """What a sketch value stands for (its top four bits)."""

    SHINGLE = 0  # three masked words of the prompt in a row, one in eight kept
    SYSTEM = 1  # the same of the system text
    TOOL = 2  # one tool definition: name and parameter names
    PAYLOAD = 3  # the whole prompt, unmasked: exact repetition
    HEAD = 4  # the first six, the first twelve masked words
    TAIL = 5  # the last six, the last twelve masked words
    SYSTEM_ID = 6  # the whole masked system text
    TOOLSET = 7  # the set of tools
    NEAR = 8  # four lanes of one-permutation MinHash over pairs of plain words: near repetition
    WORD = 9  # up to eight content words, one in four kept


class Sketches(NamedTuple):
    """Sketch values of many texts: ``flat[offsets[i]:offsets[i + 1]]`` ascending and distinct; template ids beside.

    ``flat`` uint64, shape (values,); ``offsets`` int64, shape (texts + 1,); ``templates`` uint64, shape (texts,),
    0 where a text has no word.
    """

    flat: U64
    offsets: I64
    templates: U64


def kind_of(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Return the kind of each sketch value, same shape.

    >>> kind_of(np.array([5, (3 << 60) + 5], np.uint64)).tolist()
    [0, 3]
    """
    return (values >> _S60).astype(np.uint8)


def of_kind(flat: U64, offsets: npt.NDArray[np.integer], kind: Kind) -> tuple[U64, I64]:
    """Return the values of one kind and their offsets, rows kept.

    ``flat`` has shape (values,), ``offsets`` (rows + 1,); so have the results.

    >>> flat = np.array([1, (3 << 60) + 5, 2, (3 << 60) + 6], np.uint64)
    >>> values, offsets = of_kind(flat, np.array([0, 2, 4]), Kind.SHINGLE)
    >>> values.tolist(), offsets.tolist()
    ([1, 2], [0, 1, 2])
    """
    wanted = (flat >> _S60) == np.uint64(kind)
    before = np.zeros(len(flat) + 1, np.int64)
    np.cumsum(wanted, out=before[1:])
    return flat[wanted], before[np.asarray(offsets, np.int64)] - before[int(offsets[0])]


def sketch_texts(texts: pa.Array, *, system: bool = False, threads: int = 2) -> Sketches:
    """Return the sketch of every text of a string array (null: no values).

    With ``system`` the values are of kinds SYSTEM and SYSTEM_ID, else SHINGLE, PAYLOAD, HEAD, TAIL, NEAR and WORD.
    At most 4,096 shingles of a text are kept, the smallest. ``threads`` share the texts and change no result.

    FracMinHash: Irber et al., "Lightweight compositional analysis of metagenomes with FracMinHash" (2022).
    One-permutation hashing: Li, Owen, Zhang, "One Permutation Hashing" (NeurIPS 2012).

    >>> sketches = sketch_texts(pa.array(["Rate this answer from 1 to 5.", None]))
    >>> sorted({Kind(kind).name for kind in kind_of(sketches.flat)})
    ['HEAD', 'NEAR', 'PAYLOAD', 'SHINGLE', 'TAIL']
    """
    data, starts, ends = spans(texts)
    chunks = _chunks(starts, ends)
    if len(data) <= ONE_THREAD_BYTES or threads < 2:
        parts = [_sketch_chunk(data, starts[a:b], ends[a:b], system) for a, b in chunks]
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(
                pool.map(lambda c: _sketch_chunk(data, starts[c[0] : c[1]], ends[c[0] : c[1]], system), chunks)
            )
    offsets = np.zeros(len(starts) + 1, np.int64)
    if not parts:
        return Sketches(np.empty(0, np.uint64), offsets, np.empty(0, np.uint64))
    np.cumsum(np.concatenate([part[1] for part in parts]), out=offsets[1:])
    return Sketches(np.concatenate([part[0] for part in parts]), offsets, np.concatenate([part[2] for part in parts]))


def spans(texts: pa.Array) -> tuple[U8, I64, I64]:
    """Return the bytes of a string array and where each text starts and ends in them; nulls are empty.

    Slices keep their whole buffer and only move the spans. Strings of either offset width are read in place.

    >>> data, starts, ends = spans(pa.array(["ab", None, "c"]))
    >>> bytes(data).decode(), starts.tolist(), ends.tolist()
    ('abc', [0, 2, 2], [2, 2, 3])
    """
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        texts = texts.cast(pa.large_string())
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offset_buffer, data_buffer = texts.buffers()
    data = np.frombuffer(data_buffer if data_buffer is not None and data_buffer.size else b"", np.uint8)
    data.flags.writeable = False  # one compiled form of every kernel, whoever owns the buffer
    if not len(texts):
        return data, np.empty(0, np.int64), np.empty(0, np.int64)
    offsets = np.frombuffer(offset_buffer, width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    starts, ends = offsets[:-1], offsets[1:]
    if texts.null_count:
        ends = np.where(texts.is_valid().to_numpy(zero_copy_only=False), ends, starts)
    return data, starts, ends


def _chunks(starts: I64, ends: I64) -> list[tuple[int, int]]:
    """Cut the rows where a further CHUNK_BYTES of text are full, so that a chunk's words stay in cache."""
    if not len(starts):
        return []
    filled = np.cumsum(ends - starts + 16) // CHUNK_BYTES
    cuts = np.flatnonzero(np.diff(filled)) + 1
    edges = [0, *cuts.tolist(), len(starts)]
    return list(pairwise(edges))


@cache
def _maps() -> tuple[U8, npt.NDArray[np.uint16], U64, U64, U8]:
    kinds, folds, _ = tables()
    return kinds, folds, np.array([hash_word(word) for word in (*PLACEHOLDERS, "www")], np.uint64), *byte_tables()


def _sketch_chunk(data: U8, starts: I64, ends: I64, system: bool) -> tuple[U64, I64, U64]:
    rows = len(starts)
    room = int((ends - starts).sum()) // 2 + 2 * rows + 2
    found = (np.empty(room, np.uint64), np.empty(room, np.uint64))
    counts = (np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.uint64))
    split_rows(data, starts, ends, _maps(), found, counts)
    words = (found[0][: counts[0][-1]], found[1][: counts[1][-1]])
    out = np.empty(len(words[1]) + (20 + _GATHERED) * rows + _FEW, np.uint64)
    lengths, templates = np.empty(rows, np.int64), np.empty(rows, np.uint64)
    runs = (np.empty(len(words[0]), np.uint64), np.empty(len(words[1]), np.uint64))
    _hash_runs(words, runs)
    total = _draw_rows(words, runs, counts, system, out, lengths, templates)
    return out[:total].copy(), lengths, templates


@lean
def _value(kind: np.uint64, h: np.uint64) -> np.uint64:
    return (kind << _S60) | (h & _LOW)


@compiled
def _sort_distinct(values: U64, first: int, last: int) -> int:
    """Sort values[first:last], drop repeats, return the new end; what lies up to _FEW behind ``last`` is overwritten.

    A few values are put where the number of smaller ones says, which takes no branch that could be guessed wrongly.
    """
    mine, spare = values[first:last], values[last : last + _FEW]
    n = first
    if len(mine) > _FEW:
        mine.sort()
        for i in range(len(mine)):
            if i == 0 or mine[i] != values[n - 1]:
                values[n] = mine[i]
                n += 1
        return n
    for i in range(len(mine)):
        spare[i] = _ALL
    for i in range(len(mine)):
        smaller = 0
        for j in range(len(mine)):
            smaller += mine[j] < mine[i]
        spare[smaller] = mine[i]
    for i in range(len(mine)):
        values[n] = spare[i]
        n += spare[i] != _ALL
    return n


@lean
def _hash_runs(words: tuple[U64, U64], runs: tuple[U64, U64]) -> None:
    """Hash each plain word with the next, and each masked word with the next two, rows disregarded.

    Loops over whole arrays, which a compiler turns into vector instructions.
    """
    (plain, masked), (pairs, triples) = words, runs
    for k in range(len(plain) - 1):
        pairs[k] = finish(chain(chain(SEED, plain[k]), plain[k + 1]))
    for k in range(len(masked) - 2):
        triples[k] = finish(chain(chain(chain(SEED, masked[k]), masked[k + 1]), masked[k + 2]))


@lean
def _draw_shingles(triples: U64, a: int, b: int, kind: np.uint64, out: U64, n: int) -> int:
    for k in range(a, b - 2):
        h = triples[k]
        out[n] = _value(kind, h)
        n += h >> _S61 == _ZERO
    return n


@lean
def _sequence(words: U64, a: int, b: int) -> np.uint64:
    h = SEED
    for k in range(a, b):
        h = chain(h, words[k])
    return finish(h)


@lean
def _draw_ends(masked: U64, a: int, b: int, out: U64, n: int) -> tuple[int, np.uint64]:
    """Write HEAD and TAIL values; return the count and the template id."""
    if a == b:
        return n, _ZERO
    head, tail = _sequence(masked, a, min(b, a + 12)), _sequence(masked, max(a, b - 12), b)
    n = _write_two(_value(_HEAD, head), _value(_HEAD, _sequence(masked, a, min(b, a + 6))), out, n)
    n = _write_two(_value(_TAIL, tail), _value(_TAIL, _sequence(masked, max(a, b - 6), b)), out, n)
    return n, finish(chain(chain(SEED, head), tail)) | _ONE


@lean
def _write_two(one: np.uint64, other: np.uint64, out: U64, n: int) -> int:
    """Write two values ascending, one when they are equal."""
    out[n] = min(one, other)
    out[n + 1] = max(one, other)
    return n + 2 if one != other else n + 1


@lean
def _draw_near(pairs: U64, out: U64, n: int) -> int:
    """Keep the smallest hash of word pairs in each of four lanes (the top two bits choose the lane)."""
    least = (_ALL, _ALL, _ALL, _ALL)
    for k in range(len(pairs)):
        h = pairs[k]
        lane = h >> _S62
        least = (
            min(least[0], h if lane == 0 else _ALL),
            min(least[1], h if lane == 1 else _ALL),
            min(least[2], h if lane == 2 else _ALL),
            min(least[3], h if lane == 3 else _ALL),
        )
    end = n
    for h in least:
        if h != _ALL:
            out[end] = _value(_NEAR, finish(h))
            end += 1
    return _sort_distinct(out, n, end)


@lean
def _draw_words(plain: U64, a: int, b: int, out: U64, n: int) -> int:
    """Keep the eight smallest distinct content words below the threshold: gather some, cut to eight, and so on."""
    end, limit = n, _ONE << _S62
    for k in range(a, b):
        out[end] = plain[k]
        end += (plain[k] < limit) & (plain[k] & _ONE == _ONE)
        if end == n + _GATHERED:
            end = min(_sort_distinct(out, n, end), n + MOST_WORDS)
            limit = out[end - 1] if end == n + MOST_WORDS else limit
    end = min(_sort_distinct(out, n, end), n + MOST_WORDS)
    for k in range(n, end):
        out[k] = _value(_WORD, out[k])
    return _sort_distinct(out, n, end)


@compiled
def _draw_rows(
    words: tuple[U64, U64],
    runs: tuple[U64, U64],
    counts: tuple[I64, I64, U64],
    system: bool,
    out: U64,
    lengths: I64,
    templates: U64,
) -> int:
    """Write the sketch of each row into ``out``, one behind another, kind by kind; return how many values there are."""
    plain, masked = words
    a = c = n = 0
    for row in range(len(lengths)):
        b, d, first = counts[0][row], counts[1][row], n
        templates[row] = _ZERO
        n = _draw_shingles(runs[1], c, d, _SYSTEM if system else _SHINGLE, out, n)
        n = min(_sort_distinct(out, first, n), first + MOST_SHINGLES)
        if system:
            if d > c:
                out[n] = _value(_SYSTEM_ID, _sequence(masked, c, d))
                n += 1
        else:
            if counts[2][row] != SEED:
                out[n] = _value(_PAYLOAD, finish(counts[2][row]))
                n += 1
            n, templates[row] = _draw_ends(masked, c, d, out, n)
            n = _draw_near(runs[0][a : max(a, b - 1)], out, n)
            n = _draw_words(plain, a, b, out, n)
        lengths[row] = n - first
        a, c = b, d
    return n
