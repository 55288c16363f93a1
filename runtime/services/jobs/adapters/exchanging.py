"""How a worker talks to the server: what has come to an end and what may begin travel together.

Each call hands in all outcomes that have gathered and claims jobs for the slots that are free. Two calls may be under
way, so that the server works while the handlers do. With nothing to do, a claim stands at the server until a sign
comes. Outcomes are kept until the server has taken them; a claim whose answer was lost is looked up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from runtime.services.away import AWAY
from runtime.services.blocking import blocking_client
from runtime.services.jobs.adapters.holding import MOST_AT_ONCE
from runtime.services.jobs.adapters.saq_queue import Claim
from runtime.services.jobs.adapters.standing import StandingClaim
from runtime.services.reach import FIRST_PAUSE, LONGEST_PAUSE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from runtime.services.jobs.adapters.holding import Ended, Holding
    from runtime.services.jobs.adapters.saq_queue import Exchanged
    from runtime.services.reach import Reach

WAIT: Final = 5
"""Seconds for which an idle worker waits at the server; then it looks all the same."""
CALLS: Final = 2
"""Exchanges under way at once."""


class Exchanging:
    """The calls of one worker, from its begin to its end.

    Args:
        worker: its id.
        concurrency: how many jobs it may hold.
        holding: what it holds.
        reach: where it is noted whether the server answers.
    """

    def __init__(self, worker: str, concurrency: int, holding: Holding, reach: Reach) -> None:
        self.concurrency = concurrency
        self.asked = 0
        """Jobs that the calls under way may bring."""
        self._worker = worker
        self._holding = holding
        self._reach = reach
        self._queue = holding.kept
        self._standing = StandingClaim(self._queue, WAIT)
        self._wire = blocking_client(self._queue.client, 0.0)
        self._handing_in = 0
        self._claims = 0
        self._idle = asyncio.Event()
        self._empty = False
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None

    async def exchange(self) -> None:
        """One of the loops that hand in and claim, `CALLS` of them."""
        pause = FIRST_PAUSE
        while True:
            want = self._wanted()
            if not self._holding.outcomes and (want <= 0 or self._empty):
                if want > 0:
                    self._idle.set()
                self._holding.look.clear()
                await self._holding.look.wait()
                continue
            try:
                await self.hand_over(want)
                self._reach.answered()
                pause = FIRST_PAUSE
            except AWAY as error:
                self.away(error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    async def stand_by(self) -> None:
        """The loop whose claim stands at the server while there is nothing to do."""
        pause = FIRST_PAUSE
        while True:
            want = self._wanted() if self._empty else 0
            if want <= 0:
                await self._idle.wait()
                self._idle.clear()
                continue
            try:
                await self._claim(want, self._stand)
                self._reach.answered()
                pause = FIRST_PAUSE
            except AWAY as error:
                self.away(error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                self.look_now()

    def look_now(self) -> None:
        """There may be something to claim."""
        self._seen += 1
        self._empty = False
        self._holding.look.set()
        if self._wanted() <= 0:
            self._standing.call_off()  # it has the slots that are free

    def call_off(self) -> None:
        """Ends the claim that stands at the server."""
        self._standing.call_off()

    async def hand_over(self, want: int) -> None:
        """Hands in what has come to an end, and claims."""
        outcomes = self._holding.handing_in()
        parts = [part for _, part in outcomes]
        await self._claim(max(0, want), lambda claim: self._queue.exchange(claim, parts, self._wire), outcomes)

    def away(self, error: BaseException) -> None:
        """The server has not answered."""
        self._reach.away(error)
        self._holding.free.set()  # whoever waits for a call to come back waits no longer

    async def close(self) -> None:
        await self._standing.close()
        await self._wire.aclose()

    def stop_looking(self) -> None:
        """Calls off the look that is foreseen."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wanted(self) -> int:
        if self._holding.ending:
            return 0
        outcomes = len(self._holding.outcomes) + self._handing_in
        free = self.concurrency - len(self._holding) - self.asked + outcomes
        return min(MOST_AT_ONCE, free, -(-self.concurrency // CALLS))  # each call has its share, so that they overlap

    async def _claim(
        self, want: int, send: Callable[[Claim], Awaitable[Exchanged]], outcomes: Sequence[Ended] = ()
    ) -> None:
        self.asked += want
        self._handing_in += len(outcomes)
        seen = self._seen
        try:
            token, answer = await self._sent(want, send)
        except BaseException:
            self._holding.hand_back(outcomes)
            raise
        finally:
            self.asked -= want
            self._handing_in -= len(outcomes)
            self._holding.free.set()
        self._holding.handed_in(outcomes, answer)
        for id_, stored, broken in answer.claimed:
            self._holding.take(id_, token, stored, broken)
        if want > 0:
            self._empty = len(answer.claimed) < want and seen == self._seen
            self._look_in(answer.pause)
        if self._holding.outcomes or (self._wanted() > 0 and not self._empty):
            self._holding.look.set()

    async def _sent(self, want: int, send: Callable[[Claim], Awaitable[Exchanged]]) -> tuple[str, Exchanged]:
        """One call: its token and its answer.

        Where the answer is lost, what the call has claimed is looked up, and from then on it does nothing even if it
        reaches the server late. Then a new one is made.
        """
        pause, given_up = FIRST_PAUSE, ""
        token = self._token()
        again = False
        while True:
            try:
                if given_up:
                    for id_, stored, broken in await self._queue.claimed(given_up):
                        self._holding.take(id_, given_up, stored, broken)
                        want = max(0, want - 1)
                    given_up, token = "", self._token()
                answer = await send(Claim(self._worker, token, want, self._holding.limits))
            except AWAY as error:
                self.away(error)
                again, given_up = True, token
            else:
                if again:
                    answer.lost.clear()  # the first call may have handed them in
                return token, answer
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _token(self) -> str:
        self._claims += 1
        return f"{self._worker}#{self._claims}"

    async def _stand(self, claim: Claim) -> Exchanged:
        if self._holding.ending:
            return await self._queue.exchange(claim, (), self._wire)
        return await self._standing.claim(claim)

    def _look_in(self, pause: float | None) -> None:
        self.stop_looking()
        if pause is not None and pause < WAIT:
            self._timer = asyncio.get_running_loop().call_later(pause, self.look_now)
