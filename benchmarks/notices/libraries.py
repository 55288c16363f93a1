"""The same messages by the libraries alone: aiosmtplib, pywebpush, httpx, sqlite3 with redis-py.

Nothing is kept but the inbox, nobody is asked what they want, no try is noted: texts are made beforehand, connections
are kept, and as many messages are under way at once as our queues have.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import aiosmtplib
import httpx
import redis.asyncio as redis
from py_vapid import Vapid02
from pywebpush import webpush_async

from benchmarks.notices.doors import BODY, TITLE
from benchmarks.notices.receivers import ACCOUNT, SENDER, TEXT, TOKEN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.notices.doors import Doors

PAGE = 500
"""Inbox rows of one transaction, and names of one publish: as many as ours."""
PLACE, CALLBACK = "RECIPIENT", "https://core.example.com/v1/notifications/callbacks/sms"


class Libraries:
    """Sends to users by their number.

    Args:
        places: by channel, how many messages may be under way at once.
        browser: the keys of the users' browsers.
        shown: text, HTML and headers of a mail as ours has them.
        database: a file for the inbox.
        tables: the statements that make it: those of our own.
        cache: the Unix socket of a Redis.
    """

    def __init__(
        self,
        doors: Doors,
        places: Mapping[str, int],
        browser: Mapping[str, str],
        shown: Mapping[str, str],
        database: Path,
        tables: Sequence[str],
        cache: Path,
    ) -> None:
        self._doors = doors
        self._places = places
        self._browser = browser
        self._mail = _mail(shown)
        self._database = database
        self._cache = cache
        self._vapid = Vapid02()
        self._vapid.generate_keys()
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            for statement in tables:
                connection.execute(statement)

    async def send(self, kinds: Sequence[str], users: int) -> float:
        """Sends to each user through each of the channels, all channels at once; returns the seconds that it took."""
        ways = {"email": self._emails, "push": self._pushes, "sms": self._texts, "in_app": self._inbox}
        async with AsyncExitStack() as ends:
            ready = [await ways[kind](ends, users) for kind in kinds]
            begin = time.perf_counter()
            await asyncio.gather(*[run() for run in ready])
            return time.perf_counter() - begin

    def inbox(self) -> int:
        """Rows that are there; takes them away."""
        with sqlite3.connect(self._database) as connection:
            return connection.execute("DELETE FROM notification_inbox").rowcount

    async def _emails(self, ends: AsyncExitStack, users: int) -> Callable[[], Awaitable[None]]:
        port = self._doors.smtp
        clients = [
            await ends.enter_async_context(aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False))
            for _ in range(self._places["email"])
        ]

        async def send(number: int, client: aiosmtplib.SMTP) -> None:
            to = f"u{number}@example.com"
            await client.sendmail("no-reply@example.com", [to], self._mail.replace(PLACE, to))

        return lambda: _shared(users, [_with(client, send) for client in clients])

    async def _pushes(self, ends: AsyncExitStack, users: int) -> Callable[[], Awaitable[None]]:
        session = await ends.enter_async_context(aiohttp.ClientSession())
        shown = {"category": "bench-push", "title": TITLE, "body": BODY, "link": None, "id": uuid4().hex}
        payload = json.dumps(shown)

        async def send(number: int) -> None:
            await webpush_async(
                {"endpoint": f"{self._doors.origin}/push/{number}", "keys": dict(self._browser)},
                payload,
                vapid_private_key=self._vapid,
                vapid_claims={"sub": "mailto:ops@example.com"},
                ttl=86400,
                headers={"Urgency": "high"},
                aiohttp_session=session,
            )

        return lambda: _shared(users, [send] * self._places["push"])

    async def _texts(self, ends: AsyncExitStack, users: int) -> Callable[[], Awaitable[None]]:
        limits = httpx.Limits(max_connections=self._places["sms"])
        client = await ends.enter_async_context(httpx.AsyncClient(limits=limits, auth=(ACCOUNT, TOKEN)))
        url = f"{self._doors.origin}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"

        async def send(number: int) -> None:
            callback = f"{CALLBACK}?{urlencode({'delivery': uuid4().hex})}"
            form = {"To": phone(number), "From": SENDER, "Body": TEXT, "StatusCallback": callback}
            answer = await client.post(url, data=form)
            answer.raise_for_status().json()

        return lambda: _shared(users, [send] * self._places["sms"])

    async def _inbox(self, ends: AsyncExitStack, users: int) -> Callable[[], Awaitable[None]]:
        client: Any = redis.Redis(unix_socket_path=str(self._cache))
        ends.push_async_callback(client.aclose)
        await client.ping()

        async def put() -> None:
            notification, now = uuid4().hex, datetime.now(UTC).isoformat()
            for first in range(0, users, PAGE):
                names = [f"u{number}" for number in range(first, min(first + PAGE, users))]
                rows = [(uuid4().hex, notification, name, "bench-in_app", TITLE, BODY, now) for name in names]
                await asyncio.to_thread(self._insert, rows)
                await client.publish("inbox", json.dumps(names))

        return put

    def _insert(self, rows: Sequence[tuple[str, ...]]) -> None:
        with sqlite3.connect(self._database) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executemany(
                "INSERT INTO notification_inbox (id, notification, recipient, category, title, text, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        connection.close()


def phone(number: int) -> str:
    """A user's number."""
    return f"+43660{1_000_000 + number}"


def _mail(shown: Mapping[str, str]) -> str:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Core <no-reply@example.com>", PLACE, shown["subject"]
    mail["Message-ID"] = f"<{uuid4().hex}@example.com>"
    mail.set_content(shown["text"])
    mail.add_alternative(shown["html"], subtype="html")
    return mail.as_bytes().decode("ascii")


def _with(client: Any, send: Callable[[int, Any], Awaitable[None]]) -> Callable[[int], Awaitable[None]]:
    return lambda number: send(number, client)


async def _shared(users: int, senders: Sequence[Callable[[int], Awaitable[None]]]) -> None:
    """Lets senders take users in turn until all have got their message."""
    numbers = iter(range(users))

    async def run(send: Callable[[int], Awaitable[None]]) -> None:
        for number in numbers:
            await send(number)

    await asyncio.gather(*[run(each) for each in senders])
