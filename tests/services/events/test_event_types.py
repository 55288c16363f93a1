"""Types of events that the user's own classes declare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from runtime.errors import Fault, Invalid
from runtime.plugins import Mark, event_type
from runtime.services.events.adapters.memory import MemoryStreams
from runtime.services.events.asyncapi import document
from runtime.services.events.ports import NewEvent
from runtime.services.events.service import EventBus
from runtime.services.events.spec import EventsSpec

STREAMS: dict[str, Any] = {"orders": {"events": {"orders.placed": {}, "orders.lost": {}}}}


@dataclass
class Placed:
    order: str
    items: int = 1


class Packed(msgspec.Struct, forbid_unknown_fields=True):
    order: str
    items: int = 1


class Model(pydantic.BaseModel, extra="forbid"):
    order: str
    items: int = 1


class Written(TypedDict):
    order: str
    items: int


def bus(kind: Any, **streams: Any) -> EventBus:
    spec = EventsSpec.model_validate({"streams": STREAMS | streams})
    return EventBus(spec, MemoryStreams(source="test"), [Mark("event_type", "orders.placed", kind)])


@pytest.mark.parametrize("kind", [Placed, Packed, Model, Written])
async def test_what_is_published_must_fit_the_class(kind: Any) -> None:
    at = bus(kind)
    await at.publish("orders", "orders.placed", {"order": "7", "items": 2})
    with pytest.raises(Invalid) as wrong:
        await at.publish("orders", "orders.placed", {"order": "7", "items": "many"})
    assert [error.pointer for error in wrong.value.errors] == ["/data/items"]
    events = [NewEvent("orders.placed", {"order": "7", "items": 2}), NewEvent("orders.placed", {"items": 2})]
    with pytest.raises(Invalid):
        await at.publish_all("orders", events)  # all or none
    await at.publish("orders", "orders.lost", {"anything": True})  # a type without a class
    assert (await at.stream("orders")).length == 2
    await at.stop()


@pytest.mark.parametrize("kind", [Placed, Packed, Model])
async def test_a_field_that_the_class_lacks_is_refused(kind: Any) -> None:
    at = bus(kind)
    with pytest.raises(Invalid, match=r"colour|Extra|extra"):
        await at.publish("orders", "orders.placed", {"order": "7", "colour": "red"})
    await at.stop()


@pytest.mark.parametrize("kind", [Placed, Packed, Model])
def test_the_description_has_its_schema(kind: Any) -> None:
    spec = EventsSpec.model_validate({"streams": STREAMS})
    described = document(spec, "core", "1", [Mark("event_type", "orders.placed", kind)])
    messages = described["components"]["messages"]
    schema = messages["orders.orders.placed"]["payload"]["schema"]
    assert schema["properties"]["items"]["type"] == "integer"
    assert schema["required"] == ["order"]
    assert messages["orders.orders.lost"]["payload"]["schema"] == {"type": "object"}


def test_a_type_has_one_declaration(tmp_path: Any) -> None:
    path = tmp_path / "placed.json"
    path.write_text('{"type": "object"}')
    both = {"orders": {"events": {"orders.placed": {"schema": str(path)}}}}
    with pytest.raises(Fault, match="has a schema, and the class"):
        bus(Placed, **both)


def test_a_class_that_checks_nothing_is_refused() -> None:
    class Plain:
        pass

    with pytest.raises(Fault, match="cannot be of the type Plain"):
        bus(Plain)


def test_the_mark_leaves_the_class_as_it_was() -> None:
    marked = event_type("orders.placed")(Packed)
    assert marked is Packed
    assert msgspec.to_builtins(Packed("7")) == {"order": "7", "items": 1}
