"""A claim that stands at the server until there is something to claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.exceptions import NoScriptError

from runtime.services.jobs.adapters import scripts
from runtime.services.jobs.adapters.saq_queue import exchanged
from runtime.services.standing import Standing
from runtime.storage.wire import evaluation

if TYPE_CHECKING:
    from runtime.services.jobs.adapters.saq_queue import Claim, Exchanged, KeptQueue


class StandingClaim:
    """The claim of one worker, on a connection of its own.

    Args:
        queue: where the jobs are.
        wait: seconds for which it stands; then it is made in any case.
    """

    def __init__(self, queue: KeptQueue, wait: float) -> None:
        self._queue = queue
        self._wait = wait
        self._standing = Standing(queue.client, wait, f"a claim {queue.name}")

    async def claim(self, claim: Claim) -> Exchanged:
        """Claims when a sign comes, after the wait, or when it is called off."""
        waiting = ("BLPOP", self._queue.namespace("wake"), self._wait)
        exchange = evaluation(scripts.EXCHANGE, *self._queue.exchanging(claim))
        sign, answer = await self._standing.send(waiting, exchange)
        if isinstance(sign, Exception):
            raise sign
        if isinstance(answer, NoScriptError):
            return await self._queue.exchange(claim, (), self._standing.client)
        if isinstance(answer, Exception):
            raise answer
        return exchanged(answer)

    def call_off(self) -> None:
        """Lets it claim now, where it waits: to be made anew, or to stop."""
        self._standing.call_off()

    async def close(self) -> None:
        await self._standing.close()
