"""A worker's seat in the group of a Redis stream."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis.exceptions import ResponseError

from runtime.services.blocking import Client, blocking_client
from runtime.services.events.adapters import redis_scripts
from runtime.services.events.backend import DEAD_LENGTH, LONGEST_ERROR, MOST_AHEAD, Entry, Given, Standing, Taken
from runtime.services.events.partitions import PARTITIONS
from runtime.services.events.positions import first_of
from runtime.services.names import PROCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runtime.services.events.adapters.redis_bell import Bell

SOME: Final = 1_000


packed: Final = msgspec.msgpack.Encoder().encode


class RedisSeat:
    """One worker's place in its group; implements `Seat`.

    Args:
        redis: answers in bytes; shared with others.
        key: names the keys of the stream by their part, `log`.
        group: the group's name.
        bell: rings when the stream grows.
        instance: see `RedisStreams`.
        lease: seconds.
        keyed: whether the events of one key keep their order.
    """

    def __init__(
        self,
        redis: Client,
        key: Callable[[str], str],
        group: str,
        bell: Bell,
        *,
        instance: str,
        lease: float,
        keyed: bool,
    ) -> None:
        self._redis = redis
        self._log, self._seats, self._parts = key("log"), key(f"seats:{group}"), key(f"parts:{group}")
        self._dead, self._box = key(f"dead:{group}"), key(f"box:{group}:")
        self._group = group
        self._bell = bell
        self._instance = instance
        self._lease = int(lease * 1000)
        self._partitions = PARTITIONS if keyed else 0
        self._worker = f"{instance}:{PROCESS}:{secrets.token_hex(4)}"
        self._own: Client | None = None
        """For `take`: a client that repeats a broken command would take on and lose what the first answer held."""
        self._heard = "0-0"
        self._take = redis.register_script(redis_scripts.TAKE)
        self._sit = redis.register_script(redis_scripts.SIT)
        self._mine = redis.register_script(redis_scripts.MINE)
        self._count = redis.register_script(redis_scripts.COUNT)
        self._bury = redis.register_script(redis_scripts.BURY)
        self._leave = redis.register_script(redis_scripts.LEAVE)

    async def create(self, start: str) -> None:
        try:
            await self._redis.xgroup_create(self._log, self._group, id=first_of(start), mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def sit(self, release: Iterable[int]) -> Standing:
        of = f"{self._instance}:" if self._instance else ""
        about: list[Any] = [self._group, self._worker, self._lease, self._partitions, self._box, of, f"{of}{PROCESS}:"]
        answer = await self._sit(keys=[self._log, self._seats, self._parts], args=[*about, *release])
        token, surplus, lost, *own = map(int, answer)
        return Standing(token, surplus, frozenset(own), lost)

    async def take(self, token: int, done: Sequence[str], count: int) -> Taken | None:
        about: list[Any] = [self._group, self._worker, token, count, MOST_AHEAD, self._box]
        if self._own is None:
            self._own = blocking_client(self._redis, 0.0)
        answer = await self._take(
            client=self._own, keys=[self._log, self._seats, self._parts], args=[*about, packed(done)] if done else about
        )
        if answer is None:
            return None
        missed, last, *flat = answer
        if not flat:
            self._heard = last.decode() or self._heard
        each = zip(flat[::2], flat[1::2], strict=True)
        return Taken([(position.decode(), stored) for position, stored in each], missed)

    async def mine(self, token: int) -> list[Given] | None:
        answer = await self._mine(keys=[self._log, self._seats], args=[self._group, self._worker, token, self._box])
        if answer is None:
            return None
        each = zip(answer[::3], answer[1::3], answer[2::3], strict=True)
        return [Given(position.decode(), stored, tries) for position, stored, tries in each]

    def notify(self, call: Callable[[], None]) -> None:
        self._bell.notify(self._heard, call)

    async def count(self, position: str, tries: int) -> bool:
        return bool(await self._count(keys=[self._log], args=[self._group, self._worker, position, tries]))

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
        return bool(await self._bury(keys=[self._log, self._dead], args=[*about, *letter]))

    async def leave(self, uncounted: Sequence[str]) -> None:
        about = [self._group, self._worker, self._box]
        await self._leave(keys=[self._log, self._seats, self._parts], args=[*about, *uncounted])

    async def lag(self) -> int | None:
        for known in await self._redis.xinfo_groups(self._log):
            if known["name"] == self._group.encode():
                lag = known.get("lag")
                return int(lag) if lag is not None else None
        return None

    def gone(self, error: BaseException) -> bool:
        return isinstance(error, ResponseError) and ("NOGROUP" in str(error) or "no such key" in str(error))

    async def close(self) -> None:
        own, self._own = self._own, None
        if own is not None:
            await own.aclose()
