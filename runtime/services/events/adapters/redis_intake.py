"""How a worker takes events out of a Redis stream.

What comes through a script costs the server three times what its own `XREADGROUP` does. So where nothing that comes can
be for another worker, the events are read by that command, in a transaction that the server drops when the script
`GUARD` finds that the worker's place is no longer what it was. Everything else goes through the script `TAKE`.

A worker that has nothing to do leaves these commands standing at the server, behind one that waits for the stream to
grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoScriptError

from runtime.services.events.adapters import redis_scripts
from runtime.services.events.seat import MOST_AHEAD, Entry, Taken
from runtime.services.standing import Standing
from runtime.storage.wire import evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.services.blocking import Client
    from runtime.storage.line import Command

WAIT_MS: Final = 5_000
"""Milliseconds for which commands stand; then they are run in any case."""
BEGINNING: Final = "0-0"


class Intake:
    """The connection over which one worker is given events. A take is never repeated: its answer may be lost, but what
    it took is pending for the worker.

    Args:
        redis: answers in bytes; shared with others.
        log: the key of the stream, and so the other keys, see `redis_scripts`.
        box: how the keys of all boxes begin.
        group: the group's name.
        worker: the name of the worker in it.
    """

    def __init__(self, redis: Client, log: str, seats: str, parts: str, box: str, *, group: str, worker: str) -> None:
        self._keys = (log, seats, parts)
        self._log = log
        self._box = box
        self._group = group
        self._worker = worker
        self._known = BEGINNING
        """A position up to which everything has been given out."""
        self._standing = Standing(redis, WAIT_MS / 1000, f"the reading of {group}")

    def begin(self) -> None:
        """The group has been made anew: nothing is known of it."""
        self._known = BEGINNING

    async def take(self, token: int, done: Sequence[str], count: int, *, undivided: bool, wait: bool) -> Taken | None:
        """Acknowledges events and takes the next ones, see `Seat.take`.

        Args:
            undivided: whether all that comes is for this worker.
        """
        commands: list[Command] = []
        if done:
            commands.append(("XACK", self._log, self._group, *done))
        if wait:
            commands.append(("XREAD", "COUNT", 1, "BLOCK", WAIT_MS, "STREAMS", self._log, self._known))
        script = (redis_scripts.TAKE, self._keys, self._taking(token, count))
        commands += self._reading(token, count) if undivided else [evaluation(*script)]
        answers = await self._standing.send(*commands, waits=wait)
        last = answers[-1]
        for answer in answers:
            if isinstance(answer, Exception) and not (answer is last and isinstance(last, NoScriptError)):
                raise answer
        if not undivided:
            return self._taken(await self._evaluated(*script) if isinstance(last, NoScriptError) else last)
        read = None if last is None else self._read(last[0])
        grown = wait and answers[1 if done else 0] is not None
        if read is None or (grown and not read.entries):  # others have had it: the script tells up to where
            return self._taken(await self._evaluated(*script))
        return read

    def call_off(self) -> None:
        """Lets what stands be run now."""
        self._standing.call_off()

    async def close(self) -> None:
        await self._standing.close()

    def _reading(self, token: int, count: int) -> list[Command]:
        guard = (*self._keys, self._box + self._worker, self._worker, token, self._known)
        return [
            # Others may come between: one that puts older events into the box, too.
            ("WATCH", self._keys[2], self._log, self._box + self._worker),
            ("EVAL", redis_scripts.GUARD, 4, *guard),  # by its text: where it is not known, the events would be read
            ("MULTI",),
            ("XREADGROUP", "GROUP", self._group, self._worker, "COUNT", count, "STREAMS", self._log, ">"),
            ("EXEC",),
        ]

    def _read(self, answer: Any) -> Taken:
        if answer is None:
            return Taken([])
        if isinstance(answer, Exception):
            raise answer
        entries: list[Entry] = [(at.decode(), _event(fields)) for at, fields in answer[0][1]]
        self._known = entries[-1][0]
        return Taken(entries)

    def _taking(self, token: int, count: int) -> list[Any]:
        return [self._group, self._worker, token, count, MOST_AHEAD, self._box, self._known]

    async def _evaluated(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        return await self._standing.client.evaluate(script, keys, args)

    def _taken(self, answer: Any) -> Taken | None:
        if answer is None:
            return None
        missed, known, *flat = answer
        entries: list[Entry] = [
            (position.decode(), stored) for position, stored in zip(flat[::2], flat[1::2], strict=True)
        ]
        self._known = known.decode() or self._known
        return Taken(entries, max(0, missed), held=missed < 0)


def _event(fields: list[bytes]) -> bytes:
    """What an entry holds; nothing where it is no event."""
    return fields[1] if fields[0] == b"event" else b""
