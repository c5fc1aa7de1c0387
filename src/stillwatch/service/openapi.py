"""The OpenAPI 3.1 document: paths declared by hand, bodies from the very types that are decoded and encoded."""

from __future__ import annotations

from typing import Any

import msgspec

import stillwatch
from stillwatch.response.decide import Request
from stillwatch.service.deciding import Verdict
from stillwatch.service.enforcing import Ended, Undo, Verification
from stillwatch.service.receiving import PUSHED

_JSON, _PROBLEM, _TEXT, _BINARY = (
    "application/json",
    "application/problem+json",
    "text/plain",
    "application/octet-stream",
)
_OBJECT = {"type": "object"}
_KEY_PROBLEMS = {
    "401": "No valid key",
    "403": "The key lacks the scope",
    "429": "Over the pace of the key, or too much at once: come again after Retry-After",
}


def node_document() -> dict[str, Any]:
    """Return the document of a gateway node.

    >>> sorted(node_document()["paths"])
    ['/healthz', '/metrics', ... '/v1/check/envoy/{path}', '/v1/check/nginx/{path}', '/v1/decide']
    """
    return _document({**_NODE_PATHS, **_CHECK_PATHS})


def serve_document() -> dict[str, Any]:
    """Return the document of `stillwatch serve`.

    >>> "/v1/traces" in serve_document()["paths"]
    True
    """
    return _document({**_NODE_PATHS, **_SERVE_PATHS})


def _document(paths: dict[str, Any]) -> dict[str, Any]:
    bodies = [Request, Verdict, Verification, Undo, Ended]
    _, schemas = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    for schema in schemas.values():
        schema["description"] = " ".join(schema.get("description", "").partition(">>>")[0].split())
    schemas["Request"]["anyOf"] = [_named("account"), _named("key")]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stillwatch", "version": stillwatch.__version__},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM_SCHEMA, "Status": _STATUS_SCHEMA},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def _named(field: str) -> dict[str, Any]:
    return {"required": [field], "properties": {field: {"type": "string", "minLength": 1}}}


_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}

_STATUS_SCHEMA = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _reply(text: str, media: str | None = None, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"description": text, **({"content": {media: {"schema": schema or {}}}} if media else {})}


def _problems(texts: dict[str, str]) -> dict[str, Any]:
    return {status: _reply(text, _PROBLEM, _ref("Problem")) for status, text in texts.items()}


def _page(summary: str, media: str, *, problems: dict[str, str] | None = None, **replies: str) -> dict[str, Any]:
    """Declare a GET; ``replies`` are further good answers, as ``s503="not ready"``."""
    responses = {"200": _reply("Here it is", media, _OBJECT if media == _JSON else {"type": "string"})}
    responses |= {status[1:]: _reply(text, media, _OBJECT) for status, text in replies.items()}
    return {"get": {"summary": summary, "responses": responses | _problems(problems or {})}}


_NODE_PATHS: dict[str, Any] = {
    "/v1/decide": {
        "post": {
            "summary": "Decide on one request",
            "requestBody": {"required": True, "content": {_JSON: {"schema": _ref("Request")}}},
            "responses": {
                "200": _reply("The decision, and what a refused client is told", _JSON, _ref("Verdict")),
                **_problems({"400": "Not a request", "413": "Too large", **_KEY_PROBLEMS}),
            },
        }
    },
    "/healthz": _page("The process answers and works", _JSON, s503="A part of its work has ended: start it anew"),
    "/readyz": _page("A good snapshot is in force", _JSON, s503="Missing or stale; the node answers as configured"),
    "/metrics": _page("Readings for Prometheus", _TEXT, problems=_KEY_PROBLEMS),
    "/openapi.json": _page("This document", _JSON),
}


def _check(summary: str, method: str, **refusals: str) -> dict[str, Any]:
    """Declare a gateway's question about the request that it holds back; who asks is in the identity headers."""
    path = {"name": "path", "in": "path", "required": True, "schema": {"type": "string"},
            "description": "The path of the held request, slashes and all"}  # fmt: skip
    responses = {"200": _reply("Let it go on, with these headers")}
    responses |= {status[1:]: _reply(text) for status, text in refusals.items()}
    gone = {"503": "Not taken (key, size), or fail-closed without a good snapshot"}
    return {method: {"summary": summary, "parameters": [path], "responses": responses | _problems(gone)}}


_CHECK_PATHS: dict[str, Any] = {
    "/v1/check/envoy/{path}": _check(
        "Envoy's ext_authz over HTTP", "post", s403="Send this to the client", s429="Send this to the client"
    ),
    "/v1/check/nginx/{path}": _check(
        "nginx's auth_request", "get", s403="Refuse: status, type and body for the client are in x-stillwatch-*"
    ),
}


def _push(summary: str, media: tuple[str, ...], *parameters: dict[str, Any]) -> dict[str, Any]:
    """Declare a POST of telemetry."""
    refused = {"400": "Not readable", "413": "Too large", "415": "Unsupported type or coding", **_KEY_PROBLEMS}
    later = {"503": "The disk is full, or too much waits: nothing was kept; come again after Retry-After"}
    return {
        "post": {
            "summary": summary,
            "parameters": list(parameters),
            "requestBody": {"required": True, "content": {name: {"schema": {}} for name in media}},
            "responses": {"200": _reply("On disk"), **_problems({**refused, **later})},
        }
    }


def _change(summary: str, body: str, **more: str) -> dict[str, Any]:
    """Declare a POST that ends measures; ``more`` are further refusals, as ``s404="unknown"``."""
    refused = {
        **{status[1:]: text for status, text in more.items()},
        "400": "Not readable",
        "409": "Not done, and why",
        "413": "Too large",
        **_KEY_PROBLEMS,
    }
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {_JSON: {"schema": _ref(body)}}},
            "responses": {
                "200": _reply("How many measures ended", _JSON, _ref("Ended")),
                **_problems({**refused, "503": "The state is out of reach: nothing was changed"}),
            },
        }
    }


def _asked(name: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema}


_PROTOBUF = "application/x-protobuf"


def _export(summary: str) -> dict[str, Any]:
    """Declare a POST of OTLP: partial success in the 200, refusals as google.rpc.Status in the request's encoding."""
    declared = _push(summary, (_PROTOBUF, _JSON))
    for status, reply in declared["post"]["responses"].items():
        shapes = {_JSON: {"schema": _OBJECT if status == "200" else _ref("Status")}, _PROTOBUF: {"schema": {}}}
        reply["content"] = {**reply.get("content", {}), **shapes}
    return declared


_NDJSON = ("application/x-ndjson", _JSON)
_SERVE_PATHS: dict[str, Any] = {
    "/v1/traces": _export("OTLP/HTTP traces"),
    "/v1/logs": _export("OTLP/HTTP logs"),
    "/v1/litellm": _push("LiteLLM's generic log sink: array, NDJSON or single", _NDJSON),
    "/v1/exchanges": _push(
        "Exchanges, accounts or launches as JSON lines",
        _NDJSON,
        _asked("format", {"type": "string", "enum": [*PUSHED]}),
    ),
    "/v1/snapshot": {
        "get": {
            "summary": "The newest snapshot, with ETag",
            "responses": {
                "200": _reply("The snapshot", _BINARY, {}),
                "304": _reply("It is the one you have"),
                **_problems({"404": "Nothing has been published yet", **_KEY_PROBLEMS}),
            },
        }
    },
    "/v1/deltas": {
        "get": {
            "summary": "What changed since a snapshot",
            "parameters": [_asked("since", {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}, required=True)],
            "responses": {
                "200": _reply("The delta", _BINARY, {}),
                "204": _reply("Nothing changed"),
                **_problems({"400": "Not a version", "410": "That version is not kept", **_KEY_PROBLEMS}),
            },
        }
    },
    "/v1/verifications": _change("Tell the result of a verification; a success ends what is in force", "Verification"),
    "/v1/undo": _change(
        "End what is in force for one account, campaign or plan", "Undo", s404="Nothing was ever in force for it"
    ),
    "/v1/status": _page("What comes in, what waits, what was done", _JSON, problems=_KEY_PROBLEMS),
}
