"""Redis, the database and the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.assembly.site import Made, Site
from runtime.storage.cache import RedisCache
from runtime.storage.database import Database
from runtime.storage.redis import EmbeddedRedis, RemoteRedis

if TYPE_CHECKING:
    from runtime.kernel.component import Ports, Service


def component(site: Site, name: str) -> Made:
    """Redis, the database or the cache."""
    return {"redis": _redis, "database": _database, "cache": _cache}[name](site)


def _redis(site: Site) -> Made:
    url, live = site.spec.storage.redis, site.live_secrets("storage", "redis")
    fields = {"address": without_credentials(url), "url": url, "path": str(site.state.path)}
    if url == "embedded" and site.part.beside_others:
        server = f"unix://{site.state.redis / 'valkey.sock'}"
        return Made("Redis (embedded elsewhere)", lambda _: RemoteRedis(server), fields)
    if url == "embedded":
        return Made("Redis (embedded Valkey)", lambda _: EmbeddedRedis(site.state.redis), fields)

    def make(ports: Ports) -> Service:
        return RemoteRedis(url, refused=ports["secrets"].hurry)

    return Made("Redis (remote)", make, fields, frozenset({"url"} if live else ()))


def _database(site: Site) -> Made:
    url, live = site.spec.storage.database, site.live_secrets("storage", "database")
    fields = {"address": without_credentials(url), "url": url, "path": str(site.state.path)}
    kind = "PostgreSQL" if url.startswith("postgresql") else "SQLite"

    def make(ports: Ports) -> Service:
        name, refused = site.spec.name, ports["secrets"].hurry
        return Database(url, site.state.path, name, root=site.loaded.root, refused=refused)

    return Made(f"Database ({kind})", make, fields, frozenset({"url"} if live else ()))


def _cache(site: Site) -> Made:
    def make(ports: Ports) -> Service:
        return Held(RedisCache(ports["storage.redis"].client, f"{site.prefix}cache:"))

    return Made("Cache", make, {"name": site.spec.name})


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
