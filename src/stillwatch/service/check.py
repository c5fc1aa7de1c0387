"""What a gateway saw of one HTTP request, as the question that a decision answers.

Every gateway here (Envoy, nginx, ASGI) reads a request with :func:`question`, so that a body means the same to all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from stillwatch.response.decide import Decision, Request

LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
"""The names that a limit of output tokens goes by."""

_TALK = ("messages", "input", "prompt", "contents")


class Names(msgspec.Struct, frozen=True):
    """The request headers that say who asks; the gateway sets them after it has checked the caller's key.

    >>> Names().account
    'x-account-id'
    """

    account: str = "x-account-id"
    key: str = "x-api-key-id"


class _Body(msgspec.Struct):
    """The fields of a request body that a decision can depend on; others are skipped unread."""

    model: str = ""
    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    contents: msgspec.Raw = msgspec.Raw()
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    max_tokens: int | None = None


_decode = msgspec.json.Decoder(_Body).decode


def question(path: str, headers: Mapping[str, str], body: bytes, names: Names) -> Request:
    """Return the question for one request; ``headers`` have lower-case names, ``body`` is empty when not at hand.

    A body that cannot be read leaves model and prompt unknown: then only measures for the whole account apply.

    >>> body = b'{"model": "large", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}'
    >>> asked = question("/v1/chat/completions", {"x-account-id": "a-1"}, body, Names())
    >>> asked.account, asked.model, asked.said[:9], asked.max_tokens, asked.dialect
    ('a-1', 'large', b'[{"role":', 9, 'openai')
    """
    read = _read(body)
    return Request(
        account=headers.get(names.account) or None,
        key=headers.get(names.key) or None,
        model=read.model,
        messages=_talk(read),
        max_tokens=next((most for name in LIMITS if (most := getattr(read, name)) is not None), None),
        dialect=dialect_of(path),
    )


def _talk(read: _Body) -> msgspec.Raw | msgspec.UnsetType:
    """Return what the user says, by whichever name the dialect has for it; null says nothing."""
    told = (getattr(read, name) for name in _TALK)
    return next((talk for talk in told if bytes(talk) not in (b"", b"null")), msgspec.UNSET)


def dialect_of(path: str) -> str | None:
    """Return whose error bodies a client of this path expects: openai, anthropic, or None for problem+json.

    >>> dialect_of("/v1/messages?beta=true"), dialect_of("/openai/v1/responses"), dialect_of("/generate")
    ('anthropic', 'openai', None)
    """
    steps = path.partition("?")[0].rstrip("/").split("/")
    if "messages" in steps:
        return "anthropic"
    return "openai" if steps[-1] in ("completions", "responses", "embeddings") else None


def _read(body: bytes) -> _Body:
    if not body:
        return _Body()
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_leniently(body)


def _read_leniently(body: bytes) -> _Body:
    """Read what a laxer parser behind the gateway may accept: NaN, odd numbers, other Unicode encodings."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return _Body()
    if not isinstance(found, dict):
        return _Body()
    model = found.get("model")
    read = _Body(model=model if isinstance(model, str) else "")
    for name in _TALK:
        if found.get(name) is not None:
            setattr(read, name, msgspec.Raw(json.dumps(found[name]).encode()))
    for name in LIMITS:
        if is_count(found.get(name)):
            setattr(read, name, int(found[name]))
    return read


def is_count(value: object) -> bool:
    """Say whether a decoded JSON value is a number that can count tokens: not text, NaN or infinite.

    >>> is_count(12), is_count(float("nan")), is_count("12")
    (True, False, False)
    """
    return isinstance(value, int | float) and abs(value) < 2**63


def notes(decision: Decision) -> dict[str, str]:
    """Return the headers for the model server and the operator's logs; a gateway never shows them to a client.

    ``x-stillwatch-edits`` tells a model server which edits to make itself where the gateway cannot change a body.

    >>> from stillwatch.response.decide import Edits
    >>> notes(Decision(action="cap", campaign="SW-1", edits=Edits(max_tokens=256)))
    {'x-stillwatch-action': 'cap', 'x-stillwatch-campaign': 'SW-1', 'x-stillwatch-edits': '{"max_tokens":256}'}
    >>> notes(Decision(shadow="rate-limit"))
    {'x-stillwatch-action': 'allow', 'x-stillwatch-shadow': 'rate-limit'}
    """
    said = {"x-stillwatch-action": decision.action}
    if decision.campaign:
        said["x-stillwatch-campaign"] = decision.campaign
    if decision.edits is not None:
        said["x-stillwatch-edits"] = msgspec.json.encode(decision.edits).decode()
    if decision.shadow:
        said["x-stillwatch-shadow"] = decision.shadow
    return said


class Desk(NamedTuple):
    """Where gateways ask: ``answer`` decides, ``lists`` says whether an account has a measure at all.

    >>> desk = Desk(lambda request: Decision(action="tag", campaign=request.account), lambda request: True, Names())
    >>> desk.ask("/v1/messages", {"x-account-id": "a"}, b"")
    (Decision(action='tag', ... campaign='a', ...), 'anthropic')
    """

    answer: Callable[[Request], Decision]
    lists: Callable[[Request], bool]
    names: Names

    def ask(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[Decision, str | None]:
        """Decide on a request as a gateway hands it over (see :func:`question`); names the dialect of its errors too.

        >>> Desk(lambda request: Decision(), lambda request: True, Names()).ask("/generate", {}, b"")[1] is None
        True
        """
        request = question(path, headers, body, self.names)
        return self.answer(request), request.dialect

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Say whether the account that the headers name has a measure, so that its prompt can matter.

        >>> desk = Desk(lambda request: Decision(), lambda request: request.account == "a", Names())
        >>> desk.knows({"x-account-id": "a"}), desk.knows({"x-account-id": "b"})
        (True, False)
        """
        return self.lists(Request(account=headers.get(self.names.account), key=headers.get(self.names.key)))
