"""A model gateway in one page: Starlette passes requests on to MODEL_URL, Stillwatch's middleware stands before it.

Start: `uvicorn gateway:app` with MODEL_URL, STILLWATCH_URL and STILLWATCH_KEY_FILE in the environment.
In an application of your own the one line that matters is `app.add_middleware(Stillwatch)`, after your authentication
has put the account in the header x-account-id. vLLM: `vllm serve … --middleware stillwatch.service.asgi.Stillwatch`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from stillwatch.service.asgi import Stillwatch

_OF_THE_CONNECTION = {"host", "connection", "keep-alive", "transfer-encoding", "te", "upgrade", "date", "server"}


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Hold one pool of connections to the model server."""
    async with httpx.AsyncClient(base_url=os.environ["MODEL_URL"], timeout=600.0) as client:
        app.state.client = client
        yield


async def onward(request: Request) -> StreamingResponse:
    """Pass a request on, and its answer back as it comes."""
    client: httpx.AsyncClient = request.app.state.client
    headers = [(name, value) for name, value in request.headers.items() if name not in _OF_THE_CONNECTION]
    url = httpx.URL(path=request.url.path, query=request.url.query.encode())
    sent = client.build_request(request.method, url, headers=headers, content=await request.body())
    reply = await client.send(sent, stream=True)
    kept = {name: value for name, value in reply.headers.items() if name not in _OF_THE_CONNECTION}
    return StreamingResponse(reply.aiter_raw(), reply.status_code, kept, background=BackgroundTask(reply.aclose))


app = Starlette(routes=[Route("/{path:path}", onward, methods=["GET", "POST"])], lifespan=lifespan)
app.add_middleware(Stillwatch)
