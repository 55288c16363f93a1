"""The channels of the `notifications` section: one section for each kind, and of text messages for each provider."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runtime.spec.fields import Items, Keyed, Ref, Section, section, setting
from runtime.spec.kinds import (
    Duration,
    EmailAddress,
    Form,
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


class SmsSection(Channel):
    """Text messages."""

    kind: Literal["http"] = setting(..., "Text messages.", example="http")
    from_: Text | None = setting(None, "The sender's number or name.", example="+15550100")
    region: Country | None = setting(None, "The country of numbers that are written without one.", example="AT")
    max_segments: Positive = setting(
        6,
        "How many segments of 160 characters (70 with characters that GSM does not have) a message may take: "
        "each is paid for.",
        example=2,
    )


class EmbeddedSmsChannel(SmsSection):
    """Text messages that are caught in the state folder instead of sent."""

    provider: Literal["embedded"] = setting(
        ..., "Caught in the state folder: `runtime notify texts`.", example="embedded"
    )


class SmsProviderChannel(SmsSection):
    """What every provider of text messages has."""

    timeout: Duration = setting("10s", "How long the provider may take to answer.", example="5s")
    callback_secret: Secret | None = setting(
        None,
        "What the provider signs its reports and the answers of recipients with.",
        example="${SMS_CALLBACK_SECRET}",
    )
    stop_words: Items[Text] = setting(
        [], "Answers that end the messages to a number, besides STOP, UNSUBSCRIBE and the like.", example=["ARRET"]
    )


class TwilioChannel(SmsProviderChannel):
    """Text messages through Twilio, or a provider that speaks as it does."""

    provider: Literal["twilio"] = setting(..., "Twilio.", example="twilio")
    account: Secret = setting(..., "The account's id.", example="${TWILIO_ACCOUNT}")
    token: Secret = setting(..., "The account's token, or the secret of `api_key`.", example="${TWILIO_TOKEN}")
    api_key: Text | None = setting(
        None,
        "The id of an API key to sign in with; reports are signed with the account's own token, which is "
        "`callback_secret` then.",
        example="SK0123456789abcdef0123456789abcdef",
    )
    from_: Text = setting(
        ..., "The sender's number or name, or the id of a messaging service (`MG…`).", example="+15550100"
    )
    base_url: Url = setting("https://api.twilio.com", "The provider's address.", example="https://sms.example.com")


class VonageChannel(SmsProviderChannel):
    """Text messages through Vonage's Messages API, or a provider that speaks as it does."""

    provider: Literal["vonage"] = setting(..., "Vonage.", example="vonage")
    key: Secret = setting(..., "The account's API key.", example="${VONAGE_KEY}")
    secret: Secret = setting(..., "The account's API secret.", example="${VONAGE_SECRET}")
    from_: Text = setting(..., "The sender's number or name.", example="+15550100")
    base_url: Url = setting("https://api.nexmo.com", "The provider's address.", example="https://sms.example.com")


AnswerStatus = Annotated[
    str,
    Form(
        "AnswerStatus",
        "An HTTP status, or all of a hundred.",
        pattern=r"^[1-5]([0-9][0-9]|xx)$",
        refusal='not an HTTP status: write "202" or "5xx"',
        examples=["202", "5xx"],
    ),
]

AnswerMeaning = Literal["accepted", "temporary", "permanent", "stopped", "refused", "failed"]


class AnswersSpec(Section):
    """What the answers of a provider mean."""

    statuses: Keyed[AnswerStatus, AnswerMeaning] = setting(
        {},
        "The meaning of HTTP statuses: `accepted`; `temporary`, to be tried again; `permanent`, this number never "
        "takes messages; `stopped`, it wants none; `refused`, the provider refuses us; `failed`, it refuses this "
        "message. Without a word here 2xx is accepted, 408, 429 and 5xx temporary, 401 to 405 refused, and anything "
        "else failed.",
        example={"404": "permanent"},
    )
    code: Text | None = setting(
        None,
        "Where the JSON answer has a code that tells more than the status: keys and places, joined by dots.",
        example="messages.0.status",
    )
    codes: Keyed[Text, AnswerMeaning] = setting(
        {}, "The meaning of codes; it goes before that of the status.", example={"0": "accepted", "1": "temporary"}
    )
    id: Text | None = setting(
        None, "Where the JSON answer has the message's id, which reports name.", example="messages.0.message-id"
    )
    reason: Text | None = setting(
        None, "Where the JSON answer says in words what is wrong.", example="messages.0.error-text"
    )


class GenericSmsChannel(SmsProviderChannel):
    """Text messages through any provider with an HTTP interface."""

    provider: Literal["generic"] = setting(..., "Any provider with an HTTP interface.", example="generic")
    url: Url = setting(..., "Where the request goes.", example="https://sms.example.com/send")
    method: Literal["POST", "PUT", "GET"] = setting("POST", "The request's method.", example="PUT")
    headers: dict[Text, Secret] = setting(
        {}, "The request's headers.", example={"Authorization": "Bearer ${SMS_TOKEN}"}
    )
    body: Text = setting(
        '{"to": {{ to | tojson }}, "from": {{ from | tojson }}, "text": {{ text | tojson }}, "id": {{ id | tojson }}}',
        "A template of the request's body, of GET that of its query; known to it are `to`, `from`, `text`, `id`, which "
        "is the same at every try, and `callback_url`, where reports go.",
        example="to={{ to | urlencode }}&text={{ text | urlencode }}",
    )
    content_type: Text = setting("application/json", "What the body is.", example="application/x-www-form-urlencoded")
    answers: AnswersSpec = section("What its answers mean.")


class InAppChannel(Channel):
    """The inbox, and the live connection of a signed-in user."""

    kind: Literal["in_app"] = setting(..., "The inbox within the application.", example="in_app")


AnySms = Annotated[
    TwilioChannel | VonageChannel | GenericSmsChannel | EmbeddedSmsChannel, Field(discriminator="provider")
]
AnyChannel = Annotated[SmtpChannel | WebPushChannel | InAppChannel | AnySms, Field(discriminator="kind")]
