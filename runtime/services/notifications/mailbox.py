"""The development mailbox: a mail server that keeps every mail as a file of a folder and sends none."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import StartFailed
from runtime.health import Health
from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

SUFFIX: Final = ".eml"
LOOPBACK: Final = "127.0.0.1"
STOP_LIMIT: Final = 2.0


@dataclass(frozen=True, slots=True)
class Mail:
    """A caught mail.

    Args:
        id: sorts by the time of its arrival.
        from_: who sent it.
        to: who received this copy.
        subject: its subject.
        date: when it was caught, UTC.
        size: in bytes.
        path: its file.
    """

    id: str
    from_: str
    to: tuple[str, ...]
    subject: str
    date: datetime
    size: int
    path: Path

    def to_data(self) -> dict[str, Any]:
        """Its JSON values."""
        return {
            "id": self.id,
            "from": self.from_,
            "to": list(self.to),
            "subject": self.subject,
            "date": self.date.isoformat().replace("+00:00", "Z"),
            "size": self.size,
        }


class Mailbox:
    """Catches mail on a port of this machine alone.

    Args:
        folder: where the mails go, `<state folder>/mail`.
        port: where it listens; 0, and a port that only root may take, mean any free one.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        self._port = port if port >= 1024 else 0
        self._server: asyncio.Server | None = None
        self._sessions: weakref.WeakSet[Any] = weakref.WeakSet()
        self._caught = 0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; once started, the port is the same for good."""
        return LOOPBACK, self._port

    async def start(self) -> None:
        """Listens.

        Raises:
            StartFailed: the port is taken, or the folder cannot be written.
        """
        # Imported here: reading caught mails needs no mail server.
        from runtime.services.notifications.adapters.smtpd import session

        def open_session() -> asyncio.BaseProtocol:
            made = session(self._keep)
            self._sessions.add(made)
            return made

        loop = asyncio.get_running_loop()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._server = await loop.create_server(open_session, LOOPBACK, self._port)
        except OSError as error:
            raise StartFailed(
                "notifications.mailbox",
                f"cannot listen on {LOOPBACK}:{self._port} or use {self._folder}: {error.strerror}",
                remedy="Leave `port` out, so that it takes a free one.",
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def watch(self) -> None:
        """Waits for the server's end, which is an error unless `stop` made it.

        Raises:
            RuntimeError: it does not listen any more.
        """
        server = self._server
        if server is None:
            return
        await server.wait_closed()
        if self._server is server:
            raise RuntimeError("the mailbox does not listen any more")

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for session in self._sessions:
                if session.transport is not None:
                    session.transport.close()
            async with asyncio.timeout(STOP_LIMIT):
                await server.wait_closed()

    async def health(self) -> Health:
        if self._server is None or not self._server.is_serving():
            return Health("down", "it does not listen")
        details = {"port": self._port, "caught": self._caught, "kept": len(mails(self._folder))}
        return Health(details=details)

    async def _keep(self, sender: str, recipients: list[str], content: bytes) -> None:
        await asyncio.to_thread(keep, self._folder, sender, recipients, content)
        self._caught += 1


def mails(folder: Path) -> list[Mail]:
    """The caught mails of a folder, the newest last; none where there is no such folder."""
    found: list[Mail] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found.append(_mail(path))
        except OSError:  # deleted while we looked
            continue
    return found


def text_of(mail: Mail) -> str:
    """A mail for reading: its headers, its text, and the names of its other parts.

    Raises:
        OSError: its file cannot be read.
    """
    message = _parsed(mail.path.read_bytes())
    lines = [f"{name}: {message[name]}" for name in ("From", "To", "Subject", "Date", "Message-ID") if message[name]]
    body = message.get_body(("plain", "html"))
    text = str(body.get_content()).replace("\r\n", "\n") if body is not None else ""
    others = [part.get_content_type() for part in message.walk() if part is not body and not part.is_multipart()]
    if others:
        lines.append(f"Also: {', '.join(others)}")
    return "\n".join([*lines, "", text.rstrip("\n")])


def keep(folder: Path, sender: str, recipients: list[str], content: bytes) -> Path:
    """Writes a mail into a folder, whole or not at all.

    Args:
        sender: of the envelope; empty for a bounce.
        recipients: of the envelope.
        content: the message as it came.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{time_ordered()}{SUFFIX}"
    head = "".join([f"Return-Path: <{sender}>\r\n", *[f"Delivered-To: {to}\r\n" for to in recipients]])
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(head.encode("utf-8", "replace") + content)
    draft.replace(path)
    return path


def _mail(path: Path) -> Mail:
    with path.open("rb") as file:
        message = _parsed(file.read(65_536))
    status = path.stat()
    return Mail(
        id=path.stem,
        from_=str(message["From"] or message["Return-Path"] or ""),
        to=tuple(str(to) for to in message.get_all("Delivered-To", ())) or (str(message["To"] or ""),),
        subject=str(message["Subject"] or ""),
        date=datetime.fromtimestamp(status.st_mtime, UTC),
        size=status.st_size,
        path=path,
    )


def _parsed(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)
