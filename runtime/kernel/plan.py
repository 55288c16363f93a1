"""What has to happen so that one set of components becomes another.

`plan` is pure: it looks at two sets and starts nothing. The kernel carries out what it says, so that what a
person is shown before an apply is what happens.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from runtime.kernel.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.kernel.component import Component

Action = Literal["create", "replace", "update", "remove"]


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one component.

    Args:
        action: `create`, `replace` (new instance first, old one after), `update` (in place) or `remove`.
        id: the component's id.
        title: what a person calls it.
        reason: why, in one sentence.
        effect: what becomes of work in flight, in one sentence.
        fields: the names of the fields that differ, where the action comes from them.
    """

    action: Action
    id: str
    title: str
    reason: str
    effect: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are carried out: creations and replacements by need, updates,
    removals.

    An empty plan is false.
    """

    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def ids(self, *actions: Action) -> tuple[str, ...]:
        """The components to which one of these actions happens.

        Example:
            >>> plan(old, new).ids("create", "replace")
            ('events.bus', 'jobs.email')
        """
        return tuple(step.id for step in self.steps if step.action in actions)

    def to_data(self) -> list[dict[str, Any]]:
        """The plan as plain data, ready for JSON."""
        return [{**asdict(step), "fields": list(step.fields)} for step in self.steps]


def plan(old: Mapping[str, Component], new: Mapping[str, Component]) -> Plan:
    """Compares two sets of components.

    Args:
        old: what runs, by id.
        new: what is to run, by id.

    Raises:
        Fault: `new` has an unknown need or a circle.
    """
    graph = Graph(new)
    begun: list[Step] = []
    updated: list[Step] = []
    replaced: dict[str, str] = {}
    for id_ in graph.order:
        if id_ not in old:
            begun.append(_create(new[id_]))
        elif why := _replacement(old[id_], new[id_], replaced):
            replaced[id_] = why
            begun.append(_replace(old[id_], new[id_], why))
        elif fields := _differing(old[id_], new[id_]):
            updated.append(_update(new[id_], fields))
    removed = [_remove(old[id_]) for id_ in reversed(Graph(old).order) if id_ not in new]
    return Plan((*begun, *updated, *removed))


def _differing(old: Component, new: Component) -> tuple[str, ...]:
    names = [*new.fields, *(name for name in old.fields if name not in new.fields)]
    return tuple(name for name in names if _value(old, name) != _value(new, name))


def _value(component: Component, name: str) -> tuple[bool, Any]:
    return name in component.fields, component.fields.get(name)


def _replacement(old: Component, new: Component, replaced: Mapping[str, str]) -> str:
    """Why a component needs a new instance; empty where it does not."""
    if old.fingerprint != new.fingerprint:
        live = old.live & new.live
        fixed = [name for name in _differing(old, new) if name not in live]
        return f"{_listed(fixed)} changed" if fixed else "what may change live is another set of fields"
    if old.needs != new.needs:
        parts = [f"now needs {_listed(sorted(new.needs - old.needs))}"] if new.needs - old.needs else []
        parts += [f"no longer needs {_listed(sorted(old.needs - new.needs))}"] if old.needs - new.needs else []
        return " and ".join(parts)
    if behind := sorted(new.needs & replaced.keys()):
        return f"needs {_listed(behind)}, which {'is' if len(behind) == 1 else 'are'} replaced"
    return ""


def _create(new: Component) -> Step:
    return Step("create", new.id, _title(new), "it does not run yet", "none: nothing uses it yet")


def _replace(old: Component, new: Component, why: str) -> Step:
    if new.exclusive:
        effect = f"the running one finishes its work (at most {old.grace:g} s) and stops, then the new one starts"
    else:
        effect = f"the new one takes over; the old one finishes its work (at most {old.grace:g} s) and stops"
    return Step("replace", new.id, _title(new), why, effect, _differing(old, new))


def _update(new: Component, fields: tuple[str, ...]) -> Step:
    return Step(
        "update",
        new.id,
        _title(new),
        f"{_listed(fields)} changed, live",
        "none: work in flight goes on",
        fields,
    )


def _remove(old: Component) -> Step:
    effect = f"it takes no new work, finishes what it has (at most {old.grace:g} s) and stops"
    return Step("remove", old.id, _title(old), "the spec no longer declares it", effect)


def _title(component: Component) -> str:
    return component.title or component.id


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
