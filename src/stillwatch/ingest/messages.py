"""One reading of chat messages for every dialect: OpenAI chat and Responses, Anthropic, OpenTelemetry parts.

The dialects differ in names only, and gateways mix them, so the union is read wherever messages stand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from stillwatch.ingest.decode import embedded

_SYSTEM_ROLES = ("system", "developer")
_KINDS = {
    "text": "text",
    "input_text": "text",
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "computer_screenshot": "image",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
    "video_url": "video",
    "file": "file",
    "input_file": "file",
    "document": "file",
}
_ORDER = ("text", "image", "audio", "video", "file")
_OPAQUE = ("signature", "encrypted_content", "data", "thought_signature", "thoughtSignature", "id")
_REASONING = ("thinking", "redacted_thinking", "reasoning", "reasoning.encrypted", "reasoning.text")
_RESULTS = ("tool_result", "tool_call_response", "computer_call_output", "function_call_output")


class Conversation(NamedTuple):
    """What a request says: system text, the prompt, kinds of input, and the reasoning it replays (as a hash)."""

    system: str | None = None
    prompt: str | None = None
    modalities: list[str] | None = None
    reasoning_id: str | None = None


def conversation(messages: Any, system: Any = None) -> Conversation:
    """Read the messages of a request, and the system prompt where the dialect keeps it apart.

    ``prompt`` is all user text when nobody has answered yet, and the last user message with text otherwise.
    ``modalities`` lists text, image, audio, video, file and any other kind, in this order, over all messages.
    ``reasoning_id`` hashes the last opaque reasoning block (signature, encrypted content) that the request replays.

    >>> conversation([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])[:3]
    ('Be brief.', 'Hi', ['text'])
    >>> conversation("Hi", system=[{"type": "text", "text": "Be brief."}])[:2]
    ('Be brief.', 'Hi')
    """
    messages = embedded(messages)
    kinds: set[str] = set()
    systems = [_content(embedded(system), kinds)] if system else []
    if isinstance(messages, str):
        return Conversation(_joined(systems), messages, ["text"])
    if isinstance(messages, dict):
        messages = messages.get("messages", [messages])
    if not isinstance(messages, list):
        return Conversation(_joined(systems))
    users, answered, opaque = _walk(messages, systems, kinds)
    spoken = [text for text in users if text]
    prompt = (spoken[-1] if answered else "\n".join(spoken)) if spoken else None
    reasoning = hashlib.sha256(opaque.encode("utf-8", "replace")).hexdigest()[:32] if opaque else None
    if prompt:
        kinds.add("text")
    listed = [kind for kind in _ORDER if kind in kinds] + sorted(kinds - set(_ORDER))
    return Conversation(_joined(systems), prompt, listed or None, reasoning)


def _walk(messages: list[Any], systems: list[str], kinds: set[str]) -> tuple[list[str], bool, str | None]:
    """Sort messages by who speaks; returns user texts, whether the model spoke, and the last opaque reasoning."""
    users: list[str] = []
    answered, opaque = False, None
    for message in messages:
        if isinstance(message, str):
            users.append(message)
            continue
        if not isinstance(message, dict):
            continue
        role = message.get("role") or ("user" if _kind(message) and "type" in message else None)
        if role == "user":
            users.append(_content(_body(message), kinds))
        elif role in _SYSTEM_ROLES:
            systems.append(_content(_body(message), kinds))
        else:
            answered = answered or role in ("assistant", "model", "ai")
            opaque = _opaque(message) or opaque
            if role == "tool" or message.get("type") in _RESULTS:
                _look(message.get("output", _body(message)), kinds)
    return users, answered, opaque


def _body(message: dict[str, Any]) -> Any:
    for name in ("content", "parts"):
        if message.get(name) is not None:
            return message[name]
    return message.get("text") if "text" in message else ([message] if "type" in message else None)


def _content(content: Any, kinds: set[str]) -> str:
    """Return the text of a content (text, one part or a list of parts) and note the kinds of its parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return ""
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            kind = _kind(part)
            if kind:
                kinds.add(kind)
            elif part.get("type") in _RESULTS:
                _look(part.get("content", part.get("response")), kinds)
            if kind == "text":
                texts.append(text_of(part))
    return "\n".join(text for text in texts if text)


def _look(content: Any, kinds: set[str]) -> None:
    """Note pictures and files inside tool results; their text is no prompt."""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict) and (kind := _kind(part)) and kind != "text":
            kinds.add(kind)


def _kind(part: dict[str, Any]) -> str | None:
    name = part.get("type")
    if name is None:
        return "text" if "text" in part else None
    modality = part.get("modality")
    if isinstance(modality, str) and name in ("blob", "uri", "file"):
        return modality
    return _KINDS.get(name) if isinstance(name, str) else None


def text_of(part: dict[str, Any]) -> str:
    """Return the text of a part, whichever dialect names it ``text`` or ``content``.

    >>> text_of({"type": "text", "content": "a"}), text_of({"type": "input_text", "text": "b"})
    ('a', 'b')
    """
    found = part.get("text", part.get("content"))
    return found if isinstance(found, str) else ""


def _opaque(message: dict[str, Any]) -> str | None:
    """Return the last opaque reasoning reference in a message that the model is said to have written."""
    found = None
    for block in _reasoning_blocks(message):
        value = next((block[name] for name in _OPAQUE if isinstance(block.get(name), str) and block[name]), None)
        found = value or found
    return found


def _reasoning_blocks(message: dict[str, Any]) -> Iterable[dict[str, Any]]:
    if message.get("type") in _REASONING:
        yield message
    for name in ("content", "parts", "thinking_blocks", "reasoning_details"):
        blocks = message.get(name)
        if isinstance(blocks, list):
            for block in blocks:
                if isinstance(block, dict) and (block.get("type") in _REASONING or "thoughtSignature" in block):
                    yield block


def _joined(texts: list[str]) -> str | None:
    return "\n".join(text for text in texts if text) or None
