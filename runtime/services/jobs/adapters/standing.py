"""A claim that stands at the server until there is something to claim.

The wait for a sign and the claim that follows it are sent in one go: the server holds the second command back while the
first one waits, and runs it in the moment in which the sign comes. That saves the way to the worker and back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoScriptError

from runtime.services.away import AWAY
from runtime.services.blocking import blocking_client
from runtime.services.jobs.adapters import scripts
from runtime.services.jobs.adapters.saq_queue import exchanged
from runtime.storage.wire import evaluation

if TYPE_CHECKING:
    from runtime.services.jobs.adapters.saq_queue import Claim, Exchanged, KeptQueue
    from runtime.storage.wire import Line

AGAIN: Final = 0.01
"""Seconds after which a claim is called off once more: it may not have reached the server yet."""


class StandingClaim:
    """The claim of one worker, on a connection of its own.

    Args:
        queue: where the jobs are.
        wait: seconds for which it stands; then it is made in any case.
    """

    def __init__(self, queue: KeptQueue, wait: float) -> None:
        self._queue = queue
        self._wait = wait
        self._client = blocking_client(queue.client, wait)
        self._line: Line | None = None
        self._name: Any = None
        self._standing: Claim | None = None
        self._calling_off: asyncio.Task[None] | None = None

    async def claim(self, claim: Claim) -> Exchanged:
        """Claims when a sign comes, after the wait, or when it is called off."""
        self._standing = claim
        try:
            line = await self._client.wire.opened()
            if line is not self._line:
                self._name = await line.send(("CLIENT", "ID"))
                self._line = line
            waiting = ("BLPOP", self._queue.namespace("wake"), self._wait)
            sign, answer = await line.send_all(waiting, evaluation(scripts.EXCHANGE, *self._queue.exchanging(claim)))
        finally:
            self._standing = None
        if isinstance(sign, Exception):
            raise sign
        if isinstance(answer, NoScriptError):
            return await self._queue.exchange(claim, (), self._client)
        if isinstance(answer, Exception):
            raise answer
        return exchanged(answer)

    def call_off(self) -> None:
        """Lets it claim now, where it waits: to be made anew, or to stop."""
        if self._standing is not None and (self._calling_off is None or self._calling_off.done()):
            self._calling_off = asyncio.create_task(
                self._call_off(self._standing), name=f"call off a claim {self._queue.name}"
            )

    async def _call_off(self, claim: Claim) -> None:
        while self._standing is claim:
            try:
                if self._name is not None and await self._queue.client.execute_command("CLIENT UNBLOCK", self._name):
                    return
            except AWAY:
                return  # its own connection is lost as well, or will be
            await asyncio.sleep(AGAIN)

    async def close(self) -> None:
        if self._calling_off is not None:
            self._calling_off.cancel()
        await self._client.aclose()
