"""Notifications over real servers: a database, a Redis, queues with workers, and the test's own mail server."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from runtime.plugins import Mark, Registry
from runtime.services.auth.people import UserDirectory
from runtime.services.auth.ports import User
from runtime.services.auth.store import users
from runtime.services.ending import end_tasks
from runtime.services.events.adapters.redis import RedisStreams
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec
from runtime.services.jobs.adapters.saq import SaqBackend
from runtime.services.jobs.service import JobQueues
from runtime.services.jobs.spec import QueueSpec
from runtime.services.jobs.worker import QueueWorker
from runtime.services.notifications.adapters.generic_sms import GenericSms
from runtime.services.notifications.adapters.sms_gateway import SmsGateway
from runtime.services.notifications.adapters.smtp import SmtpSender
from runtime.services.notifications.adapters.twilio import Twilio
from runtime.services.notifications.adapters.vonage import Vonage
from runtime.services.notifications.channels.mail import MailChannel
from runtime.services.notifications.channels.port import Callback
from runtime.services.notifications.channels.push import PushChannel
from runtime.services.notifications.channels.signature import signed
from runtime.services.notifications.channels.sms import SmsChannel
from runtime.services.notifications.channels.spec import (
    GenericSmsChannel,
    SmsProviderChannel,
    SmtpChannel,
    TwilioChannel,
    VonageChannel,
)
from runtime.services.notifications.ports import Audience, Notice
from runtime.services.notifications.service import NotificationService
from runtime.services.notifications.spec import NotificationsSpec
from runtime.services.notifications.workers import deliver, email_task, in_app, sms_task
from runtime.services.outbox.service import Outbox
from runtime.storage.cache import RedisCache
from runtime.storage.database import Database

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runtime.services.jobs.ports import JobView
    from runtime.services.notifications.adapters.webpush import WebPush
    from runtime.services.notifications.channels.port import Kind, Message, Receipt, Report
    from runtime.services.notifications.ports import Delivery, Notified
    from runtime.storage.wire import WiredRedis

RETRY = {"attempts": 3, "backoff": "10ms", "jitter": False}
TYPES = ("preferences.changed", "notification.sent", "notification.bounced")
STREAMS: dict[str, Any] = {"user": {"events": {name: {} for name in TYPES}}}
FILES = {
    "subject.txt": "About {{ thing }}",
    "body.html": "<p>{{ thing }}</p><a href='{{ unsubscribe_url }}'>no more</a>",
    "title.txt": "{{ thing }}",
    "push.json": '{"title": {{ thing | tojson }}, "body": "b"}',
    "sms.txt": "{{ thing }}",
}


class Recorder:
    """A channel that keeps what it is given and answers as it is told; implements `Channel`."""

    def __init__(self, kind: Kind, receipts: list[Receipt] | None = None) -> None:
        from runtime.services.notifications.channels.port import Receipt

        self.kind: Kind = kind
        self.sent: list[Message] = []
        self.receipts = receipts if receipts is not None else []
        self._ok = Receipt("sent")

    async def send(self, message: Message) -> Receipt:
        self.sent.append(message)
        return self.receipts.pop(0) if self.receipts else self._ok

    def reports(self, callback: Callback) -> list[Report]:
        return []


class Site:
    """One instance.

    Args:
        post: the port of the mail server.
        categories: of the spec; each uses the templates of `FILES` unless it names others.
        channels: instances by name that stand in for providers; those of kind email go to the mail server without one.
    """

    def __init__(
        self,
        client: WiredRedis,
        url: str,
        folder: Path,
        post: int,
        categories: Mapping[str, Any],
        channels: Mapping[str, Any],
        section: Mapping[str, Any],
        retry: Mapping[str, Any] | None = None,
        push: WebPush | None = None,
    ) -> None:
        self.folder = folder
        write(folder / "t", FILES)
        mail = {"kind": "smtp", "host": "127.0.0.1", "port": post, "from": "Core <no-reply@example.com>", "tls": "none"}
        declared: dict[str, Any] = {
            "email": {**mail, "connections": 4, "callback_secret": "whsec_c2VjcmV0"},
            "in_app": {"kind": "in_app"},
            "push": {"kind": "webpush", "vapid": {"subject": "mailto:ops@example.com"}},
        }
        spec = {
            "channels": {**declared, **section.get("channels", {})},
            "categories": {name: {"template": "t", **each} for name, each in categories.items()},
            **{name: value for name, value in section.items() if name != "channels"},
        }
        self.spec = NotificationsSpec.model_validate(spec)
        self.database = Database(url, folder, "test", root=folder)
        mails = {"handler": "notifications.email", "retry": retry or RETRY, "lease": "2s"}
        self.queues = {
            "email": QueueSpec.model_validate(mails),
            "push": QueueSpec.model_validate({"handler": "notifications.push", "retry": retry or RETRY}),
            "notification": QueueSpec.model_validate({"handler": "notifications.in_app", "retry": RETRY}),
        }
        names: dict[Kind, str] = {"email": "email", "push": "push", "in_app": "notification"}
        texts = {name: each for name, each in self.spec.channels.items() if isinstance(each, SmsProviderChannel)}
        if texts:
            self.queues["sms"] = QueueSpec.model_validate({"handler": "notifications.sms", "retry": retry or RETRY})
            names["sms"] = "sms"
        self.gateways = {name: gateway(each, name) for name, each in texts.items()}
        section_ = self.spec.channels["email"]
        assert isinstance(section_, SmtpChannel)
        self.mailer = SmtpSender(section_)
        tasks = [
            Mark("task", "notifications.email", email_task(self.mailer, RedisCache(client, "rt:test:cache:"))),
            Mark("task", "notifications.push", deliver),
            Mark("task", "notifications.sms", sms_task(RedisCache(client, "rt:test:cache:"))),
            Mark("task", "notifications.in_app", in_app),
        ]
        self.client = client
        self.jobs = JobQueues(self.queues, Registry(tasks), SaqBackend(client, "rt:test:", instance=""))
        self.events = EventBus(
            EventsSpec.model_validate({"streams": STREAMS}),
            RedisStreams(client, "rt:test:", source="test", instance=""),
        )
        self.outbox = Outbox(self.database, self.jobs, self.events, check=self.jobs.check)
        self.service = NotificationService(
            self.spec, self.database, self.outbox, self.outbox, client, self.events.platform,
            UserDirectory(self.database),
            channels={
                "email": MailChannel(self.mailer),
                **({"push": PushChannel(push)} if push else {}),
                **{name: SmsChannel(each, self.gateways[name]) for name, each in texts.items()},
                **channels,
            },
            push_keys=push,
            queues=names,
            retries={kind: self.queues[queue].retry for kind, queue in names.items()},
            root=folder,
            name="core",
            prefix="rt:test:",
            public_url="https://core.example.com",
            grace=timedelta(seconds=2),
        )  # fmt: skip
        self._ends = AsyncExitStack()

    async def start(self) -> None:
        await self.database.start()
        self._ends.push_async_callback(self.database.stop)
        await self.outbox.start()
        self._ends.push_async_callback(self.outbox.stop)
        await self.service.start()
        self._ends.push_async_callback(self.service.stop)
        self._ends.push_async_callback(self.mailer.stop)
        for each in self.gateways.values():
            self._ends.push_async_callback(each.stop)

    async def work(self, *queues: str) -> None:
        """Lets the outbox deliver and workers run, from now on."""
        relays = [asyncio.create_task(self.outbox.watch()), asyncio.create_task(self.events.watch())]
        self._ends.push_async_callback(end_tasks, relays)
        for queue in queues or self.queues:
            worker = QueueWorker(
                queue, self.queues[queue], self.jobs, self.events, transactions=self.outbox,
                notifications=self.service,
            )  # fmt: skip
            await worker.start()
            self._ends.push_async_callback(worker.stop)

    async def user(self, id_: str, *phones: str, verified: bool = True, proven: bool = True, **columns: Any) -> str:
        """Adds a user whose address is `<id>@example.com`.

        Args:
            proven: whether the phones are verified.
        """
        now = datetime.now(UTC)
        made = User(id_, f"{id_}@example.com", now if verified else None, (), None, None, (), now, False)
        async with self.outbox.transaction() as tx:
            await users.add(tx.connection, made, None)
            if columns:
                await users.change(tx.connection, id_, **columns)
            for phone in phones:
                await users.add_phone(tx.connection, id_, phone)
                if proven:
                    await users.verify_phone(tx.connection, id_, phone)
        return id_

    async def notify(self, category: str, *users: str, thing: str = "news", **more: Any) -> Notified:
        to = more.pop("to", None) or Audience(users=users)
        data = more.pop("data", {"thing": thing})
        return await self.service.sending.notify(Notice(category, data, **more), to, by="test")

    async def receipts(self, notified: Notified) -> dict[tuple[str, str, str], Delivery]:
        """By recipient, kind and step."""
        found = await self.service.receipts.deliveries(notified.id, most=100_000)
        return {(each.recipient, each.kind, each.step): each for each in found}

    async def settled(self, notified: Notified) -> dict[tuple[str, str, str], Delivery]:
        """The receipts, once none of them waits."""
        async with asyncio.timeout(20):
            while True:
                found = await self.receipts(notified)
                if found and not any(each.status in ("queued", "sending") for each in found.values()):
                    return found
                await asyncio.sleep(0.01)

    async def reported(self, channel: str, *events: dict[str, Any], id_: str = "c1") -> int:
        """Lets a provider report as Standard Webhooks has it; returns how many reports told something new."""
        body = json.dumps({"events": list(events)}).encode()
        url = f"https://core.example.com/v1/notifications/callbacks/{channel}"
        callback = Callback(url, signed("whsec_c2VjcmV0", id_, body), body)
        return await self.service.reports.called(channel, callback)

    async def job(self, queue: str, **payload: Any) -> JobView:
        """A job, once it has ended."""
        job = await self.jobs.enqueue(queue, payload)
        async with asyncio.timeout(20):
            while (seen := await self.jobs.get(job.id)).status not in ("completed", "failed"):
                await asyncio.sleep(0.01)
        return seen

    async def sql(self, statement: str, **parameters: Any) -> list[Any]:
        async with self.database.transaction() as connection:
            found = await connection.execute(text(statement), parameters)
            return list(found) if found.returns_rows else []

    async def planned(self) -> list[dict[str, Any]]:
        """The jobs that wait in the outbox, in order; while nothing delivers them."""
        rows = await self.sql("SELECT lane, body FROM outbox ORDER BY id")
        return [{"lane": row.lane, **json.loads(row.body)} for row in rows]

    async def close(self) -> None:
        await self._ends.aclose()
        await self.events.stop()


def gateway(section: SmsProviderChannel, name: str) -> SmsGateway[Any]:
    """The component of a channel of text messages."""
    url = f"https://core.example.com/v1/notifications/callbacks/{name}"
    match section:
        case TwilioChannel():
            return SmsGateway(section, lambda spec: Twilio(spec, url))
        case VonageChannel():
            return SmsGateway(section, lambda spec: Vonage(spec, url))
        case GenericSmsChannel():
            return SmsGateway(section, lambda spec: GenericSms(spec, url))
    raise AssertionError(section)


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Writes templates."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
