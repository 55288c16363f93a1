"""An open connection to Redis: commands out, answers in, in the same order ("Pipelining" of its protocol)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as TooLate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.connection import AbstractConnection

Command = tuple[Any, ...]
Answer = asyncio.Future[Any]


class Line(asyncio.Protocol):
    """An open connection: commands out, answers in, in the same order.

    Args:
        connection: is open and signed in; its transport is taken over.
        limit: seconds that an answer may take; None for as long as it takes.

    Raises:
        redis.exceptions.ConnectionError: the connection has been lost meanwhile.
    """

    def __init__(self, connection: AbstractConnection, limit: float | None) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=BaseParser.parse_error)
        self._answers: deque[tuple[Answer | _Answers, float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._retired = False
        taken: Any = connection
        self._writer, taken._reader, taken._writer = taken._writer, None, None  # noqa: SLF001
        self._transport: asyncio.Transport = self._writer.transport
        try:
            self._transport.set_protocol(self)
            self._transport.resume_reading()
        except RuntimeError as error:
            raise _gone() from error

    @property
    def open(self) -> bool:
        """Whether a command can be sent over it."""
        return not self._transport.is_closing()

    def send(self, command: Command) -> Answer:
        """Writes a command; what it gives will hold the answer."""
        self._write(packed(command))
        answer: Answer = self._loop.create_future()
        self._await(answer)
        return answer

    async def send_all(self, *commands: Command) -> Sequence[Any]:
        """Writes commands in one go; the server runs each as soon as it is done with the one before.

        Returns:
            The answer of each; an exception where it failed.
        """
        self._write(b"".join(map(packed, commands)))
        answers = _Answers(len(commands), self._loop.create_future())
        for _ in commands:
            self._await(answers)
        return await answers.whole

    def retire(self) -> None:
        """Closes it when the answers that are awaited have come."""
        self._retired = True
        if not self._answers:
            self._transport.close()

    def abort(self, reason: RedisError) -> None:
        """Closes it at once; whoever awaits an answer gets the reason."""
        self._transport.abort()
        self._fail(reason)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                future, _ = self._answers.popleft()
                if future.done():
                    continue
                if isinstance(answer, RedisError):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        except (InvalidResponse, IndexError):
            self.abort(Broken("the server's answer is no Redis protocol"))
        if self._retired and not self._answers:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Broken(f"the connection was lost: {exc}" if exc else "the server closed the connection"))

    def _write(self, data: bytes) -> None:
        try:
            self._transport.write(data)
        except RuntimeError as error:
            raise _gone() from error

    def _await(self, answer: Answer | _Answers) -> None:
        deadline = 0.0
        if self._limit is not None:
            deadline = self._loop.time() + self._limit
            if self._timer is None:
                self._timer = self._loop.call_at(deadline, self._look)
        self._answers.append((answer, deadline))

    def _look(self) -> None:
        """Answers come in order, so the first that is awaited tells whether the server is late."""
        self._timer = None
        if not self._answers:
            return
        deadline = self._answers[0][1]
        if deadline <= self._loop.time():
            self.abort(TooLate(f"no answer within {self._limit:g} s"))
        else:
            self._timer = self._loop.call_at(deadline, self._look)

    def _fail(self, reason: RedisError) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        answers, self._answers = self._answers, deque()
        for future, _ in answers:
            if not future.done():
                future.set_exception(reason)


def _gone() -> Broken:
    """What a transport of uvloop means that refuses everything: it is closed, and nobody has been told yet."""
    return Broken("the connection was lost")


class _Answers:
    """The answers of commands that were sent in one go, awaited as one: what answers a future can answer this.

    Args:
        count: of the commands.
        whole: gets the list of the answers when the last one has come.
    """

    def __init__(self, count: int, whole: asyncio.Future[list[Any]]) -> None:
        self.whole = whole
        self._count = count
        self._come: list[Any] = []

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self.whole.done()

    def set_result(self, answer: Any) -> None:
        self._come.append(answer)
        if len(self._come) == self._count:
            self.whole.set_result(self._come)

    def set_exception(self, error: BaseException) -> None:
        self.set_result(error)


def packed(command: Command) -> bytes:
    """A command as it is sent. Its name may be of two words, `CONFIG GET`."""
    name = command[0]
    if isinstance(name, str) and " " in name:
        command = (*name.split(), *command[1:])
    message: bytes = hiredis.pack_command(command)
    return message
