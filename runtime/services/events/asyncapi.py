"""The streams of a spec as an AsyncAPI 3.0 document: what may be published, what a subscriber gets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runtime.services.events.types import shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runtime.plugins import Mark
    from runtime.services.events.spec import EventsSpec, EventTypeSpec
    from runtime.services.shape import Shape


def document(spec: EventsSpec, name: str, version: str, types: Iterable[Mark] = ()) -> dict[str, Any]:
    """The description of every stream, with the schemas of its types.

    Args:
        name: the environment's.
        version: of the runtime.
        types: classes that declare types of events.

    Example:
        >>> document(EventsSpec(), "core", "0.1.0")["info"]                                    # doctest: +SKIP
        {'title': 'core', 'version': '0.1.0'}
    """
    classes = shapes(spec, types)
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for stream, declared in spec.streams.items():
        own = {kind: {"$ref": f"#/components/messages/{stream}.{kind}"} for kind in declared.events}
        channels[stream] = {"address": stream, "messages": own}
        channel = {"$ref": f"#/channels/{stream}"}
        publish, subscribe = f"POST /v1/streams/{stream}/events", f"GET /v1/streams/{stream}/subscribe"
        operations[f"{stream}.publish"] = {"action": "receive", "channel": channel, "summary": publish}
        operations[f"{stream}.subscribe"] = {"action": "send", "channel": channel, "summary": subscribe}
        messages |= {f"{stream}.{kind}": _message(kind, known, classes) for kind, known in declared.events.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": name, "version": version},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _message(kind: str, declared: EventTypeSpec, classes: Mapping[str, Shape]) -> dict[str, Any]:
    """A type of event; its payload is the event's `data`."""
    schema = classes[kind].schema if kind in classes else {"type": "object"}
    if declared.schema_:
        schema = json.loads(declared.schema_.read_bytes())
    about = {"summary": declared.description} if declared.description else {}
    payload = {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": schema}
    return {"name": kind, **about, "payload": payload}
