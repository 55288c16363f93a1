"""Phones of accounts; what an API key may spend, and what it has spent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # SQLite's NUMERIC would turn a decimal into a float.
    exact = sa.Numeric(21, 9).with_variant(sa.String(32), "sqlite")
    op.create_table(
        "user_phones",
        sa.Column("user", sa.String(40), primary_key=True),
        sa.Column("phone", sa.String(20), primary_key=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.add_column("api_keys", sa.Column("credits", exact, nullable=True))
    op.add_column("credit_reservations", sa.Column("spender", sa.String(200), nullable=True))
    op.create_table(
        "credit_spenders",
        sa.Column("spender", sa.String(200), primary_key=True),
        sa.Column("spent", exact, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("credit_spenders")
    with op.batch_alter_table("credit_reservations") as table:
        table.drop_column("spender")
    with op.batch_alter_table("api_keys") as table:
        table.drop_column("credits")
    op.drop_table("user_phones")
