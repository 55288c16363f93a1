"""Calls of the user's functions, held so that nothing that one of them does reaches its neighbours."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE: Final = 1.0
"""Seconds that a cancelled function has to end by itself."""


class Returned(NamedTuple):
    """What a call came to: a value, or the exception that it raised."""

    value: Any = None
    error: BaseException | None = None


class TimedOut(Exception):  # noqa: N818 - an outcome
    """A call took longer than it may.

    Args:
        limit: seconds that it had.
        left_running: it did not end when it was told to, and goes on beside us.
    """

    def __init__(self, limit: float, *, left_running: bool) -> None:
        self.left_running = left_running
        super().__init__(f"took longer than {limit:g} s" + (" and did not end when told to" if left_running else ""))


async def call(function: Callable[..., Any], *args: Any, limit: float | None = None) -> Returned:
    """Calls an async function in a task of its own, a plain one in a thread of its own.

    Whatever the function raises comes back in the result, `SystemExit` and `KeyboardInterrupt` included: raised
    inside an event loop they would end all of its work. Cancelling this call cancels the function, which has `GRACE`
    to end; a function that has ended before that has its result.

    Args:
        limit: seconds that it may take; None for no limit.
    """
    inner = asyncio.ensure_future(
        _contained(function, args) if inspect.iscoroutinefunction(function) else _in_thread(function, args)
    )
    try:
        done, _ = await asyncio.wait({inner}, timeout=limit)
    except asyncio.CancelledError:
        if inner.done() and not inner.cancelled():
            return inner.result()  # it came too late: what the function has done counts
        await _end(inner)
        raise
    if not done:
        ended = await _end(inner)
        return Returned(error=TimedOut(limit or 0.0, left_running=not ended))
    if inner.cancelled():
        return Returned(error=asyncio.CancelledError("it cancelled itself"))
    return inner.result()


async def _end(inner: asyncio.Future[Returned]) -> bool:
    """Cancels a call; returns whether it has really ended, which a thread cannot be made to."""
    for patience in (GRACE, GRACE / 4):  # a cancellation can get lost, see `runtime.services.ending`
        inner.cancel()
        done, _ = await asyncio.wait({inner}, timeout=patience)
        if done:
            break
    return bool(done) and isinstance(inner, asyncio.Task)


async def _contained(function: Callable[..., Any], args: tuple[Any, ...]) -> Returned:
    try:
        return Returned(await function(*args))
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - handed on as a value, which is its duty
        return Returned(error=error)


def _in_thread(function: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Returned]:
    """Runs in a daemon thread: one without an end must not keep the process from ending, as those of a pool would."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Returned] = loop.create_future()
    context = contextvars.copy_context()

    def settle(outcome: Returned) -> None:
        if not future.done():
            future.set_result(outcome)

    def run() -> None:
        try:
            outcome = Returned(context.run(function, *args))
        except BaseException as error:  # noqa: BLE001 - handed on as a value
            outcome = Returned(error=error)
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:
            pass  # the loop has been closed: nobody waits any more

    threading.Thread(target=run, name=f"runtime {getattr(function, '__name__', 'task')}", daemon=True).start()
    return future
