"""What models were asked, what it did cost, and what budgets have left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ai_attempts",
        sa.Column("call", sa.String(40), primary_key=True),
        sa.Column("operation", sa.String(20), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("user", sa.String(200), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("chain", sa.String(63), nullable=True),
        sa.Column("provider", sa.String(63), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("input", sa.BigInteger, nullable=False),
        sa.Column("cached_input", sa.BigInteger, nullable=False),
        sa.Column("cache_write", sa.BigInteger, nullable=False),
        sa.Column("output", sa.BigInteger, nullable=False),
        sa.Column("reasoning", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("charged", sa.BigInteger, nullable=False),
        sa.Column("price", sa.String(60), nullable=False),
        sa.Column("entry", sa.String(60), nullable=True),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("duration", sa.BigInteger, nullable=False),
    )
    op.create_index("ai_attempts_day", "ai_attempts", ["day"])
    op.create_index("ai_attempts_user", "ai_attempts", ["user", "day"])
    op.create_index("ai_attempts_key", "ai_attempts", ["key", "day"])
    op.create_table(
        "ai_budgets",
        sa.Column("budget", sa.String(63), primary_key=True),
        sa.Column("holder", sa.String(200), primary_key=True),
        sa.Column("begins", sa.BigInteger, primary_key=True),
        sa.Column("ends", sa.BigInteger, nullable=False, index=True),
        sa.Column("spent", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "ai_budget_holds",
        sa.Column("instance", sa.String(60), primary_key=True),
        sa.Column("budget", sa.String(63), primary_key=True),
        sa.Column("holder", sa.String(200), primary_key=True),
        sa.Column("begins", sa.BigInteger, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, index=True),
    )
    op.create_index("ai_budget_holds_budget", "ai_budget_holds", ["budget", "holder", "begins"])


def downgrade() -> None:
    for table in ("ai_budget_holds", "ai_budgets", "ai_attempts"):
        op.drop_table(table)
