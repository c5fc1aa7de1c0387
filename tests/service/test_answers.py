"""What a client is told: the rules of the web, the dialect that its SDK reads, and nothing about detection."""

from __future__ import annotations

import json

import pytest

from stillwatch.response.decide import Decision, Edits, LimitState
from stillwatch.service.answers import limit_headers, notice, refusal

LIMIT = LimitState(quota=600, window=60, remaining=0, reset=9)
REFUSED = [
    Decision(
        action="rate-limit", reason="abnormal-usage", retry_after=8.2, limit=LIMIT, campaign="SW-1", shadow="suspend"
    ),
    *(Decision(action=name, reason="abnormal-usage", campaign="SW-1") for name in ("step-up", "restrict", "suspend")),
    Decision(action="unavailable", degraded="stale"),
]
DIALECTS = [None, "openai", "anthropic"]


@pytest.mark.parametrize("decision", REFUSED, ids=lambda decision: decision.action)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_refusal_names_no_campaign_and_no_detector(decision: Decision, dialect: str | None) -> None:
    """Neither headers nor body say how it was noticed."""
    answer = refusal(decision, dialect, request_id="r-1")
    told = (json.dumps(answer.headers) + answer.body.decode()).lower()
    for word in ("sw-1", "campaign", "distil", "template", "cluster", "q_value", "shadow", "stale", "snapshot"):
        assert word not in told


def test_a_limit_is_told_as_the_standards_say() -> None:
    """Problem details of the registered type, Retry-After in whole seconds, RateLimit as structured fields."""
    answer = refusal(REFUSED[0], request_id="r-1")
    problem = json.loads(answer.body)
    assert answer.status == problem["status"] == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"
    assert problem["violated-policies"] == ["graduated"]
    assert problem["instance"] == "urn:request:r-1"
    assert answer.headers["retry-after"] == "9"
    assert answer.headers["ratelimit"] == '"graduated";r=0;t=9'
    assert answer.headers["ratelimit-policy"] == '"graduated";q=600;w=60'


@pytest.mark.parametrize("decision", REFUSED, ids=lambda decision: decision.action)
def test_openai_clients_read_their_own_error(decision: Decision) -> None:
    """An object "error" with message, type, param and code."""
    body = json.loads(refusal(decision, "openai").body)
    assert set(body["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("decision", REFUSED, ids=lambda decision: decision.action)
def test_anthropic_clients_read_their_own_error(decision: Decision) -> None:
    """Type "error", an error of a type that their SDK knows, the request's id."""
    body = json.loads(refusal(decision, "anthropic", request_id="r-1").body)
    assert body["type"] == "error"
    assert body["error"]["type"] in ("rate_limit_error", "permission_error", "overloaded_error")
    assert body["request_id"] == "r-1"


def test_an_answer_that_was_changed_says_so() -> None:
    """A cap is visible; with a signed policy that hides it, it is not; an untouched answer says nothing."""
    edits = Edits(max_tokens=256, logprobs=False, reasoning="summary")
    shown = notice(Decision(action="cap", reason="abnormal-usage", edits=edits, limit=LIMIT))
    assert shown["usage-notice"] == 'cap;reason="abnormal-usage";max-tokens=256;logprobs=?0;reasoning=summary'
    assert shown["ratelimit"] == limit_headers(LIMIT)["ratelimit"]
    assert notice(Decision(action="cap", edits=edits, visible=False)) == {}
    assert notice(Decision(action="tag", reason="abnormal-usage")) == {}
