"""Envoy's ext_proc over gRPC: a stream a request, which may also change the request's body.

The body is read (whole, ``BUFFERED``) only when the account has a measure; for all others the headers are the only
message. Of a response only the headers are seen, so that streams pass untouched.
"""

from __future__ import annotations

from stillwatch.response.decide import Decision
from stillwatch.service.answers import notice, refusal
from stillwatch.service.authz_grpc import options
from stillwatch.service.authz_http import upstream
from stillwatch.service.check import Desk
from stillwatch.service.edits import edited
from stillwatch.service.protos.envoy_pb2 import (
    CommonResponse,
    HttpHeaders,
    ProcessingMode,
    ProcessingRequest,
    ProcessingResponse,
)

METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"


class Exchange:
    """One request on its way through Envoy: a message in, a message out, in order.

    >>> from stillwatch.response.decide import Decision
    >>> from stillwatch.service.check import Names
    >>> exchange = Exchange(Desk(lambda request: Decision(action="suspend"), lambda request: True, Names()))
    >>> message = ProcessingRequest(request_headers=HttpHeaders(end_of_stream=True))
    >>> exchange.step(message).immediate_response.status.code
    403
    """

    def __init__(self, desk: Desk) -> None:
        """Begin before the first message."""
        self._desk = desk
        self._path = "/"
        self._headers: dict[str, str] = {}
        self._decision = Decision()

    def step(self, message: ProcessingRequest) -> ProcessingResponse:
        """Return the answer to one message."""
        kind = message.WhichOneof("request")
        if kind == "request_headers":
            self._headers = plain(message.request_headers)
            self._path = self._headers.get(":path", "/")
            return self._begun(message.request_headers)
        if kind == "request_body":
            return self._decided(message.request_body.body, kind)
        response = _going_on(kind)
        if kind == "response_headers":
            response.response_headers.response.header_mutation.set_headers.extend(options(notice(self._decision)))
        return response

    def _begun(self, message: HttpHeaders) -> ProcessingResponse:
        """Decide at once where a body cannot matter, and tell Envoy to send no more of this exchange."""
        if message.end_of_stream:
            return self._decided(b"", "request_headers")
        if self._desk.knows(self._headers):
            return _going_on("request_headers")
        response = self._decided(b"", "request_headers")
        response.mode_override.response_header_mode = ProcessingMode.SKIP  # and NONE, which is 0, for the bodies
        return response

    def _decided(self, body: bytes, kind: str) -> ProcessingResponse:
        self._decision, dialect = self._desk.ask(self._path, self._headers, body)
        if self._decision.refuses:
            return _refused(self._decision, dialect)
        response = _going_on(kind)
        common: CommonResponse = getattr(response, kind).response
        common.header_mutation.set_headers.extend(options(upstream(self._decision)))
        changed = edited(self._path, body, self._decision.edits) if self._decision.edits else body
        if changed != body:
            common.body_mutation.body = changed
            common.header_mutation.set_headers.extend(options({"content-length": str(len(changed))}))
        return response


def plain(headers: HttpHeaders) -> dict[str, str]:
    """Return Envoy's headers as a mapping.

    >>> message = HttpHeaders()
    >>> message.headers.headers.add(key=":path", raw_value=b"/v1/messages")
    key: ":path"
    raw_value: "/v1/messages"
    <BLANKLINE>
    >>> plain(message)
    {':path': '/v1/messages'}
    """
    return {entry.key: entry.raw_value.decode("latin-1") or entry.value for entry in headers.headers.headers}


def _going_on(kind: str | None) -> ProcessingResponse:
    response = ProcessingResponse()
    getattr(response, kind or "request_headers").SetInParent()
    return response


def _refused(decision: Decision, dialect: str | None) -> ProcessingResponse:
    told = refusal(decision, dialect)
    response = ProcessingResponse()
    response.immediate_response.status.code = told.status
    response.immediate_response.headers.set_headers.extend(options(told.headers))
    response.immediate_response.body = told.body
    response.immediate_response.details = f"stillwatch_{decision.action}"  # %RESPONSE_CODE_DETAILS% in access logs
    return response
