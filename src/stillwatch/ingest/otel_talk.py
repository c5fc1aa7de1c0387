"""What was said, out of the three generations of OpenTelemetry GenAI attributes and events.

1. up to 1.27 and Traceloop: ``gen_ai.prompt`` / ``gen_ai.completion``, whole or indexed (``gen_ai.prompt.0.content``);
2. 1.28 to 1.36: one event a message (``gen_ai.user.message`` …, ``gen_ai.choice``);
3. from 1.37: ``gen_ai.input.messages``, ``gen_ai.output.messages``, ``gen_ai.system_instructions``,
   ``gen_ai.tool.definitions`` on the span or on the event ``gen_ai.client.inference.operation.details``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from stillwatch.ingest.decode import compact, embedded
from stillwatch.ingest.messages import text_of

DETAILS = "gen_ai.client.inference.operation.details"
_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_INDEXED = re.compile(
    r"(gen_ai\.prompt|gen_ai\.completion|llm\.prompts|llm\.completions|llm\.request\.functions)\.(\d+)\.(.+)"
)
_FIRST = tuple(
    f"{name}.0.{part}"
    for name, parts in (
        ("gen_ai.prompt", ("role", "content")),
        ("gen_ai.completion", ("role", "content", "finish_reason")),
        ("llm.prompts", ("content",)),
        ("llm.completions", ("content",)),
        ("llm.request.functions", ("name",)),
    )
    for part in parts
)


@dataclass(slots=True)
class Talk:
    """The messages in and out of one exchange, and where those in (``origin``) and out (``answered``) stood."""

    messages: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    system: Any = None
    tools: Any = None
    origin: str = ""
    answered: str = ""

    def is_empty(self) -> bool:
        """Say whether no content at all was found."""
        return not (self.messages or self.answers or self.system)


def read_attributes(talk: Talk, attributes: dict[str, Any]) -> None:
    """Add what the attributes of a span or event say, whichever generation they are of.

    >>> talk = Talk()
    >>> read_attributes(talk, {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Hi"})
    >>> talk.messages
    [{'role': 'user', 'content': 'Hi'}]
    """
    for name, kept in (("gen_ai.input.messages", talk.messages), ("gen_ai.output.messages", talk.answers)):
        _extend(talk, kept, attributes.get(name), name)
    talk.system = talk.system or attributes.get("gen_ai.system_instructions")
    talk.tools = talk.tools or attributes.get("gen_ai.tool.definitions") or attributes.get("gen_ai.request.tools")
    if talk.is_empty():
        _extend(talk, talk.messages, attributes.get("gen_ai.prompt"), "gen_ai.prompt")
        _extend(talk, talk.answers, attributes.get("gen_ai.completion"), "gen_ai.completion")
    if any(name in attributes for name in _FIRST):
        _read_indexed(talk, attributes)


def _extend(talk: Talk, kept: list[Any], value: Any, origin: str) -> None:
    value = embedded(value)
    if value is None or value == "" or value == []:
        return
    if kept is talk.answers:
        talk.answered = talk.answered or origin
    else:
        talk.origin = talk.origin or origin
    kept.extend(value if isinstance(value, list) else [value])


def _read_indexed(talk: Talk, attributes: dict[str, Any]) -> None:
    """Gather ``NAME.N.PART`` attributes to one object for each N."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for key, value in attributes.items():
        match = _INDEXED.fullmatch(key)
        if match and len(match[2]) < 9:
            found.setdefault((match[1], int(match[2])), {})[match[3]] = embedded(value)
    functions = []
    for (name, _), parts in sorted(found.items(), key=lambda pair: pair[0]):
        if name == "llm.request.functions":
            functions.append(parts)
            continue
        asked = name in ("gen_ai.prompt", "llm.prompts")
        parts.setdefault("role", "user" if asked else "assistant")
        _extend(talk, talk.messages if asked else talk.answers, parts, f"{name}.N.content")
    talk.tools = talk.tools or functions or None


def read_event(talk: Talk, name: str, body: Any, attributes: dict[str, Any]) -> bool:
    """Add one event (of a span, or a log record); says whether it was one of GenAI's.

    >>> talk = Talk()
    >>> read_event(talk, "gen_ai.user.message", {"content": "Hi"}, {}), talk.messages
    (True, [{'role': 'user', 'content': 'Hi'}])
    >>> read_event(talk, "exception", None, {})
    False
    """
    if name in _ROLES:
        talk.messages.append({"role": _ROLES[name], **_event_body(body, attributes)})
        talk.origin = talk.origin or name
    elif name == "gen_ai.choice":
        found = _event_body(body, attributes)
        message = embedded(found.get("message"))
        inner = message if isinstance(message, dict) else {"content": message} if message else found
        _extend(talk, talk.answers, {**inner, "finish_reason": found.get("finish_reason")}, name)
    elif name in (DETAILS, "gen_ai.content.prompt", "gen_ai.content.completion"):
        read_attributes(talk, {**(body if isinstance(body, dict) else {}), **attributes})
    else:
        return False
    return True


def _event_body(body: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return an event's content, from its body or from the attributes that span events use instead."""
    content = embedded(body if body is not None else attributes.get("gen_ai.event.content"))
    if isinstance(content, dict):
        return content
    if isinstance(content, str) and content:
        return {"content": content}
    return {name: embedded(value) for name, value in attributes.items() if not name.startswith("gen_ai.")}


def answer_texts(answers: list[Any]) -> tuple[str, str | None]:
    """Return the text of the answers (one a line group) and the first stop reason.

    >>> answer_texts([{"role": "assistant", "parts": [{"type": "text", "content": "Hi"}], "finish_reason": "stop"}])
    ('Hi', 'stop')
    """
    texts, stop = [], None
    for answer in answers:
        if isinstance(answer, str):
            texts.append(answer)
        elif isinstance(answer, dict):
            content = answer.get("parts", answer.get("content"))
            if isinstance(content, str):
                texts.append(content)
            elif isinstance(content, list):
                texts.extend(text_of(part) for part in content if isinstance(part, dict) and _spoken(part))
            reason = answer.get("finish_reason")
            stop = stop or (reason if isinstance(reason, str) else None)
    return "\n".join(text for text in texts if text), stop


def _spoken(part: dict[str, Any]) -> bool:
    return part.get("type", "text") in ("text", "output_text")


def tools_text(tools: Any) -> str | None:
    """Return tool definitions as compact JSON.

    >>> tools_text('[ {"name": "f"} ]')
    '[{"name":"f"}]'
    """
    tools = embedded(tools)
    return compact(tools) if tools else None
