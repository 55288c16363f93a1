"""Requests that a newcomer can send at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runtime.outline import catches_mail, channels

if TYPE_CHECKING:
    from collections.abc import Mapping


def demonstrations(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A path and a body of the API each, as far as the spec allows."""
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
