"""Tool definitions -> hashes that do not depend on the provider's way of writing them."""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stillwatch.signals.hashing import hash_sequence, hash_word
from stillwatch.signals.text import masked_words

_SCHEMAS = ("parameters", "input_schema", "inputSchema", "schema", "args_schema")
_LISTS = ("tools", "functions", "function_declarations", "functionDeclarations")
_LONGEST_BROKEN = 100_000
_KEPT = 2048


class Tool(NamedTuple):
    """One tool as offered to the model: its name and the sorted names of its parameters."""

    name: str
    parameters: tuple[str, ...]


def tools_of(tools_json: str) -> list[Tool] | None:
    """Return the tools of a JSON text, None when it is no JSON or holds no tool.

    Understood: OpenAI (``{"type": "function", "function": {…}}``), Anthropic (``input_schema``), Google
    (``function_declarations``), MCP (``inputSchema``) and flat lists of names.

    >>> tools_of('[{"type": "function", "function": {"name": "find", "parameters": {"properties": {"q": {}}}}}]')
    [Tool(name='find', parameters=('q',))]
    >>> tools_of('[{"name": "find", "input_schema": {"properties": {"q": {}}}}]')
    [Tool(name='find', parameters=('q',))]
    """
    found = _parsed(tools_json)
    return list(found) if found else None


@lru_cache(maxsize=_KEPT)
def _parsed(tools_json: str) -> tuple[Tool, ...]:
    """Return the tools, none for what is no JSON; many requests offer the same, so texts are read once."""
    try:
        return tuple(_tools(json.loads(tools_json)))
    except (ValueError, RecursionError):
        return ()


@lru_cache(maxsize=_KEPT)
def tool_values(tools_json: str) -> npt.NDArray[np.uint64]:
    """Return the sketch values of a tool list: one TOOL value a tool and one TOOLSET value, ascending, uint64.

    A text that is no JSON gives one TOOL value, the hash of its masked words, and no TOOLSET; ``[]`` gives none.

    >>> len(tool_values('[{"name": "find"}, {"name": "read"}]'))
    3
    """
    tools = tools_of(tools_json)
    if tools is None:
        words = masked_words(tools_json[:_LONGEST_BROKEN])
        single = [hash_sequence(hash_word(word.text) for word in words)] if words else []
        return _values(single, [])
    hashes = sorted({_hash(tool) for tool in tools})
    return _values(hashes, [hash_sequence(hashes)])


def _values(tools: list[int], sets: list[int]) -> npt.NDArray[np.uint64]:
    low = (1 << 60) - 1
    both = sorted([(2 << 60) | (h & low) for h in tools] + [(7 << 60) | (h & low) for h in sets])
    values = np.array(both, np.uint64)
    values.setflags(write=False)
    return values


def _hash(tool: Tool) -> int:
    text = "\x1f".join((tool.name, *tool.parameters))
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _tools(found: Any) -> list[Tool]:
    if isinstance(found, str):
        return [Tool(found, ())]
    if isinstance(found, list):
        return [tool for item in found for tool in _tools(item)]
    if not isinstance(found, dict):
        return []
    for key in _LISTS:
        if isinstance(found.get(key), list):
            return _tools(found[key])
    inner = found.get("function")
    if isinstance(inner, dict):
        found = inner
    name = found.get("name") or found.get("type")
    return [Tool(name, _parameters(found))] if isinstance(name, str) else []


def _parameters(tool: dict[str, Any]) -> tuple[str, ...]:
    for key in _SCHEMAS:
        schema = tool.get(key)
        if isinstance(schema, dict):
            properties = schema.get("properties", schema)
            return tuple(sorted(map(str, properties))) if isinstance(properties, dict) else ()
    return ()
