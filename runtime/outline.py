"""Which components a spec declares, and what each of them needs.

Works on plain data, so that `runtime graph` can draw an environment without loading any service. `runtime.assembly`
makes exactly these components: a spec and its picture never disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Data = Mapping[str, Any]

DELIVERING = {"notifications.email": "smtp", "notifications.push": "webpush", "notifications.sms": "http"}
"""Built-in handlers that deliver through a channel, and the kind of that channel."""

AUDIT = "observability.audit"
"""The component of the audit trail."""

RECORDING = "audit.record"
"""The built-in subscriber that writes events into the audit trail."""

INBOX = "notifications.in_app"
"""The built-in handler of inboxes, which also expands audiences and closes digests."""

EXECUTING = "sandbox.execute"
"""The built-in handler that runs code in the sandbox."""

RUNNING = "routines.run"
"""The built-in handler that runs routines."""


class Node(NamedTuple):
    """A component's id and the ids of those that it needs."""

    id: str
    needs: tuple[str, ...]


def outline(data: Data) -> list[Node]:
    """The components of a spec, each after those that it needs.

    Args:
        data: a merged spec with its defaults filled in.

    Example:
        >>> [node.id for node in outline({"queues": {"images": {"handler": "resize"}}})][-2:]
        ['jobs.images', 'http']
    """
    nodes = list(_nodes(data))
    return [*nodes, Node("http", tuple(node.id for node in nodes))]


def absent(data: Data) -> dict[str, str]:
    """What a spec declares as a whole and this version does not run: component id and what it is.

    Channels, handlers and subscribers that are not built are told one by one by `runtime.assembly`.
    """
    watched = data.get("observability") or {}
    processes = data.get("processes") or {}
    found: dict[str, str] = {}
    if (watched.get("errors") or {}).get("dsn"):
        found["observability.errors"] = "reporting errors"
    if (processes.get("api", 1), processes.get("workers", 0)) != (1, 0):
        found["processes"] = "splitting into several processes (all runs in this one)"
    return found


def audited(data: Data) -> bool:
    """Whether acts are kept in an audit trail.

    Example:
        >>> audited({}), audited({"observability": {"audit": False}}), audited({"observability": {"audit": {}}})
        (True, False, True)
    """
    return (data.get("observability") or {}).get("audit", True) is not False


def channels(data: Data) -> Data:
    """The channels of notifications, by name."""
    return (data.get("notifications") or {}).get("channels") or {}


def channel_for(handler: str, data: Data) -> str | None:
    """The component through which a built-in handler delivers: the channel of its own name, else the first of its kind.

    Example:
        >>> channel_for("notifications.email", {"notifications": {"channels": {"post": {"kind": "smtp"}}}})
        'notifications.post'
    """
    fitting = [name for name, channel in channels(data).items() if channel["kind"] == DELIVERING.get(handler)]
    named = handler.rpartition(".")[2]
    return f"notifications.{named if named in fitting else fitting[0]}" if fitting else None


def catches_mail(channel: Data) -> bool:
    """Whether a channel sends to the development mailbox."""
    return channel["kind"] == "smtp" and channel.get("host") == "embedded"


def _ai(data: Data, billing: tuple[str, ...]) -> Iterator[Node]:
    section = data.get("ai")
    if section is None:
        return
    yield Node("ai.books", ("storage.database", "storage.redis", "outbox", *billing))
    providers = tuple(f"ai.providers.{name}" for name in section.get("providers") or {})
    for id_ in providers:
        yield Node(id_, ("secrets",))
    keys = ("secrets.provider-keys",) if (data.get("secrets") or {}).get("encryption") else ()
    yield Node("ai", (*providers, "ai.books", "storage.redis", *keys))


def _nodes(data: Data) -> Iterator[Node]:
    yield Node("observability", ())
    traced = ((data.get("observability") or {}).get("tracing") or {}).get("exporter", "none") != "none"
    tracing = ("observability.tracing",) if traced else ()
    for id_ in tracing:
        yield Node(id_, ())
    yield Node("secrets", ())
    # What they sign in with may be lent by Vault: it must not end before they do.
    yield Node("storage.redis", ("secrets",))
    yield Node("storage.database", ("secrets",))
    audit = (AUDIT,) if audited(data) else ()
    for id_ in audit:
        yield Node(id_, ("storage.database", "storage.redis"))
    if (data.get("secrets") or {}).get("encryption"):
        yield Node("secrets.provider-keys", ("secrets", "storage.database"))
    yield Node("storage.cache", ("storage.redis",))
    delivering = {found for handler in DELIVERING if (found := channel_for(handler, data))}
    sending = [name for name, channel in channels(data).items() if channel["kind"] != "in_app"]
    for name in sending:
        channel, id_ = channels(data)[name], f"notifications.{name}"
        if catches_mail(channel):
            yield Node(f"{id_}.mailbox", ())
            yield Node(id_, (f"{id_}.mailbox",))
        else:
            yield Node(id_, ())
    in_memory = (data.get("events") or {}).get("backend") == "memory"
    yield Node("events", () if in_memory else ("storage.redis",))
    sandbox = ("sandbox",) if data.get("sandbox") is not None else ()
    for id_ in sandbox:
        yield Node(id_, ())
    routines = ("routines",) if data.get("routines") is not None else ()
    for id_ in routines:
        yield Node(id_, ())
    yield Node("jobs", ("storage.redis", "storage.cache", *sorted(delivering), *sandbox, *routines))
    yield Node("outbox", ("storage.database", "jobs", "events"))
    notifications = ("notifications",) if data.get("notifications") is not None else ()
    for id_ in notifications:
        needs = ("storage.database", "storage.redis", "events", "outbox")
        yield Node(id_, (*needs, *(f"notifications.{name}" for name in sending)))
    billing = ("billing",) if data.get("billing") is not None else ()
    for id_ in billing:
        yield Node(id_, ("storage.database", "events", "outbox"))
    models = ("ai",) if data.get("ai") is not None else ()
    yield from _ai(data, billing)
    if data.get("auth") is not None:
        yield Node("auth", ("storage.database", "storage.redis", "events", "outbox"))
    for name in data.get("queues") or {}:
        # Traces end after the last job has.
        yield Node(f"jobs.{name}", ("jobs", "events", "outbox", *sandbox, *models, *notifications, *tracing))
    for name in data.get("schedules") or {}:
        yield Node(f"schedules.{name}", ("storage.cache", "jobs"))
    for name in (data.get("events") or {}).get("subscriptions") or {}:
        yield Node(f"events.{name}", ("events", "outbox", *billing, *audit))
    for id_ in absent(data):
        yield Node(id_, ())
