"""Words and numbers for people: safe text, counts, dates, how sure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

AXIS_TITLES = {
    "WHAT": "what is asked",
    "NET": "networks",
    "ID": "identity and payment",
    "LIFE": "sign-up time",
    "TIME": "rhythm",
    "WORTH": "worth to a trainer",
}

# Controls, bidirectional overrides and invisible joiners: they can hide or reorder what a reader sees.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_SPACES = re.compile(r"[\t\r\n]+")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def clean(text: object, limit: int = 2_000) -> str:
    r"""Return text that is safe to show in a terminal or a page: no control, bidi or invisible character, bounded.

    Log fields come from whoever sends requests, so an escape sequence or a right-to-left override in one of them
    would let a sender redraw what the reader sees. Newlines become spaces; ``limit`` is in characters.

    >>> clean("a\x1b[31mred\u202eb")
    'a�[31mred�b'
    """
    flat = _UNSAFE.sub("�", _SPACES.sub(" ", str(text)))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def count(value: float | None) -> str:
    """Write a count with thousands separators; None is an em dash.

    >>> count(12345), count(None)
    ('12,345', '—')
    """
    return "—" if value is None or not math.isfinite(value) else f"{value:,.0f}"


def short(value: float | None) -> str:
    """Write a large number in three digits with k, M, G or T.

    >>> short(950), short(12_345), short(3_400_000), short(999_950)
    ('950', '12.3 k', '3.40 M', '1.00 M')
    """
    if value is None or not math.isfinite(value):
        return "—"
    size = abs(value)
    for unit, step in (("", 1.0), (" k", 1e3), (" M", 1e6), (" G", 1e9), (" T", 1e12)):
        scaled = size / step
        if scaled < 999.5 or unit == " T":
            break
    digits = 0 if not unit or scaled >= 99.95 else 1 if scaled >= 9.995 else 2
    return f"{'-' if value < 0 else ''}{scaled:.{digits}f}{unit}"


def plural(number: int, noun: str) -> str:
    """Write a count with its noun.

    >>> plural(1, "account"), plural(2_000, "account")
    ('1 account', '2,000 accounts')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def times(ratio: float) -> str:
    """Write how many times, without false digits.

    >>> times(13.62), times(2.345), times(0.25), times(7_000)
    ('×14', '×2.3', '×0.25', 'over ×100')
    """
    if ratio > 100:
        return "over ×100"
    return f"×{ratio:.0f}" if ratio >= 9.95 else f"×{ratio:.1f}" if ratio >= 1 else f"×{ratio:.2f}"


def share(value: float | None) -> str:
    """Write a share of one in per cent.

    >>> share(0.463), share(0.0004), share(None)
    ('46 %', '<1 %', '—')
    """
    if value is None or not math.isfinite(value):
        return "—"
    return "<1 %" if 0 < value < 0.01 else f"{100 * value:.0f} %"


def p_text(value: float | None) -> str:
    """Write a p- or q-value to two digits, never as a bare zero.

    >>> p_text(0.0312), p_text(3.2e-7), p_text(0.0), p_text(None)
    ('0.031', '3.2e-7', '<1e-15', '—')
    """
    if value is None or not math.isfinite(value):
        return "—"
    if value < 1e-15:
        return "<1e-15"
    return f"{value:.2g}".replace("e-0", "e-")


def probability_text(value: float | None) -> str:
    """Write a probability without rounding it to certainty.

    >>> probability_text(0.99996), probability_text(0.873), probability_text(0.0004)
    ('>0.999', '0.873', '<0.001')
    """
    if value is None or not math.isfinite(value):
        return "—"
    return ">0.999" if value > 0.9990 else "<0.001" if value < 0.001 else f"{value:.3f}"


def sureness(q_value: float | None) -> str:
    """Say a q-value in words: the share of wrong reports to expect among reports this sure or surer.

    >>> sureness(0.004)
    'sure that they act together: of reports this sure or surer, about 1 in 250 is expected to be wrong'
    >>> sureness(0.00493)
    'sure that they act together: of reports this sure or surer, about 1 in 200 is expected to be wrong'
    >>> sureness(1.0)
    'not tested: chance cannot speak about accounts that openly belong together'
    """
    if q_value is None or not math.isfinite(q_value):
        return "not measured: the scan gave no q-value"
    if q_value >= 1.0:
        return "not tested: chance cannot speak about accounts that openly belong together"
    steps = ((0.001, "very sure"), (0.01, "sure"), (0.05, "fairly sure"), (0.1, "only just sure enough"))
    word = next((name for bound, name in steps if q_value <= bound), "not sure")
    odds = "fewer than 1 in 100,000" if q_value < 1e-5 else f"about 1 in {float(f'{1 / q_value:.2g}'):,.0f}"
    return f"{word} that they act together: of reports this sure or surer, {odds} is expected to be wrong"


def day(text: str | None) -> str:
    """Write an ISO instant or date as a day.

    >>> day("2026-03-04T10:11:12Z"), day(None)
    ('4 Mar 2026', '—')
    """
    if not text or not re.match(r"\d{4}-\d\d-\d\d", text) or not 1 <= int(text[5:7]) <= 12:
        return "—"
    return f"{int(text[8:10])} {_MONTHS[int(text[5:7]) - 1]} {text[:4]}"


def window(first: str | None, last: str | None) -> str:
    """Write a window of days.

    >>> window("2026-03-04T00:00:00Z", "2026-03-20T00:00:00Z")
    '4 Mar – 20 Mar 2026'
    """
    start, end = day(first), day(last)
    if start == end:
        return start
    return f"{start.removesuffix(end[-5:])} – {end}" if start[-4:] == end[-4:] else f"{start} – {end}"


def iso_day(number: int) -> str:
    """Write a count of days since 1970-01-01 as YYYY-MM-DD.

    >>> iso_day(20_455)
    '2026-01-02'
    """
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=int(number))).strftime("%Y-%m-%d")


def instant(microseconds: int | None) -> str:
    """Write epoch microseconds as UTC to the minute.

    >>> instant(1_767_312_000_000_000), instant(None)
    ('2026-01-02 00:00', '—')
    """
    if microseconds is None:
        return "—"
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))).strftime("%Y-%m-%d %H:%M")


def listing(words: Iterable[str], last: str = "and") -> str:
    """Join words as a sentence does.

    >>> listing(["NET", "ID", "TIME"]), listing([])
    ('NET, ID and TIME', 'none')
    """
    items = list(words)
    if not items:
        return "none"
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def interval(bounds: Sequence[float] | None) -> str:
    """Write an interval of counts; empty when there is none.

    >>> interval([1900, 2100]), interval(None)
    ('1,900–2,100', '')
    """
    return f"{bounds[0]:,.0f}–{bounds[1]:,.0f}" if bounds and len(bounds) == 2 else ""
