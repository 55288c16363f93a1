from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import Fault
from runtime.kernel.component import Component
from runtime.kernel.graph import Graph


def components(**needs: tuple[str, ...]) -> dict[str, Component]:
    return {id_: Component(id_, _unused, needs=frozenset(wanted)) for id_, wanted in needs.items()}


def _unused(component: Component, ports: Any) -> Any:
    raise AssertionError("a graph makes no service")


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, Component]:
    """Components of which each needs only some that were drawn before, in any order."""
    ids = [f"c{number}" for number in range(draw(st.integers(0, 12)))]
    needs = {id_: tuple(draw(st.sets(st.sampled_from(ids[:place])))) if place else () for place, id_ in enumerate(ids)}
    return components(**dict(draw(st.permutations(list(needs.items())))))


def test_what_needs_nothing_is_first_and_side_by_side() -> None:
    graph = Graph(components(api=("bus", "db"), bus=("redis",), redis=(), db=()))
    assert graph.waves == (("redis", "db"), ("bus",), ("api",))
    assert graph.order == ("redis", "db", "bus", "api")


def test_nothing_is_no_graph_of_nothing() -> None:
    assert Graph({}).waves == ()


def test_dependents_are_direct_and_through_others() -> None:
    graph = Graph(components(redis=(), bus=("redis",), api=("bus",), db=()))
    assert graph.dependents(["redis"]) == {"bus", "api"}
    assert graph.dependents(["api"]) == frozenset()
    assert graph.dependents(["bus", "db"]) == {"api"}


def test_an_unknown_need_names_the_nearest() -> None:
    with pytest.raises(Fault) as caught:
        Graph(components(**{"jobs.email": ("storage.redsi",), "storage.redis": ()}))
    assert caught.value.message == '"jobs.email" needs "storage.redsi", and there is no such component'
    assert caught.value.remedy == 'Did you mean "storage.redis"?'


def test_an_unknown_need_without_a_near_one() -> None:
    with pytest.raises(Fault) as caught:
        Graph(components(jobs=("zzz",)))
    assert caught.value.remedy == 'Declare "zzz", or take the need away.'


@pytest.mark.parametrize(
    ("needs", "path"),
    [
        ({"a": ("a",)}, "a → a"),
        ({"a": ("b",), "b": ("a",)}, "a → b → a"),
        ({"top": ("a",), "a": ("b",), "b": ("c",), "c": ("a",), "free": ()}, "a → b → c → a"),
    ],
)
def test_a_circle_is_named_whole(needs: dict[str, tuple[str, ...]], path: str) -> None:
    with pytest.raises(Fault, match="circle") as caught:
        Graph(components(**needs))
    assert caught.value.message.endswith(path)


@given(acyclic())
def test_order_respects_every_need(found: dict[str, Component]) -> None:
    order = Graph(found).order
    assert sorted(order) == sorted(found)
    place = {id_: index for index, id_ in enumerate(order)}
    assert all(place[need] < place[id_] for id_, component in found.items() for need in component.needs)


@given(acyclic())
def test_a_wave_needs_only_earlier_waves_and_starts_as_early_as_it_can(found: dict[str, Component]) -> None:
    earlier: set[str] = set()
    previous: set[str] = set()
    for wave in Graph(found).waves:
        for id_ in wave:
            assert found[id_].needs <= earlier
            assert not previous or found[id_].needs & previous
        earlier |= set(wave)
        previous = set(wave)


@given(acyclic(), st.data())
def test_a_back_edge_is_always_a_circle(found: dict[str, Component], data: st.DataObject) -> None:
    graph = Graph(found)
    pairs = [(id_, other) for id_ in found for other in graph.dependents([id_])]
    if not pairs:
        return
    id_, other = data.draw(st.sampled_from(pairs))
    closed = {**found, id_: Component(id_, _unused, needs=found[id_].needs | {other})}
    with pytest.raises(Fault, match="circle") as caught:
        Graph(closed)
    path = caught.value.message.rpartition(": ")[2].split(" → ")
    assert path[0] == path[-1]
    assert all(after in closed[before].needs for before, after in pairwise(path))
