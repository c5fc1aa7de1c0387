"""The gRPC side of a gateway node: ext_authz and ext_proc on one port, beside the HTTP side in the same event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from stillwatch.service import authz_grpc, ext_proc
from stillwatch.service.check import Desk
from stillwatch.service.keys import Door
from stillwatch.service.listen import Listen
from stillwatch.service.protos.envoy_pb2 import CheckRequest, CheckResponse, ProcessingRequest, ProcessingResponse
from stillwatch.service.web import Problem, log

_MOST_BODY = 64 << 20
_Message = TypeVar("_Message", CheckRequest, ProcessingRequest)


class EnvoyService(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers both methods; a caller without a good key gets UNAUTHENTICATED, which Envoy treats as a failure."""

    def __init__(self, desk: Desk, door: Door) -> None:
        """Serve what ``desk`` answers to whom ``door`` admits."""
        self._desk, self._door = desk, door

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a method, None for one that is not ours."""
        if handler_call_details.method == authz_grpc.METHOD:
            return grpc.unary_unary_rpc_method_handler(self.check, None, CheckResponse.SerializeToString)
        if handler_call_details.method == ext_proc.METHOD:
            return grpc.stream_stream_rpc_method_handler(self.process, None, ProcessingResponse.SerializeToString)
        return None

    async def check(self, message: bytes, context: Any) -> CheckResponse:
        """Answer one ext_authz question."""
        await self._admit(context)
        request = await _parsed(CheckRequest, message, context)
        return authz_grpc.check_response(*self._desk.ask(*authz_grpc.asked(request)))

    async def process(self, messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[ProcessingResponse]:
        """Accompany one request through ext_proc."""
        await self._admit(context)
        exchange = ext_proc.Exchange(self._desk)
        async for message in messages:
            yield exchange.step(await _parsed(ProcessingRequest, message, context))

    async def _admit(self, context: Any) -> None:
        presented = dict(context.invocation_metadata() or ()).get("authorization", "")
        try:
            self._door.admit(str(presented).removeprefix("Bearer "), "decide")
        except Problem as error:
            log.warning("gateway refused", extra={"gateway": "envoy-grpc", "status": error.answer.status})
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid key with the scope decide")


async def _parsed(kind: type[_Message], message: bytes, context: Any) -> _Message:
    """Return a message, or end the call with INVALID_ARGUMENT: grpc itself says UNKNOWN, as for our faults."""
    try:
        request: _Message = kind.FromString(message)
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a {kind.__name__}")
        raise
    return request


async def serve_grpc(listen: Listen, desk: Desk, door: Door) -> None:
    """Serve until cancelled, then let questions under way finish for a second; TLS as ``listen`` says."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", _MOST_BODY), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((EnvoyService(desk, door),))
    address = f"[{listen.host}]:{listen.port}" if ":" in listen.host else f"{listen.host}:{listen.port}"
    if listen.certificate is not None and listen.private_key is not None:
        pair = (listen.private_key.read_bytes(), listen.certificate.read_bytes())
        server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(address)
    await server.start()
    log.info("listening", extra={"host": listen.host, "grpc_port": listen.port})
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(1.0)
