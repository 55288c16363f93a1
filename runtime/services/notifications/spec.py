"""The `notifications` section: channels, categories and what they look like."""

from __future__ import annotations

from typing import Literal

from runtime.services.notifications.channels.spec import AnyChannel, ChannelName
from runtime.spec.fields import Breaker, Items, Live, Named, Section, section, setting
from runtime.spec.kinds import ClockTime, Duration, Language, PathField, Positive, Switch, Text, Url


class EscalationSpec(Section):
    """What happens to a notification that nobody reads."""

    after: Duration = setting(..., "How long it may stay unread.", example="10m")
    channels: Items[ChannelName] = setting(..., "Where it goes then.", example=["email"])


class DigestSpec(Section):
    """Several notifications gathered into one."""

    window: Duration = setting(..., "How long they are gathered.", example="1h")
    key: Text | None = setting(
        None,
        "A template; notifications for which it gives the same text are gathered together.",
        example="{{ project.id }}",
    )


class CategorySpec(Section):
    """A kind of notification: where it goes and what it looks like."""

    channels: Live[Items[ChannelName]] = setting(
        ..., "Where it goes, as far as the user wants it there.", example=["in_app", "email"]
    )
    template: Live[PathField] = setting(..., "The folder with its texts.", example="templates/run-complete")
    description: Live[Text | None] = setting(
        None, "What users see of it in their settings.", example="A run has ended."
    )
    mandatory: Live[Switch] = setting(False, "Whether users cannot switch it off.", example=True)
    default: Live[Literal["in", "out"]] = setting("in", "Whether users get it before they have chosen.", example="out")
    mode: Live[Literal["default", "forced", "prefer_socket"]] = setting(
        "default",
        "`default` sends push and e-mail only to users without an open connection, `forced` always, "
        "`prefer_socket` only "
        "where the connection did not take it.",
        example="forced",
    )
    daily_limit: Live[Positive | None] = setting(
        None, "How many a user gets in a day; further ones are in the inbox only.", example=20
    )
    urgency: Live[Literal["low", "normal", "high"]] = setting(
        "normal", "How much it may disturb; `high` passes quiet hours.", example="high"
    )
    escalation: Live[EscalationSpec | None] = setting(
        None, "What happens when it stays unread.", example={"after": "10m", "channels": ["email"]}
    )
    digest: Live[DigestSpec | None] = setting(None, "Gathers several into one.", example={"window": "1h"})
    reminders: Live[Items[Duration]] = setting([], "When it is sent again while it is unread.", example=["1d", "3d"])


class QuietHoursSpec(Section):
    """Hours in the user's time zone in which only what is urgent disturbs."""

    start: ClockTime = setting(..., "When they begin.", example="22:00")
    end: ClockTime = setting(..., "When they end.", example="07:00")


class SuppressionSpec(Section):
    """When an address gets nothing more."""

    bounces: Positive = setting(1, "After so many permanent failures.", example=3)
    complaints: Positive = setting(1, "After so many complaints.", example=1)
    ttl: Duration | None = setting(None, "For how long; without it, for good.", example="365d")


class NotificationsSpec(Section):
    """How people are told of what happens."""

    languages: Live[Items[Language]] = setting(
        ["en"], "Languages of the templates; the first is the default.", example=["en", "fr"]
    )
    channels: Named[AnyChannel] = section("Channels by name.")
    categories: Live[Named[CategorySpec]] = section("Kinds of notifications by name.")
    settings_url: Live[Url | None] = setting(
        None, "The page on which users change their settings; mails link to it.", example="https://app.example.com/me"
    )
    retention: Live[Duration] = setting(
        "90d", "How long notifications and their receipts are kept; inboxes stay.", example="30d"
    )
    quiet_hours: Live[QuietHoursSpec | None] = setting(
        None, "Quiet hours of users who have set none.", example={"start": "22:00", "end": "07:00"}
    )
    suppression: Live[SuppressionSpec] = section("When an address gets nothing more.")
    breaker: Live[Breaker] = section("When a channel's provider is left alone for a while.")
