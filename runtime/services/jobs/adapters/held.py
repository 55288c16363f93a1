"""A job that a worker holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from runtime.services.away import AWAY, answering
from runtime.services.jobs.adapters.record import FINAL, Record, encoded, milliseconds
from runtime.services.jobs.adapters.saq_queue import encoded_parent

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Mapping, Sequence

    from runtime.services.jobs.adapters.saq_queue import KeptQueue
    from runtime.services.jobs.claiming import Outcome
    from runtime.services.jobs.limits import Limits
    from runtime.services.jobs.ports import Author


class Keeper(Protocol):
    """Whoever holds a job, as the job sees it."""

    kept: KeptQueue
    loop: AbstractEventLoop

    async def mark(self, jobs: Sequence[Held]) -> None:
        """Stores their records as they are now."""
        ...

    def settled(self, held: Held, outcome: Outcome) -> None:
        """What the try came to."""
        ...


class Held:
    """A claimed job; implements `Claimed`.

    Args:
        token: of the claim, see `scripts`.
        keeper: whoever holds it.
    """

    __slots__ = ("attempt", "id", "keeper", "marked", "record", "settled", "token", "told")

    def __init__(self, id_: str, token: str, record: Record, keeper: Keeper) -> None:
        self.id = id_
        self.token = token
        self.record = record
        self.keeper = keeper
        self.attempt = record.attempts + 1
        self.marked = False
        self.settled = False
        self.told = False
        record.status = "active"
        record.started = record.touched = milliseconds()

    @property
    def queue(self) -> str:
        return self.keeper.kept.name

    @property
    def payload(self) -> Mapping[str, Any]:
        return self.record.payload

    @property
    def attempts(self) -> int:
        return self.record.retries

    @property
    def timeout(self) -> float | None:
        return self.record.meta.timeout

    @property
    def backoff(self) -> float | None:
        return self.record.meta.backoff

    @property
    def owner(self) -> str | None:
        return self.record.meta.owner

    @property
    def by(self) -> Author | None:
        return self.record.meta.by

    @property
    def trace(self) -> str | None:
        return self.record.meta.trace

    @property
    def premium(self) -> bool:
        return self.record.meta.premium

    @property
    def paused_before(self) -> bool:
        return self.record.meta.paused_before

    @property
    def loop(self) -> AbstractEventLoop:
        return self.keeper.loop

    @property
    def children(self) -> Sequence[str]:
        return self.record.meta.children

    @property
    def saved(self) -> Any:
        return self.record.meta.saved

    async def tell(self, fraction: float, message: str) -> None:
        self.record.progress = fraction
        if message:
            self.record.meta.message = readable(message) or ""
        try:
            await self.keeper.mark([self])
        except AWAY:
            pass  # it is stored with the next word, or with the outcome

    async def save(self, value: Any) -> None:
        encoded(Record(result=value))  # what cannot be stored is refused before it is part of the record
        self.record.meta.saved = value
        with answering(self.keeper.kept.client):
            await self.keeper.mark([self])

    def settle(self, outcome: Outcome) -> None:
        if not self.settled:
            self.settled = True
            self.keeper.settled(self, outcome)


def closing(held: Held, outcome: Outcome, limits: Limits) -> tuple[Any, ...]:
    """What a worker hands in for a job: see `lua/exchange.lua`."""
    record, status, problem = held.record, outcome.status, readable(outcome.error)
    record.touched = milliseconds()
    number: float = 0
    if status == "completed":
        record.attempts, record.result, record.error, record.progress = held.attempt, outcome.result, None, 1.0
        number = int(limits.result_ttl * 1000)
    elif status in ("failed", "cancelled"):
        record.attempts, record.error = held.attempt, problem
        number = max(1, int((limits.dead_ttl if status == "failed" else limits.result_ttl) * 1000))
    else:
        record.started = 0
        record.meta.paused_before |= outcome.ran_long
        if status == "retry":
            record.attempts, record.error, record.progress, number = held.attempt, problem, 0.0, outcome.delay
    if status in FINAL:
        record.status, record.completed = FINAL[status], record.touched
        if status != "failed":
            record.kwargs = {}  # only a failed job is run again
    else:
        record.status = "queued"
    return (held.id, held.token, status, encoded(record), number, _options(record, outcome))


def readable(text: str | None) -> str | None:
    """A text in a form that can be stored, where something in it is no character, such as a byte of a file's name."""
    return text and text.encode("utf-8", "backslashreplace").decode()


def _options(record: Record, outcome: Outcome) -> str:
    meta = record.meta
    placed = bool(meta.group) or meta.priority is not None
    if not (placed or meta.key or meta.parent or outcome.announced or outcome.status == "failed"):
        return ""
    options: dict[str, Any] = {"placed": placed, "at": record.completed}
    if meta.key:
        options["key"] = meta.key
    if meta.group:
        options["group"] = meta.group
    if meta.parent:
        options["parent"] = json.loads(encoded_parent(record))
    if outcome.announced:
        options["events"] = [
            {"stream": each.stream, "most": each.most, "fields": list(each.fields)} for each in outcome.announced
        ]
    return json.dumps(options)
