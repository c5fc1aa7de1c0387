"""What is in force for an account: the record that plans make, the state keeps and gateways obey."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from stillwatch.response.ladder import Rung


class Scope(msgspec.Struct, frozen=True):
    """Which part of an account's traffic a standing touches: the campaign's component of it.

    A request is inside when the account is touched as a whole, or when its template is one of ``templates``; an empty
    ``templates`` with ``models`` touches those models. A request whose template is not known is outside, so that
    doubt favours the customer.

    >>> mixed = Scope(templates=(17,), models=("large",))
    >>> mixed.covers("large", 17), mixed.covers("large", 4), mixed.covers("large", None), mixed.covers("small", 17)
    (True, False, False, False)
    >>> Scope(whole_account=True).covers("any", None), Scope().covers("any", 17)
    (True, False)
    """

    templates: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    whole_account: bool = False

    def covers(self, model: str, template_id: int | None) -> bool:
        """Say whether a request of a model (with its template, when known) is inside."""
        if self.models and model not in self.models:
            return False
        if self.whole_account:
            return True
        return template_id in self.templates if self.templates else bool(self.models)


class Limit(msgspec.Struct, frozen=True):
    """A token bucket: ``bucket`` names it (the campaign id: one bucket over all its accounts), tokens a minute."""

    bucket: str
    tokens_per_minute: float
    burst: float


class Cap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is held back from an answer that is still given; the customer is told of it."""

    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    no_logprobs: bool = False
    summarised_reasoning: bool = False


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One measure in force for one account, from ``starts_at`` (inclusive) to ``expires_at`` (exclusive), both UTC.

    ``shadow`` measures are counted and never felt. ``visible`` says that the customer is told (header, problem
    details); only a signed policy may say no. ``delay_ms`` is the least and the most of a random delay.
    ``reason_code`` is public vocabulary and never names a detector.

    >>> from datetime import UTC, timedelta
    >>> noon = datetime(2026, 9, 1, 12, tzinfo=UTC)
    >>> standing = Standing(account_id="a", campaign_id="SW-1", plan_id="P-1", rung=Rung.TAG,
    ...     scope=Scope(whole_account=True), starts_at=noon, expires_at=noon + timedelta(days=1))
    >>> standing.is_active(noon), standing.is_active(noon + timedelta(days=1))
    (True, False)
    """

    account_id: str
    campaign_id: str
    plan_id: str
    rung: Rung
    scope: Scope
    starts_at: datetime
    expires_at: datetime
    limit: Limit | None = None
    cap: Cap | None = None
    delay_ms: tuple[int, int] | None = None
    reason_code: str = "abnormal-usage"
    visible: bool = True
    shadow: bool = True

    def is_active(self, now: datetime) -> bool:
        """Say whether the measure is in force at ``now`` (a time with a zone)."""
        return self.starts_at <= now < self.expires_at
