"""The text grammar: what rules mean, and that expansion is fast code with plain behaviour."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import ConfigError
from stillwatch.simulate.expand import LOWER, MAX_BYTES, expand
from stillwatch.simulate.grammar import Grammar, compile_grammar, own_grammar


def texts(grammar: Grammar, root: str, seeds: list[tuple[int, int]], wanted: int = 0, style: int = 0) -> list[str]:
    """Expand one rule for several (request, frame) seeds."""
    n = len(seeds)
    roots = np.full(n, grammar.symbol(root))
    shapes = np.tile(np.array([wanted, style, 0]), (n, 1))
    found: list[str] = expand(grammar.tables, roots, np.array(seeds, np.uint64), shapes).to_pylist()
    return found


def language(rules: dict[str, list[str]], name: str) -> set[str]:
    """Return every text of a rule without repetition: the plain oracle."""
    found = set()
    for alternative in rules[name]:
        parts = {""}
        rest = alternative
        while rest:
            before, mark, after = rest.partition("<")
            inner, _, tail = after.partition(">")
            choices = language(rules, inner) if mark else {""}
            parts = {text + before + choice for text in parts for choice in choices}
            rest = tail if mark else ""
        found |= parts
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("xyz ", max_size=3), min_size=1, max_size=3),
    st.lists(st.sampled_from(["p<b>q", "<b><b>", "lone", "é<c>"]), min_size=1, max_size=3),
    st.lists(st.sampled_from(["1", "<c>2", "3<c>"]), min_size=1, max_size=3),
    st.integers(0, 2**63),
)
def test_expansion_stays_inside_the_language_of_the_rules(
    words: list[str], top: list[str], middle: list[str], seed: int
) -> None:
    """What the machine writes is what a plain expansion could write."""
    rules = {"a": top, "b": middle, "c": words}
    grammar = compile_grammar(rules)
    possible = language(rules, "a")
    assert set(texts(grammar, "a", [(seed, 1), (seed // 3, 1), (seed // 7, 2)])) <= possible


def test_a_frame_keeps_its_words_and_the_request_varies() -> None:
    """Rows with one frame share the framed part; another frame gives other words."""
    rules = {
        "a": ["<!head>|<tail>"],
        "head": ["<w> <w> <w>"],
        "tail": ["<w> <w> <w>"],
        "w": [str(n) for n in range(99)],
    }
    grammar = compile_grammar(rules)
    found = [text.split("|") for text in texts(grammar, "a", [(n, 7) for n in range(20)] + [(0, 8)])]
    assert len({head for head, _ in found[:20]}) == 1
    assert len({tail for _, tail in found[:20]}) == 20
    assert found[20][0] != found[0][0]
    assert found[20][1] == found[0][1]


def test_repetition_goes_on_until_the_text_is_long_enough_and_never_past_the_limit() -> None:
    """A plus repeats up to the wanted bytes; the limit cuts at a character."""
    grammar = compile_grammar({"a": ["<w+>"], "w": ["漢字かな漢字かな"]})
    short, long = texts(grammar, "a", [(1, 1)], wanted=200)[0], texts(grammar, "a", [(1, 1)], wanted=99_999)[0]
    assert 200 <= len(short.encode()) < 224
    assert MAX_BYTES - 3 <= len(long.encode()) <= MAX_BYTES


def test_style_changes_prose_and_leaves_verbatim_parts() -> None:
    """Lower-case writers do not lower their code."""
    grammar = compile_grammar({"a": ["Hello <=code>"], "code": ["MyClass"]})
    assert texts(grammar, "a", [(1, 1)], style=LOWER) == ["hello MyClass"]


def test_a_rule_that_refers_to_nothing_is_an_error() -> None:
    """Broken grammars are found when compiled."""
    with pytest.raises(ConfigError, match="'b'"):
        compile_grammar({"a": ["<b>"]})


def test_our_tool_schemas_are_json_and_our_prompts_are_utf8() -> None:
    """Every tool rule writes JSON for any seed; every rule writes valid text."""
    grammar = own_grammar()
    seeds = [(n, n * 31) for n in range(40)]
    for name in grammar.numbers:
        if name.startswith("tools_"):
            assert all(json.loads(text)[0]["type"] == "function" for text in texts(grammar, name, seeds, wanted=300))
    for name in ("chat_qa", "camp_repo", "ja.ask", "system_product"):
        assert all(text for text in texts(grammar, name, seeds, wanted=3000))
