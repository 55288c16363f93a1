"""From a checked spec to components: the one place where the spec, the kernel and the services meet."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from runtime import __version__
from runtime.kernel.component import Component, Ports, Service
from runtime.outline import DELIVERING, EXECUTING, INBOX, Node, absent, catches_mail, channel_for, channels, outline
from runtime.part import Part
from runtime.plugins import Mark, Registry
from runtime.services.absent import Absent
from runtime.spec.fields import live_fields

if TYPE_CHECKING:
    from runtime.http.health import HealthSource
    from runtime.http.runtime_routes import EnvironmentView
    from runtime.kernel.sockets import Sockets
    from runtime.services.notifications.spec import WebPushChannel
    from runtime.services.secrets.store import VaultStore
    from runtime.spec.load import Loaded
    from runtime.spec.root import Spec
    from runtime.state import StateFolder
    from runtime.telemetry.logs import Logs
    from runtime.telemetry.metrics import Metrics

Made = tuple[str, Callable[[Ports], Service], Mapping[str, Any], frozenset[str]]
"""Title, factory, fields, live fields."""

USAGE = "billing.usage"
"""The built-in subscriber that records what was used."""


class Assembly:
    """Makes the components of one spec.

    Args:
        loaded: the spec.
        state: its state folder, made.
        sockets: where the HTTP server gets its socket from.
        logs: the log output, whose level is live.
        health: what `/healthz` shows.
        view: what `/v1/runtime` shows.
        part: which of the components this process runs.
        rotate: called when a source of secrets has changed; must not block.

    Raises:
        Fault: a plugin cannot be imported.
    """

    def __init__(
        self,
        loaded: Loaded,
        state: StateFolder,
        *,
        sockets: Sockets,
        logs: Logs,
        metrics: Metrics,
        health: HealthSource,
        view: EnvironmentView,
        part: Part | None = None,
        rotate: Callable[[], None] = lambda: None,
    ) -> None:
        self._part = part or Part()
        self._loaded = loaded
        self._spec: Spec = loaded.spec
        self._data: Mapping[str, Any] = loaded.data
        self._state = state
        self._sockets = sockets
        self._logs = logs
        self._metrics = metrics
        self._health = health
        self._view = view
        self._rotate = rotate
        self.absent: dict[str, str] = {}
        """What the spec declares and this version does not run: by component id."""
        self._registry = Registry.load(loaded.plugins)
        self._prefix = f"rt:{loaded.spec.name}:"

    def rotated(self, loaded: Loaded) -> Assembly:
        """An assembly of the same files with other secrets: plugins are not imported again."""
        again = copy.copy(self)
        again._adopt(loaded)  # noqa: SLF001 - it is one of us
        return again

    def _adopt(self, loaded: Loaded) -> None:
        self._loaded, self._spec, self._data = loaded, loaded.spec, loaded.data
        self.absent = {}

    def components(self) -> list[Component]:
        """The components of this process's part, as `runtime.outline` draws them."""
        return [self._component(node) for node in outline(self._data) if self._part.includes(node.id)]

    def _component(self, node: Node) -> Component:
        title, factory, fields, live = self._made(node.id)
        return Component(
            node.id,
            lambda _, ports: factory(ports),
            fields=fields,
            needs=frozenset(self._part.of(node.needs)),
            live=live,
            title=title,
            grace=self._grace(node.id),
            exclusive=node.id.startswith("storage."),
        )

    def _made(self, id_: str) -> Made:
        section, _, name = id_.partition(".")
        if what := absent(self._data).get(id_):
            return self._absent(id_, what, {})
        whole: dict[str, Callable[[], Made]] = {
            "observability": self._observability,
            "secrets": self._secrets,
            "secrets.provider-keys": self._provider_keys,
            "storage.redis": self._redis,
            "storage.database": self._database,
            "storage.cache": self._cache,
            "events": self._events,
            "sandbox": self._sandbox,
            "jobs": self._jobs,
            "outbox": self._outbox,
            "billing": self._billing,
            "ai": self._ai,
            "ai.books": self._ai_books,
            "notifications": self._notifications,
            "auth": self._auth,
            "http": self._http,
        }
        if id_ in whole:
            return whole[id_]()
        named = {
            "ai": self._ai_provider,
            "notifications": self._channel,
            "jobs": self._worker,
            "schedules": self._schedule,
            "events": self._subscription,
        }
        return named[section](name)

    def _absent(self, id_: str, what: str, fields: Mapping[str, Any]) -> Made:
        self.absent[id_] = what
        return f"{what}: not built", lambda _: Absent(what), fields, frozenset()

    def _grace(self, id_: str) -> float:
        """Seconds that a component's drain may take: a little more than it allows itself."""
        section, _, name = id_.partition(".")
        if section == "jobs" and name:
            return self._spec.queues[name].drain + 5.0
        return self._spec.api.drain + 5.0 if section == "http" else 30.0

    # -- the ground --------------------------------------------------------------------------------------------------

    def _observability(self) -> Made:
        from runtime.telemetry.logs import LogLevel

        logs = self._data["observability"]["logs"]
        return "Logs and figures", lambda _: LogLevel(self._logs), logs, frozenset({"level"})

    def _secrets(self) -> Made:
        from runtime.services.secrets.service import SecretService

        loaded, store = self._loaded, self._vault()
        return (
            "Secrets (Vault, files, environment)" if self._spec.secrets.vault else "Secrets (files, environment)",
            lambda _: SecretService(loaded.uses, loaded.files, store, self._rotate, learn=self._logs.redactor.learn),
            {"vault": store is not None},
            frozenset(),
        )

    def _provider_keys(self) -> Made:
        from runtime.services.secrets.adapters.sql import ProviderKeyTable
        from runtime.services.secrets.keyring import KeyRing
        from runtime.services.secrets.provider_keys import ProviderKeyStore
        from runtime.services.secrets.sealing import Sealer
        from runtime.telemetry.redaction import mask_here

        encryption = self._spec.secrets.encryption
        assert encryption is not None  # noqa: S101 - the outline has seen it
        ring = KeyRing(encryption, self._vault())
        providers = sorted(self._spec.ai.providers) if self._spec.ai else []

        def make(ports: Ports) -> Service:
            table = ProviderKeyTable(ports["storage.database"])
            return ProviderKeyStore(table, Sealer(ring), providers, mask_here)

        fields = {"encryption": self._data["secrets"]["encryption"], "providers": providers}
        return "Users' own provider keys", make, fields, frozenset({"encryption"})

    def _vault(self) -> VaultStore | None:
        """Our session at Vault, where a reference or an encryption key wants it."""
        from runtime.services.secrets.spec import TransitKey
        from runtime.services.secrets.store import VaultStore

        section, store = self._spec.secrets, self._loaded.vault
        keys = section.encryption.keys.values() if section.encryption else ()
        if section.vault and isinstance(store, VaultStore) and any(isinstance(key, TransitKey) for key in keys):
            store.use(section.vault)
        return vault_store(self._loaded)

    def _live_secrets(self, *path: str) -> bool:
        """Whether a field's secrets change in place: no path of Vault in it asks for a restart."""
        paths = self._spec.secrets.vault.paths if self._spec.secrets.vault else {}
        names = (use.reference.name for use in self._loaded.uses if use.path[: len(path)] == path)
        return not any(paths[name].on_rotate == "restart" for name in names if name in paths)

    def _redis(self) -> Made:
        from runtime.storage.redis import EmbeddedRedis, RemoteRedis

        url, live = self._spec.storage.redis, self._live_secrets("storage", "redis")
        fields = {"address": without_credentials(url), "url": url, "path": str(self._state.path)}
        if url == "embedded" and self._part.beside_others:
            server = f"unix://{self._state.redis / 'valkey.sock'}"
            return "Redis (embedded elsewhere)", lambda _: RemoteRedis(server), fields, frozenset()
        if url == "embedded":
            return "Redis (embedded Valkey)", lambda _: EmbeddedRedis(self._state.redis), fields, frozenset()

        def make(ports: Ports) -> Service:
            return RemoteRedis(url, refused=ports["secrets"].hurry)

        return "Redis (remote)", make, fields, frozenset({"url"} if live else ())

    def _database(self) -> Made:
        from runtime.storage.database import Database

        url, live = self._spec.storage.database, self._live_secrets("storage", "database")
        fields = {"address": without_credentials(url), "url": url, "path": str(self._state.path)}
        kind = "PostgreSQL" if url.startswith("postgresql") else "SQLite"

        def make(ports: Ports) -> Service:
            name, refused = self._spec.name, ports["secrets"].hurry
            return Database(url, self._state.path, name, root=self._loaded.root, refused=refused)

        return f"Database ({kind})", make, fields, frozenset({"url"} if live else ())

    def _cache(self) -> Made:
        from runtime.storage.cache import RedisCache

        def make(ports: Ports) -> Service:
            return Held(RedisCache(ports["storage.redis"].client, f"{self._prefix}cache:"))

        return "Cache", make, {"name": self._spec.name}, frozenset()

    # -- the services ------------------------------------------------------------------------------------------------

    def _events(self) -> Made:
        from runtime.services.events.figures import StreamCollector
        from runtime.services.events.service import EventBus
        from runtime.services.events.spec import EventsSpec

        fields = {name: value for name, value in self._data["events"].items() if name != "subscriptions"}
        types = self._registry.of("event_type")

        def measured(bus: EventBus) -> EventBus:
            self._metrics.add(StreamCollector(bus.throughput))
            return bus

        def in_memory(_: Ports) -> Service:
            from runtime.services.events.adapters.memory import MemoryStreams

            return measured(EventBus(self._spec.events, MemoryStreams(source=self._spec.name), types))

        def in_redis(ports: Ports) -> Service:
            from runtime.services.events.adapters.redis import RedisStreams

            streams = RedisStreams(
                ports["storage.redis"].client,
                self._prefix,
                source=self._spec.name,
                instance=self._state.instance(),
            )
            return measured(EventBus(self._spec.events, streams, types))

        if self._spec.events.backend == "memory":
            return "Event bus (in memory)", in_memory, fields, live_fields(EventsSpec)
        return "Event bus", in_redis, fields, live_fields(EventsSpec)

    def _sandbox(self) -> Made:
        from runtime.services.sandbox.service import SandboxService
        from runtime.services.sandbox.spec import SandboxSpec

        spec = self._spec.sandbox
        assert spec is not None  # noqa: S101 - the outline has seen it
        return "Sandbox", lambda _: SandboxService(spec), self._data["sandbox"], live_fields(SandboxSpec)

    def _subscription(self, name: str) -> Made:
        from runtime.services.events.spec import SubscriptionSpec
        from runtime.services.events.subscription import Subscription

        spec = self._spec.events.subscriptions[name]
        built_in = spec.handler == USAGE and self._spec.billing is not None
        mark = self._registry.get("subscriber", spec.handler)
        fields = self._data["events"]["subscriptions"][name]
        if mark is None and not built_in:
            return self._absent(f"events.{name}", f'the subscriber "{spec.handler}"', fields)

        def make(ports: Ports) -> Service:
            handler = mark or Mark("subscriber", USAGE, ports["billing"].used, once=True)
            masked = self._logs.redactor.text
            return Subscription(name, spec, handler, ports["events"], inbox=ports["outbox"], mask=masked)

        return (
            f"Subscriber of {spec.stream}",
            make,
            fields,
            live_fields(SubscriptionSpec),
        )

    def _jobs(self) -> Made:
        from runtime.services.jobs.adapters.saq import SaqBackend
        from runtime.services.jobs.service import JobQueues
        from runtime.services.notifications.workers import deliver, email_task, in_app
        from runtime.services.sandbox.workers import execution_task

        def make(ports: Ports) -> Service:
            tasks = Registry(self._registry)
            for handler in DELIVERING:
                if channel := channel_for(handler, self._data):
                    mails = DELIVERING[handler] == "smtp"
                    task = email_task(ports[channel], ports["storage.cache"].held) if mails else deliver
                    tasks.add(Mark("task", handler, task))
            if self._spec.notifications is not None:
                tasks.add(Mark("task", INBOX, in_app))
            if sandbox := ports.get("sandbox"):
                tasks.add(Mark("task", EXECUTING, execution_task(sandbox)))
            backend = SaqBackend(ports["storage.redis"].client, self._prefix, instance=self._state.instance())
            return JobQueues(self._spec.queues, tasks, backend)

        return "Job queues", make, {"queues": sorted(self._data["queues"])}, frozenset()

    def _outbox(self) -> Made:
        from runtime.services.outbox.service import Outbox

        def make(ports: Ports) -> Service:
            jobs = ports["jobs"]
            return Outbox(
                ports["storage.database"],
                jobs,
                ports["events"],
                check=jobs.check,
                mask=self._logs.redactor.text,
            )

        return "Outbox", make, {"name": self._spec.name}, frozenset()

    def _billing(self) -> Made:
        from runtime.services.billing.service import Billing

        spec = self._spec.billing
        assert spec is not None  # noqa: S101 - the outline has seen it

        def make(ports: Ports) -> Service:
            outbox = ports["outbox"]
            return Billing(spec, ports["storage.database"], outbox, outbox, ports["events"])

        return "Credits", make, self._data["billing"], frozenset()

    def _ai_books(self) -> Made:
        from runtime.services.ai.books import Books

        section = self._data["ai"]

        def make(ports: Ports) -> Service:
            return Books(
                section,
                ports["storage.database"],
                ports["outbox"],
                ports.get("billing"),
                ports["storage.redis"].client,
                prefix=f"{self._prefix}ai:limit:",
                folder=self._state.path / "ai",
            )

        fields = {name: section[name] for name in ("providers", "limits", "budgets", "max_cost", "prices")}
        return "Books of AI", make, fields, frozenset(fields)

    def _ai_provider(self, name: str) -> Made:
        from runtime.services.ai.client import ProviderClient

        assert self._spec.ai is not None  # noqa: S101 - the outline has seen it
        name = name.removeprefix("providers.")
        spec, fields = self._spec.ai.providers[name], self._data["ai"]["providers"][name]
        live = live_fields(type(spec))
        if self._live_secrets("ai", "providers", name):
            live |= {"api_key"}
        return f"Models of {spec.kind}", lambda _: ProviderClient(name, fields), fields, live

    def _ai(self) -> Made:
        from runtime.services.ai.accounts import Accounts
        from runtime.services.ai.adapters.redis import RedisConditions
        from runtime.services.ai.figures import Figures
        from runtime.services.ai.models import ProviderModels
        from runtime.services.ai.safety import Safety
        from runtime.services.ai.service import AiService
        from runtime.services.ai.settings import Settings
        from runtime.services.ai.spec import AiSpec

        section = self._data["ai"]
        names = sorted(section["providers"])

        def make(ports: Ports) -> Service:
            settings = Settings(section)
            clients = {name: ports[f"ai.providers.{name}"] for name in names}
            books = ports["ai.books"]
            safety = Safety(lambda: settings.spec.safety, ProviderModels(clients), books.prices)
            return AiService(
                settings,
                clients,
                RedisConditions(ports["storage.redis"].client, f"{self._prefix}ai:"),
                Accounts(books, safety),
                Figures(),
                keys=ports.get("secrets.provider-keys"),
                metrics=self._metrics,
            )

        return "AI gateway", make, section, live_fields(AiSpec) | {"providers"}

    def _auth(self) -> Made:
        from runtime.services.auth.service import Auth
        from runtime.services.auth.spec import AuthSpec
        from runtime.services.auth.texts import QueuedTexts

        spec, name = self._spec.auth, self._spec.name
        assert spec is not None  # noqa: S101 - the outline has seen it
        api = self._spec.api

        def make(ports: Ports) -> Service:
            return Auth(
                spec,
                ports["storage.database"],
                ports["outbox"],
                ports["storage.redis"].client,
                ports["events"].platform,
                name=name,
                prefix=self._prefix,
                folder=self._loaded.root / spec.jwt.keys if spec.jwt.keys else self._state.path / "keys",
                issuer=spec.jwt.issuer or api.public_url or f"urn:runtime:{name}",
                audience=spec.jwt.audience or name,
                mail=self._delivering("notifications.email"),
                texts=QueuedTexts(texts) if (texts := self._delivering("notifications.sms")) else None,
                origins=frozenset([*api.cors.origins, *([api.public_url] if api.public_url else [])]),
            )

        return "Accounts and keys", make, self._data["auth"], live_fields(AuthSpec)

    def _delivering(self, handler: str) -> str | None:
        """The queue whose jobs a built-in handler delivers; None where no channel is there for it."""
        return self._queue_of(handler) if channel_for(handler, self._data) else None

    def _public_url(self) -> str | None:
        """Where the API is reached from outside, as far as that is known before it listens."""
        api = self._spec.api
        return api.public_url or (f"http://{api.host}:{api.port}" if api.port else None)

    def _queue_of(self, handler: str) -> str | None:
        """The first queue that a handler serves."""
        return next((name for name, queue in self._spec.queues.items() if queue.handler == handler), None)

    def _notifications(self) -> Made:
        from runtime.services.auth.people import UserDirectory
        from runtime.services.notifications.channels.mail import MailChannel
        from runtime.services.notifications.channels.port import KINDS, Channel
        from runtime.services.notifications.channels.push import PushChannel
        from runtime.services.notifications.service import NotificationService
        from runtime.services.notifications.spec import NotificationsSpec, SmtpChannel, WebPushChannel

        spec = self._spec.notifications
        assert spec is not None  # noqa: S101 - the outline has seen it
        delivering = {INBOX: "in_app", **DELIVERING}
        found = {KINDS[kind]: self._queue_of(handler) for handler, kind in delivering.items()}
        declared = {KINDS[channel.kind] for channel in spec.channels.values()} | {"in_app"}
        queues = {kind: queue for kind, queue in found.items() if queue is not None and kind in declared}
        retries = {kind: self._spec.queues[queue].retry for kind, queue in queues.items()}

        def make(ports: Ports) -> Service:
            channels: dict[str, Channel] = {}
            for name, channel in spec.channels.items():
                if isinstance(channel, SmtpChannel):
                    channels[name] = MailChannel(ports[f"notifications.{name}"])
                elif isinstance(channel, WebPushChannel):
                    channels[name] = PushChannel(ports[f"notifications.{name}"], ports["storage.database"])
                elif channel.kind in DELIVERING.values():
                    channels[name] = ports[f"notifications.{name}"]
            outbox, events = ports["outbox"], ports["events"]
            service = NotificationService(
                spec,
                ports["storage.database"],
                outbox,
                outbox,
                ports["storage.redis"].client,
                events.platform,
                UserDirectory(ports["storage.database"]) if self._spec.auth is not None else None,
                channels=channels,
                queues=queues,
                retries=retries,
                root=self._loaded.root,
                name=self._spec.name,
                prefix=self._prefix,
                public_url=self._public_url(),
                push_keys=ports[pushing] if (pushing := channel_for("notifications.push", self._data)) else None,
            )
            self._metrics.add(service.figures)
            return service

        fields = {name: value for name, value in self._data["notifications"].items() if name != "channels"}
        return "Notifications", make, fields, live_fields(NotificationsSpec)

    def _worker(self, name: str) -> Made:
        from runtime.services.jobs.spec import QueueSpec
        from runtime.services.jobs.worker import QueueWorker

        spec = self._spec.queues[name]
        fields = self._data["queues"][name]
        if not self._built(spec.handler):
            return self._absent(f"jobs.{name}", f'the handler "{spec.handler}"', fields)
        return (
            f"Worker of {spec.handler}",
            lambda ports: QueueWorker(
                name,
                spec,
                ports["jobs"],
                ports["events"],
                transactions=ports["outbox"],
                mask=self._logs.redactor.text,
                platform=ports["events"].platform,
                sandbox=ports.get("sandbox"),
                ai=ports.get("ai"),
                notifications=ports.get("notifications"),
            ),
            fields,
            live_fields(QueueSpec),
        )

    def _schedule(self, name: str) -> Made:
        from runtime.services.jobs.schedule import Schedule

        spec = self._spec.schedules[name]
        handler = self._spec.queues[spec.queue].handler
        fields = self._data["schedules"][name]
        if not self._built(handler):
            what = f'the handler "{handler}" of the queue "{spec.queue}"'
            return self._absent(f"schedules.{name}", what, fields)
        return (
            f"Schedule of {spec.queue}",
            lambda ports: Schedule(name, spec, ports["jobs"], ports["storage.cache"].held),
            fields,
            frozenset(),
        )

    def _built(self, handler: str) -> bool:
        """Whether this version has what runs a queue's jobs."""
        delivers = handler in DELIVERING and channel_for(handler, self._data) is not None
        inboxes = handler == INBOX and self._spec.notifications is not None
        executes = handler == EXECUTING and self._spec.sandbox is not None
        return delivers or inboxes or executes or self._registry.get("task", handler) is not None

    def _channel(self, name: str) -> Made:
        from runtime.services.notifications.adapters.smtp import SmtpSender
        from runtime.services.notifications.mailbox import Mailbox
        from runtime.services.notifications.spec import SmtpChannel, WebPushChannel

        channel_name, _, part = name.partition(".")
        assert self._spec.notifications is not None  # noqa: S101 - the outline has seen it
        channel = self._spec.notifications.channels[channel_name]
        fields = self._data["notifications"]["channels"][channel_name]
        if isinstance(channel, WebPushChannel):
            return "Web push", lambda _: self._web_push(channel), fields, frozenset()
        if not isinstance(channel, SmtpChannel):
            return self._absent(f"notifications.{name}", f'the channel "{channel_name}" ({channel.kind})', {})
        if part == "mailbox":
            port = 0 if self._part.beside_others else channel.port
            return "Development mailbox", lambda _: Mailbox(self._state.mail, port), fields, frozenset()

        def make(ports: Ports) -> Service:
            box = ports.get(f"notifications.{channel_name}.mailbox")
            return SmtpSender(channel, box)

        live = self._live_secrets("notifications", "channels", channel_name)
        return "E-mail", make, fields, frozenset({"username", "password"} if live else ())

    def _web_push(self, channel: WebPushChannel) -> Service:
        from runtime.services.notifications.adapters.webpush import WebPush

        root, vapid = self._loaded.root, channel.vapid
        file = root / vapid.private_key if vapid.private_key else self._state.path / "keys" / "vapid.pem"
        return WebPush(channel, file, [root / each for each in vapid.previous])

    # -- the API -----------------------------------------------------------------------------------------------------

    def _http(self) -> Made:
        from runtime.http.access import FirstOf
        from runtime.http.api import Api
        from runtime.http.operator_key import OperatorKey
        from runtime.http.server import HttpServer
        from runtime.http.spec import ApiSpec
        from runtime.services.ai.report import Report
        from runtime.services.ai.routes.chat import AiRoutes
        from runtime.services.ai.routes.usage import UsageRoutes
        from runtime.services.auth.routes.accounts import AccountRoutes
        from runtime.services.auth.routes.api_keys import ApiKeyRoutes
        from runtime.services.auth.routes.sessions import SessionRoutes
        from runtime.services.auth.routes.signing_keys import SigningKeyRoutes
        from runtime.services.auth.routes.users import ProfileRoutes, UserRoutes
        from runtime.services.billing.routes import CreditRoutes
        from runtime.services.events.asyncapi import document
        from runtime.services.events.live import InboxTopics, JobTopics, LiveSession, StreamTopics
        from runtime.services.events.routes import StreamRoutes, description_controller
        from runtime.services.jobs.routes import JobRoutes, QueueRoutes
        from runtime.services.notifications.routes.choices import PreferenceRoutes, TopicRoutes
        from runtime.services.notifications.routes.inbox import InboxRoutes
        from runtime.services.notifications.routes.providers import CallbackRoutes
        from runtime.services.notifications.routes.push import PushRoutes
        from runtime.services.notifications.routes.sending import NotificationRoutes
        from runtime.services.notifications.routes.unsubscribe import UnsubscribeRoutes
        from runtime.services.outbox.routes import OutboxRoutes
        from runtime.services.sandbox.routes import SandboxRoutes
        from runtime.services.secrets.routes import EncryptionKeyRoutes, ProviderKeyRoutes, SecretRoutes

        settings = self._spec.api

        def make(ports: Ports) -> Service:
            # The event bus has started: it has refused schemas that cannot be read.
            auth = ports.get("auth")
            notifications = ports.get("notifications")
            operator = OperatorKey.open(self._state.operator_key)
            described = document(self._spec.events, self._spec.name, __version__, self._registry.of("event_type"))
            api = Api(
                settings,
                name=self._spec.name,
                version=__version__,
                controllers=[
                    *(QueueRoutes, JobRoutes, StreamRoutes, OutboxRoutes, CreditRoutes, UsageRoutes),
                    *(SecretRoutes, ProviderKeyRoutes, EncryptionKeyRoutes),
                    *([SandboxRoutes] if self._spec.sandbox else []),
                    *([AiRoutes] if self._spec.ai else []),
                    *(NotificationRoutes, InboxRoutes, PreferenceRoutes, TopicRoutes, PushRoutes),
                    *(UnsubscribeRoutes, CallbackRoutes),
                    *(AccountRoutes, SessionRoutes, ProfileRoutes, UserRoutes, ApiKeyRoutes, SigningKeyRoutes),
                    description_controller(described),
                ],
                dependencies={
                    "jobs": ports["jobs"],
                    "events": ports["events"],
                    "outbox": ports["outbox"],
                    "sandbox": ports.get("sandbox"),
                    "billing": ports.get("billing"),
                    "ai": ports.get("ai"),
                    "ai_usage": Report(ports["ai.books"]) if "ai.books" in ports else None,
                    "notifications": notifications,
                    "secrets": ports["secrets"],
                    "provider_keys": ports.get("secrets.provider-keys"),
                    "api_keys": auth.api_keys if auth else None,
                    "signing": auth,
                    "sessions": auth.sessions if auth else None,
                    "accounts": auth.accounts if auth else None,
                    "profiles": auth.profiles if auth else None,
                    "users": auth.users if auth else None,
                    "browsers": auth.browsers if auth else None,
                },
                access=FirstOf(operator, auth) if auth else operator,
                visitors=auth.browsers if auth else None,
                watch=auth.watched if auth else None,
                health=self._health,
                view=self._view,
                cache=ports["storage.cache"].held,
                redis=ports["storage.redis"].client,
                prefix=self._prefix,
                metrics=self._metrics,
                metrics_path=self._spec.observability.metrics.path,
                refused=lambda address, why: ports["events"].platform.sign_in_refused(
                    address, method="key", reason=why
                ),
                sockets={
                    "/v1/live": LiveSession(
                        {
                            "streams": StreamTopics(ports["events"]),
                            "jobs": JobTopics(ports["jobs"]),
                            **({"notifications": InboxTopics(notifications)} if notifications else {}),
                        }
                    )
                },
            )
            return HttpServer(
                api,
                lambda: self._sockets.listen(settings.host, settings.port),
                trusted_proxies=settings.trusted_proxies,
                drain=settings.drain,
            )

        return "HTTP API", make, self._data["api"], live_fields(ApiSpec)


def demonstrations(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Requests that a newcomer can send at once: a path and a body of the API, as far as the spec allows."""
    shown = []
    if any(catches_mail(channel) for channel in channels(data).values()):
        mail = {"to": ["ada@example.com"], "subject": "Hello", "text": "It works."}
        shown.append(("/v1/queues/email/jobs", json.dumps({"payload": mail})))
    for stream, declared in ((data.get("events") or {}).get("streams") or {}).items():
        free = [name for name, kind in (declared.get("events") or {}).items() if not (kind or {}).get("schema")]
        if free:
            shown.append((f"/v1/streams/{stream}/events", json.dumps({"type": free[0], "data": {"note": "hello"}})))
            break
    return shown


def vault_store(loaded: Loaded) -> VaultStore | None:
    """What is known of Vault; None where the spec has asked nothing of it."""
    from runtime.services.secrets.store import VaultStore

    store = loaded.vault
    return store if isinstance(store, VaultStore) and store.spec is not None else None


def without_credentials(url: str) -> str:
    """An address without user and password: two of them are one place.

    Example:
        >>> without_credentials("redis://app:secret@db:6379/0")
        'redis://db:6379/0'
    """
    scheme, mark, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{mark}{place.rpartition('@')[2]}{slash}{path}"


class Held:
    """A port without a life of its own, as a component."""

    def __init__(self, held: Any) -> None:
        self.held = held

    async def start(self) -> None:
        """It is ready as it is."""

    async def stop(self) -> None:
        """It holds nothing."""
