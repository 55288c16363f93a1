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
            mail=site.delivering("notifications.email"),
            texts=QueuedTexts(texts) if (texts := site.delivering("notifications.sms")) else None,
            belongings=_belongings(site),
            origins=frozenset([*api.cors.origins, *([api.public_url] if api.public_url else [])]),
        )

    return Made("Accounts and keys", make, site.data["auth"], live_fields(AuthSpec))


def _belongings(site: Site) -> list[Belongings]:
    """What other services keep of users."""
    queue = site.queue_of(INBOX) if site.spec.notifications is not None else None
    return [Leaving(queue)] if queue is not None else []
