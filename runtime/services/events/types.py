"""Types of events that the user's own classes declare (`@event_type`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import Fault
from runtime.services.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.plugins import Mark
    from runtime.services.events.spec import EventsSpec

REMEDY = "Mark a dataclass, a msgspec Struct, a pydantic model or a TypedDict."


def shapes(spec: EventsSpec, marks: Iterable[Mark]) -> dict[str, Shape]:
    """The shape of each type that a class declares.

    Args:
        marks: those of `@event_type`; one whose name no stream declares belongs to another environment.

    Raises:
        Fault: a class cannot be used, or the spec has a schema for the type, too.
    """
    made: dict[str, Shape] = {}
    for mark in marks:
        for stream, declared in spec.streams.items():
            if mark.name not in declared.events:
                continue
            if declared.events[mark.name].schema_ is not None:
                raise Fault(
                    f'events.streams.{stream}.events: "{mark.name}" has a schema, and the class {mark.origin}',
                    remedy="Leave out one of them.",
                )
            made[mark.name] = Shape(mark.function, mark.origin, what="data", remedy=REMEDY)
    return made
