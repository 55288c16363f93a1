"""Which component needs which: the order of starting and, reversed, of stopping."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from runtime.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runtime.kernel.component import Component


class Graph:
    """The components of one environment and their needs, checked.

    Args:
        components: by id.

    Raises:
        Fault: a component needs one that is not there, or components need each other in a circle; the message
            names the whole path.

    Example:
        >>> Graph({c.id: c for c in components}).waves
        (('storage.redis', 'storage.database'), ('jobs.email', 'events.bus'), ('api.http',))
    """

    def __init__(self, components: Mapping[str, Component]) -> None:
        self.needs: Mapping[str, frozenset[str]] = {id_: component.awaits for id_, component in components.items()}
        for id_ in self.needs:
            self._check_known(id_)
        self.waves: tuple[tuple[str, ...], ...] = tuple(self._in_waves())

    @property
    def order(self) -> tuple[str, ...]:
        """Every id, each after all that it needs; equal ones in the order in which they were declared."""
        return tuple(id_ for wave in self.waves for id_ in wave)

    def dependents(self, ids: Iterable[str]) -> frozenset[str]:
        """All that need one of these, directly or through others; without the ids themselves."""
        start = frozenset(ids)
        found: set[str] = set(start)
        for id_ in self.order:
            if self.needs[id_] & found:
                found.add(id_)
        return frozenset(found - start)

    def _check_known(self, id_: str) -> None:
        for need in sorted(self.needs[id_]):
            if need not in self.needs:
                near = get_close_matches(need, self.needs, n=1)
                raise Fault(
                    f'"{id_}" needs "{need}", and there is no such component',
                    remedy=f'Did you mean "{near[0]}"?' if near else f'Declare "{need}", or take the need away.',
                )

    def _in_waves(self) -> Iterable[tuple[str, ...]]:
        """Groups in which nothing needs another of the same group, each needing only earlier groups."""
        left = dict(self.needs)
        done: set[str] = set()
        while left:
            wave = tuple(id_ for id_, needs in left.items() if needs <= done)
            if not wave:
                raise Fault(
                    f"components need each other in a circle: {' → '.join(_circle(left))}",
                    remedy="Take one of these needs away.",
                )
            yield wave
            done.update(wave)
            for id_ in wave:
                del left[id_]


def _circle(needs: Mapping[str, frozenset[str]]) -> list[str]:
    """One circle among components of which each waits for another of them; the first id is repeated at the
    end."""
    path: list[str] = []
    step = next(iter(needs))
    while step not in path:
        path.append(step)
        step = min(need for need in needs[step] if need in needs)
    return [*path[path.index(step) :], step]
