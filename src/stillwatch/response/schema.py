"""The tables of the response state; times are microseconds since 1970 UTC, bodies are canonical JSON."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

_key = sa.String(200)

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("plan_id", _key, primary_key=True),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("approval_id", _key, primary_key=True),
    sa.Column("plan_id", _key, nullable=False, index=True),
    sa.Column("person", _key, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
signatures = sa.Table(
    "approval_signatures",
    metadata,
    sa.Column("approval_id", _key, primary_key=True),
    sa.Column("key_id", _key, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
)
applications = sa.Table(
    "applications",
    metadata,
    sa.Column("application_id", _key, primary_key=True),
    sa.Column("plan_id", _key, nullable=False, index=True),
    sa.Column("part", _key, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
standings = sa.Table(
    "standings",
    metadata,
    sa.Column("standing_id", sa.String(600), primary_key=True),
    sa.Column("plan_id", _key, nullable=False, index=True),
    sa.Column("campaign_id", _key, nullable=False, index=True),
    sa.Column("account_id", _key, nullable=False, index=True),
    sa.Column("starts_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("ended_by", _key),
    sa.Column("body", sa.Text, nullable=False),
)
appeals = sa.Table(
    "appeals",
    metadata,
    sa.Column("appeal_id", _key, primary_key=True),
    sa.Column("account_id", _key, nullable=False, index=True),
    sa.Column("status", _key, nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("answered_at", sa.BigInteger),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("answer", sa.Text),
)
verifications = sa.Table(
    "verifications",
    metadata,
    sa.Column("verification_id", _key, primary_key=True),
    sa.Column("account_id", _key, nullable=False, index=True),
    sa.Column("kind", _key, nullable=False),
    sa.Column("succeeded", sa.Boolean, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)
journal = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("who", _key, nullable=False),
    sa.Column("action", _key, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("subject", sa.String(700), nullable=False, index=True),
    sa.Column("before", sa.Text),
    sa.Column("after", sa.Text),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

JOURNALED = (plans, approvals, signatures, applications, standings, appeals, verifications)
"""Every table whose rows the journal accounts for."""
