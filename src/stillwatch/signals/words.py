"""The compiled word splitter: UTF-8 bytes of an Arrow column -> hashes of plain and of masked words, in one pass.

:mod:`stillwatch.signals.text` says in plain Python which words a text has; here the same words are 64-bit hashes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stillwatch.signals.characters import U8, U16, kind_of, point_at
from stillwatch.signals.compiled import inlined, lean, whole
from stillwatch.signals.hashing import SEED, STEP, chain, finish

LETTER, DIGIT, UNSPACED, SPACE, JOINER = 1, 2, 3, 4, 6
ONE = np.uint64(1)
_FIELD, _S16, _S32, _LONG = np.uint64(0xFFFF), np.uint64(16), np.uint64(32), np.uint64(24)
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
_Maps = tuple[U8, U16, U64, U64, U8]
_State = tuple[int, int, np.uint64, bool, int]


@inlined
def _word(data: U8, i: int, end: int, kinds: U8, folds: U16) -> tuple[int, np.uint64, int, int, int]:
    """Return end, running hash, and counts of characters, digits and a-f of the word at ``i`` (``_`` not counted).

    The inner loop holds ASCII alone: with the slow path inside it the compiled code is five times slower.
    """
    h = SEED
    count = digits = hexes = 0
    while True:
        while i < end and data[i] < 0x80:
            kind = kinds[data[i]]
            if kind != LETTER and kind != DIGIT:
                break
            small = folds[data[i]]
            h = (h ^ np.uint64(small)) * STEP
            count += small != 0x5F
            digits += kind == DIGIT
            hexes += 0x61 <= small <= 0x66
            i += 1
        if i >= end or data[i] < 0x80:
            break
        point, width = point_at(data, i, end)
        what = kind_of(point, kinds)
        if what != LETTER and what != DIGIT:
            break
        if point < 0x10000:
            point = whole(folds[point])
        h = (h ^ np.uint64(point)) * STEP
        count += point != 0x5F
        digits += what == DIGIT
        hexes += 0x61 <= point <= 0x66
        i += width
    return i, h, count, digits, hexes


@lean
def _without_digits(data: U8, i: int, end: int, folds: U16) -> np.uint64:
    """Return the running hash of the word data[i:end] with each run of digits as one ``#``."""
    h = SEED
    was_digit = False
    while i < end:
        point, width = point_at(data, i, end)
        if point < 0x10000:
            point = whole(folds[point])
        is_digit = 0x30 <= point <= 0x39
        if not (is_digit and was_digit):
            h = (h ^ np.uint64(0x23 if is_digit else point)) * STEP
        was_digit = is_digit
        i += width
    return h


@lean
def _url_end(data: U8, i: int, end: int) -> int:
    while i < end:
        b = data[i]
        if b < 0x21 or b > 0x7E or b == 0x22 or b == 0x3C or b == 0x3E or b == 0x29 or b == 0x5D:
            break
        if b == 0x7D or b == 0x7C or b == 0x60:
            break
        i += 1
    return i


@lean
def _is_alnum(b: int) -> bool:
    return 0x30 <= b <= 0x39 or 0x41 <= b <= 0x5A or 0x61 <= b <= 0x7A


@lean
def _mail_end(data: U8, i: int, end: int) -> int:
    """Return the end of the address whose local part goes on at ``i``; -1 when it is none."""
    stop = min(end, i + 65)
    while i < stop:
        b = whole(data[i])
        if not (_is_alnum(b) or b == 0x2E or b == 0x5F or b == 0x25 or b == 0x2B or b == 0x2D):
            break
        i += 1
    if i >= stop or data[i] != 0x40 or i + 1 >= end or not _is_alnum(whole(data[i + 1])):
        return -1
    i += 1
    while i < end:
        b = whole(data[i])
        if not (_is_alnum(b) or b == 0x2E or b == 0x5F or b == 0x2D):
            break
        i += 1
    return i


@lean
def _number_end(data: U8, i: int, end: int) -> int:
    """Return the end of the further groups of a number (``1,000.5``, ``2026-11-22``, ``10:30``)."""
    while i + 1 < end:
        b = data[i]
        if not (0x2C <= b <= 0x2F or b == 0x3A) or not 0x30 <= data[i + 1] <= 0x39:
            break
        i += 1
        while i < end and 0x30 <= data[i] <= 0x39:
            i += 1
    return i


@lean
def _close(data: U8, i: int, end: int, closer: tuple[int, int, int], opener: tuple[int, int, int], lines: int) -> int:
    """Return the place behind ``closer`` (1 to 3 bytes, zero-padded); -1 at an ``opener`` or ``lines`` line ends."""
    c0, c1, c2 = closer
    o0, o1, o2 = opener
    while i < end:
        b = data[i]
        if b == c0 and c1 == 0:
            return i + 1
        if b == c0 and i + 1 < end and data[i + 1] == c1:
            if c2 == 0:
                return i + 2
            if i + 2 < end and data[i + 2] == c2:
                return i + 3
        if b == o0 and i + 1 < end and data[i + 1] == o1 and (o2 == 0 or (i + 2 < end and data[i + 2] == o2)):
            return -1
        if b == 0x0A and (lines == 1 or (i + 1 < end and data[i + 1] == 0x0A)):
            return -1
        i += 1
    return -1


@lean
def _fence_end(data: U8, i: int, end: int) -> int:
    while i + 2 < end:
        if data[i] == 0x60 and data[i + 1] == 0x60 and data[i + 2] == 0x60:
            return i + 3
        i += 1
    return end


@lean
def _quoted(data: U8, i: int, end: int, point: int, inside: bool) -> int:
    """Return the end of the quotation or code that opens at ``i``, -1 when none does."""
    none = (0xFF, 0, 0)  # a byte that no text has
    if point == 0x60:
        if i + 2 < end and data[i + 1] == 0x60 and data[i + 2] == 0x60:
            return _fence_end(data, i + 3, end)
        return _close(data, i + 1, end, (0x60, 0, 0), none, 1)
    if point == 0x22:
        return -1 if inside else _close(data, i + 1, end, (0x22, 0, 0), none, 2)
    if point == 0x201C:
        return _close(data, i + 3, end, (0xE2, 0x80, 0x9D), (0xE2, 0x80, 0x9C), 2)
    if point == 0xAB:
        return _close(data, i + 2, end, (0xC2, 0xBB, 0), (0xC2, 0xAB, 0), 2)
    if point == 0x300C or point == 0x300E:
        last = 0x8D if point == 0x300C else 0x8F
        return _close(data, i + 3, end, (0xE3, 0x80, last), (0xE3, 0x80, last - 1), 2)
    return -1


@lean
def _masked(
    data: U8, i: int, end: int, word: tuple[int, np.uint64, int, int, int], folds: U16, marks: U64
) -> tuple[np.uint64, int]:
    """Return the hash of the masked form of the word at ``i`` and the place up to which the text is used up."""
    j, h, count, digits, hexes = word
    if j < end:
        b = data[j]
        if b == 0x3A and j + 2 < end and data[j + 1] == 0x2F and data[j + 2] == 0x2F:
            return marks[2], _url_end(data, j, end)
        if b == 0x2E and finish(h) == marks[7] and j + 1 < end:
            c = whole(data[j + 1])
            if _is_alnum(c) or c == 0x5F:
                return marks[2], _url_end(data, j, end)
        if b == 0x2E or b == 0x40 or b == 0x2D or b == 0x2B or b == 0x25:
            mail = _mail_end(data, j, end)
            if mail > j:
                return marks[3], mail
    if digits == count:
        return marks[0], _number_end(data, j, end)
    if count > 24:
        return marks[5], j
    if digits == 0:
        return finish(h), j
    if (digits + hexes == count and count >= 4) or (count >= 12 and digits >= 2):
        return marks[6], j
    return finish(_without_digits(data, i, j, folds)), j


@inlined
def _push(words: U64, n: int, h: np.uint64, is_mark: bool) -> int:
    if is_mark and words[n - 1] == h:
        return n
    words[n] = h
    return n + 1


@lean
def _is_mark(h: np.uint64, marks: U64) -> bool:
    found = False
    for k in range(7):
        found = found or marks[k] == h
    return found


@lean
def _pairs(data: U8, i: int, end: int, kinds: U8, words: U64, n: int, payload: np.uint64) -> tuple[int, int, np.uint64]:
    """Write the character pairs of the unspaced run at ``i`` behind ``words[:n]``; return end, count, payload."""
    start = n
    last = SEED
    while i < end:
        point, width = point_at(data, i, end)
        if kind_of(point, kinds) != UNSPACED:
            break
        this = np.uint64(point)
        payload = chain(payload, this)
        if last != SEED:
            words[n] = finish((((SEED ^ last) * STEP) ^ this) * STEP)
            n += 1
        last = this
        i += width
    if n == start:
        words[n] = finish((SEED ^ last) * STEP)
        n += 1
    return i, n, payload


@lean
def _copy_pairs(plain: U64, first: int, n: int, masked: U64, m: int, wanted: bool, content: bool) -> int:
    """Copy new pairs to the masked words when ``wanted``, and set the content bit of the plain ones."""
    for k in range(first, n):
        if wanted:
            masked[m] = plain[k]
            m += 1
        plain[k] = (plain[k] & ~ONE) | np.uint64(content)
    return m


@inlined
def _ascii_word(
    data: U8, at: np.uint64, end: np.uint64, weight: U64, folds: U16
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Return end, running hash and added weights of the ASCII word at ``at``."""
    h, sums = SEED, np.uint64(0)
    while at < end and weight[data[at]] != 0:
        h = (h ^ np.uint64(folds[data[at]])) * STEP
        sums += weight[data[at]]
        at += ONE
    return at, h, sums


@inlined
def _ascii_run(
    data: U8, i: int, stop: int, muted: int, maps: _Maps, found: tuple[U64, U64], state: _State
) -> tuple[int, int, int, int, np.uint64, bool]:
    """Take ASCII up to the first byte that needs the full rules: the same result, by a far faster loop.

    Places are unsigned here: of a signed one Numba asks each time whether it counts from the end.
    """
    (_, folds, marks, weight, role), (plain, masked) = maps, found
    n, m, payload, inside, base = state
    at, end = np.uint64(i), np.uint64(stop)
    while at < end:
        byte = data[at]
        if weight[byte] == 0:
            if role[byte] == 0 and (at >= np.uint64(muted) or byte >= 0x80):
                break
            if role[byte] != SPACE:
                payload = chain(payload, np.uint64(byte))
            at += ONE
            inside = False
            continue
        j, h, sums = _ascii_word(data, at, end, weight, folds)
        if j - at > _LONG or (j < end and data[j] >= 0x80):
            break
        word, inside = finish(h), True
        payload = chain(payload, word)
        count, digits = whole(sums & _FIELD), whole((sums >> _S16) & _FIELD)
        if count > 0:
            plain[np.uint64(n)] = (word & ~ONE) | np.uint64(count >= 5 and digits == 0)
            n += 1
            if at >= np.uint64(muted):
                joined = j + ONE < end and role[data[j]] == JOINER and role[data[j + ONE]] != SPACE
                if digits > 0 or joined:
                    full = (whole(j), h, count, digits, whole((sums >> _S32) & _FIELD))
                    word, muted = _masked(data, whole(at), stop, full, folds, marks)
                    m = _push(masked, m, word, m > base and masked[m - 1] == word and _is_mark(word, marks))
                else:
                    masked[np.uint64(m)] = word
                    m += 1
        at = j
    return whole(at), n, m, muted, payload, inside


@lean
def _split(
    data: U8, i: int, end: int, maps: _Maps, found: tuple[U64, U64], n: int, m: int
) -> tuple[int, int, np.uint64]:
    """Write the words of data[i:end] behind ``n`` plain and ``m`` masked ones; return both counts and the payload."""
    (kinds, folds, marks, _, _), (plain, masked) = maps, found
    base, muted, payload, inside = m, i, SEED, False
    while i < end:
        i, n, m, muted, payload, inside = _ascii_run(data, i, end, muted, maps, found, (n, m, payload, inside, base))
        if i >= end:
            return n, m, payload
        point, width = point_at(data, i, end)
        kind = kind_of(point, kinds)
        if LETTER <= kind <= DIGIT:
            word = _word(data, i, end, kinds, folds)
            j, h, count, digits, _ = word
            payload = chain(payload, finish(h))
            if count:
                content = np.uint64(5 <= count <= 24 and digits == 0)
                plain[n] = (finish(h) & ~ONE) | content
                n += 1
                if i >= muted:
                    hidden, muted = _masked(data, i, end, word, folds, marks)
                    m = _push(masked, m, hidden, m > base and masked[m - 1] == hidden and _is_mark(hidden, marks))
            i = j
        elif kind == UNSPACED:
            first, start = n, i
            i, n, payload = _pairs(data, i, end, kinds, plain, n, payload)
            m = _copy_pairs(plain, first, n, masked, m, start >= muted, i - start > 4)
        else:
            if kind != SPACE and point >= 0 and point != 0xFFFD:
                payload = chain(payload, np.uint64(point))
            if i >= muted and (point == 0x22 or point == 0x60 or point >= 0xAB):
                close = _quoted(data, i, end, point, inside)
                if close > 0:
                    muted = close
                    m = _push(masked, m, marks[4] if point == 0x60 else marks[1], m > base)
            i += width
        inside = LETTER <= kind <= UNSPACED
    return n, m, payload


@lean
def split_rows(
    data: U8,
    starts: I64,
    ends: I64,
    maps: _Maps,
    found: tuple[U64, U64],
    counts: tuple[I64, I64, U64],
) -> None:
    """Hash the words of each text data[starts[r]:ends[r]] into ``found`` = (plain, masked), one behind another.

    ``maps`` = (classes, folds, hashes of the seven placeholders and ``www``, weights and roles of bytes). ``counts``
    receives, a row, where its plain words end, where its masked words end, and the running payload hash. ``found`` must
    hold half the bytes plus two words a row. The lowest bit of a plain hash says whether it is a content word: five or
    more letters without a digit, or a character pair.
    """
    n = m = 0
    for row in range(len(starts)):
        n, m, payload = _split(data, starts[row], ends[row], maps, found, n, m)
        counts[0][row], counts[1][row], counts[2][row] = n, m, payload
