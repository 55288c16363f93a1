"""Notifications and their channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runtime.assembly.site import Made, Site
from runtime.outline import DELIVERING, INBOX, channel_for
from runtime.outline import channels as channels_of
from runtime.services.auth.people import UserDirectory
from runtime.services.notifications.adapters.sms_gateway import SmsGateway
from runtime.services.notifications.adapters.smtp import SmtpSender
from runtime.services.notifications.adapters.webpush import WebPush
from runtime.services.notifications.channels.mail import MailChannel
from runtime.services.notifications.channels.port import KINDS, Channel, Kind
from runtime.services.notifications.channels.push import PushChannel
from runtime.services.notifications.channels.sms import SmsChannel
from runtime.services.notifications.channels.spec import (
    GenericSmsChannel,
    SmsSection,
    SmtpChannel,
    TwilioChannel,
    VonageChannel,
    WebPushChannel,
)
from runtime.services.notifications.mailbox import Mailbox
from runtime.services.notifications.service import NotificationService
from runtime.services.notifications.spec import NotificationsSpec
from runtime.services.notifications.textbox import Textbox
from runtime.spec.fields import live_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.kernel.component import Ports, Service

SMS_SECRETS: Final = frozenset({"account", "token", "key", "secret", "callback_secret", "headers"})
"""Of the sections of text messages, what changes without a restart."""


def component(site: Site, name: str) -> Made:
    """A channel or its mailbox, or the service itself."""
    return _channel(site, name) if name else _notifications(site)


def _notifications(site: Site) -> Made:
    spec = site.spec.notifications
    assert spec is not None  # noqa: S101 - the outline has seen it
    delivering = {INBOX: "in_app", **DELIVERING}
    found = {KINDS[kind]: site.queue_of(handler) for handler, kind in delivering.items()}
    declared = {KINDS[channel.kind] for channel in spec.channels.values()} | {"in_app"}
    queues = {kind: queue for kind, queue in found.items() if queue is not None and kind in declared}
    retries = {kind: site.spec.queues[queue].retry for kind, queue in queues.items()}

    def make(ports: Ports) -> Service:
        channels: dict[str, Channel] = {}
        for name, channel in spec.channels.items():
            if isinstance(channel, SmtpChannel):
                channels[name] = MailChannel(ports[f"notifications.{name}"])
            elif isinstance(channel, WebPushChannel):
                channels[name] = PushChannel(ports[f"notifications.{name}"])
            elif isinstance(channel, SmsSection):
                channels[name] = SmsChannel(channel, ports[f"notifications.{name}"])
        outbox, events = ports["outbox"], ports["events"]
        return NotificationService(
            spec,
            ports["storage.database"],
            outbox,
            outbox,
            ports["storage.redis"].client,
            events.platform,
            UserDirectory(ports["storage.database"]) if site.spec.auth is not None else None,
            channels=channels,
            queues=queues,
            retries=retries,
            root=site.loaded.root,
            name=site.spec.name,
            prefix=site.prefix,
            public_url=site.public_url,
            push_keys=ports[pushing] if (pushing := channel_for("notifications.push", site.data)) else None,
            metrics=site.metrics,
        )

    section = site.data["notifications"]
    live = live_fields(NotificationsSpec)
    fields = {name: value for name, value in section.items() if name in live}
    fixed = {name: value for name, value in section.items() if name not in live and name != "channels"}
    return Made("Notifications", make, fields | fixed | _from_elsewhere(site, queues), live)


def _from_elsewhere(site: Site, queues: Mapping[Kind, str]) -> dict[str, Any]:
    """What it is made of beside its own section."""
    return {
        "channels": {name: channel["kind"] for name, channel in channels_of(site.data).items()},
        "queues": queues,
        "retry": {kind: site.data["queues"][queue]["retry"] for kind, queue in queues.items()},
        "accounts": site.spec.auth is not None,
        "public_url": site.public_url,
    }


def _channel(site: Site, name: str) -> Made:
    channel_name, _, part = name.partition(".")
    assert site.spec.notifications is not None  # noqa: S101 - the outline has seen it
    channel = site.spec.notifications.channels[channel_name]
    fields = site.data["notifications"]["channels"][channel_name]
    if isinstance(channel, WebPushChannel):
        return Made("Web push", lambda _: _web_push(site, channel), fields)
    if isinstance(channel, SmsSection):
        return _sms(site, channel_name, channel, fields)
    if not isinstance(channel, SmtpChannel):
        return site.absent(f"notifications.{name}", f'the channel "{channel_name}" ({channel.kind})', {})
    if part == "mailbox":
        port = 0 if site.part.beside_others else channel.port
        # No more than its port: two of them cannot listen on one, so it stays while the rest of the channel changes.
        return Made("Development mailbox", lambda _: Mailbox(site.state.mail, port), {"port": port})

    def make(ports: Ports) -> Service:
        box = ports.get(f"notifications.{channel_name}.mailbox")
        return SmtpSender(channel, box)

    live = site.live_secrets("notifications", "channels", channel_name)
    return Made("E-mail", make, fields, frozenset({"username", "password"} if live else ()))


def _sms(site: Site, name: str, channel: SmsSection, fields: Mapping[str, Any]) -> Made:
    public = site.spec.api.public_url  # no other address is one that a provider reaches
    callback_url = f"{public.rstrip('/')}/v1/notifications/callbacks/{name}" if public else None

    live = SMS_SECRETS & frozenset(fields) if site.live_secrets("notifications", "channels", name) else frozenset()
    return Made("Text messages", lambda _: _carrier(site, channel, callback_url), fields, live)


def _carrier(site: Site, channel: SmsSection, callback_url: str | None) -> Service:
    """What brings text messages to phones; of the providers only the one that is used is loaded."""
    match channel:
        case TwilioChannel():
            from runtime.services.notifications.adapters.twilio import Twilio

            return SmsGateway(channel, lambda spec: Twilio(spec, callback_url))
        case VonageChannel():
            from runtime.services.notifications.adapters.vonage import Vonage

            return SmsGateway(channel, lambda spec: Vonage(spec, callback_url))
        case GenericSmsChannel():
            from runtime.services.notifications.adapters.generic_sms import GenericSms

            return SmsGateway(channel, lambda spec: GenericSms(spec, callback_url))
    return Textbox(site.state.texts, channel.from_)


def _web_push(site: Site, channel: WebPushChannel) -> Service:
    root, vapid = site.loaded.root, channel.vapid
    file = root / vapid.private_key if vapid.private_key else site.state.path / "keys" / "vapid.pem"
    return WebPush(channel, file, [root / each for each in vapid.previous])
