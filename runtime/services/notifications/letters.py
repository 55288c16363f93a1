"""A mail as the mail server is handed it, and what it, or another provider, may say."""

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
        unsubscribe: where a POST ends mails like this one (RFC 8058).
        category: what such mails are called, for `List-ID`-like headers; empty where they have no name.
    """

    id: str
    to: str
    subject: str
    text: str
    html: str | None = None
    unsubscribe: str | None = None
    category: str = ""


class Undeliverable(Exception):  # noqa: N818 - an outcome
    """The provider has refused a message for good, or it cannot be written: no further try can help.

    Args:
        address: whether it is the address that the provider refuses, and not the message.
    """

    def __init__(self, said: str, *, address: bool = False) -> None:
        super().__init__(said)
        self.address = address


class Undelivered(Exception):  # noqa: N818 - an outcome
    """The provider could not take a message now (no connection, no answer in time, too many): another try may help.

    Args:
        down: it is the provider that does not work, or refuses us; not this message.
        refused: it refuses us: an operator has to look.
        after: seconds that it asked to wait.
    """

    def __init__(self, said: str, *, down: bool = False, refused: bool = False, after: float | None = None) -> None:
        super().__init__(said)
        self.down = down
        self.refused = refused
        self.after = after


class Mailer(Protocol):
    """Sends mail."""

    @property
    def callback_secret(self) -> str | None:
        """What the provider signs its reports of bounces and complaints with; None where it sends none."""
        ...

    async def send(self, letter: Letter) -> str:
        """Hands a letter to the mail server; when it returns, the server has accepted it.

        Returns:
            Its Message-ID, without the brackets.

        Raises:
            Undeliverable: never again.
            Undelivered: not now.
        """
        ...
