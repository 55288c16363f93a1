"""One YAML file declares the core services of a platform, and `runtime apply spec.yaml` runs them.

The names below are the whole public surface for a user's own code. They load on first use, so that importing the
package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.client.asynchronous import Client, enqueue
    from runtime.client.synchronous import SyncClient, enqueue_sync
    from runtime.environment import Environment
    from runtime.errors import Fault
    from runtime.loading import load
    from runtime.plugins import event_type, subscriber, task
    from runtime.services.events.ports import Event
    from runtime.services.jobs.ports import Draft, JobContext, JobView, Reject, Retry
    from runtime.services.notifications.ports import Audience, Notice
    from runtime.services.outbox.ports import Transaction

__version__ = "0.1.0"

_HOMES = {
    "Audience": "runtime.services.notifications.ports",
    "Client": "runtime.client.asynchronous",
    "Draft": "runtime.services.jobs.ports",
    "Environment": "runtime.environment",
    "Event": "runtime.services.events.ports",
    "Fault": "runtime.errors",
    "JobContext": "runtime.services.jobs.ports",
    "JobView": "runtime.services.jobs.ports",
    "Notice": "runtime.services.notifications.ports",
    "Reject": "runtime.services.jobs.ports",
    "Retry": "runtime.services.jobs.ports",
    "SyncClient": "runtime.client.synchronous",
    "Transaction": "runtime.services.outbox.ports",
    "enqueue": "runtime.client.asynchronous",
    "enqueue_sync": "runtime.client.synchronous",
    "event_type": "runtime.plugins",
    "load": "runtime.loading",
    "subscriber": "runtime.plugins",
    "task": "runtime.plugins",
}

__all__ = [
    "Audience",
    "Client",
    "Draft",
    "Environment",
    "Event",
    "Fault",
    "JobContext",
    "JobView",
    "Notice",
    "Reject",
    "Retry",
    "SyncClient",
    "Transaction",
    "enqueue",
    "enqueue_sync",
    "event_type",
    "load",
    "subscriber",
    "task",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'runtime' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
