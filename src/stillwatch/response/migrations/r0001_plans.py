"""Plans, approvals, what is in force, and the journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.String(200)


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "plans",
        sa.Column("plan_id", _KEY, primary_key=True),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "approvals",
        sa.Column("approval_id", _KEY, primary_key=True),
        sa.Column("plan_id", _KEY, nullable=False, index=True),
        sa.Column("person", _KEY, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "applications",
        sa.Column("application_id", _KEY, primary_key=True),
        sa.Column("plan_id", _KEY, nullable=False, index=True),
        sa.Column("part", _KEY, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    _standings()
    _journal()


def _standings() -> None:
    op.create_table(
        "standings",
        sa.Column("standing_id", sa.String(600), primary_key=True),
        sa.Column("plan_id", _KEY, nullable=False, index=True),
        sa.Column("campaign_id", _KEY, nullable=False, index=True),
        sa.Column("account_id", _KEY, nullable=False, index=True),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_by", _KEY),
        sa.Column("body", sa.Text, nullable=False),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", _KEY, nullable=False),
        sa.Column("action", _KEY, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("subject", sa.String(700), nullable=False, index=True),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
