"""The development mailbox: a mail server that keeps every mail in a folder and sends none."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import TYPE_CHECKING, Any, Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from runtime.errors import StartFailed
from runtime.health import Health
from runtime.services.notifications.mailbox import keep, mails

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger("runtime.notifications")

LOOPBACK: Final = "127.0.0.1"
LARGEST_MAIL: Final = 32 * 1024 * 1024
STOP_LIMIT: Final = 2.0


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
        self._sessions: weakref.WeakSet[SMTP] = weakref.WeakSet()
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
        loop = asyncio.get_running_loop()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._server = await loop.create_server(self._session, LOOPBACK, self._port)
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

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content: Any = envelope.content or b""
        try:
            await asyncio.to_thread(
                keep, self._folder, envelope.mail_from or "", [str(to) for to in envelope.rcpt_tos], content
            )
        except OSError as error:
            logger.error("a mail could not be kept: %s", error.strerror)
            return "451 4.3.0 the mailbox cannot be written"
        self._caught += 1
        return "250 2.0.0 kept"

    def _session(self) -> SMTP:
        session = SMTP(self, hostname="mailbox.local", data_size_limit=LARGEST_MAIL, enable_SMTPUTF8=True)
        self._sessions.add(session)
        return session
