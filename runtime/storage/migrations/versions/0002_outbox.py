"""What is to be delivered after a commit, and which events have been handled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("name", sa.String(40), nullable=False, unique=True),
        sa.Column("lane", sa.String(200), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("dead", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("outbox_lanes", "outbox", ["dead", "lane", "id"])
    op.create_table(
        "inbox",
        sa.Column("subscription", sa.String(200), primary_key=True),
        sa.Column("event", sa.String(255), primary_key=True),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=False, index=True),
    )


def downgrade() -> None:
    op.drop_table("inbox")
    op.drop_table("outbox")
