"""Fingerprint columns of tables."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from stillwatch.signals.cues import capability_name
from stillwatch.signals.fingerprint import fingerprint
from stillwatch.signals.sketch import Kind, kind_of
from stillwatch.tables.schema import EXCHANGES, FINGERPRINT_COLUMNS

PROMPTS = [
    "Rate the answer from 1 to 5.",
    None,
    "",
    "¿Cuál es la capital de Francia?",
    "请写一首关于月亮的诗",
    "Fix the failing test in the repository",
]
SYSTEMS = ["You are a helpful assistant of a small shop that sells many kinds of green tea and coffee.", None] * 3
TOOL = {"name": "bash", "input_schema": {"properties": {"command": {}}}}
TOOLS = [None, json.dumps([TOOL]), None, "{broken", "[]", json.dumps([TOOL])]


def table() -> pa.Table:
    """Six rows with every kind of absence."""
    return pa.table(
        {
            "n": range(6),
            "prompt_text": PROMPTS,
            "system_text": SYSTEMS,
            "tools_json": TOOLS,
            "modalities": [["text"], None, [], ["image"], [None], None],
        }
    )


def kinds(row: list[int] | None) -> set[str]:
    """Names of the kinds in one sketch."""
    return {Kind(k).name for k in kind_of(np.array(row or [], np.uint64)).tolist()}


def test_columns_have_the_types_of_the_contract() -> None:
    """The five columns are those of the canonical schema, and the others stay as they were."""
    result = fingerprint(table())
    for name in FINGERPRINT_COLUMNS:
        assert result.schema.field(name).type == EXCHANGES.field(name).type
    assert result.select(table().column_names).equals(table())


def test_absent_prompts_stay_absent() -> None:
    """A null prompt has null columns, but its sketch keeps what system text and tools say."""
    rows = fingerprint(table()).to_pylist()
    assert [rows[1][name] for name in ("template_id", "cues", "capability", "novelty")] == [None] * 4
    assert kinds(rows[1]["sketch"]) == {"TOOL", "TOOLSET"}
    assert (rows[2]["cues"] is not None, rows[2]["template_id"], rows[2]["novelty"]) == (True, None, None)
    assert fingerprint(pa.table({"prompt_text": pa.nulls(2)})).column("sketch").null_count == 2


@pytest.mark.parametrize("cut", range(7))
def test_rows_do_not_depend_on_their_batch(cut: int) -> None:
    """Any split, slice or string type gives the same columns, novelty aside."""
    names = ["sketch", "template_id", "cues", "capability"]
    whole = fingerprint(table()).select(names).to_pylist()
    halves = [fingerprint(table().slice(0, cut)), fingerprint(table().slice(cut))]
    assert [row for half in halves for row in half.select(names).to_pylist()] == whole
    large = table().set_column(
        1,
        "prompt_text",
        pa.chunked_array([pa.array(PROMPTS[:2], pa.large_string()), pa.array(PROMPTS[2:], pa.large_string())]),
    )
    assert fingerprint(large).select(names).to_pylist() == whole


def test_fingerprints_are_the_same_on_every_machine() -> None:
    """Known values: a change of any hash is a new format."""
    row = fingerprint(pa.table({"prompt_text": ["Rate the answer from 1 to 5."]})).to_pylist()[0]
    assert row["template_id"] == KNOWN_TEMPLATE


KNOWN_TEMPLATE = 12143169057539005447


def test_tool_shapes_of_two_providers_are_one_tool() -> None:
    """OpenAI's and Anthropic's spelling of one tool give one value; another parameter gives another."""
    openai = {
        "type": "function",
        "function": {"name": "bash", "description": "…", "parameters": {"properties": {"command": {}}}},
    }
    other = {"name": "bash", "input_schema": {"properties": {"line": {}}}}
    shapes = [json.dumps([TOOL]), json.dumps({"tools": [openai]}), json.dumps([other])]
    first, second, third = fingerprint(pa.table({"tools_json": shapes})).column("sketch").to_pylist()
    assert first == second != third


def test_capability_follows_words_tools_and_modalities() -> None:
    """Words, offered tools and images decide together; an empty prompt has no class."""
    found = [None if c is None else capability_name(c) for c in fingerprint(table()).column("capability").to_pylist()]
    assert found == ["grading", None, "none", "vision", "writing", "agentic coding"]


def test_novelty_is_the_share_of_shingles_of_no_other_row() -> None:
    """Repeated prompts are not new, single ones are, half-shared ones lie between; short ones go by their payload."""
    words = [f"{chr(97 + i % 26)}{chr(97 + i // 26)}word" for i in range(600)]
    long = [
        " ".join(words[:200]),
        " ".join(words[:200]),
        " ".join(words[200:400]),
        " ".join(words[100:200] + words[400:500]),
    ]
    novelty = fingerprint(pa.table({"prompt_text": [*long, "hi", "hi", "bye"]})).column("novelty").to_pylist()
    assert novelty[:2] == [0, 0]
    assert novelty[2] == 1
    assert 0.25 < novelty[3] < 0.75
    assert novelty[4:] == [0, 0, 1]


def test_present_columns_are_replaced_and_empty_tables_pass() -> None:
    """Fingerprinting twice changes nothing; no rows and no text columns are fine."""
    once = fingerprint(table())
    assert fingerprint(once).equals(once)
    assert fingerprint(table().slice(0, 0)).num_rows == 0
    assert fingerprint(pa.table({"n": [1, 2]})).column("sketch").null_count == 2


def test_one_very_long_line_is_one_row() -> None:
    """Two million words in a row, unclosed quotes and fences among them, are read in one pass."""
    text = 'the “quick” "brown `fox ' * 200_000
    result = fingerprint(pa.table({"prompt_text": [text, "short"]}))
    assert len(result.column("sketch")[0]) > 3
