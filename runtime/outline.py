"""Which components a spec declares, and what each of them needs.

Works on plain data, so that `runtime graph` can draw an environment without loading any service. `runtime.assembly` makes
exactly these components: a spec and its picture never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

SERVICES = ("auth", "jobs", "events", "ai", "notifications", "sandbox", "secrets")
"""The seven services, in the order in which they are shown."""

NOT_BUILT = ("auth", "ai", "sandbox", "secrets", "schedules", "routines")
"""Sections that this version declares but does not run."""

DELIVERING = {"notifications.email": "smtp"}
"""Built-in handlers that deliver through a channel, and the kind of that channel."""


class Node(NamedTuple):
    """A component's id and the ids of those that it needs."""

    id: str
    needs: tuple[str, ...]


def outline(data: Mapping[str, Any]) -> list[Node]:
    """The components of a spec, each after those that it needs.

    Args:
        data: a merged spec with its defaults filled in.
    """
    nodes = [
        Node("storage.redis", ()),
        Node("storage.database", ()),
        Node("storage.cache", ("storage.redis",)),
        Node("jobs", ("storage.redis", "storage.cache")),
        Node("events", ("storage.redis", "storage.cache")),
    ]
    nodes += _channels(data)
    nodes += _workers(data)
    subscriptions = (data.get("events") or {}).get("subscriptions") or {}
    nodes += [Node(f"events.{name}", ("events", "jobs")) for name in subscriptions]
    nodes += [Node(section, ()) for section in NOT_BUILT if data.get(section)]
    nodes.append(Node("http", tuple(node.id for node in nodes)))
    return nodes


def channel_for(handler: str, data: Mapping[str, Any]) -> str | None:
    """The component through which a built-in handler delivers, where the spec declares one.

    Example:
        >>> channel_for("notifications.email", {"notifications": {"channels": {"post": {"kind": "smtp"}}}})
        'notifications.post'
    """
    kind = DELIVERING.get(handler)
    channels = (data.get("notifications") or {}).get("channels") or {}
    named = handler.rpartition(".")[2]
    matching = [name for name, channel in channels.items() if channel.get("kind") == kind]
    if not matching:
        return None
    return f"notifications.{named if named in matching else matching[0]}"


def _channels(data: Mapping[str, Any]) -> list[Node]:
    nodes: list[Node] = []
    for name, channel in ((data.get("notifications") or {}).get("channels") or {}).items():
        id = f"notifications.{name}"  # noqa: A001 - the word of the field
        if channel.get("kind") == "smtp" and channel.get("host") == "embedded":
            nodes.append(Node(f"{id}.mailbox", ()))
            nodes.append(Node(id, (f"{id}.mailbox",)))
        else:
            nodes.append(Node(id, ()))
    return nodes


def _workers(data: Mapping[str, Any]) -> list[Node]:
    nodes: list[Node] = []
    for name, queue in (data.get("queues") or {}).items():
        channel = channel_for(queue["handler"], data)
        needs = ("storage.cache", "jobs", "events", *((channel,) if channel else ()))
        nodes.append(Node(f"jobs.{name}", needs))
    return nodes
