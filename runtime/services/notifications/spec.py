"""The `notifications` section: channels, categories and what they look like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runtime.spec.fields import Breaker, Items, Live, Named, Ref, Section, section, setting
from runtime.spec.kinds import (
    ClockTime,
    Duration,
    EmailAddress,
    Form,
    Language,
    PathField,
    Port,
    Positive,
    Secret,
    StatePath,
    Switch,
    Text,
    Url,
)

ChannelName = Annotated[Text, Ref("notifications.channels")]


Contact = Annotated[
    str,
    Form(
        "Contact",
        "A mailto: or https: address.",
        pattern=r"^(mailto:[^@\s]+@[^@\s]+|https://\S+)$",
        refusal='not a contact: write "mailto:ops@example.com" or an https address',
        examples=["mailto:ops@example.com", "https://example.com/contact"],
    ),
]

Country = Annotated[
    str,
    Form(
        "Country",
        "The two letters of a country.",
        pattern=r"^[A-Z]{2}$",
        refusal='not a country: write its two letters, such as "AT"',
        examples=["AT", "US"],
    ),
]


class Channel(Section):
    """What every channel has."""

    fallback: Items[ChannelName] = setting(
        [], "Channels to try, in this order, when this one's provider is down.", example=["sms_backup"]
    )


class SmtpChannel(Channel):
    """E-mail by SMTP."""

    kind: Literal["smtp"] = setting(..., "E-mail by SMTP.", example="smtp")
    host: Text = setting(
        ...,
        "The mail server, or `embedded`: mails are caught in the state folder instead of sent.",
        example="smtp.example.com",
    )
    port: Port = setting(587, "The server's port.", example=465)
    from_: EmailAddress = setting(..., "Whom the mails come from.", example="Core <no-reply@example.com>")
    reply_to: EmailAddress | None = setting(None, "Where answers go.", example="support@example.com")
    username: Text | None = setting(None, "The account at the server.", example="core")
    password: Secret | None = setting(None, "The account's password.", example="${SMTP_PASSWORD}")
    tls: Literal["auto", "none", "starttls", "implicit"] = setting(
        "auto",
        "`auto` encrypts where the server offers it, `starttls` and `implicit` insist on it.",
        example="starttls",
    )
    connections: Positive = setting(
        2, "Connections that are kept open: so many mails are under way at once.", example=5
    )
    timeout: Duration = setting("30s", "How long the server may take to answer.", example="10s")
    callback_secret: Secret | None = setting(
        None,
        "The secret with which the provider signs reports of bounces and complaints.",
        example="${SMTP_CALLBACK_SECRET}",
    )


class VapidSpec(Section):
    """How the application server proves who it is to push services."""

    subject: Contact = setting(
        ..., "Whom a push service may reach: a mailto: or https: address.", example="mailto:ops@example.com"
    )
    private_key: StatePath | None = setting(
        None,
        "The private key's file, made at the first start; by default `keys/vapid.pem` in the state folder.",
        example=".runtime/keys/vapid.pem",
    )
    previous: Items[StatePath] = setting(
        [],
        "Files of keys that it has replaced: they go on signing for the subscriptions that were made with them.",
        example=[".runtime/keys/vapid-2025.pem"],
    )


class WebPushChannel(Channel):
    """Push messages to browsers."""

    kind: Literal["webpush"] = setting(..., "Push messages to browsers.", example="webpush")
    vapid: VapidSpec = setting(..., "How push services know us.", example={"subject": "mailto:ops@example.com"})
    ttl: Duration = setting("24h", "How long a push service keeps a message for a device that is off.", example="1h")
    timeout: Duration = setting("10s", "How long a push service may take to answer.", example="5s")
    private_endpoints: Switch = setting(
        False,
        "Whether subscriptions may name plain HTTP and addresses of the own network. Users choose them: leave it off "
        "where the push services are those of browsers.",
        example=True,
    )


class SmsChannel(Channel):
    """Text messages through an HTTP provider."""

    kind: Literal["http"] = setting(..., "Text messages through an HTTP provider.", example="http")
    region: Country | None = setting(None, "The country of numbers that are written without one.", example="AT")
    timeout: Duration = setting("10s", "How long the provider may take to answer.", example="5s")
    callback_secret: Secret | None = setting(
        None,
        "The secret with which the provider signs delivery reports; by default its token.",
        example="${SMS_CALLBACK_SECRET}",
    )


class TwilioChannel(SmsChannel):
    """Text messages through Twilio, or a provider that speaks as it does."""

    provider: Literal["twilio"] = setting(..., "Twilio.", example="twilio")
    account: Secret = setting(..., "The account's id.", example="${TWILIO_ACCOUNT}")
    token: Secret = setting(..., "The account's token.", example="${TWILIO_TOKEN}")
    from_: Text = setting(..., "The sender's number or name.", example="+15550100")
    base_url: Url = setting("https://api.twilio.com", "The provider's address.", example="https://sms.example.com")


class VonageChannel(SmsChannel):
    """Text messages through Vonage, or a provider that speaks as it does."""

    provider: Literal["vonage"] = setting(..., "Vonage.", example="vonage")
    account: Secret = setting(..., "The API key.", example="${VONAGE_KEY}")
    token: Secret = setting(..., "The API secret.", example="${VONAGE_SECRET}")
    from_: Text = setting(..., "The sender's number or name.", example="+15550100")
    base_url: Url = setting("https://rest.nexmo.com", "The provider's address.", example="https://sms.example.com")


class HttpSmsChannel(SmsChannel):
    """Text messages through any provider with an HTTP interface."""

    provider: Literal["http"] = setting(..., "Any provider with an HTTP interface.", example="http")
    url: Url = setting(..., "Where the request goes.", example="https://sms.example.com/send")
    method: Literal["POST", "PUT", "GET"] = setting("POST", "The request's method.", example="PUT")
    headers: dict[Text, Secret] = setting(
        {}, "The request's headers.", example={"Authorization": "Bearer ${SMS_TOKEN}"}
    )
    body: Text = setting(
        '{"to": {{ to | tojson }}, "from": {{ from | tojson }}, "text": {{ body | tojson }}}',
        "A template of the request's body; `to`, `from` and `body` are known to it.",
        example="to={{ to | urlencode }}&text={{ body | urlencode }}",
    )
    from_: Text | None = setting(None, "The sender's number or name.", example="+15550100")


class InAppChannel(Channel):
    """The inbox, and the live connection of a signed-in user."""

    kind: Literal["in_app"] = setting(..., "The inbox within the application.", example="in_app")


AnySms = Annotated[TwilioChannel | VonageChannel | HttpSmsChannel, Field(discriminator="provider")]
AnyChannel = Annotated[SmtpChannel | WebPushChannel | InAppChannel | AnySms, Field(discriminator="kind")]


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
