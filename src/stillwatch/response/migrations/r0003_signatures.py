"""Signatures of approvals, by the approvers' own keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table of signatures: apart from the approvals, whose rows stay as the journal knows them."""
    op.create_table(
        "approval_signatures",
        sa.Column("approval_id", sa.String(200), primary_key=True),
        sa.Column("key_id", sa.String(200), nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
    )
