"""OpenTelemetry GenAI: spans and log events of one exchange, joined on trace and span id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from stillwatch.ingest.bodies import put, said
from stillwatch.ingest.decode import embedded
from stillwatch.ingest.identity import IdentityMap
from stillwatch.ingest.joins import Window
from stillwatch.ingest.otel_talk import DETAILS, Talk, answer_texts, read_attributes, read_event, tools_text
from stillwatch.ingest.otlp import Item, is_export, items
from stillwatch.ingest.reader import Cells, Mapped, Mapper, Outcome, Plan, Reader, Record, Rejected, Skipped

_NO_EXCHANGE = ("execute_tool", "invoke_agent", "create_agent", "invoke_workflow", "retrieval", "plan", "search_memory")
_TOKENS = (
    ("input_tokens", ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens")),
    ("output_tokens", ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens")),
    ("reasoning_tokens", ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens")),
    ("cached_tokens", ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")),
)
_PARAMETERS = (
    ("model", ("gen_ai.request.model", "gen_ai.response.model")),
    ("max_tokens", ("gen_ai.request.max_tokens", "llm.request.max_tokens")),
    ("temperature", ("gen_ai.request.temperature", "llm.request.temperature")),
    ("n_choices", ("gen_ai.request.choice.count",)),
    ("logprobs_requested", ("gen_ai.request.logprobs",)),
    ("endpoint", ("gen_ai.operation.name", "url.path", "http.route", "llm.request.type")),
    ("status", ("http.response.status_code", "http.status_code")),
)
_PLAIN = (*_PARAMETERS, *_TOKENS)


@dataclass(slots=True)
class _Half:
    """What is known so far of the exchange under one trace and span id."""

    record: Record
    span: Item | None = None
    details: Item | None = None
    talk: Talk = field(default_factory=Talk)


def item_cells(item: Item, talk: Talk, identity: IdentityMap) -> Cells:
    """Map a span (or a details event that stands alone) and what was said to cells.

    Without ``gen_ai.response.id`` the exchange is named by its trace and span id.

    >>> from stillwatch.ingest.identity import default_identity
    >>> item = Item(True, ("0a", "0b"), "chat", 1_000, 2_001_000, {"gen_ai.request.model": "m", "user.id": "u"}, {})
    >>> {column: value for column, (value, _) in item_cells(item, Talk(), default_identity()).items()}
    {'account_id': 'u', 'exchange_id': '0a-0b', 'ts': 1, 'model': 'm', 'latency_ms': 2.0}
    """
    known = {**item.resource, **item.attributes} if item.resource else item.attributes
    cells = identity.cells("otel", known)
    put(cells, "exchange_id", known.get("gen_ai.response.id"), "gen_ai.response.id")
    if all(item.key):
        put(cells, "exchange_id", "-".join(item.key), "trace_id, span_id")
    if item.start:
        put(cells, "ts", item.start // 1000, "start_time" if item.is_span else "time")
    for column, names in _PLAIN:
        for name in names:
            if (found := known.get(name)) is not None and found != "":
                put(cells, column, found, name)
                break
    if item.end > item.start > 0:
        put(cells, "latency_ms", (item.end - item.start) / 1e6, "end_time - start_time")
    _said(cells, talk, known)
    if item.failed and isinstance(code := known.get("error.type"), str) and code.isdigit():
        put(cells, "status", code, "error.type")
    return cells


def _said(cells: Cells, talk: Talk, known: dict[str, Any]) -> None:
    if talk.messages or talk.system:
        said(cells, talk.messages or None, talk.system, talk.origin or "gen_ai.system_instructions")
    put(cells, "tools_json", tools_text(talk.tools), "gen_ai.tool.definitions")
    text, stop = answer_texts(talk.answers)
    put(cells, "response_text", text, talk.answered)
    reasons = embedded(known.get("gen_ai.response.finish_reasons"))
    reason = reasons[0] if isinstance(reasons, list) and reasons else reasons if isinstance(reasons, str) else None
    put(cells, "stop_reason", reason, "gen_ai.response.finish_reasons")
    put(cells, "stop_reason", stop, talk.answered)
    if "stop_reason" in cells:
        stopped, origin = cells["stop_reason"]
        put(cells, "refused", stopped in ("content_filter", "refusal"), origin)


class Traces:
    """The mapper: whole spans pass through, spans without content wait for their log events, and events for spans."""

    def __init__(self, plan: Plan) -> None:
        """Keep at most the plan's window of halves waiting."""
        self.identity = plan.identity
        self._waiting: Window[_Half] = Window(plan.join_window)
        self._done: Window[bool] = Window(plan.join_window)

    def feed(self, record: Record) -> Iterator[Outcome]:
        """Map every span and log record of an export request."""
        if isinstance(record.value, Item):
            found: Iterator[Item] = iter((record.value,))
        elif is_export(record.value):
            found = items(record.value)
        else:
            yield Rejected(record, "no OTLP export request: neither resourceSpans nor resourceLogs")
            return
        place = record._replace(value=None, raw=None)
        for item in found:
            yield from self._span(item, place) if item.is_span else self._log(item, place)

    def finish(self) -> Iterator[Outcome]:
        """Give out spans that found no events, and events that found no span."""
        for half in self._waiting.drain():
            yield self._as_is(half)

    def _span(self, item: Item, place: Record) -> Iterator[Outcome]:
        if not any(name.startswith(("gen_ai.", "llm.")) for name in item.attributes):
            yield Skipped(place, "span without GenAI attributes")
            return
        if item.attributes.get("gen_ai.operation.name") in _NO_EXCHANGE:
            yield Skipped(place, "span of a tool or agent, no exchange")
            return
        half = self._waiting.take(item.key) if all(item.key) else None
        own = Talk()
        read_attributes(own, item.attributes)
        for name, body, attributes in item.events:
            read_event(own, name, body, attributes)
        if half is not None and own.is_empty():
            own = half.talk
        if own.is_empty() and all(item.key):
            for old in self._waiting.put(item.key, _Half(place, span=item)):
                yield self._as_is(old)
            return
        yield from self._out(item, own, place)

    def _log(self, item: Item, place: Record) -> Iterator[Outcome]:
        talk = Talk()
        if not read_event(talk, item.name, item.body, item.attributes):
            yield Skipped(place, "log record of no GenAI event")
        elif not all(item.key):
            yield from self._alone(item, talk, place)
        elif self._done.get(item.key):
            yield Skipped(place, "messages that the span carries already")
        else:
            half = self._waiting.get_or_make(item.key, lambda: _Half(place))
            _join(half, item, talk)
            if half.span is not None and _is_whole(half, item):
                self._waiting.take(item.key)
                yield from self._out(half.span, half.talk, half.record)
            for old in self._waiting.overflow():
                yield self._as_is(old)

    def _alone(self, item: Item, talk: Talk, place: Record) -> Iterator[Outcome]:
        if item.name == DETAILS:
            yield Mapped(item_cells(item, talk, self.identity), place)
        else:
            yield Rejected(place._replace(value=item._asdict()), "GenAI log event without trace and span id")

    def _out(self, item: Item, talk: Talk, place: Record) -> Iterator[Outcome]:
        if all(item.key):
            list(self._done.put(item.key, True))
        yield Mapped(item_cells(item, talk, self.identity), place)

    def _as_is(self, half: _Half) -> Outcome:
        item = half.span or half.details
        if item is None:
            place = half.record._replace(value=half.talk.messages + half.talk.answers)
            return Rejected(place, "GenAI log events whose span is not in the sources (or came too late to join)")
        return Mapped(item_cells(item, half.talk, self.identity), half.record)


def _join(half: _Half, item: Item, talk: Talk) -> None:
    if item.name == DETAILS:
        half.details = item
    kept = half.talk
    kept.messages += talk.messages
    kept.answers += talk.answers
    kept.system, kept.tools = kept.system or talk.system, kept.tools or talk.tools
    kept.origin, kept.answered = kept.origin or talk.origin, kept.answered or talk.answered


def _is_whole(half: _Half, item: Item) -> bool:
    """Say whether the last event closes the exchange: the details event, or as many choices as were asked for."""
    asked = half.span.attributes.get("gen_ai.request.choice.count", 1) if half.span else 1
    return item.name == DETAILS or (isinstance(asked, int) and len(half.talk.answers) >= max(1, asked))


def _open(plan: Plan) -> Mapper:
    return Traces(plan)


OTEL = Reader("otel", "OpenTelemetry GenAI spans and log events: OTLP JSON lines, OTLP protobuf", is_export, _open)
