"""What the workers of the notification queues need of their channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail to one recipient.

    Args:
        id: what its Message-ID is made of; the same at every try, so that a receiver can tell a copy.
        to: the address, with or without a name.
        subject: one line.
        text: for readers without HTML.
        html: for the others.
    """

    id: str
    to: str
    subject: str
    text: str
    html: str | None = None


class Undeliverable(Exception):  # noqa: N818 - an outcome
    """The mail server has refused a letter for good (5xx), or it cannot be written: no further try can help."""


class Undelivered(Exception):  # noqa: N818 - an outcome
    """The mail server could not take a letter now (4xx, no connection, no answer in time): another try may help."""


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, letter: Letter) -> None:
        """Hands a letter to the mail server; when it returns, the server has accepted it.

        Raises:
            Undeliverable: never again.
            Undelivered: not now.
        """
        ...
