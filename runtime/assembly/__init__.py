"""From a checked spec to components: the one place where the spec, the kernel and the services meet.

Each section of the spec has a room here, a module of the same name, which is loaded when a process runs a component
of it. A room has one function, `component(site, name)`: the id of what it makes is the section, a dot and the name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from runtime.assembly.site import Made, Site
from runtime.kernel.component import Component
from runtime.outline import AUDIT, Node, absent, outline

if TYPE_CHECKING:
    from runtime.spec.load import Loaded

__all__ = ["Assembly", "Site"]


class Room(Protocol):
    """What the module of a section offers."""

    def component(self, site: Site, name: str) -> Made:
        """Makes one component of the section; an empty name stands for the section itself."""


class Assembly:
    """Makes the components of one spec.

    Args:
        site: the ground on which they stand.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def missing(self) -> dict[str, str]:
        """What the spec declares and this version does not run: by component id."""
        return self._site.missing

    def of(self, loaded: Loaded) -> Assembly:
        """An assembly of another spec on the same ground: plugins are not imported again."""
        return Assembly(self._site.of(loaded))

    def components(self) -> list[Component]:
        """The components of this process's part, as `runtime.outline` draws them."""
        return [self._component(node) for node in outline(self._site.data) if self._site.part.includes(node.id)]

    def _component(self, node: Node) -> Component:
        made, needs = self._made(node.id), frozenset(self._site.part.of(node.needs))
        # The API calls no worker, and what is not built calls nobody: they only come after these.
        after = (
            needs if node.id in self._site.missing else frozenset(filter(_works, needs) if node.id == "http" else ())
        )
        return Component(
            node.id,
            lambda _, ports: made.factory(ports),
            fields=made.fields,
            needs=needs - after,
            after=after,
            live=made.live,
            title=made.title,
            grace=self._grace(node.id),
            exclusive=node.id.startswith("storage."),
        )

    def _made(self, id_: str) -> Made:
        if what := absent(self._site.data).get(id_):
            return self._site.absent(id_, what, {})
        section, _, name = id_.partition(".")
        room = cast("Room", import_module(f"{__name__}.{section}"))
        return room.component(self._site, name)

    def _grace(self, id_: str) -> float:
        """Seconds that a component's drain may take: a little more than it allows itself."""
        section, _, name = id_.partition(".")
        if section == "jobs" and name:
            return self._site.spec.queues[name].drain + 5.0
        return self._site.spec.api.drain + 5.0 if section == "http" else 30.0


def _works(id_: str) -> bool:
    """Whether it works by itself, and nobody calls it: a worker, a subscription, a schedule, what is not built."""
    section, _, name = id_.partition(".")
    if section == "observability":
        return bool(name) and id_ != AUDIT
    return section in ("processes", "schedules") or (bool(name) and section in ("jobs", "events"))
