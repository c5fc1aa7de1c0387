"""Requests as a client of a model sends them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping

import httpx

from stillwatch.service.conformance import Check

from .model import Model


def chat(
    url: str, account: str, prompt: str = "What is rain?", *, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """Ask for an answer of up to 4,000 tokens with logprobs, as an account."""
    talk = [{"role": "user", "content": prompt}]
    body = {"model": "large", "messages": talk, "max_tokens": 4000, "logprobs": True}
    sent = {"x-account-id": account, **(headers or {})}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=sent, timeout=30)


def read_in_step(url: str, account: str, model: Model, *, headers: Mapping[str, str] | None = None) -> list[str]:
    """Read a stream whose next word is sent only after the one before arrived; whoever buffers makes it stop."""
    model.stepwise = True
    body = {"model": "large", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "max_tokens": 20}
    words = []
    sent = {"x-account-id": account, **(headers or {})}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, headers=sent, timeout=30) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        for line in reply.iter_lines():
            if not line.startswith("data: {"):
                continue
            content = json.loads(line.removeprefix("data: "))["choices"][0]["delta"].get("content")
            if content:
                words.append(content.strip())
                model.step()
    return words


def obeys(url: str, within_s: float = 15.0) -> bool:
    """Say whether a gateway gets to refuse the suspended account and answer an innocent one within some seconds."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if chat(url, "suspended").status_code == 403 and chat(url, "innocent").status_code == 200:
            return True
        time.sleep(0.1)
    return False


def failed(checks: Iterable[Check]) -> list[Check]:
    """Return the checks that do not hold, those that could not be made included."""
    return [check for check in checks if check.outcome in ("failed", "skipped")]
