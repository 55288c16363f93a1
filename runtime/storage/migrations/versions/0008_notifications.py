"""Notifications: what was sent to whom, inboxes, preferences, addresses and devices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("operation", sa.String(200), nullable=True, unique=True),
        sa.Column("print", sa.String(64), nullable=False),
        sa.Column("category", sa.String(63), nullable=False),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, index=True),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("expanded_at", MOMENT, nullable=True),
        sa.Column("recipients", sa.Integer, nullable=False),
    )
    op.create_table(
        "notification_deliveries",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("notification", sa.String(40), nullable=False),
        sa.Column("recipient", sa.String(330), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("channel", sa.String(63), nullable=False),
        sa.Column("address", sa.String(330), nullable=False),
        sa.Column("step", sa.String(60), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("provider", sa.String(63), nullable=True),
        sa.Column("provider_id", sa.String(255), nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("repeated", sa.Boolean, nullable=False),
        sa.Column("claim", sa.String(120), nullable=True),
        sa.Column("items", sa.Text, nullable=True),
        sa.Column("details", sa.Text, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("updated_at", MOMENT, nullable=False),
    )
    op.create_index("notification_deliveries_of", "notification_deliveries", ["notification", "id"])
    op.create_index("notification_deliveries_recipient", "notification_deliveries", ["recipient", "created_at"])
    op.create_index("notification_deliveries_provider", "notification_deliveries", ["provider_id"])
    op.create_index("notification_deliveries_waiting", "notification_deliveries", ["status", "due_at"])
    op.create_table(
        "notification_inbox",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("notification", sa.String(40), nullable=False),
        sa.Column("recipient", sa.String(330), nullable=False),
        sa.Column("category", sa.String(63), nullable=False),
        sa.Column("title", sa.String(128), nullable=False),
        sa.Column("text", sa.String(2048), nullable=False),
        sa.Column("link", sa.String(2000), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=True),
        sa.Column("read_at", MOMENT, nullable=True),
        sa.Column("archived_at", MOMENT, nullable=True),
        sa.UniqueConstraint("notification", "recipient"),
    )
    op.create_index("notification_inbox_of", "notification_inbox", ["recipient", "id"])
    op.create_index("notification_inbox_unread", "notification_inbox", ["recipient", "read_at", "archived_at"])
    op.create_table(
        "notification_preferences",
        sa.Column("recipient", sa.String(330), primary_key=True),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
    )
    op.create_table(
        "notification_counts",
        sa.Column("recipient", sa.String(330), primary_key=True),
        sa.Column("category", sa.String(63), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
    )
    op.create_table(
        "notification_addresses",
        sa.Column("kind", sa.String(10), primary_key=True),
        sa.Column("address", sa.String(330), primary_key=True),
        sa.Column("bounces", sa.Integer, nullable=False),
        sa.Column("complaints", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("suppressed_at", MOMENT, nullable=True),
        sa.Column("suppressed_until", MOMENT, nullable=True),
        sa.Column("updated_at", MOMENT, nullable=False),
    )
    op.create_table(
        "notification_push_subscriptions",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("user", sa.String(40), nullable=False, index=True),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("p256dh", sa.String(200), nullable=False),
        sa.Column("auth", sa.String(100), nullable=False),
        sa.Column("vapid_key", sa.String(64), nullable=False),
        sa.Column("device", sa.String(200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.Column("expires_at", MOMENT, nullable=True),
    )
    op.create_table(
        "notification_topics",
        sa.Column("topic", sa.String(200), primary_key=True),
        sa.Column("recipient", sa.String(330), primary_key=True),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "notification_windows",
        sa.Column("recipient", sa.String(330), primary_key=True),
        sa.Column("category", sa.String(63), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(40), nullable=False),
        sa.Column("closes_at", MOMENT, nullable=False),
    )
    op.create_table(
        "notification_digest_items",
        sa.Column("digest", sa.String(40), primary_key=True),
        sa.Column("notification", sa.String(40), primary_key=True),
    )
    op.create_table(
        "notification_keys",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.String(200), nullable=False),
    )


def downgrade() -> None:
    for table in (
        "notification_keys",
        "notification_digest_items",
        "notification_windows",
        "notification_topics",
        "notification_push_subscriptions",
        "notification_addresses",
        "notification_counts",
        "notification_preferences",
        "notification_inbox",
        "notification_deliveries",
        "notifications",
    ):
        op.drop_table(table)
