from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.kernel.component import Component
from runtime.kernel.graph import Graph
from runtime.kernel.plan import Plan, plan

LIVE = frozenset({"live"})


def component(id_: str, *needs: str, **fields: Any) -> Component:
    return Component(id_, _unused, fields=fields, needs=frozenset(needs), live=LIVE, title=id_.upper(), grace=7.0)


def _unused(component: Component, ports: Any) -> Any:
    raise AssertionError("a plan makes no service")


def set_of(*components: Component) -> dict[str, Component]:
    return {component.id: component for component in components}


@st.composite
def sets(draw: st.DrawFn) -> dict[str, Component]:
    ids = draw(st.lists(st.sampled_from("abcdefgh"), unique=True).map(sorted))
    return set_of(
        *(
            component(
                id_,
                *(draw(st.sets(st.sampled_from(ids[:place]))) if place else ()),
                live=draw(st.integers(0, 1)),
                fixed=draw(st.integers(0, 1)),
            )
            for place, id_ in enumerate(ids)
        )
    )


def test_a_first_plan_creates_all_in_order() -> None:
    steps = plan({}, set_of(component("api", "redis"), component("redis")))
    assert [(step.action, step.id) for step in steps.steps] == [("create", "redis"), ("create", "api")]
    assert steps.steps[0].title == "REDIS"


def test_a_changed_field_replaces_it_and_all_that_need_it() -> None:
    old = set_of(component("redis", url="a"), component("bus", "redis"), component("api", "bus"), component("other"))
    new = {**old, "redis": component("redis", url="b")}
    found = plan(old, new)
    assert [(step.action, step.id, step.reason, step.fields) for step in found.steps] == [
        ("replace", "redis", "url changed", ("url",)),
        ("replace", "bus", "needs redis, which is replaced", ()),
        ("replace", "api", "needs bus, which is replaced", ()),
    ]
    assert "at most 7 s" in found.steps[0].effect


def test_only_live_fields_change_in_place() -> None:
    found = plan(set_of(component("jobs", live=1, fixed=1)), set_of(component("jobs", live=2, fixed=1)))
    assert [(step.action, step.fields, step.reason) for step in found.steps] == [
        ("update", ("live",), "live changed, live")
    ]
    assert found.steps[0].effect == "none: work in flight goes on"


def test_a_live_and_a_fixed_change_together_replace() -> None:
    found = plan(set_of(component("jobs", live=1, fixed=1)), set_of(component("jobs", live=2, fixed=2)))
    assert found.ids("replace") == ("jobs",)
    assert found.steps[0].reason == "fixed changed"
    assert found.steps[0].fields == ("live", "fixed")


def test_another_need_replaces() -> None:
    old = set_of(component("a"), component("b"), component("c", "a"))
    found = plan(old, {**old, "c": component("c", "b")})
    assert [(step.id, step.reason) for step in found.steps] == [("c", "now needs b and no longer needs a")]


def test_a_field_that_was_live_and_is_no_longer_replaces() -> None:
    old = component("jobs", live=1)
    new = Component("jobs", _unused, fields={"live": 1})
    found = plan(set_of(old), set_of(new))
    assert found.steps[0].reason == "what may change live is another set of fields"


def test_a_live_change_of_a_need_leaves_those_who_need_it() -> None:
    old = set_of(component("redis", live=1), component("bus", "redis"))
    assert [step.id for step in plan(old, {**old, "redis": component("redis", live=2)}).steps] == ["redis"]


def test_what_is_gone_is_removed_last_first() -> None:
    old = set_of(component("redis"), component("bus", "redis"), component("api", "bus"))
    found = plan(old, {})
    assert found.ids("remove") == ("api", "bus", "redis")


def test_two_gone_needs_are_named_together() -> None:
    old = set_of(component("a", x=1), component("b", x=1), component("c", "a", "b"))
    new = {**old, "a": component("a", x=2), "b": component("b", x=2)}
    assert plan(old, new).steps[-1].reason == "needs a and b, which are replaced"


def test_an_exclusive_one_says_that_the_old_stops_first() -> None:
    old = Component("db", _unused, fields={"x": 1}, exclusive=True)
    new = Component("db", _unused, fields={"x": 2}, exclusive=True)
    assert "stops, then the new one starts" in plan(set_of(old), set_of(new)).steps[0].effect


@given(sets())
def test_a_set_against_itself_needs_nothing(found: dict[str, Component]) -> None:
    steps = plan(found, dict(found))
    assert steps == Plan()
    assert not steps


@given(sets(), sets())
def test_every_component_has_at_most_one_step_and_the_plan_leads_to_the_new_set(
    old: dict[str, Component], new: dict[str, Component]
) -> None:
    found = plan(old, new)
    ids = [step.id for step in found.steps]
    assert len(ids) == len(set(ids))
    assert set(found.ids("create")) == new.keys() - old.keys()
    assert set(found.ids("remove")) == old.keys() - new.keys()
    kept = {id_: old[id_] for id_ in old if id_ not in found.ids("remove")}
    assert {**kept, **{id_: new[id_] for id_ in ids if id_ in new}} == new
    replaced = set(found.ids("replace"))
    for id_ in old.keys() & new.keys() - replaced:
        assert old[id_].fingerprint == new[id_].fingerprint
        assert not new[id_].needs & replaced
    for id_ in found.ids("update"):
        assert [name for name in new[id_].fields if new[id_].fields[name] != old[id_].fields[name]] == ["live"]


@given(sets(), sets())
def test_new_instances_come_in_order_of_need(old: dict[str, Component], new: dict[str, Component]) -> None:
    begun = plan(old, new).ids("create", "replace")
    order = [id_ for id_ in Graph(new).order if id_ in begun]
    assert list(begun) == order


@given(sets(), sets())
def test_a_plan_is_plain_data_with_reasons_and_effects(old: dict[str, Component], new: dict[str, Component]) -> None:
    data = plan(old, new).to_data()
    assert json.loads(json.dumps(data)) == data
    assert all(step["reason"] and step["effect"] for step in data)
