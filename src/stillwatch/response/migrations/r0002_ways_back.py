"""Appeals and verifications: the ways back for an account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = sa.String(200)


def upgrade() -> None:
    """Make the tables of appeals and verifications."""
    op.create_table(
        "appeals",
        sa.Column("appeal_id", _KEY, primary_key=True),
        sa.Column("account_id", _KEY, nullable=False, index=True),
        sa.Column("status", _KEY, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("answered_at", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
    )
    op.create_table(
        "verifications",
        sa.Column("verification_id", _KEY, primary_key=True),
        sa.Column("account_id", _KEY, nullable=False, index=True),
        sa.Column("kind", _KEY, nullable=False),
        sa.Column("succeeded", sa.Boolean, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
