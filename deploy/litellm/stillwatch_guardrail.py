"""Stillwatch in the LiteLLM proxy: a guardrail that asks about each request, and a callback that pushes the logs.

Put this file beside your LiteLLM configuration and name it there (`config.yaml` beside this file shows how). It needs
`pip install --no-deps stillwatch && pip install msgspec` in LiteLLM's environment, and the variables STILLWATCH_URL,
STILLWATCH_KEY_FILE, STILLWATCH_LOG_URL and STILLWATCH_LOG_KEY_FILE.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import msgspec
from fastapi import HTTPException
from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.integrations.custom_logger import CustomLogger

from stillwatch.response.decide import Decision, Request
from stillwatch.service.answers import notice, refusal
from stillwatch.service.check import LIMITS, is_count
from stillwatch.service.client import Client, settings_from
from stillwatch.service.edits import edit
from stillwatch.service.log_push import LogPush, push_from

ACCOUNT = ("user_id", "team_id", "org_id", "api_key")
"""Who is asked about: the first of these that a LiteLLM key has, as `stillwatch ingest` reads LiteLLM's logs."""

_TALK = ("messages", "input", "prompt", "contents")
_PATHS = {"anthropic_messages": "/v1/messages", "responses": "/v1/responses", "aresponses": "/v1/responses"}
_NOTE = "stillwatch_notice"


class StillwatchGuardrail(CustomGuardrail):
    """Asks before the call; refuses with the decision's status, or edits the request."""

    def __init__(self, **kwargs: Any) -> None:
        """Take LiteLLM's settings; ours come from the environment."""
        super().__init__(**kwargs)
        self._client = Client(settings_from(os.environ))

    async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: dict, call_type: str) -> dict:
        """Decide on a request; raises HTTPException with status and headers for a refused one."""
        decision = await self._client.decide(question(user_api_key_dict, data))
        if decision.refuses:
            raise refused(decision)
        if decision.delay_ms:
            await asyncio.sleep(decision.delay_ms / 1000)
        if decision.edits is not None:
            path = _PATHS.get(str(call_type), "/v1/chat/completions")
            after = edit(path, data, decision.edits)
            for name in set(data) - set(after):
                del data[name]
            data.update(after)
        data.setdefault("metadata", {})[_NOTE] = notice(decision)
        return data

    async def async_post_call_response_headers_hook(
        self,
        data: dict,
        user_api_key_dict: Any,
        response: Any,
        request_headers: Any = None,
        litellm_call_info: Any = None,
    ) -> dict[str, str]:
        """Tell the customer of limits and changes."""
        return dict((data.get("metadata") or {}).get(_NOTE) or {})


def question(key: Any, data: dict) -> Request:
    """Read a LiteLLM request as `POST /v1/decide` wants it."""
    limit = next((int(data[name]) for name in LIMITS if is_count(data.get(name))), None)
    return Request(
        account=next((value for name in ACCOUNT if (value := getattr(key, name, None))), None),
        key=getattr(key, "api_key", None),
        model=str(data.get("model") or ""),
        messages=said(data),
        max_tokens=limit,
        dialect="openai",
    )


def said(data: dict) -> msgspec.Raw | msgspec.UnsetType:
    """Return what the user says; nothing when JSON cannot carry it: measures for the whole account still hold."""
    talk = next((data[name] for name in _TALK if data.get(name) is not None), None)
    try:
        text = json.dumps(talk, default=str, allow_nan=False)
    except (ValueError, RecursionError):
        return msgspec.UNSET
    return msgspec.UNSET if talk is None else msgspec.Raw(text.encode())


def refused(decision: Decision) -> HTTPException:
    """Return the refusal as LiteLLM passes it on: status and headers; LiteLLM words the body in its own way."""
    told = refusal(decision, "openai")
    headers = {name: value for name, value in told.headers.items() if name != "content-type"}
    message = msgspec.json.decode(told.body)["error"]["message"]
    return HTTPException(told.status, message, headers)


class StillwatchLog(CustomLogger):
    """Pushes LiteLLM's standard log record of each call, answered or failed."""

    def __init__(self) -> None:
        """Connect when the first record comes."""
        super().__init__()
        self._push: LogPush | None = None

    async def async_log_success_event(self, kwargs: dict, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Take the record of an answered call."""
        self._put(kwargs)

    async def async_log_failure_event(self, kwargs: dict, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Take the record of a failed call."""
        self._put(kwargs)

    def _put(self, kwargs: dict) -> None:
        record = kwargs.get("standard_logging_object")
        if record is None:
            return
        if self._push is None:
            self._push = push_from(os.environ)
        self._push.put(record)


log = StillwatchLog()
