"""OpenAI and Anthropic request/response JSON Lines: envelopes, bare bodies, and batch files joined on ``custom_id``.

The envelope is one object an exchange; every member but ``request`` may be missing::

    {"id": "…", "timestamp": …, "account_id": "…", "api_key_id": "…", "ip": "…", "user_agent": "…",
     "session_id": "…", "headers": {…}, "endpoint": "/v1/…", "status": 200, "latency_ms": 812,
     "request": {body}, "response": {body}}

``timestamp`` may also be called ts, time, created_at, start_time or created; ``response`` may hold
``{"status_code", "body"}``. Identity members are those of the identity map.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from stillwatch.ingest.bodies import put, request_cells, response_cells
from stillwatch.ingest.decode import embedded
from stillwatch.ingest.identity import IdentityMap
from stillwatch.ingest.joins import Window
from stillwatch.ingest.reader import Cells, Mapped, Mapper, Outcome, Plan, Reader, Record, Rejected, first

_TIMES = ("timestamp", "ts", "time", "created_at", "start_time", "created")
_PLACES = ("endpoint", "path", "url", "operation")
_REQUEST = ("messages", "input", "prompt")
_ANSWER = ("choices", "output", "content")


def envelope_cells(value: dict[str, Any], form: str, identity: IdentityMap) -> Cells:
    """Map one envelope or bare body of ``form`` (openai or anthropic).

    >>> from stillwatch.ingest.identity import default_identity
    >>> line = {"id": "e", "timestamp": 1, "account_id": "a", "request": {"model": "m", "messages": "Hi"}}
    >>> {column: value for column, (value, _) in envelope_cells(line, "openai", default_identity()).items()}
    {'account_id': 'a', 'exchange_id': 'e', 'ts': 1, 'model': 'm', 'prompt_text': 'Hi', 'modalities': ['text']}
    """
    value = _opened(value)
    cells = identity.cells(form, value)
    _facts(cells, value)
    for found in (request_cells(value.get("request")), response_cells(value.get("response"))):
        for column, (cell, origin) in found.items():
            put(cells, column, cell, origin)
    answer = embedded(value.get("response"))
    if isinstance(answer, dict):
        made = first(answer, "created", "created_at")
        put(cells, "ts", made[0] if made else None, f"response.{made[1]}" if made else "")
    return cells


def _facts(cells: Cells, value: dict[str, Any]) -> None:
    named = first(value, "exchange_id", "id", "request_id")
    if named:
        put(cells, "exchange_id", named[0], named[1])
    for column, names in (("ts", _TIMES), ("endpoint", _PLACES), ("status", ("status", "status_code"))):
        found = first(value, *names)
        if found and not (column == "status" and isinstance(found[0], str) and not found[0].isdigit()):
            put(cells, column, found[0], found[1])
    latency = first(value, "latency_ms", "duration_ms")
    if latency:
        put(cells, "latency_ms", latency[0], latency[1])


def _opened(value: dict[str, Any]) -> dict[str, Any]:
    """Bring the shapes a line can have (envelope, bare request, bare answer) to one: request and response apart."""
    request = first(value, "request", "request_body", "body", "params")
    response = first(value, "response", "response_body")
    if request is None and response is None:
        if any(name in value for name in _ANSWER):
            return {"response": value}
        return {"request": value, **{name: value[name] for name in _TIMES if name in value}}
    plain = dict(value)
    plain["request"] = _inner(request[0], plain) if request else None
    plain["response"] = _inner(response[0], plain) if response else None
    return plain


def _inner(body: Any, outer: dict[str, Any]) -> Any:
    """Open ``{"status_code": …, "body": …}``, moving the status and the call's id out."""
    body = embedded(body)
    if isinstance(body, dict) and "body" in body and not any(name in body for name in (*_REQUEST, *_ANSWER)):
        outer.setdefault("status", body.get("status_code"))
        return embedded(body["body"])
    return body


class Envelopes:
    """The mapper of both formats: envelopes pass through, batch halves wait for each other.

    The two files of a batch are joined on ``custom_id`` within one run. A ``custom_id`` that stands in two request
    files cannot be told apart and is rejected: ingest such batches one run each.
    """

    def __init__(self, form: str, plan: Plan) -> None:
        """Read ``form`` (openai or anthropic) as the plan says."""
        self.form, self.identity = form, plan.identity
        self._asked: Window[Record] = Window(plan.join_window)
        self._answered: Window[Record] = Window(plan.join_window)

    def feed(self, record: Record) -> Iterator[Outcome]:
        """Map a record, or let a batch half wait."""
        value = record.value
        if not isinstance(value, dict):
            yield Rejected(record, "expected an object")
        elif "custom_id" not in value:
            yield self._mapped(value, record)
        elif "body" in value or "params" in value:
            yield from self._ask(str(value["custom_id"]), record)
        else:
            yield from self._answer(str(value["custom_id"]), record)

    def finish(self) -> Iterator[Outcome]:
        """Give requests without an answer as they are, and answers without a request as far as they go."""
        for asked in self._asked.drain():
            yield self._mapped(_batch(asked.value, {}), asked)
        for answered in self._answered.drain():
            yield self._mapped(_batch({}, answered.value), answered)

    def _ask(self, key: str, record: Record) -> Iterator[Outcome]:
        waiting = self._asked.get(key)
        if waiting is not None:
            yield Rejected(record, f"custom_id {key!r} stands twice among the requests (also {waiting.source})")
        elif (answer := self._answered.take(key)) is not None:
            yield self._mapped(_batch(record.value, answer.value), record)
        else:
            for old in self._asked.put(key, record._replace(raw=None)):
                yield self._mapped(_batch(old.value, {}), old)

    def _answer(self, key: str, record: Record) -> Iterator[Outcome]:
        if (asked := self._asked.take(key)) is not None:
            yield self._mapped(_batch(asked.value, record.value), asked)
        elif (waiting := self._answered.get(key)) is not None:
            yield Rejected(record, f"custom_id {key!r} stands twice among the answers (also {waiting.source})")
        else:
            for old in self._answered.put(key, record._replace(raw=None)):
                yield self._mapped(_batch({}, old.value), old)

    def _mapped(self, value: dict[str, Any], record: Record) -> Outcome:
        return Mapped(envelope_cells(value, self.form, self.identity), record)


def _batch(asked: dict[str, Any], answered: dict[str, Any]) -> dict[str, Any]:
    """Make one envelope of the two lines of a batch exchange; the answer body's own id names the exchange."""
    merged = {**answered, **asked, "surface": "batch"}
    merged.pop("id", None)
    merged["request"] = asked.get("body", asked.get("params"))
    response, result = answered.get("response"), answered.get("result")
    if isinstance(response, dict):
        merged["status"] = response.get("status_code")
        merged["response"] = response.get("body")
    elif isinstance(result, dict):
        merged["status"] = 200 if result.get("type") == "succeeded" else None
        merged["response"] = result.get("message")
    merged.pop("body", None)
    merged.pop("params", None)
    return merged


def is_anthropic(value: Any) -> bool:
    """Recognise Anthropic's dialect: its path, batch halves, answer type, or a request with its own members."""
    if not _is_exchange(value):
        return False
    if "params" in value or isinstance(value.get("result"), dict):
        return True
    opened = _opened(value)
    request, response = embedded(opened.get("request")), embedded(opened.get("response"))
    if isinstance(response, dict) and response.get("type") == "message":
        return True
    path = first(value, *_PLACES)
    if path and str(path[0]).endswith("/messages"):
        return True
    marks = {"system", "anthropic_version", "thinking", "stop_sequences", "top_k"}
    return isinstance(request, dict) and "messages" in request and bool(marks & set(request))


def is_openai(value: Any) -> bool:
    """Recognise any other request or answer body, in an envelope or bare."""
    return _is_exchange(value)


def _is_exchange(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if "custom_id" in value:
        return any(name in value for name in ("body", "params", "response", "result", "error"))
    opened = _opened(value)
    request, response = embedded(opened.get("request")), embedded(opened.get("response"))
    asked = isinstance(request, dict) and any(name in request for name in _REQUEST)
    return asked or (isinstance(response, dict) and any(name in response for name in _ANSWER))


def _open(form: str, plan: Plan) -> Mapper:
    return Envelopes(form, plan)


OPENAI = Reader(
    "openai", "OpenAI JSON Lines: chat, Responses, completions, batch files", is_openai, partial(_open, "openai")
)
ANTHROPIC = Reader(
    "anthropic", "Anthropic JSON Lines: messages, batch files", is_anthropic, partial(_open, "anthropic")
)
