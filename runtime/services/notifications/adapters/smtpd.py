"""The receiving side of SMTP, by aiosmtpd."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session

logger = logging.getLogger("runtime.notifications")

LARGEST_MAIL: Final = 32 * 1024 * 1024

Keep = Callable[[str, list[str], bytes], Awaitable[None]]
"""Takes the envelope's sender and recipients, and the message; raises OSError where it cannot be kept."""


def session(keep: Keep) -> SMTP:
    """The server's side of one connection."""
    return SMTP(_Receiver(keep), hostname="mailbox.local", data_size_limit=LARGEST_MAIL, enable_SMTPUTF8=True)


class _Receiver:
    def __init__(self, keep: Keep) -> None:
        self._keep = keep

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name there
        content = envelope.content
        message = content if isinstance(content, bytes) else str(content or "").encode()
        try:
            await self._keep(envelope.mail_from or "", [str(to) for to in envelope.rcpt_tos], message)
        except OSError as error:
            logger.error("a mail could not be kept: %s", error.strerror)
            return "451 4.3.0 the mailbox cannot be written"
        return "250 2.0.0 kept"
