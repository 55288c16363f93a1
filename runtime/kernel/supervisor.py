"""One running component: started with a limit, watched, restarted when it dies, stopped with a limit."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio

from runtime.errors import Fault, StartFailed
from runtime.health import Health
from runtime.kernel.component import Checked, Component, Service, Updatable, Watched
from runtime.kernel.status import ComponentStatus, State, describe

logger = logging.getLogger("runtime.kernel")

STABLE = 60.0
"""Seconds that a component must run for its earlier failures to be forgotten."""
FIRST_DELAY = 0.25
LONGEST_DELAY = 30.0
HEALTH_LIMIT = 1.0

Notice = Callable[[ComponentStatus], None]


def backoff(failures: int, *, spread: Callable[[], float] = random.random) -> float:
    """Seconds to wait before the next restart.

    The first restart comes at once; after that the wait doubles up to `LONGEST_DELAY`, less up to a half at
    random, so that many components do not come back in step.

    Args:
        failures: how many restarts there were since the component last ran for long.
        spread: gives a number from 0 to 1.
    """
    if failures == 0:
        return 0.0
    longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 16))
    return longest * (1.0 - spread() / 2)


class Supervisor:
    """Keeps one service alive.

    It catches whatever comes out of the service, `SystemExit` included, so that one that dies takes no other
    with it. It never gives up.

    Args:
        component: what the service was made of.
        service: made by the component's factory, not started.
        on_change: called at each change of state.
        start_limit: seconds that `start()` may take.
    """

    def __init__(self, component: Component, service: Service, *, on_change: Notice, start_limit: float) -> None:
        self.component = component
        self.service = service
        self.status = ComponentStatus(component.id, component.title or component.id, "starting", datetime.now(UTC))
        self._on_change = on_change
        self._start_limit = start_limit
        self._failures = 0
        self._running_since = 0.0
        self._stopping = False
        self._watching: anyio.CancelScope | None = None
        self._watch_ended = anyio.Event()
        self._living: anyio.CancelScope | None = None
        self._injected: Exception | None = None
        self._stopped = anyio.Event()
        self._drain: anyio.CancelScope | None = None

    async def start(self) -> None:
        """Starts the service and returns when it is ready.

        Raises:
            Fault: the service's own, or `StartFailed` for anything else that it raised and for a start
                without an end.
        """
        self._enter("starting")
        if (error := await self._begin()) is None:
            self._enter("running")
            return
        self._enter("failed", error)
        if isinstance(error, Fault):
            raise error
        raise StartFailed(self.component.id, describe(error)) from error

    async def run(self) -> None:
        """Watches the service and restarts it whenever it dies, until `stop`.

        The scope is shielded: a cancelled environment drains its services before it lets go of them.
        """
        if self._stopping:
            return
        with anyio.CancelScope(shield=True) as self._watching:
            try:
                while not self._stopping:
                    error = await self._contained(self._life)
                    if not self._stopping:
                        await self._revive(error or RuntimeError("it ended by itself"))
            finally:
                self._watch_ended.set()

    async def _life(self) -> None:
        """Lasts as long as the service does, or until `fail` ends it."""
        with anyio.CancelScope() as self._living:
            if isinstance(self.service, Watched):
                await self.service.watch()
            else:
                await anyio.sleep_forever()
        if self._living.cancelled_caught and self._injected is not None:
            error, self._injected = self._injected, None
            raise error

    def fail(self, error: Exception) -> None:
        """Makes the service count as dead, as if `watch` had raised: fault injection."""
        self._injected = error
        if self._living is not None:
            self._living.cancel()

    async def update(self, component: Component, fields: Mapping[str, Any]) -> None:
        """Changes live fields in place.

        Args:
            component: the component with its new fields.
            fields: the changed ones alone.

        Raises:
            Fault: the service refuses them, and has changed nothing.
        """
        if not isinstance(self.service, Updatable):
            raise Fault(f"{self.component.id}: its live fields cannot change in place: it has no update()")
        error = await self._contained(lambda: self.service.update(fields))  # type: ignore[attr-defined]
        if error is None:
            self.component = component
        elif isinstance(error, Fault):
            raise error
        else:
            raise Fault(f"{self.component.id}: {describe(error)}") from error

    async def stop(self, limit: float) -> None:
        """Drains and stops the service; never raises, and is not interrupted by a cancellation from outside.

        Args:
            limit: seconds that draining may take.
        """
        if self._stopping:
            with anyio.CancelScope(shield=True):
                await self._stopped.wait()
            return
        self._stopping = True
        reviving = self.status.state in ("restarting", "failed")
        self._enter("stopping")
        with anyio.CancelScope(shield=True):
            if reviving:
                await self._end_watch()
            with anyio.move_on_after(limit) as self._drain:
                if error := await self._contained(self.service.stop):
                    self._remember(error)
                    logger.warning("%s did not stop cleanly: %s", self.component.id, describe(error))
            if self._drain.cancelled_caught:
                self._remember(TimeoutError("it did not drain in time, and was cut off"))
                logger.warning("%s did not drain in time, and was cut off", self.component.id)
            await self._end_watch()
        self._enter("stopped")
        self._stopped.set()

    def hurry(self, limit: float) -> None:
        """Shortens a drain under way to so many seconds from now."""
        if self._drain is not None:
            self._drain.deadline = min(self._drain.deadline, anyio.current_time() + limit)

    async def health(self) -> Health:
        """What the service says of itself; `down` where it does not run or does not answer in time."""
        if self.status.state in ("restarting", "failed"):
            return Health("down", f"{self.status.state}: {self.status.error or 'it died'}")
        if self.status.state != "running":
            return Health("down", self.status.state)
        if not isinstance(self.service, Checked):
            return Health()
        answer: list[Health] = []

        async def ask() -> None:
            answer.append(await self.service.health())  # type: ignore[attr-defined]

        with anyio.move_on_after(HEALTH_LIMIT):
            if error := await self._contained(ask):
                return Health("down", describe(error))
        return answer[0] if answer else Health("down", f"no answer within {HEALTH_LIMIT:g} s")

    async def _revive(self, error: BaseException) -> None:
        if anyio.current_time() - self._running_since >= STABLE:
            self._failures = 0
        failed: State = "restarting"
        while True:
            delay = backoff(self._failures)
            self._failures += 1
            self._enter(failed, error)
            logger.error(
                "%s died: %s; restart in %.1f s",
                self.component.id,
                describe(error),
                delay,
                exc_info=_foreign(error),
            )
            await anyio.sleep(delay)
            self._enter("restarting")
            with anyio.move_on_after(self.component.grace):
                await self._contained(self.service.stop)
            again = await self._begin()
            if again is None:
                self.status = replace(self.status, restarts=self.status.restarts + 1)
                self._enter("running")
                logger.info("%s runs again", self.component.id)
                return
            error, failed = again, "failed"

    async def _begin(self) -> BaseException | None:
        with anyio.move_on_after(self._start_limit):
            error = await self._contained(self.service.start)
            if error is None:
                self._running_since = anyio.current_time()
            return error
        return StartFailed(
            self.component.id,
            f"was not ready within {self._start_limit:g} s",
            remedy="See its log for what it waits for.",
        )

    async def _contained(self, call: Callable[[], Awaitable[Any]]) -> BaseException | None:
        """Awaits a call into the service, and returns what it raised instead of raising it.

        A cancellation passes through where it comes from outside. One that the service made itself, by
        waiting for a task of its own that was cancelled, counts as its death.
        """
        try:
            await call()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return error
        except BaseException as error:  # noqa: BLE001 - it is returned, not lost
            return error
        return None

    async def _end_watch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await self._watch_ended.wait()

    def _remember(self, error: BaseException) -> None:
        self.status = replace(self.status, error=describe(error))

    def _enter(self, state: State, error: BaseException | None = None) -> None:
        if error is not None:
            self._remember(error)
        if self._stopping and state not in ("stopping", "stopped"):
            return
        self.status = replace(self.status, state=state, since=datetime.now(UTC))
        try:
            self._on_change(self.status)
        except Exception:
            logger.exception("on_change failed for %s", self.component.id)


def _foreign(error: BaseException) -> BaseException | None:
    """The exception where its traceback helps: a Fault explains itself."""
    return None if isinstance(error, Fault) else error
