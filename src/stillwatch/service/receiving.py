"""The endpoints that take telemetry: OTLP/HTTP, LiteLLM's generic log sink, and NDJSON that anybody pushes."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stillwatch.ingest import READERS
from stillwatch.service import otlp
from stillwatch.service.answers import problem
from stillwatch.service.intake import Intake
from stillwatch.service.keys import Door
from stillwatch.service.spool import Delivery
from stillwatch.service.web import Problem, header, presented_key, read_body

MOST_BYTES = 64 << 20
PUSHED = tuple(name for name in READERS if not name.startswith("map") and name != "otel")


def receiving_routes(intake: Intake, door: Door) -> list[Route]:
    """Return the routes of `/v1/traces`, `/v1/logs`, `/v1/litellm` and `/v1/exchanges`.

    >>> receiving_routes.__name__
    'receiving_routes'
    """

    def taking(read: Callable[[Request, bytes], tuple[str, bytes]]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            caller = door.admit(presented_key(request.scope), "ingest")
            kind, body = read(request, await _body(request))
            if body:
                await intake.put(Delivery(kind, f"{request.url.path}:{caller}", body))
            return Response(b"{}", media_type="application/json")

        return endpoint

    takers = {
        "/v1/litellm": lambda request, body: ("litellm.ndjson", json_lines(body)),
        "/v1/exchanges": lambda request, body: (f"{_format(request)}.ndjson", json_lines(body)),
    }
    return [
        Route("/v1/traces", _exports(intake, door, "traces"), methods=["POST"]),
        Route("/v1/logs", _exports(intake, door, "logs"), methods=["POST"]),
        *(Route(path, taking(read), methods=["POST"]) for path, read in takers.items()),
    ]


def _exports(intake: Intake, door: Door, signal: otlp.Signal) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        kind = request.headers.get("content-type", "")
        try:
            caller = door.admit(presented_key(request.scope), "ingest")
            export = otlp.read_export(kind, await _body(request), signal)
            intake.left_out[signal] += export.rejected
            if export.body:
                await intake.put(Delivery(export.kind, f"{request.url.path}:{caller}", export.body))
        except Problem as refused:
            return otlp.status(refused.answer, kind)
        return otlp.taken(export, signal)

    return endpoint


async def _body(request: Request) -> bytes:
    body = await read_body(request.receive, MOST_BYTES)
    coding = (header(request.scope, b"content-encoding") or "identity").strip().lower()
    if coding == "identity":
        return body
    if coding != "gzip":
        raise Problem(problem(415, "Unsupported coding", "Send gzip or no content coding.", accept_encoding="gzip"))
    return gunzip(body, MOST_BYTES)


def gunzip(body: bytes, most: int) -> bytes:
    """Unpack gzip to at most ``most`` bytes; raises :class:`Problem` (400 for what is no gzip, 413 for too much).

    >>> import gzip
    >>> gunzip(gzip.compress(b"ab") + gzip.compress(b"c"), 3)
    b'abc'
    """
    parts, size = [], 0
    while body:
        unpack = zlib.decompressobj(wbits=31)
        try:
            parts.append(unpack.decompress(body, most - size + 1))
        except zlib.error as error:
            raise Problem(problem(400, "Not gzip", f"The body cannot be unpacked: {error}.")) from None
        size += len(parts[-1])
        if size > most:
            raise Problem(problem(413, "Too large", f"A request here has at most {most:,} bytes unpacked."))
        if not unpack.eof:
            raise Problem(problem(400, "Not gzip", "The body is cut short."))
        body = unpack.unused_data
    return b"".join(parts)


def json_lines(body: bytes) -> bytes:
    r"""Return a JSON array, one JSON object or NDJSON as compact lines; raises :class:`Problem` (400) with the line.

    >>> json_lines(b'[{"a": 1},\n {"b": 2}]'), json_lines(b'{"a": 1}\n\n{"b": 2}'), json_lines(b'{\n"a": 1}')
    (b'{"a":1}\n{"b":2}', b'{"a":1}\n{"b":2}', b'{"a":1}')
    """
    text = body.strip()
    if text[:1] == b"[":
        try:
            return b"\n".join(_lines(map(bytes, msgspec.json.decode(text, type=list[msgspec.Raw]))))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Problem(problem(400, "Not JSON", str(error))) from None
    try:
        return b"\n".join(_lines([text])) if text else b""
    except Problem:
        return b"\n".join(_lines(text.split(b"\n")))


def _lines(texts: Iterable[bytes]) -> list[bytes]:
    """Return JSON objects without line ends; blank lines are left out."""
    return [_line(text, number) for number, text in enumerate(texts, 1) if text.strip()]


def _line(text: bytes, number: int) -> bytes:
    try:
        text.decode()
        line = msgspec.json.format(text, indent=-1)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(problem(400, "Not JSON", f"line {number}: {error}")) from None
    if not line.startswith(b"{"):
        raise Problem(problem(400, "Not an object", f"line {number}: a JSON object is expected."))
    return line


def _format(request: Request) -> str:
    named = request.query_params.get("format", "canonical")
    if named not in PUSHED:
        raise Problem(problem(400, "Unknown format", f"Known: {', '.join(PUSHED)}."))
    return named
