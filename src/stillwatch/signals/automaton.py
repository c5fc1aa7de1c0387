"""Many phrases in one pass: an Aho–Corasick automaton over normal text, compiled.

Normal text is what phrases and prompts are both brought to: small letters without Latin accents, every run of white
space and punctuation one space (``+ # < >`` are kept), a space at both ends and wherever a script without spaces
meets one with. A phrase is a piece of normal text. It matches whole words, unless it ends with ``*``, which lets the
last word go on (``summar*``); next to Han, kana or Thai characters there are no word borders to keep.
Aho, Corasick, "Efficient string matching" (CACM 1975).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stillwatch.errors import ConfigError
from stillwatch.signals.characters import U8, U16, Class, class_of, kind_of, point_at, tables
from stillwatch.signals.compiled import inlined, lean, whole

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
KEPT = "+#<>"
_ONE = np.uint64(1)
_ROOT, _SPACE = 0, 0x20
_NEAR, _WIDTH, _OTHER, _MOST_STATES = 32, 256, 255, 1 << 16


class Automaton(NamedTuple):
    """The compiled phrases: a dense table of moves and, a state, which labels it completes.

    ``near`` uint16, shape (states × 32,), is the next state by state and symbol for the 32 symbols that are frequent:
    a line of cache a state. ``far``, shape (states × 256,), holds all. ``symbol`` uint8, shape (256,), is the symbol of
    a byte of normal text, ``ascii`` that of a byte of raw ASCII text (255 for bytes of other scripts). States from
    ``first`` on complete ``labels[starts[state - first]:starts[state - first + 1]]``. ``size`` is the number of labels.
    """

    near: U16
    far: U16
    symbol: U8
    ascii: U8
    starts: I32
    labels: I32
    first: int
    size: int


def normal(text: str) -> str:
    """Return the normal form in which phrases are sought.

    >>> normal("Explícame,  PASO a paso: C++!")
    ' explicame paso a paso c++ '
    >>> normal("用Python写")
    ' 用 python 写 '
    """
    bare, out, was = tables().bare, [" "], Class.SPACE
    for char in text:
        kind = class_of(char)
        if char in KEPT or (kind in (Class.LETTER, Class.DIGIT) and char != "_"):
            kind = Class.LETTER
        elif kind is not Class.UNSPACED:
            kind = Class.SPACE
        if kind is not was and out[-1] != " ":
            out.append(" ")
        if kind is not Class.SPACE:
            out.append(chr(bare[ord(char)]) if ord(char) < 0x10000 else char)
        was = kind
    return "".join(out) if out[-1] == " " else "".join((*out, " "))


def pattern(phrase: str) -> str:
    """Return the piece of normal text that a phrase stands for.

    >>> pattern("Summar*"), pattern("step by step"), pattern("打分")
    (' summar', ' step by step ', '打分')
    """
    text = normal(phrase.removesuffix("*"))
    if class_of(text[1:2] or " ") is Class.UNSPACED:
        text = text[1:]
    if phrase.endswith("*") or class_of(text[-2:-1] or " ") is Class.UNSPACED:
        text = text[:-1]
    return text


def build(phrases: Sequence[tuple[str, int]]) -> Automaton:
    """Return the automaton of (phrase, label) pairs; several phrases may share a label.

    Raises :class:`~stillwatch.errors.ConfigError` when the phrases make more states than 16 bits can tell apart.

    >>> build([("step by step", 0), ("summar*", 1)]).size
    2
    """
    patterns = [(pattern(phrase).encode(), label) for phrase, label in phrases]
    symbol = np.zeros(256, np.uint8)
    used = sorted({byte for text, _ in patterns for byte in text}, key=lambda byte: (byte != _SPACE, byte < 0x61, byte))
    symbol[used] = np.arange(1, len(used) + 1)
    children, completed = _trie(patterns)
    moves, order, fails = _moves(children, symbol)
    for state in order:
        completed[state] = completed[state] + completed[fails[state]]
    moves, completed = _steady(moves, completed, _after_space(children), int(symbol[_SPACE]))
    if len(completed) > _MOST_STATES:
        raise ConfigError(f"the phrases make {len(completed):,} states; {_MOST_STATES:,} fit")
    size = max((label for _, label in phrases), default=-1) + 1
    return _packed(moves, completed, symbol, size)


def _packed(moves: I32, completed: list[list[int]], symbol: U8, size: int) -> Automaton:
    """Lay out the tables, the states that complete something last."""
    ends = np.array([bool(labels) for labels in completed])
    old = np.argsort(ends, kind="stable")
    found = [completed[state] for state in old if ends[state]]
    starts = np.zeros(len(found) + 1, np.int32)
    np.cumsum([len(labels) for labels in found], out=starts[1:])
    labels = np.array([label for some in found for label in some], np.int32)
    far = np.argsort(old).astype(np.uint16)[moves[old]]
    near = far[:, :_NEAR].ravel()
    return Automaton(near, far.ravel(), symbol, _plain(symbol), starts, labels, len(old) - len(found), size)


def _after_space(children: list[dict[int, int]]) -> npt.NDArray[np.bool_]:
    """Say of each state whether a space leads to it."""
    found = np.zeros(len(children), bool)
    found[[child for moves in children for byte, child in moves.items() if byte == _SPACE]] = True
    return found


def _steady(
    moves: I32, completed: list[list[int]], after_space: npt.NDArray[np.bool_], space: int
) -> tuple[I32, list[list[int]]]:
    """Let further spaces change nothing, so that runs of them need no care: a state behind a space keeps to itself,
    or, where it completes something, moves to a twin that does not.
    """
    twins = [state for state in np.flatnonzero(after_space).tolist() if completed[state]]
    still = np.arange(len(moves), dtype=np.int32)
    still[twins] = len(moves) + np.arange(len(twins))
    moves[after_space, space] = still[after_space]
    return np.concatenate([moves, moves[twins]]), completed + [[] for _ in twins]


def _trie(patterns: Sequence[tuple[bytes, int]]) -> tuple[list[dict[int, int]], list[list[int]]]:
    children: list[dict[int, int]] = [{}]
    completed: list[list[int]] = [[]]
    for text, label in patterns:
        state = _ROOT
        for byte in text:
            if byte not in children[state]:
                children[state][byte] = len(children)
                children.append({})
                completed.append([])
            state = children[state][byte]
        completed[state].append(label)
    return children, completed


def _moves(children: list[dict[int, int]], symbol: U8) -> tuple[I32, list[int], list[int]]:
    """Fill the moves of every state breadth first; return them, that order, and the fall-back state of each."""
    moves = np.zeros((len(children), _WIDTH), np.int32)
    fails, order, queue = [0] * len(children), [], deque([_ROOT])
    while queue:
        state = queue.popleft()
        if state != _ROOT:
            order.append(state)
            moves[state] = moves[fails[state]]
        for byte, child in children[state].items():
            fails[child] = int(moves[fails[state], symbol[byte]]) if state != _ROOT else _ROOT
            moves[state, symbol[byte]] = child
            queue.append(child)
    return moves, order, fails


_Machine = tuple[U16, U16, U8, U8, I32, I32, int]


class Hits(NamedTuple):
    """Labels found in many texts: ``labels[offsets[i]:offsets[i + 1]]`` with how often each, in no stated order."""

    labels: I32
    times: I32
    offsets: I64


def scan(automaton: Automaton, data: U8, starts: I64, ends: I64) -> Hits:
    """Return which labels occur in each text data[starts[i]:ends[i]], and how often (overlaps count).

    >>> text = np.frombuffer(b"Think step by step, step by step.", np.uint8)
    >>> hits = scan(build([("step by step", 7)]), text, np.array([0]), np.array([len(text)]))
    >>> hits.labels.tolist(), hits.times.tolist()
    ([7], [2])
    """
    kinds, _, bare = tables()
    offsets = np.zeros(len(starts) + 1, np.int64)
    tallies = (np.zeros(automaton.size, np.int32), np.zeros(automaton.size + 1, np.int32))
    room = 4 * len(starts) + automaton.size
    parts = []
    row = 0
    while row < len(starts):
        found = (np.empty(room, np.int32), np.empty(room, np.int32))
        done, used = _scan_rows(automaton[:7], (data, starts, ends), (kinds, bare), tallies, found, offsets, row)
        parts.append((found[0][:used], found[1][:used]))
        row = done
    np.cumsum(offsets, out=offsets)
    if not parts:
        return Hits(np.empty(0, np.int32), np.empty(0, np.int32), offsets)
    return Hits(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), offsets)


def _plain(symbol: U8) -> U8:
    """Return the symbol of the normal form of each ASCII byte, _OTHER for the bytes of other scripts."""
    plain = np.full(256, _OTHER, np.uint8)
    plain[:128] = symbol[_SPACE]
    for byte in (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B)):
        plain[byte] = symbol[byte | 0x20]
    for char in KEPT:
        plain[ord(char)] = symbol[ord(char)]
    return plain


@lean
def _tally(state: int, starts: I32, labels: I32, tallies: tuple[I32, I32]) -> None:
    """Count the labels of the ``state``-th state that completes any; tallies = (times a label, list of touched labels
    and its length).
    """
    times, touched = tallies
    for k in range(starts[state], starts[state + 1]):
        label = labels[k]
        if times[label] == 0:
            touched[touched[-1]] = label
            touched[-1] += 1
        times[label] += 1


@inlined
def _utf8(point: int) -> tuple[int, int]:
    """Return the UTF-8 bytes of a code point, the first lowest, and how many there are."""
    if point < 0x80:
        return point, 1
    last = 0x80 | (point & 0x3F)
    if point < 0x800:
        return (0xC0 | (point >> 6)) | (last << 8), 2
    middle = 0x80 | ((point >> 6) & 0x3F)
    if point < 0x10000:
        return (0xE0 | (point >> 12)) | (middle << 8) | (last << 16), 3
    second = 0x80 | ((point >> 12) & 0x3F)
    return (0xF0 | (point >> 18)) | (second << 8) | (middle << 16) | (last << 24), 4


@inlined
def _class(point: int, kinds: U8) -> int:
    """Return 1 for what makes words in normal text, 3 for unspaced scripts, 4 for what becomes a space."""
    kind = 4
    if point == 0x2B or point == 0x23 or point == 0x3C or point == 0x3E:
        kind = 1
    elif point != 0x5F:
        known = kind_of(point, kinds)
        kind = 3 if known == 3 else 1 if 1 <= known <= 2 else 4
    return kind


@inlined
def _feed(machine: _Machine, state: int, units: int, count: int, tallies: tuple[I32, I32]) -> int:
    """Feed ``count`` bytes of normal text held in ``units``, the first lowest."""
    _, far, symbol, _, starts, labels, first = machine
    for _ in range(count):
        state = whole(far[state * _WIDTH + symbol[units & 0xFF]])
        if state >= first:
            _tally(state - first, starts, labels, tallies)
        units >>= 8
    return state


@lean
def _scan_text(
    machine: _Machine, data: U8, i: int, end: int, maps: tuple[U8, U16], tallies: tuple[I32, I32]
) -> None:  # fmt: skip
    """Feed one text in normal form: ASCII as it is, by one look-up a byte, the rest a character at a time."""
    near, far, _, plain, starts, labels, first = machine
    kinds, bare = maps
    state = _feed(machine, 0, _SPACE, 1, tallies)
    was = 4
    while i < end:
        byte = plain[data[i]]
        if byte != _OTHER:
            if was == 3:
                state = _feed(machine, state, _SPACE, 1, tallies)
            at = np.uint64(i)  # unsigned: of a signed place Numba asks each time whether it counts from the end
            while byte != _OTHER:
                state = whole(near[state * _NEAR + byte] if byte < _NEAR else far[state * _WIDTH + byte])
                if state >= first:
                    _tally(state - first, starts, labels, tallies)
                at += _ONE
                if at == np.uint64(end):
                    break
                byte = plain[data[at]]
            i = whole(at)
            was = _class(whole(data[i - 1]), kinds)
            continue
        point, width = point_at(data, i, end)
        kind = _class(point, kinds)
        if kind != was:
            state = _feed(machine, state, _SPACE, 1, tallies)
        if kind != 4:
            if point < 0x10000:
                point = whole(bare[point])
            units, count = _utf8(point)
            state = _feed(machine, state, units, count, tallies)
        was = kind
        i += width
    _feed(machine, state, _SPACE, 1, tallies)


@lean
def _scan_rows(
    machine: _Machine,
    texts: tuple[U8, I64, I64],
    maps: tuple[U8, U16],
    tallies: tuple[I32, I32],
    found: tuple[I32, I32],
    counts: I64,
    row: int,
) -> tuple[int, int]:
    """Scan rows from ``row`` until ``found`` could overflow; return the next row and how much of it is filled."""
    times, touched = tallies
    used = 0
    data, starts, ends = texts
    while row < len(starts) and used + len(times) <= len(found[0]):
        _scan_text(machine, data, starts[row], ends[row], maps, tallies)
        for k in range(touched[-1]):
            found[0][used], found[1][used] = touched[k], times[touched[k]]
            times[touched[k]] = 0
            used += 1
        counts[row + 1] = touched[-1]
        touched[-1] = 0
        row += 1
    return row, used
