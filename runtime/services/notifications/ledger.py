"""Who has got what a job sends: each recipient a message of their own, once, over all tries of the job."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault
from runtime.services.jobs.ports import JobContext, Reject, Retry
from runtime.services.names import time_ordered
from runtime.services.notifications.letters import Undeliverable, Undelivered
from runtime.services.notifications.parting import admitted, pass_on

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from runtime.storage.ports import Cache

logger = logging.getLogger("runtime.notifications")

KEPT: Final = 14 * 86_400.0
"""Seconds for which it is remembered who has got a message: longer than a failed job is kept for a replay."""


@dataclass(slots=True)
class Sending:
    """What the tries of one job have come to so far.

    Args:
        refused: recipients that never get it, with what the provider said.
        failed: recipients that may get it at the next try, with what it said.
        apart: recipients for whom there is another job.
        after: seconds that the provider asked to wait.
    """

    sent: int = 0
    apart: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    after: float = 0.0


class Ledger:
    """Sends what jobs ask for to those who have not got it.

    A recipient gets a second copy only where the process dies, or the cache cannot be reached for a minute, in the
    moment between the provider's acceptance and the note of it. The copy has the same id.

    Args:
        cache: remembers who has got what.
        name: what it calls its notes: `mail`, `sms`.
    """

    def __init__(self, cache: Cache, name: str) -> None:
        self._cache = cache
        self._name = name

    async def send_to_each(
        self,
        job: JobContext,
        recipients: Sequence[str],
        send: Callable[[str, str], Awaitable[Any]],
        rest: Callable[[Sequence[str]], Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Sends to each recipient who has not got it, as far as the rate of the queue allows; for the others there is
        another job then.

        Args:
            send: takes the message's id and the recipient; raises `Undeliverable` or `Undelivered`.
            rest: the payload of a job for some of the recipients.

        Raises:
            Reject: none of those who are left will ever get it.
            Undelivered: some may get it at the next try.
            Retry: likewise, at the time that the provider has named.
        """
        sending, wanted = Sending(), list(dict.fromkeys(recipients))
        if len(wanted) > 1:
            await self._part(job, wanted, rest)
        for number, to in enumerate(wanted, 1):
            await self._send_one(job, to, send, sending)
            await job.progress(number / len(wanted))
        if sending.failed and sending.after:
            raise Retry(_sentence("not delivered yet", sending.failed), after=sending.after)
        if sending.failed:
            raise Undelivered(_sentence("not delivered yet", sending.failed))
        if sending.refused:
            raise Reject(_sentence("refused for good", sending.refused))
        return {"sent": sending.sent, **({"apart": sending.apart} if sending.apart else {})}

    async def _part(
        self, job: JobContext, wanted: Sequence[str], rest: Callable[[Sequence[str]], Mapping[str, Any]]
    ) -> None:
        """Passes on what may not go out now. It is saved before: the next try passes on the same, under the same
        name, should this one die in between."""
        if job.saved is not None:
            await self._pass_on(job, job.saved, rest)
        waiting = [to for to in wanted if await self._cache.get(self._key(job, to)) is None]
        now = await admitted(job, len(waiting))
        if others := waiting[now:]:
            parting = {"name": time_ordered(), "apart": others}
            await job.save(parting)
            await self._pass_on(job, parting, rest)

    async def _pass_on(
        self, job: JobContext, parting: Mapping[str, Any], rest: Callable[[Sequence[str]], Mapping[str, Any]]
    ) -> None:
        others = [to for to in parting["apart"] if await self._cache.get(self._key(job, to)) is None]
        if others:
            await pass_on(job, rest(others), once=f"{job.id}:{parting['name']}")
            for to in others:
                await self._note(self._key(job, to), b"apart")

    def _key(self, job: JobContext, to: str) -> str:
        return f"{self._name}:{_digest(job, to)}"

    async def _send_one(
        self, job: JobContext, to: str, send: Callable[[str, str], Awaitable[Any]], sending: Sending
    ) -> None:
        digest, key = _digest(job, to), self._key(job, to)
        known = await self._cache.get(key)
        if known is not None:
            if known == b"sent":
                sending.sent += 1
            elif known == b"apart":
                sending.apart += 1
            else:
                sending.refused[to] = known.decode().removeprefix("refused ")
            return
        try:
            await send(digest, to)
        except Undelivered as error:
            sending.failed[to] = str(error)
            sending.after = max(sending.after, error.after or 0.0)
            return
        except Undeliverable as error:
            sending.refused[to] = str(error)
            await self._note(key, f"refused {error}".encode())
            return
        sending.sent += 1
        await self._note(key, b"sent")

    async def _note(self, key: str, what: bytes) -> None:
        """Keeps trying for a minute: a lost note is a second message."""
        for pause in (0.1, 0.2, 0.5, *[1.0] * 59):
            try:
                await self._cache.set(key, what, ttl=KEPT)
            except Fault as error:
                logger.warning("cannot note that a message was sent, trying again: %s", error.message)
                await asyncio.sleep(pause)
            else:
                return
        await self._cache.set(key, what, ttl=KEPT)


def _digest(job: JobContext, to: str) -> str:
    """Names the message of a job to a recipient."""
    return hashlib.sha256(f"{job.id}\0{to}".encode()).hexdigest()[:32]


def _sentence(what: str, by_recipient: dict[str, str]) -> str:
    return "; ".join(f"{to}: {what}: {said}" for to, said in by_recipient.items())
