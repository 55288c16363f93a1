"""A worker's seat in the group of a Redis stream."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from runtime.services.events.adapters import redis_scripts
from runtime.services.events.adapters.redis_intake import Intake
from runtime.services.events.backend import DEAD_LENGTH, LONGEST_ERROR
from runtime.services.events.partitions import PARTITIONS
from runtime.services.events.positions import first_of
from runtime.services.events.seat import Entry, Given, Standing, Taken
from runtime.services.names import PROCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runtime.services.blocking import Client


class RedisSeat:
    """One worker's place in its group; implements `Seat`.

    Args:
        redis: answers in bytes; shared with others.
        key: names the keys of the stream by their part, `log`.
        group: the group's name.
        instance: see `RedisStreams`.
        lease: seconds.
        keyed: whether the events of one key keep their order.
    """

    def __init__(
        self,
        redis: Client,
        key: Callable[[str], str],
        group: str,
        *,
        instance: str,
        lease: float,
        keyed: bool,
    ) -> None:
        self._redis = redis
        self._log, self._seats, self._parts = key("log"), key(f"seats:{group}"), key(f"parts:{group}")
        self._dead, self._box = key(f"dead:{group}"), key(f"box:{group}:")
        self._group = group
        self._instance = instance
        self._lease = int(lease * 1000)
        self._partitions = PARTITIONS if keyed else 0
        self._worker = f"{instance}:{PROCESS}:{secrets.token_hex(4)}"
        self._undivided = False
        self._intake = Intake(redis, self._log, self._seats, self._parts, self._box, group=group, worker=self._worker)

    async def create(self, start: str) -> None:
        try:
            await self._redis.xgroup_create(self._log, self._group, id=first_of(start), mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._intake.begin()

    async def sit(self, release: Iterable[int]) -> Standing:
        of = f"{self._instance}:" if self._instance else ""
        about: list[Any] = [self._group, self._worker, self._lease, self._partitions, self._box, of, f"{of}{PROCESS}:"]
        keys = [self._log, self._seats, self._parts]
        answer = await self._redis.evaluate(redis_scripts.SIT, keys, [*about, *release])
        token, surplus, lost, *own = map(int, answer)
        self._undivided = len(own) == self._partitions
        return Standing(token, surplus, frozenset(own), lost)

    async def take(self, token: int, done: Sequence[str], count: int, *, wait: bool = False) -> Taken | None:
        return await self._intake.take(token, done, count, undivided=self._undivided, wait=wait)

    def call_off(self) -> None:
        self._intake.call_off()

    async def acknowledge(self, done: Sequence[str]) -> None:
        await self._redis.execute_command("XACK", self._log, self._group, *done)

    async def mine(self, token: int) -> list[Given] | None:
        answer = await self._redis.evaluate(
            redis_scripts.MINE, [self._log, self._seats], [self._group, self._worker, token, self._box]
        )
        if answer is None:
            return None
        each = zip(answer[::3], answer[1::3], answer[2::3], strict=True)
        return [Given(position.decode(), stored, tries) for position, stored, tries in each]

    async def count(self, position: str, tries: int) -> bool:
        about = [self._group, self._worker, position, tries]
        return bool(await self._redis.evaluate(redis_scripts.COUNT, [self._log], about))

    async def bury(self, entry: Entry, error: str, tries: int, *, keep: bool) -> bool:
        position, stored = entry
        letter: list[Any] = [
            int(keep),
            DEAD_LENGTH,
            error[:LONGEST_ERROR].encode(errors="replace"),
            tries,
            stored or b"",
        ]
        about = [self._group, self._worker, position]
        return bool(await self._redis.evaluate(redis_scripts.BURY, [self._log, self._dead], [*about, *letter]))

    async def leave(self, uncounted: Sequence[str]) -> None:
        about = [self._group, self._worker, self._box]
        keys = [self._log, self._seats, self._parts]
        await self._redis.evaluate(redis_scripts.LEAVE, keys, [*about, *uncounted])

    async def lag(self) -> int | None:
        for known in await self._redis.xinfo_groups(self._log):
            if known["name"] == self._group.encode():
                lag = known.get("lag")
                return int(lag) if lag is not None else None
        return None

    def gone(self, error: BaseException) -> bool:
        return isinstance(error, ResponseError) and ("NOGROUP" in str(error) or "no such key" in str(error))

    async def close(self) -> None:
        await self._intake.close()
