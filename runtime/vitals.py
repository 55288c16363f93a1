"""Watches the health of the components of an environment, and tells each change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.kernel.reconcile import Kernel

LOOK: Final = 5.0
"""Seconds between two looks; a component that starts, stops or dies is looked at sooner."""


GONE: Final = ("gone", "")


class Told(Protocol):
    """Whoever is told of changes."""

    def health_changed(self, component: str, *, before: str | None, status: str, reason: str) -> None: ...


class Vitals:
    """Compares what components say of themselves with what they said before.

    Args:
        kernel: what runs.
        told: gives whoever is told each change; the first look counts as one.
        mask: hides secrets in what components say.
    """

    def __init__(self, kernel: Kernel, told: Callable[[], Told], mask: Callable[[str], str] = str) -> None:
        self._kernel = kernel
        self._told = told
        self._mask = mask
        self._known: dict[str, str] = {}
        self._due = anyio.Event()

    def look_soon(self) -> None:
        """Something has changed."""
        self._due.set()

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            self._due = anyio.Event()
            await self.look()
            with anyio.move_on_after(LOOK):
                await self._due.wait()

    async def look(self) -> None:
        """Looks once at all components."""
        answers = await self._kernel.health()
        built = {id_: health for id_, health in answers.items() if health.status != "not built"}
        states: dict[str, tuple[str, str]] = {id_: (health.status, health.reason) for id_, health in built.items()}
        for id_, (status, reason) in {**states, **dict.fromkeys(self._known.keys() - states.keys(), GONE)}.items():
            before = self._known.get(id_)
            if status != before:
                self._told().health_changed(id_, before=before, status=status, reason=self._mask(reason))
        self._known = {id_: status for id_, (status, _) in states.items()}
