"""Single-use codes: made, limited, sent by mail or text message, and taken back."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Conflict, Invalid, Pointer, TooMany
from runtime.services.auth import messages
from runtime.services.auth.attempts import Counted
from runtime.services.auth.store import codes

if TYPE_CHECKING:
    from runtime.services.auth.attempts import Attempts
    from runtime.services.auth.ports import TextMessages
    from runtime.services.auth.spec import CodesSpec
    from runtime.services.outbox.ports import Transaction

OF_A_CONTACT: Final = 5
"""Codes for one e-mail address or phone, from one network address, within the span."""
OF_AN_ADDRESS: Final = 20
TRIES: Final = 30
"""Of all codes together, from one network address."""
OF_EVERYBODY: Final = 20
"""How many times the wrong tries of one network address a code survives from all of them: so a stranger uses up their
own tries, and not the code of whoever waits for it. Of 590 billion times a thousand codes, a hundred are tried."""
SPAN: Final = 900.0
_LETTERS: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH: Final = 10


class Codes:
    """Codes of accounts.

    Args:
        spec: `auth.codes`.
        attempts: what counts them.
        name: of the environment, for the messages.
        queue: the queue of mails; None where the spec has none that delivers.
        texts: what sends text messages; None where nothing does.
    """

    def __init__(
        self, spec: CodesSpec, attempts: Attempts, *, name: str, queue: str | None, texts: TextMessages | None
    ) -> None:
        self._spec = spec
        self._attempts = attempts
        self._name = name
        self._queue = queue
        self._texts = texts

    # Whether anything can be sent, and how often

    @property
    def mailed(self) -> bool:
        """Whether mails are sent at all."""
        return self._queue is not None

    def require_mail(self) -> str:
        """The queue of mails.

        Raises:
            Conflict: there is none.
        """
        if self._queue is None:
            raise Conflict(
                "codes cannot be sent: the spec has no channel for e-mail",
                remedy="Declare notifications.channels.email; an operator can make accounts with POST /v1/users.",
            )
        return self._queue

    def require_texts(self) -> TextMessages:
        """What sends text messages.

        Raises:
            Conflict: nothing does.
        """
        if self._texts is None:
            raise Conflict(
                "phones are not available: nothing here sends text messages, by which they are verified",
                remedy="Leave the phones out.",
            )
        return self._texts

    async def limit(self, address: str, contact: str) -> None:
        """Counts a code that is asked for.

        Raises:
            TooMany: there were too many.
        """
        await self.wait(
            Counted(f"codes:{contact}:{address}", OF_A_CONTACT, SPAN),
            Counted(f"codes:{address}", OF_AN_ADDRESS, SPAN),
        )
        await self._attempts.clear(f"tries:{contact}:{address}")

    async def limit_tries(self, address: str, contact: str) -> None:
        """Counts a code that is tried; raises as `limit` does."""
        await self.wait(
            Counted(f"tries:{contact}:{address}", self._spec.attempts, SPAN), Counted(f"tries:{address}", TRIES, SPAN)
        )

    async def wait(self, *counted: Counted) -> None:
        """Counts an attempt; raises as `limit` does."""
        wait = await self._attempts.begin(*counted)
        if wait > 0:
            raise TooMany("too many attempts from here", retry_after=wait)

    # Making, sending and taking them

    async def make(
        self, tx: Transaction, purpose: str, subject: str, user: str | None, *, data: str | None = None
    ) -> str:
        """A code in the place of the one before.

        Args:
            purpose: `signup`, `invite`, `reset`, `email`, `phone`.
            subject: what it proves.
            data: what is kept with it.
        """
        code = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        await codes.put(tx.connection, purpose, subject, code, life=self._life(purpose), user=user, data=data)
        return code

    async def take(self, tx: Transaction, purpose: str, subject: str, code: str) -> Any:
        """Uses a code up; its row, or None where it is wrong or over."""
        return await codes.take(tx.connection, purpose, subject, _typed(code), self._spec.attempts * OF_EVERYBODY)

    async def spend(self, tx: Transaction, user: str) -> None:
        """Ends the codes by which an account's password could be chosen: there is another one now."""
        await codes.remove_of(tx.connection, user, "reset", "invite")

    async def mail(self, tx: Transaction, kind: str, to: str, code: str = "") -> None:
        """Mails a code, or word of something."""
        payload = messages.mail(kind, to, name=self._name, code=code, life=self._life(kind))
        await tx.enqueue(self.require_mail(), payload)

    async def text(self, tx: Transaction, to: str, code: str) -> None:
        """Sends a code to a phone."""
        message = messages.text(name=self._name, code=code, life=self._life("phone"))
        await self.require_texts().send(tx, to, message)

    def _life(self, purpose: str) -> float:
        return self._spec.invitation_ttl if purpose == "invite" else self._spec.ttl


def wrong_code() -> Invalid:
    """The refusal of a code, whatever is wrong with it."""
    return Invalid(
        "the code is wrong, or its time is over",
        errors=[Pointer("/code", "not the one that was sent last")],
        remedy="Ask for another one.",
    )


def _typed(code: str) -> str:
    """A code as it was sent, from what somebody has typed."""
    return code.strip().replace("-", "").replace(" ", "").upper()
