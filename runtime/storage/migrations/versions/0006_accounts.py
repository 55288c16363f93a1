"""Accounts, their sessions, and single-use codes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "users",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("email", sa.String(320), nullable=False, unique=True),
        sa.Column("verified_at", moment, nullable=True),
        sa.Column("password", sa.String(300), nullable=True),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("name", sa.String(200), nullable=True),
        sa.Column("time_zone", sa.String(64), nullable=True),
        sa.Column("languages", sa.String(400), nullable=False),
        sa.Column("created_at", moment, nullable=False),
    )
    op.create_table(
        "user_emails",
        sa.Column("user", sa.String(40), primary_key=True),
        sa.Column("email", sa.String(320), primary_key=True),
        sa.Column("verified_at", moment, nullable=True),
    )
    op.create_table(
        "user_devices",
        sa.Column("user", sa.String(40), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("used_at", moment, nullable=False),
    )
    op.create_table(
        "auth_sessions",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("current", sa.String(40), nullable=False),
        sa.Column("csrf", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(400), nullable=False),
        sa.Column("first_address", sa.String(100), nullable=False),
        sa.Column("last_address", sa.String(100), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("used_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )
    op.create_table(
        "auth_session_users",
        sa.Column("session", sa.String(40), primary_key=True),
        sa.Column("user", sa.String(40), primary_key=True, index=True),
        sa.Column("added_at", moment, nullable=False),
    )
    op.create_table(
        "auth_refresh_tokens",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("session", sa.String(40), nullable=False, index=True),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("replaced_at", moment, nullable=True),
        sa.Column("child", sa.String(64), nullable=True),
        sa.Column("salt", sa.String(64), nullable=True),
    )
    op.create_table(
        "auth_codes",
        sa.Column("purpose", sa.String(20), primary_key=True),
        sa.Column("subject", sa.String(320), primary_key=True),
        sa.Column("user", sa.String(40), nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("data", sa.Text, nullable=True),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("expires_at", moment, nullable=False, index=True),
    )


def downgrade() -> None:
    for table in (
        "auth_codes",
        "auth_refresh_tokens",
        "auth_session_users",
        "auth_sessions",
        "user_devices",
        "user_emails",
        "users",
    ):
        op.drop_table(table)
