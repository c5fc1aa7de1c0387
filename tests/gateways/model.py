"""A tiny model server that speaks OpenAI chat and Anthropic messages, plain and streamed; it remembers what it saw."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

WORDS = ("still", "waters", "run", "deep")


@dataclass
class Seen:
    """One request as it reached the model: path, headers (lower-case names) and decoded body."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Model:
    """The model as an ASGI application. ``stepwise`` streams wait for :meth:`step` before each word but the first."""

    seen: list[Seen] = field(default_factory=list)
    stepwise: bool = False
    gap_s: float = 0.15
    port: int = 0
    loop: asyncio.AbstractEventLoop | None = None
    permits: asyncio.Semaphore | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def step(self) -> None:
        """Let a stepwise stream send one more word; may be called from any thread."""
        assert self.loop is not None
        assert self.permits is not None
        self.loop.call_soon_threadsafe(self.permits.release)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        self.loop, self.permits = asyncio.get_running_loop(), self.permits or asyncio.Semaphore(0)
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = json.loads(raw) if raw else None
        self.seen.append(Seen(scope["path"], headers, body))
        dialect = "anthropic" if scope["path"].endswith("/messages") else "openai"
        if isinstance(body, dict) and body.get("stream"):
            await self._stream(send, dialect)
        else:
            await _whole(send, dialect, f"c-{time.monotonic_ns()}")

    async def _stream(self, send: Any, dialect: str) -> None:
        await _start(send, b"text/event-stream")
        for number, word in enumerate(WORDS):
            if number and self.stepwise:
                assert self.permits is not None
                await self.permits.acquire()
            elif number:
                await asyncio.sleep(self.gap_s)
            await send({"type": "http.response.body", "body": _event(dialect, word), "more_body": True})
        last = b"data: [DONE]\n\n" if dialect == "openai" else b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
        await send({"type": "http.response.body", "body": last})


def _event(dialect: str, word: str) -> bytes:
    if dialect == "openai":
        chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "large"}
        chunk["choices"] = [{"index": 0, "delta": {"content": word + " "}, "finish_reason": None}]  # type: ignore[assignment]
        return f"data: {json.dumps(chunk)}\n\n".encode()
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word + " "}}
    return f"event: content_block_delta\ndata: {json.dumps(delta)}\n\n".encode()


async def _whole(send: Any, dialect: str, name: str) -> None:
    text = " ".join(WORDS)
    if dialect == "openai":
        message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        answer: dict[str, Any] = {"id": name, "object": "chat.completion", "created": 1, "model": "large"}
        answer |= {"choices": [message], "usage": usage}
    else:
        answer = {"id": name, "type": "message", "role": "assistant", "model": "large", "stop_reason": "end_turn"}
        answer |= {"content": [{"type": "text", "text": text}], "usage": {"input_tokens": 3, "output_tokens": 4}}
    await _start(send, b"application/json")
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def _start(send: Any, kind: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """Serve an ASGI application from a thread on a port of its own; yields the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        started = threading.Event()
        server.startup = _announced(server.startup, started)  # type: ignore[method-assign]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert started.wait(30)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def _announced(startup: Any, started: threading.Event) -> Any:
    async def announce(sockets: Any = None) -> None:
        await startup(sockets=sockets)
        started.set()

    return announce


@contextmanager
def serving_model() -> Iterator[Model]:
    """Serve a model until the block ends."""
    model = Model()
    with serving(model) as port:
        model.port = port
        yield model
