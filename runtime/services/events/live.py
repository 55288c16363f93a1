"""`GET /v1/live`: one WebSocket for all that a caller may follow.

The client says what it wants to follow, the server tells what happens, each message with the cursor to go on after:

    > {"follow": "streams:billing", "after": "1732320000000-0", "types": ["credits.used"]}
    < {"topic": "streams:billing", "state": "following", "cursor": "1732320000000-0"}
    < {"topic": "streams:billing", "type": "credits.used", "cursor": "1732320000001-0", "data": {...}}
    < {"topic": "streams:billing", "missed": {"after": "...", "next": "..."}}
    > {"leave": "streams:billing"}
    < {"topic": "streams:billing", "state": "left"}
    < {"topic": "streams:bilking", "error": {"title": "Not found", "detail": "...", "remedy": "..."}}

Topics are named `<kind>:<name>`; each kind is a `Topics` of a service, which is handed in.
"""

from __future__ import annotations

from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
import msgspec

from runtime.errors import Fault, Forbidden, Invalid, NotFound
from runtime.http.websocket import POLICY, Socket
from runtime.services.events.ports import Event, Missed
from runtime.services.names import unknown
from runtime.services.notifications.ports import InboxChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectSendStream

    from runtime.http.access import Caller
    from runtime.services.events.ports import Events
    from runtime.services.jobs.ports import Jobs
    from runtime.services.notifications.ports import Notifications

MOST_TOPICS: Final = 50
AHEAD: Final = 64
"""Messages that wait for one client; what comes after them waits where it is kept, or is counted as missed."""
MOST_REQUESTS: Final = 60
PER: Final = 10.0
"""A client may send so many messages in so many seconds."""


class Told(msgspec.Struct, omit_defaults=True):
    """A message to a client."""

    topic: str
    state: str | None = None
    type: str | None = None
    cursor: str | None = None
    data: Any = None
    missed: Any = None
    error: dict[str, str] | None = None


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """A message of a client: one of `follow` and `leave`."""

    follow: str | None = None
    leave: str | None = None
    after: str | None = None
    types: list[str] = []


class Topics(Protocol):
    """One kind of topics, of whichever service has it: `streams`, later `jobs` and `notifications`."""

    scope: str
    """What a caller must hold."""

    def follow(self, name: str, wish: Wish, caller: Caller) -> AsyncIterator[Told]:
        """What happens in a topic, from the moment at which the first message says `following`.

        Raises:
            Fault: there is no such topic for this caller, or the cursor is none.
        """
        ...


class StreamTopics:
    """`streams:<name>`: the events of a stream; implements `Topics`."""

    scope = "events:read"

    def __init__(self, events: Events) -> None:
        self._events = events

    async def follow(self, name: str, wish: Wish, caller: Caller) -> AsyncIterator[Told]:
        topic = f"streams:{name}"
        begin = wish.after or (await self._events.stream(name)).last
        followed = self._events.follow(name, after=begin, types=frozenset(wish.types))
        yield Told(topic, state="following", cursor=begin)
        async for told in followed:
            if isinstance(told, Event):
                yield Told(topic, type=told.type, cursor=told.position, data=told)
            elif isinstance(told, Missed):
                yield Told(topic, missed=told)


class JobTopics:
    """`jobs:<id>`: each change of a job, until it has ended; implements `Topics`."""

    scope = "jobs:read"

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def follow(self, name: str, wish: Wish, caller: Caller) -> AsyncIterator[Told]:
        topic = f"jobs:{name}"
        await self._jobs.get(name)
        yield Told(topic, state="following")
        async for job in self._jobs.follow(name):
            yield Told(topic, type=job.status, data=job)


class InboxTopics:
    """`notifications:inbox`: the caller's inbox as it grows, and what is done with it; implements `Topics`.

    The cursor is the id of an item; whoever comes back with it gets what was missed. Following it counts as being
    online.
    """

    scope = "account:read"

    def __init__(self, notifications: Notifications) -> None:
        self._inboxes = notifications.inboxes

    async def follow(self, name: str, wish: Wish, caller: Caller) -> AsyncIterator[Told]:
        topic = f"notifications:{name}"
        if name != "inbox":
            raise unknown("topic of notifications", name, ["inbox"])
        kind, _, user = caller.account.partition(":")
        if kind != "user":
            raise NotFound("this key belongs to no account", remedy="Sign in.")
        async with aclosing(self._inboxes.follow(user, wish.after)) as followed:
            async for told in followed:
                if isinstance(told, str):
                    yield Told(topic, state="following", cursor=told)
                elif isinstance(told, InboxChange):
                    yield Told(topic, state="changed", data=told)
                else:
                    yield Told(topic, type=told.category, cursor=told.id, data=told)


class Relay:
    """Topics without a memory, which a service tells from within this process: `relay.tell(job.id, "progress", {...})`.

    A client that is slow gets the newest of a topic, and the number of those that it missed. Telling costs next to
    nothing where nobody follows.

    Args:
        kind: the first part of the topics' names, `jobs`.
        scope: what a caller must hold, `jobs:read`.
    """

    def __init__(self, kind: str, scope: str) -> None:
        self.scope = scope
        self._kind = kind
        self._followers: dict[str, set[_Follower]] = {}

    def tell(self, name: str, type_: str, data: Any) -> None:
        """Tells all who follow a topic."""
        for follower in self._followers.get(name, ()):
            follower.add(Told(f"{self._kind}:{name}", type=type_, data=data))

    async def follow(self, name: str, wish: Wish, caller: Caller) -> AsyncIterator[Told]:
        follower = _Follower()
        self._followers.setdefault(name, set()).add(follower)
        try:
            yield Told(f"{self._kind}:{name}", state="following")
            while True:
                missed, told = await follower.next()
                if missed:
                    yield Told(told.topic, missed={"count": missed})
                yield told
        finally:
            followers = self._followers[name]
            followers.discard(follower)
            if not followers:
                del self._followers[name]


class _Follower:
    """What waits for one follower of a relay."""

    def __init__(self) -> None:
        self._waiting: deque[Told] = deque()
        self._missed = 0
        self._grown = anyio.Event()

    def add(self, told: Told) -> None:
        if len(self._waiting) >= AHEAD:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(told)
        self._grown.set()

    async def next(self) -> tuple[int, Told]:
        """How many were lost before the next one, and that one."""
        while not self._waiting:
            self._grown = anyio.Event()
            await self._grown.wait()
        missed, self._missed = self._missed, 0
        return missed, self._waiting.popleft()


class LiveSession:
    """Speaks with each client of `/v1/live`.

    Args:
        topics: by kind.
    """

    def __init__(self, topics: Mapping[str, Topics]) -> None:
        self._topics = topics

    async def __call__(self, socket: Socket) -> None:
        into, out = anyio.create_memory_object_stream[Told](AHEAD)
        async with anyio.create_task_group() as group, into, out:
            group.start_soon(self._listen, socket, group, into)
            async for told in out:
                await socket.send(told)

    async def _listen(self, socket: Socket, group: TaskGroup, into: MemoryObjectSendStream[Told]) -> None:
        following: dict[str, anyio.CancelScope] = {}
        since, count = anyio.current_time(), 0
        async for message in socket.messages():
            now = anyio.current_time()
            since, count = (now, 1) if now - since > PER else (since, count + 1)
            if count > MOST_REQUESTS:
                await socket.close(POLICY, "too many messages")
                break
            try:
                wish = msgspec.json.decode(message, type=Wish)
                topic = wish.follow or wish.leave or ""
                if wish.leave is not None:
                    self._leave(topic, following)
                    await into.send(Told(topic, state="left"))
                else:
                    source = self._source(topic, wish, socket.caller, following)
                    following[topic] = anyio.CancelScope()
                    group.start_soon(self._pump, topic, source, following, into)
            except msgspec.MsgspecError as error:
                await into.send(Told("", error=_error(Invalid(f"the message cannot be understood: {error}"))))
            except Fault as fault:
                await into.send(Told(topic, error=_error(fault)))
        group.cancel_scope.cancel()

    def _source(
        self, topic: str, wish: Wish, caller: Caller, following: Mapping[str, anyio.CancelScope]
    ) -> AsyncIterator[Told]:
        kind, _, name = topic.partition(":")
        topics = self._topics.get(kind)
        if topics is None:
            raise unknown("kind of topic", kind, self._topics)
        if not caller.may(topics.scope):
            raise Forbidden(f"this needs the scope {topics.scope}", remedy="Use a key that has it.")
        if topic in following:
            raise Invalid(f'"{topic}" is being followed already')
        if len(following) >= MOST_TOPICS:
            raise Invalid(f"a connection follows {MOST_TOPICS} topics at most")
        return topics.follow(name, wish, caller)

    def _leave(self, topic: str, following: dict[str, anyio.CancelScope]) -> None:
        if topic not in following:
            raise NotFound(f'"{topic[:100]}" is not being followed')
        following.pop(topic).cancel()

    async def _pump(
        self,
        topic: str,
        source: AsyncIterator[Told],
        following: dict[str, anyio.CancelScope],
        into: MemoryObjectSendStream[Told],
    ) -> None:
        scope = following[topic]
        try:
            with scope:
                async for told in source:
                    await into.send(told)
        except Fault as fault:
            await into.send(Told(topic, error=_error(fault)))
        finally:
            if following.get(topic) is scope:
                del following[topic]
            close = getattr(source, "aclose", None)
            if close is not None:
                with anyio.CancelScope(shield=True), anyio.move_on_after(1.0):
                    await close()


def _error(fault: Fault) -> dict[str, str]:
    return {"title": fault.title, "detail": fault.message, "remedy": fault.remedy}
