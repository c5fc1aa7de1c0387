"""Request and response bodies of the OpenAI (chat, completions, Responses) and Anthropic APIs to cells."""

from __future__ import annotations

from typing import Any

from stillwatch.ingest.decode import compact, embedded
from stillwatch.ingest.messages import conversation, text_of
from stillwatch.ingest.reader import Cells, first

REFUSALS = ("refusal", "content_filter")


def put(cells: Cells, column: str, value: object, origin: str) -> None:
    """Set a cell unless the value is absent or the column is filled already: the first source named wins.

    >>> cells: Cells = {}
    >>> put(cells, "model", None, "a"); put(cells, "model", "m", "b"); put(cells, "model", "n", "c"); cells
    {'model': ('m', 'b')}
    """
    if value is not None and value != "" and column not in cells:
        cells[column] = (value, origin)


def said(cells: Cells, messages: Any, system: Any, origin: str) -> None:
    """Fill the text, modality and replay columns from the messages of a request."""
    talk = conversation(messages, system)
    put(cells, "system_text", talk.system, origin)
    put(cells, "prompt_text", talk.prompt, origin)
    put(cells, "modalities", talk.modalities, origin)
    put(cells, "prior_reasoning_id", talk.reasoning_id, origin)


def parameters(cells: Cells, body: dict[str, Any], at: str) -> None:
    """Fill tools, limits and sampling columns from a request body or LiteLLM's ``model_parameters``."""
    tools = first(body, "tools", "functions")
    if tools:
        value, name = tools
        put(cells, "tools_json", compact(embedded(value)), f"{at}.{name}")
    limit = first(body, "max_completion_tokens", "max_output_tokens", "max_tokens")
    if limit:
        put(cells, "max_tokens", limit[0], f"{at}.{limit[1]}")
    put(cells, "temperature", body.get("temperature"), f"{at}.temperature")
    put(cells, "n_choices", body.get("n"), f"{at}.n")
    _logprobs(cells, body, at)


def _logprobs(cells: Cells, body: dict[str, Any], at: str) -> None:
    asked, top = body.get("logprobs"), body.get("top_logprobs")
    include = body.get("include")
    if isinstance(include, list) and any(isinstance(part, str) and part.endswith("logprobs") for part in include):
        put(cells, "logprobs_requested", True, f"{at}.include")
    elif asked is not None or top is not None:
        put(cells, "logprobs_requested", bool(asked) or bool(top), f"{at}.logprobs")


def request_cells(body: Any, at: str = "request") -> Cells:
    """Read a request body of any of the APIs; ``at`` is where it stands, for coverage.

    >>> cells = request_cells({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5})
    >>> {column: value for column, (value, _) in cells.items()}
    {'model': 'm', 'prompt_text': 'Hi', 'modalities': ['text'], 'max_tokens': 5}
    """
    cells: Cells = {}
    body = embedded(body)
    if not isinstance(body, dict):
        return cells
    put(cells, "model", body.get("model"), f"{at}.model")
    talk = first(body, "messages", "input", "prompt", "contents")
    system = first(body, "system", "instructions", "system_instruction")
    if talk or system:
        name = talk[1] if talk else system[1] if system else ""
        said(cells, talk[0] if talk else None, system[0] if system else None, f"{at}.{name}")
    parameters(cells, body, at)
    where = body.get("conversation")
    put(cells, "session_id", where.get("id") if isinstance(where, dict) else where, f"{at}.conversation")
    return cells


def response_cells(body: Any, at: str = "response") -> Cells:
    """Read a response body of any of the APIs, or plain text.

    >>> body = {"content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn", "usage": {"input_tokens": 3}}
    >>> {column: value for column, (value, _) in response_cells(body).items()}
    {'response_text': 'Hello', 'stop_reason': 'end_turn', 'refused': False, 'input_tokens': 3}
    """
    cells: Cells = {}
    body = embedded(body)
    if isinstance(body, str):
        put(cells, "response_text", body, at)
    if not isinstance(body, dict):
        return cells
    put(cells, "exchange_id", body.get("id"), f"{at}.id")
    put(cells, "model", body.get("model"), f"{at}.model")
    if isinstance(body.get("choices"), list):
        _chat_answer(cells, body["choices"], at)
    elif isinstance(body.get("output"), list):
        _items_answer(cells, body, at)
    elif isinstance(body.get("content"), list | str):
        _blocks_answer(cells, body, at)
    usage_cells(cells, body.get("usage"), f"{at}.usage")
    return cells


def _chat_answer(cells: Cells, choices: list[Any], at: str) -> None:
    texts, stop, refused = [], None, False
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        message = choice.get("message")
        message = message if isinstance(message, dict) else choice
        content, refusal = message.get("content", message.get("text")), message.get("refusal")
        texts.append(answer_text(content) or (refusal if isinstance(refusal, str) else ""))
        stop = stop or choice.get("finish_reason")
        refused = refused or bool(refusal)
    _answer(cells, texts, stop, refused, f"{at}.choices")


def _items_answer(cells: Cells, body: dict[str, Any], at: str) -> None:
    texts, refused = [], False
    for item in body["output"]:
        for part in _parts(item):
            if part.get("type") == "refusal":
                refused = True
            texts.append(text_of(part) or (part.get("refusal") or ""))
    details = body.get("incomplete_details")
    stop = details.get("reason") if isinstance(details, dict) else None
    _answer(cells, texts, stop or body.get("status"), refused, f"{at}.output")


def _parts(item: Any) -> list[dict[str, Any]]:
    """Return the content parts of a Responses output item that is a message; other items hold no answer text."""
    if not isinstance(item, dict) or item.get("type", "message") != "message":
        return []
    content = item.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _blocks_answer(cells: Cells, body: dict[str, Any], at: str) -> None:
    _answer(cells, [answer_text(body["content"])], body.get("stop_reason"), False, f"{at}.content")


def answer_text(content: Any) -> str:
    """Return the text of an answer's content: text, or the text parts of a list.

    >>> answer_text("Hi"), answer_text([{"type": "text", "text": "H"}, {"type": "image"}, {"text": "i"}])
    ('Hi', 'Hi')
    """
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(text_of(part) for part in parts if isinstance(part, dict) and part.get("type", "text") == "text")


def _answer(cells: Cells, texts: list[Any], stop: Any, refused: bool, origin: str) -> None:
    put(cells, "response_text", "\n".join(text for text in texts if isinstance(text, str) and text), origin)
    put(cells, "stop_reason", stop, origin)
    put(cells, "refused", refused or stop in REFUSALS, origin)


def usage_cells(cells: Cells, usage: Any, at: str) -> None:
    """Fill token columns from a ``usage`` object; cached input is part of the input, as most APIs count it.

    Anthropic's ``input_tokens`` leaves out what came from or went to the cache, so there the three are added.

    >>> cells: Cells = {}
    >>> usage_cells(cells, {"input_tokens": 5, "cache_read_input_tokens": 90, "output_tokens": 7}, "usage")
    >>> {column: value for column, (value, _) in cells.items()}
    {'cached_tokens': 90, 'input_tokens': 95, 'output_tokens': 7}
    """
    usage = embedded(usage)
    if not isinstance(usage, dict):
        return
    read, made = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    given = first(usage, "prompt_tokens", "input_tokens")
    put(cells, "cached_tokens", read, f"{at}.cache_read_input_tokens")
    if given:
        total = given[0]
        if given[1] == "input_tokens" and isinstance(total, int):
            total += sum(part for part in (read, made) if isinstance(part, int))
        put(cells, "input_tokens", total, f"{at}.{given[1]}")
    done = first(usage, "completion_tokens", "output_tokens")
    if done:
        put(cells, "output_tokens", done[0], f"{at}.{done[1]}")
    for group in ("completion_tokens_details", "output_tokens_details"):
        details = usage.get(group)
        if isinstance(details, dict):
            spent = first(details, "reasoning_tokens", "thinking_tokens")
            if spent:
                put(cells, "reasoning_tokens", spent[0], f"{at}.{group}.{spent[1]}")
    for group in ("prompt_tokens_details", "input_tokens_details"):
        details = usage.get(group)
        if isinstance(details, dict):
            put(cells, "cached_tokens", details.get("cached_tokens"), f"{at}.{group}.cached_tokens")
