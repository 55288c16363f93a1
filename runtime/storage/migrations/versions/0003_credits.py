"""The ledger of credits: its entries are never changed, whoever asks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FORBIDDEN = "the ledger of credits is append-only"


def upgrade() -> None:
    # SQLite's NUMERIC would turn a decimal into a float.
    exact = sa.Numeric(21, 9).with_variant(sa.String(32), "sqlite")
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "credit_accounts",
        sa.Column("account", sa.String(200), primary_key=True),
        sa.Column("balance", exact, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
    )
    op.create_table(
        "credit_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("account", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("amount", exact, nullable=False),
        sa.Column("balance", exact, nullable=False),
        sa.Column("operation", sa.String(255), nullable=False, unique=True),
        sa.Column("reason", sa.String(500), nullable=True),
        sa.Column("reference", sa.String(500), nullable=True),
        sa.Column("created_at", moment, nullable=False),
    )
    op.create_index("credit_entries_account", "credit_entries", ["account", "id"])
    op.create_table(
        "credit_reservations",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("account", sa.String(200), nullable=False, index=True),
        sa.Column("amount", exact, nullable=False),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )
    _append_only()


def _append_only() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER credit_entries_{change.lower()} BEFORE {change} ON credit_entries "
                f"BEGIN SELECT RAISE(ABORT, '{FORBIDDEN}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION credit_entries_keep() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{FORBIDDEN}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER credit_entries_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_entries "
        "FOR EACH STATEMENT EXECUTE FUNCTION credit_entries_keep()"
    )


def downgrade() -> None:
    for table in ("credit_reservations", "credit_entries", "credit_accounts"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION credit_entries_keep()")
