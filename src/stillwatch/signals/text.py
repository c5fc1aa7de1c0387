"""Masking in plain Python: what a prompt looks like once the parts that vary are replaced.

This is the specification of the compiled kernel (:mod:`stillwatch.signals.kernel`), word for word, and what a
person is shown. Numbers, quoted text, URLs, e-mail addresses, code, long tokens and hexadecimal or base64-like
tokens become one placeholder each; equal neighbours among placeholders become one; letters are folded to small
ones; runs of scripts without spaces (Han, kana, Thai …) are cut into overlapping pairs of characters.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from stillwatch.signals.characters import Class, class_of, fold

PLACEHOLDERS = ("<num>", "<quote>", "<url>", "<mail>", "<code>", "<long>", "<hex>")
NUMBER, QUOTE, URL, MAIL, CODE, LONG, HEX = PLACEHOLDERS
LONGEST_WORD = 24
CLOSERS = {"“": "”", "«": "»", "「": "」", "『": "』"}

_MAIL_REST = re.compile(r"[A-Za-z0-9._%+-]{0,64}@[A-Za-z0-9][A-Za-z0-9._-]*")
_NUMBER_REST = re.compile(r"(?:[.,:/-][0-9]+)*")
_WWW_REST = re.compile(r"\.[A-Za-z0-9_]")
_DIGITS = re.compile(r"[0-9]+")


class Word(NamedTuple):
    """A masked word; ``joined`` when it overlaps the word before it by one character (unspaced scripts)."""

    text: str
    joined: bool = False


def masked(text: str) -> str:
    """Return the whole text masked, words parted by one space.

    >>> masked('Rate the answer "4 apples" from 1 to 5, see https://example.org/x')
    'rate the answer <quote> from <num> to <num> see <url>'
    >>> masked("请给这段对话打分")
    '请给这段对话打分'
    """
    return _shown(masked_words(text))


def masked_head(text: str, words: int = 12) -> str:
    """Return the first ``words`` masked words, as shown to people in place of a customer's text.

    >>> masked_head("Translate `x = 1` for user42: one two three", words=4)
    'translate <code> for user#'
    """
    return _shown(masked_words(text)[:words])


def masked_words(text: str) -> list[Word]:
    """Return the masked words in order; the compiled kernel hashes exactly these.

    >>> [word.text for word in masked_words("写一首诗 in 10 lines")]
    ['写一', '一首', '首诗', 'in', '<num>', 'lines']
    """
    words: list[Word] = []
    at = muted = 0
    inside = False
    while at < len(text):
        kind, start = class_of(text[at]), at
        if kind in (Class.LETTER, Class.DIGIT):
            at = _run_end(text, at, (Class.LETTER, Class.DIGIT))
            if start >= muted:
                muted = _push_word(words, text, start, at)
        elif kind is Class.UNSPACED:
            at = _run_end(text, at, (Class.UNSPACED,))
            if start >= muted:
                words.extend(_pairs(text[start:at]))
        else:
            at += 1
            if start >= muted:
                muted = _push_quoted(words, text, start, inside)
        inside = kind not in (Class.MARK, Class.SPACE)
    return words


def _shown(words: list[Word]) -> str:
    parts: list[str] = []
    for word in words:
        if word.joined:
            parts[-1] += word.text[-1]
        else:
            parts.append(word.text)
    return " ".join(parts)


def _run_end(text: str, at: int, kinds: tuple[Class, ...]) -> int:
    while at < len(text) and class_of(text[at]) in kinds:
        at += 1
    return at


def _pairs(run: str) -> list[Word]:
    if len(run) == 1:
        return [Word(run)]
    return [Word(a + b, joined=place > 0) for place, (a, b) in enumerate(pairwise(run))]


def _push(words: list[Word], text: str) -> None:
    if text not in PLACEHOLDERS or not words or words[-1].text != text:
        words.append(Word(text))


def _push_word(words: list[Word], text: str, start: int, end: int) -> int:
    """Append the masked form of the word text[start:end]; return up to where the text is used up."""
    word = "".join(map(fold, text[start:end]))
    count = len(word) - word.count("_")
    if not count:
        return end
    if text.startswith("://", end) or (word == "www" and _WWW_REST.match(text, end)):
        _push(words, URL)
        return _url_end(text, end)
    mail = _MAIL_REST.match(text, end)
    if mail:
        _push(words, MAIL)
        return mail.end()
    _push(words, _masked_word(word, count))
    number = _NUMBER_REST.match(text, end) if words[-1].text == NUMBER else None
    return number.end() if number else end


def _masked_word(word: str, count: int) -> str:
    digits = sum("0" <= c <= "9" for c in word)
    if digits == count:
        return NUMBER
    if count > LONGEST_WORD:
        return LONG
    if not digits:
        return word
    hexadecimal = digits + sum("a" <= c <= "f" for c in word) == count
    if (hexadecimal and count >= 4) or (count >= 12 and digits >= 2):
        return HEX
    return _DIGITS.sub("#", word)


def _url_end(text: str, at: int) -> int:
    while at < len(text) and "!" <= text[at] <= "~" and text[at] not in '"<>)]}|`':
        at += 1
    return at


def _push_quoted(words: list[Word], text: str, start: int, inside: bool) -> int:
    """Append a placeholder when a quotation or code opens at ``start``; return where it ends (or ``start``)."""
    mark, end = text[start], start
    if text.startswith("```", start):
        close = text.find("```", start + 3)
        _push(words, CODE)
        return len(text) if close < 0 else close + 3
    if mark == "`":
        end = _closed(text, start, "`", "\n")
    elif mark == '"' and not inside:
        end = _closed(text, start, '"', "\n\n")
    elif mark in CLOSERS:
        end = _closed(text, start, CLOSERS[mark], "\n\n", mark)
    if end > start:
        _push(words, CODE if mark == "`" else QUOTE)
    return end


def _closed(text: str, start: int, closer: str, *stops: str) -> int:
    """Return the place behind ``closer`` when it comes before every stop, else ``start``."""
    close = text.find(closer, start + 1)
    if close < 0 or any(text.find(stop, start + 1, close) >= 0 for stop in stops):
        return start
    return close + 1
