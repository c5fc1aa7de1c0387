"""Envoy's ext_authz over gRPC: one message in, one out."""

from __future__ import annotations

from collections.abc import Mapping

from stillwatch.response.decide import Decision
from stillwatch.service.answers import notice, refusal
from stillwatch.service.authz_http import upstream
from stillwatch.service.check import notes
from stillwatch.service.protos.envoy_pb2 import CheckRequest, CheckResponse, HeaderValue, HeaderValueOption

PERMISSION_DENIED = 7
METHOD = "/envoy.service.auth.v3.Authorization/Check"


def asked(request: CheckRequest) -> tuple[str, dict[str, str], bytes]:
    """Return path, headers (lower-case names, without the pseudo-headers) and body of the request that Envoy holds.

    >>> message = CheckRequest()
    >>> message.attributes.request.http.path = "/v1/messages"
    >>> message.attributes.request.http.headers["x-account-id"] = "a"
    >>> asked(message)
    ('/v1/messages', {'x-account-id': 'a'}, b'')
    """
    http = request.attributes.request.http
    return http.path, dict(http.headers), http.raw_body or http.body.encode()


def check_response(decision: Decision, dialect: str | None) -> CheckResponse:
    """Return the answer to Envoy, with the notes as dynamic metadata for its access log.

    >>> told = check_response(Decision(action="rate-limit", retry_after=3), None)
    >>> told.denied_response.status.code, told.dynamic_metadata["x-stillwatch-action"]
    (429, 'rate-limit')
    >>> check_response(Decision(), None).status.code
    0
    """
    response = CheckResponse()
    response.dynamic_metadata.update(notes(decision))
    if not decision.refuses:
        response.ok_response.headers.extend(options(upstream(decision)))
        response.ok_response.response_headers_to_add.extend(options(notice(decision)))
        return response
    told = refusal(decision, dialect)
    response.status.code = PERMISSION_DENIED
    response.denied_response.status.code = told.status
    response.denied_response.headers.extend(options(told.headers))
    response.denied_response.body = told.body.decode()
    return response


def options(headers: Mapping[str, str]) -> list[HeaderValueOption]:
    """Return headers as Envoy takes them, each in the place of what was there.

    >>> [option.header.key for option in options({"a": "1"})]
    ['a']
    """
    over = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return [
        HeaderValueOption(header=HeaderValue(key=name, value=value, raw_value=value.encode()), append_action=over)
        for name, value in headers.items()
    ]
