"""Accounts, sessions and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.assembly.site import Made, Site
from runtime.outline import INBOX
from runtime.services.auth.service import Auth
from runtime.services.auth.spec import AuthSpec
from runtime.services.auth.texts import QueuedTexts
from runtime.services.notifications.leaving import Leaving
from runtime.spec.fields import live_fields

if TYPE_CHECKING:
    from runtime.kernel.component import Ports, Service
    from runtime.services.auth.ports import Belongings


def component(site: Site, _: str) -> Made:
    """It has no parts."""
    spec, name = site.spec.auth, site.spec.name
    assert spec is not None  # noqa: S101 - the outline has seen it
    api = site.spec.api
    mail, texting = site.delivering("notifications.email"), site.delivering("notifications.sms")
    inboxes = site.queue_of(INBOX) if site.spec.notifications is not None else None
    origins = [*api.cors.origins, *([api.public_url] if api.public_url else [])]

    def make(ports: Ports) -> Service:
        return Auth(
            spec,
            ports["storage.database"],
            ports["outbox"],
            ports["storage.redis"].client,
            ports["events"].platform,
            name=name,
            prefix=site.prefix,
            folder=site.loaded.root / spec.jwt.keys if spec.jwt.keys else site.state.path / "keys",
            issuer=spec.jwt.issuer or api.public_url or f"urn:runtime:{name}",
            audience=spec.jwt.audience or name,
            mail=mail,
            texts=QueuedTexts(texting) if texting else None,
            belongings=_belongings(inboxes),
            origins=frozenset(origins),
        )

    queues = {"mail": mail, "texts": texting, "inboxes": inboxes}
    fields = {**site.data["auth"], "queues": queues, "origins": origins}
    return Made("Accounts and keys", make, fields, live_fields(AuthSpec))


def _belongings(inboxes: str | None) -> list[Belongings]:
    """What other services keep of users."""
    return [Leaving(inboxes)] if inboxes is not None else []
