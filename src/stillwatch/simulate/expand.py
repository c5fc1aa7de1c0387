"""Write text from a compiled grammar, millions of characters a second: a small pushdown machine in Numba.

Two streams of chance drive an expansion. The *request* stream is seeded by one number a row; the *frame* stream is
reseeded by (frame, symbol) at each ``<!symbol>``, so rows with one frame share that part word for word (a product's
system prompt, a class's assignment, the fixed part of a template) while the rest varies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
import pyarrow as pa

FRAME, VERBATIM, REPEAT, DOMAIN = 1, 2, 4, 8
LOWER, TYPOS = 1, 2
MAX_BYTES = 4000
_DEPTH = 64
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROWS = 8192


class Tables(NamedTuple):
    """A compiled grammar as arrays; see :func:`stillwatch.simulate.grammar.compile_grammar`.

    ``first``, ``alternatives`` and ``zipf`` by symbol; ``start`` and ``stop`` by production into ``items`` (number × 16
    + flags for symbols, −1 − index for literals); ``literal_at`` offsets into ``literals``; ``domains`` maps the base
    symbol of a domain-dependent name to its row of symbols by domain.
    """

    first: np.ndarray
    alternatives: np.ndarray
    zipf: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    items: np.ndarray
    literal_at: np.ndarray
    literals: np.ndarray
    domains: np.ndarray


@nb.njit(inline="always")
def _mix(state: np.uint64) -> np.uint64:
    """Return one output of splitmix64 (Steele, Lea and Flood 2014) for a state."""
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@nb.njit(cache=True, nogil=True)
def _choose(count: Any, zipf: Any, draw: Any) -> Any:
    if count == 1:
        return 0
    unit = np.float64(draw >> np.uint64(11)) / 9007199254740992.0
    if zipf:
        rank = int(np.exp(unit * np.log(count + 1.0))) - 1
        return rank if rank < count else count - 1
    return int(unit * count)


@nb.njit(cache=True, nogil=True)
def _emit(t: Tables, literal: Any, out: np.ndarray, at: Any, style: Any, draw: Any) -> Any:
    begin = t.literal_at[literal]
    size = t.literal_at[literal + 1] - begin
    for k in range(size):
        byte = t.literals[begin + k]
        if style & 1 and 65 <= byte <= 90:
            byte += np.uint8(32)
        out[at + k] = byte
    if style & 2 and size > 4 and draw % np.uint64(19) == 0:
        k = at + 1 + np.int64((draw >> np.uint64(32)) % np.uint64(size - 2))
        if 97 <= out[k] <= 122 and 97 <= out[k + 1] <= 122:
            out[k], out[k + 1] = out[k + 1], out[k]
    return at + size


@nb.njit(cache=True, nogil=True)
def _enter(t: Tables, symbol: Any, draw: Any, cell: np.ndarray, mode: Any) -> None:
    """Set a stack cell to one alternative of a symbol: position, limit, mode, repeats."""
    chosen = t.first[symbol] + _choose(t.alternatives[symbol], t.zipf[symbol], draw)
    cell[0], cell[1], cell[2], cell[3] = t.start[chosen], t.stop[chosen], mode, 0


@nb.njit(cache=True, nogil=True)
def _again(round_: Any, stream: Any, states: np.ndarray, short: Any) -> Any:
    """Say whether to repeat: in a frame by chance, else until the text is long enough; once at least."""
    if stream:
        states[1] += _GOLDEN
        return round_ <= 300 and (round_ == 1 or _mix(states[1]) % np.uint64(4) != 0)
    return round_ <= 300 and (round_ == 1 or short)


@nb.njit(cache=True, nogil=True)
def _expand_one(t: Tables, root: int, seeds: np.ndarray, shape: np.ndarray, out: np.ndarray, base: int) -> int:
    target, style, domain = shape[0], shape[1], shape[2]
    stack = np.zeros((4, _DEPTH), np.int64)
    position, limit, mode, repeats = stack[0], stack[1], stack[2], stack[3]
    states = np.array([_mix(seeds[0] + _GOLDEN), seeds[1]])
    depth, at = 0, base
    _enter(t, root, _mix(states[0] + _GOLDEN), stack[:, 0], 0)
    while depth >= 0:
        if position[depth] >= limit[depth] or at - base >= MAX_BYTES:
            depth -= 1
            continue
        item = t.items[position[depth]]
        stream = mode[depth] & 1
        if item < 0:
            position[depth] += 1
            states[stream] += _GOLDEN
            plain = 0 if mode[depth] else style
            at = _emit(t, -1 - item, out, at, plain, _mix(states[stream]))
            continue
        flags, symbol = item & 15, item >> 4
        if flags & DOMAIN:
            symbol = t.domains[symbol, domain]
        if flags & REPEAT:
            repeats[depth] += 1
            if not _again(repeats[depth], stream, states, at - base < target):
                repeats[depth] = 0
                position[depth] += 1
                continue
        else:
            position[depth] += 1
        if depth + 1 >= _DEPTH:  # deeper than any rule of ours: leave it out
            continue
        if flags & FRAME and not stream:
            states[1] = _mix(seeds[1] + np.uint64(symbol) * _GOLDEN)
            stream = 1
        states[stream] += _GOLDEN
        depth += 1
        verbatim = (mode[depth - 1] & VERBATIM) | (flags & VERBATIM)
        _enter(t, symbol, _mix(states[stream]), stack[:, depth], stream | verbatim)
    return at


@nb.njit(cache=True, nogil=True)
def _expand_rows(
    t: Tables, roots: np.ndarray, seeds: np.ndarray, shapes: np.ndarray, out: np.ndarray, ends: np.ndarray
) -> None:
    at = 0
    for row in range(roots.size):
        if roots[row] >= 0:
            begin = at
            at = _expand_one(t, roots[row], seeds[row], shapes[row], out, at)
            if at - begin > MAX_BYTES:
                at = begin + MAX_BYTES
                while out[at] & 0xC0 == 0x80:
                    at -= 1
        ends[row] = at


def expand(t: Tables, roots: np.ndarray, seeds: np.ndarray, shapes: np.ndarray) -> pa.Array:
    """Return one string a row (null where ``roots`` is negative), at most 4,000 bytes each.

    ``roots``: symbol numbers, int64, shape (n,). ``seeds``: uint64, (n, 2): request and frame. ``shapes``: int64,
    (n, 3): wanted bytes (repetitions go on until then), style bits (LOWER, TYPOS) and domain number.

    >>> from stillwatch.simulate.grammar import compile_grammar
    >>> grammar = compile_grammar({"hello": ["hello <name>"], "name": ["Ada", "Ada"]})
    >>> rows = np.array([grammar.symbol("hello"), -1])
    >>> expand(grammar.tables, rows, np.zeros((2, 2), np.uint64), np.zeros((2, 3), np.int64)).to_pylist()
    ['hello Ada', None]
    """
    chunks = []
    for low in range(0, roots.size, _ROWS):
        part = slice(low, low + _ROWS)
        ends = np.zeros(roots[part].size + 1, np.int32)
        out = np.empty(roots[part].size * (MAX_BYTES + 64) + int(np.diff(t.literal_at).max(initial=0)), np.uint8)
        _expand_rows(t, roots[part], seeds[part], shapes[part], out, ends[1:])
        valid = pa.array(roots[part] >= 0).buffers()[1]
        buffers = [valid, pa.py_buffer(ends.tobytes()), pa.py_buffer(out[: ends[-1]].tobytes())]
        chunks.append(pa.StringArray.from_buffers(ends.size - 1, buffers[1], buffers[2], buffers[0]))
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())
