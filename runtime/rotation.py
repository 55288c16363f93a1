"""Brings changed secrets into use while an environment runs.

The references of the spec are followed again, the components are made of what they say now, and the kernel turns what
runs into that: in place where a component's credentials are live, by a new instance where `on_rotate` asks for a
restart. It is all or nothing; when anything fails, what ran before runs on with what it had, and it is tried again.
"""

from __future__ import annotations

import logging
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.assembly.secrets import vault_store
from runtime.errors import Fault, NotFound, SpecFault

if TYPE_CHECKING:
    from runtime.kernel.plan import Plan
    from runtime.present import Present
    from runtime.services.secrets.service import SecretService
    from runtime.spec.load import Loaded
    from runtime.spec.origins import Use

logger = logging.getLogger("runtime.rotation")

STREAM: Final = "system"
ROTATED: Final = "secret.rotated"
HEALTH: Final = "service.health"
AGAIN: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until a rotation that failed is tried again."""
HEALTH_LOOK: Final = 1.0
LEAVE_LIMIT: Final = 2.0


class Rotation:
    """Carries out one rotation after another.

    Args:
        present: what runs.
    """

    def __init__(self, present: Present) -> None:
        self._present = present
        self._kernel = present.kernel
        self._redactor = present.redactor
        self._wanted = anyio.Event()
        self._running: anyio.CancelScope | None = None

    def stop(self) -> None:
        """Begins no further rotation, and undoes the one under way."""
        if self._running is not None:
            self._running.cancel()

    async def leave(self) -> None:
        """Gives back what Vault has lent, once nothing runs any more that could use it."""
        if (store := vault_store(self._present.loaded)) is not None:
            with anyio.move_on_after(LEAVE_LIMIT, shield=True):
                await anyio.to_thread.run_sync(store.leave, abandon_on_cancel=True)

    def request(self) -> None:
        """A source of secrets has changed."""
        self._wanted.set()

    async def run(self) -> None:
        """Rotates whenever it is asked for, and tells of the health of the secrets, until `stop`."""
        async with anyio.create_task_group() as tasks:
            self._running = tasks.cancel_scope
            tasks.start_soon(self._announce_health)
            while True:
                await self._wanted.wait()
                self._wanted = anyio.Event()
                await self._until_done()

    async def _until_done(self) -> None:
        for pause in chain(AGAIN, repeat(AGAIN[-1])):
            try:
                await self._rotate()
            except Fault as fault:
                reason = self._redactor.text(_reason(fault))
                logger.warning("a changed secret cannot be used yet: %s", reason)
                self._service.refused(reason)
            else:
                return
            with anyio.move_on_after(pause):
                await self._wanted.wait()
            self._wanted = anyio.Event()

    async def _rotate(self) -> None:
        present = self._present
        async with present.changing:
            old = present.loaded
            new = await anyio.to_thread.run_sync(old.again)
            present.learn(new)
            changed = _changed(old, new)
            steps = await present.become(new, *await present.made(new), recorded=False)
        for name, uses in changed.items():
            logger.info("%s was rotated", name, extra={"components": _touched(steps)})
            await self._publish(ROTATED, _event(name, uses, steps))

    @property
    def _service(self) -> SecretService:
        service: SecretService = self._kernel.service("secrets")
        return service

    async def _publish(self, type_: str, data: dict[str, Any]) -> None:
        """Publishes on the stream `system` where the spec declares that event there."""
        try:
            await self._kernel.service("events").publish(STREAM, type_, data)
        except NotFound:
            return
        except Fault as fault:
            logger.warning("the event %s was not published: %s", type_, self._redactor.text(fault.message))

    async def _announce_health(self) -> None:
        """Publishes an event when the secrets get worse or well again."""
        known = "operational"
        while True:
            await anyio.sleep(HEALTH_LOOK)
            health = await self._service.health()
            if health.status != known:
                known = health.status
                reason = self._redactor.text(health.reason)
                await self._publish(HEALTH, {"service": "secrets", "status": known, "reason": reason})


def _changed(old: Loaded, new: Loaded) -> dict[str, list[Use]]:
    """The sources whose values are other ones, each with where they stand."""
    found: dict[str, list[Use]] = {}
    before = {(use.path, use.written): use.origin for use in old.uses}
    for use in new.uses:
        if use.origin is None or _value(old.data, use.path) == _value(new.data, use.path):
            continue
        beside = [each for each in new.uses if each.path == use.path]
        moved = [each for each in beside if before.get((each.path, each.written)) != each.origin]
        if use in (moved or beside):
            name = use.reference.name if use.origin.kind == "vault" else use.origin.name or use.reference.name
            found.setdefault(name, []).append(use)
    return found


def _value(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _event(name: str, uses: list[Use], steps: Plan) -> dict[str, Any]:
    from runtime.spec.diagnostics import dotted

    origin = uses[0].origin
    return {
        "name": name,
        "source": origin.kind if origin else "",
        "version": origin.version if origin else "",
        "fields": sorted({dotted(use.path) for use in uses}),
        "components": _touched(steps),
    }


def _touched(steps: Plan) -> list[str]:
    return list(steps.ids("create", "replace", "update"))


def _reason(fault: Fault) -> str:
    if isinstance(fault, SpecFault):
        return "; ".join(map(str, fault.diagnostics[:3]))
    return fault.message
