"""The HTTP API with the routes of all services."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from runtime import __version__
from runtime.assembly.site import Made, Site
from runtime.http.access import FirstOf
from runtime.http.api import Api
from runtime.http.operator_key import OperatorKey
from runtime.http.server import HttpServer
from runtime.http.spec import ApiSpec
from runtime.outline import AUDIT
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
from runtime.services.routines.routes import RoutineRoutes
from runtime.services.sandbox.routes import SandboxRoutes
from runtime.services.secrets.routes import EncryptionKeyRoutes, ProviderKeyRoutes, SecretRoutes
from runtime.spec.fields import live_fields

if TYPE_CHECKING:
    from runtime.kernel.component import Ports, Service


def component(site: Site, _: str) -> Made:
    """The one server of the API."""
    settings = site.spec.api

    def make(ports: Ports) -> Service:
        # The event bus has started: it has refused schemas that cannot be read.
        auth = ports.get("auth")
        notifications = ports.get("notifications")
        trail = ports.get(AUDIT)
        operator = OperatorKey.open(site.state.operator_key)
        described = document(site.spec.events, site.spec.name, __version__, site.registry.of("event_type"))
        api = partial(
            Api,
            settings,
            name=site.spec.name,
            version=__version__,
            controllers=[
                *(QueueRoutes, JobRoutes, StreamRoutes, OutboxRoutes, CreditRoutes, UsageRoutes),
                *(SecretRoutes, ProviderKeyRoutes, EncryptionKeyRoutes),
                *([SandboxRoutes] if site.spec.sandbox else []),
                *([RoutineRoutes] if site.spec.routines is not None else []),
                *([AiRoutes] if site.spec.ai else []),
                *(NotificationRoutes, InboxRoutes, PreferenceRoutes, TopicRoutes, PushRoutes),
                *(UnsubscribeRoutes, CallbackRoutes),
                *([_audit_routes()] if trail else []),
                *(AccountRoutes, SessionRoutes, ProfileRoutes, UserRoutes, ApiKeyRoutes, SigningKeyRoutes),
                description_controller(described),
            ],
            dependencies={
                "jobs": ports["jobs"],
                "events": ports["events"],
                "outbox": ports["outbox"],
                "sandbox": ports.get("sandbox"),
                "routines": ports.get("routines"),
                "billing": ports.get("billing"),
                "ai": ports.get("ai"),
                "ai_usage": Report(ports["ai.books"]) if "ai.books" in ports else None,
                "notifications": notifications,
                "audit": trail,
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
            recorder=trail,
            health=site.health,
            view=site.view,
            control=site.control,
            cache=ports["storage.cache"].held,
            redis=ports["storage.redis"].client,
            prefix=site.prefix,
            metrics=site.metrics,
            tracing=site.tracing,
            metrics_path=site.spec.observability.metrics.path,
            refused=lambda address, why: ports["events"].platform.sign_in_refused(address, method="key", reason=why),
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
            api if site.sockets.in_use else api(),
            lambda: site.sockets.listen(settings.host, settings.port),
            trusted_proxies=settings.trusted_proxies,
            drain=settings.drain,
        )

    described = {name: site.data["events"][name] for name in ("streams", "backend")}
    fields = {**site.data["api"], "events": described, "metrics": site.spec.observability.metrics.path}
    return Made("HTTP API", make, fields, live_fields(ApiSpec))


def _audit_routes() -> Any:
    from runtime.services.audit.routes import AuditRoutes

    return AuditRoutes
