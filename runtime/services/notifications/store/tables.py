"""The tables of notifications; the migration says their keys and indices."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, String, Table, Text

metadata = MetaData()

MOMENT = DateTime(timezone=True)

notifications = Table(
    "notifications",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("operation", String(200)),
    Column("print", String(64), nullable=False),
    Column("category", String(63), nullable=False),
    Column("audience", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("due_at", MOMENT),
    Column("expanded_at", MOMENT),
    Column("recipients", Integer, nullable=False),
)
"""What somebody asked to be told to whom. `operation` names it, so that it is told once."""

deliveries = Table(
    "notification_deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("notification", String(40), nullable=False),
    Column("recipient", String(330), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("channel", String(63), nullable=False),
    Column("address", String(330), nullable=False),
    Column("step", String(60), nullable=False),
    Column("status", String(12), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("provider", String(63)),
    Column("provider_id", String(255)),
    Column("attempts", Integer, nullable=False),
    Column("repeated", Boolean, nullable=False),
    Column("claim", String(120)),
    Column("items", Text),
    Column("details", Text),
    Column("created_at", MOMENT, nullable=False),
    Column("due_at", MOMENT),
    Column("sent_at", MOMENT),
    Column("updated_at", MOMENT, nullable=False),
)
"""One row for each recipient, address and step. The id is a digest of these, so that a repeated expansion adds none.

`step` is `""` for the first message, `escalation`, `reminder-2` or `digest-<id>`. `claim` is the job that has it in
hand. `items` are the notifications that a digest gathers.
"""

inbox = Table(
    "notification_inbox",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("notification", String(40), nullable=False),
    Column("recipient", String(330), nullable=False),
    Column("category", String(63), nullable=False),
    Column("title", String(128), nullable=False),
    Column("text", String(2048), nullable=False),
    Column("link", String(2000)),
    Column("created_at", MOMENT, nullable=False),
    Column("seen_at", MOMENT),
    Column("read_at", MOMENT),
    Column("archived_at", MOMENT),
)
"""What each user finds in the application. Ids are in the order of time."""

preferences = Table(
    "notification_preferences",
    metadata,
    Column("recipient", String(330), primary_key=True),
    Column("settings", Text, nullable=False),
    Column("updated_at", MOMENT, nullable=False),
)

counts = Table(
    "notification_counts",
    metadata,
    Column("recipient", String(330), primary_key=True),
    Column("category", String(63), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("count", Integer, nullable=False),
)
"""How many disturbed a recipient on a day of the recipient's own calendar."""

addresses = Table(
    "notification_addresses",
    metadata,
    Column("kind", String(10), primary_key=True),
    Column("address", String(330), primary_key=True),
    Column("bounces", Integer, nullable=False),
    Column("complaints", Integer, nullable=False),
    Column("reason", String(500), nullable=False),
    Column("suppressed_at", MOMENT),
    Column("suppressed_until", MOMENT),
    Column("updated_at", MOMENT, nullable=False),
)
"""What is known against an address. It gets nothing from `suppressed_at` on, until `suppressed_until` where that is."""

push_subscriptions = Table(
    "notification_push_subscriptions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("user", String(40), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("p256dh", String(200), nullable=False),
    Column("auth", String(100), nullable=False),
    Column("vapid_key", String(64), nullable=False),
    Column("device", String(200), nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("used_at", MOMENT),
    Column("expires_at", MOMENT),
)
"""Browsers that take push messages. The id is a digest of the endpoint."""

topics = Table(
    "notification_topics",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("recipient", String(330), primary_key=True),
    Column("created_at", MOMENT, nullable=False),
)
"""Who is told of a topic: an object, a team, a list that an operator keeps."""

windows = Table(
    "notification_windows",
    metadata,
    Column("recipient", String(330), primary_key=True),
    Column("category", String(63), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("digest", String(40), nullable=False),
    Column("closes_at", MOMENT, nullable=False),
)
"""The digest that gathers now."""

digest_items = Table(
    "notification_digest_items",
    metadata,
    Column("digest", String(40), primary_key=True),
    Column("notification", String(40), primary_key=True),
)

keys = Table(
    "notification_keys",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", String(200), nullable=False),
)
"""Secrets that all instances share: what unsubscribe links are signed with."""
