"""One place where events are handled, one after another, in a single task for as long as that is safe.

A task for each event would cost more than most handlers do. What such a task would give is kept all the same: nothing
that a handler raises, cancels or leaves in its context reaches the next event, and each call has its limit.
"""

from __future__ import annotations

import asyncio
import inspect
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from runtime.services.function import GRACE, TimedOut, call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    from runtime.services.events.consuming import Handler
    from runtime.services.events.hand import Work

TURNS: Final = 32
"""After so many calls in a row everything else in the loop has its turn."""
PATIENCE: Final = (GRACE, GRACE / 4)
"""Seconds that a call has to end when it is told to, and when it is told once more."""


class Lane:
    """Handles events until it is cancelled, or a call has spoiled it for those to come.

    Args:
        handler: what each event is given to.
        following: the next event that is ready; None where none is.
        admit: whether an event that was given to a worker before may be tried again.
        wait: waits until one may be; False where there is none to come.
        settle: is told what each try failed of, None for a success.
        ended: is told when the lane handles no more; another one may take its place.
        context: what each call begins with.
    """

    def __init__(
        self,
        handler: Handler,
        following: Callable[[], Work | None],
        admit: Callable[[Work], Awaitable[bool]],
        wait: Callable[[], Awaitable[bool]],
        settle: Callable[[Work, BaseException | None], None],
        ended: Callable[[Lane], None],
        context: Context,
    ) -> None:
        self._handler = handler
        self._following = following
        self._admit = admit
        self._wait = wait
        self._settle = settle
        self._ended = ended
        self._inline = inspect.iscoroutinefunction(handler.function)
        self._loop = asyncio.get_running_loop()
        self._work: Work | None = None
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._told = 0
        self._over = False
        self.task: asyncio.Task[None] = asyncio.create_task(self._run(), name="events", context=context.copy())

    async def _run(self) -> None:
        """The hot path: what is called once for each event is written out here."""
        function, limit, inline, now = self._handler.function, self._handler.limit, self._inline, self._loop.time
        context, turns = copy_context(), 0
        try:
            while True:
                work = self._work = self._following()
                if work is None:
                    if await self._wait():
                        continue
                    return
                if work.again and not await self._admit(work):
                    continue
                failure: BaseException | None = None
                if inline:
                    self._began = now()
                    if self._timer is None and limit is not None:
                        self._timer = self._loop.call_later(limit, self._look)
                    try:
                        await function(work.event)
                    except BaseException as error:  # noqa: BLE001 - handed on as a value, which is its duty
                        failure = self._failure(error)
                    self._began = 0.0
                    if self._told:
                        failure = self._late()
                else:
                    failure = (await call(function, work.event, limit=limit)).error
                if self._over:
                    return  # it took too long, and its end has been told
                self._settle(work, failure)
                if copy_context() != context:
                    return  # the handler has changed what those after it would see
                turns += 1
                if turns == TURNS:
                    turns = 0
                    await asyncio.sleep(0)
        finally:
            self._close()

    def _failure(self, error: BaseException) -> BaseException:
        """What a try failed of.

        Raises:
            asyncio.CancelledError: it is the lane that was told to end.
        """
        if not isinstance(error, asyncio.CancelledError):
            return error
        if not self._told and self.task.cancelling():
            raise error
        return asyncio.CancelledError("it cancelled itself")

    def _late(self) -> TimedOut:
        """A call has ended after its time: takes the cancellations back, so that they do not reach what comes next."""
        for _ in range(self._told):
            self.task.uncancel()
        self._told = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return TimedOut(self._handler.limit or 0.0, left_running=False)

    def _look(self) -> None:
        """Ends a call that has had its time. One timer serves many calls: it is set anew only when it has run out."""
        self._timer = None
        limit = self._handler.limit
        if not self._began or limit is None:
            return
        left = self._began + limit - self._loop.time()
        if not self._told and left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif self._told < len(PATIENCE):  # a cancellation can get lost, see `runtime.services.ending`
            self.task.cancel()
            self._timer = self._loop.call_later(PATIENCE[self._told], self._look)
            self._told += 1
        elif self._work is not None:
            work = self._work
            self._close()
            self._settle(work, TimedOut(limit, left_running=True))

    def _close(self) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._ended(self)


async def end_lanes(lanes: list[Lane]) -> None:
    """Ends lanes; a call that does not end when it is told to goes on by itself."""
    left: set[asyncio.Task[Any]] = {lane.task for lane in lanes}
    for patience in PATIENCE:
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=patience)
