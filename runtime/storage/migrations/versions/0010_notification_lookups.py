"""Notifications: indices for all that is looked up by something else than its key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UNTOLD = sa.text("expanded_at IS NULL")


def upgrade() -> None:
    op.create_index("notification_topics_recipient", "notification_topics", ["recipient"])
    op.create_index("notification_windows_digest", "notification_windows", ["digest"])
    op.create_index("notification_windows_closing", "notification_windows", ["closes_at"])
    op.create_index("notification_inbox_archived", "notification_inbox", ["recipient", "archived_at"])
    op.create_index("notification_counts_day", "notification_counts", ["day"])
    op.create_index(
        "notifications_untold",
        "notifications",
        [sa.text("coalesce(due_at, created_at)")],
        sqlite_where=UNTOLD,
        postgresql_where=UNTOLD,
    )
    # Each page of an audience asks which of its recipients have their rows: by the notification alone, all rows before.
    op.drop_index("notification_deliveries_recipient", "notification_deliveries")
    op.create_index("notification_deliveries_reached", "notification_deliveries", ["recipient", "notification"])


def downgrade() -> None:
    op.drop_index("notification_deliveries_reached", "notification_deliveries")
    op.create_index("notification_deliveries_recipient", "notification_deliveries", ["recipient", "created_at"])
    for index, table in (
        ("notifications_untold", "notifications"),
        ("notification_counts_day", "notification_counts"),
        ("notification_inbox_archived", "notification_inbox"),
        ("notification_windows_closing", "notification_windows"),
        ("notification_windows_digest", "notification_windows"),
        ("notification_topics_recipient", "notification_topics"),
    ):
        op.drop_index(index, table)
