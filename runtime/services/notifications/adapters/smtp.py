"""E-mail by SMTP."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import aiosmtplib
import anyio
from pydantic import SecretStr

from runtime.errors import Fault
from runtime.health import Health
from runtime.services.notifications.adapters.mime import Mail, composed, one_address
from runtime.services.notifications.adapters.smtp_pool import SmtpPool
from runtime.services.notifications.letters import Letter, Undeliverable, Undelivered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.notifications.channels.spec import SmtpChannel
    from runtime.services.notifications.mailbox import Mailbox

logger = logging.getLogger("runtime.notifications")

IMPLICIT: Final = 465
REACH: Final = 0.8
"""Seconds that the mail server has to answer a look at its health."""


class SmtpSender:
    """Sends through a mail server; implements `Mailer` and is the channel's component.

    Args:
        spec: the channel's section.
        mailbox: where the mails go instead, where the section says `host: embedded`.
    """

    def __init__(self, spec: SmtpChannel, mailbox: Mailbox | None = None) -> None:
        self._spec = spec
        self._mailbox = mailbox
        self._from = one_address(spec.from_, "from")
        self._reply_to = one_address(spec.reply_to, "reply_to") if spec.reply_to else None
        self._pool = SmtpPool(self._client, spec.connections)
        self._sent = 0
        self._failed = 0
        self._last_error: str | None = None

    async def start(self) -> None:
        """Nothing connects before there is something to send."""

    async def stop(self) -> None:
        """Closes the connections that are open."""
        self._pool.close()

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Signs in with another user or password from the next letter on; letters under way end as they began."""
        secret = {"password": SecretStr(fields["password"])} if fields.get("password") else {}
        self._spec = self._spec.model_copy(update={**fields, **secret})
        self._pool.renew()

    async def health(self) -> Health:
        details: dict[str, Any] = {"sent": self._sent, "failed": self._failed}
        try:
            with anyio.fail_after(REACH):
                stream = await anyio.connect_tcp(*self._where())
            await stream.aclose()
        except (OSError, TimeoutError):
            host, port = self._where()
            return Health("degraded", f"the mail server {host}:{port} does not answer", details)
        if self._last_error is not None:
            return Health("degraded", f"the last mail was not delivered: {self._last_error}", details)
        return Health(details=details)

    @property
    def callback_secret(self) -> str | None:
        """What the provider signs its reports with."""
        secret = self._spec.callback_secret
        return secret.get_secret_value() if secret is not None else None

    async def send(self, letter: Letter) -> str:
        mail = self.compose(letter)
        try:
            await self._deliver(mail)
        except Undelivered as error:
            self._failed += 1
            self._last_error = str(error)
            raise
        except Undeliverable:
            self._failed += 1
            self._last_error = None  # the server works: it is this letter that it does not want
            raise
        self._sent += 1
        self._last_error = None
        return mail.id

    def compose(self, letter: Letter) -> Mail:
        """The mail of a letter.

        Raises:
            Undeliverable: the address or the subject cannot stand in a header.
        """
        try:
            return composed(letter, self._from, self._reply_to)
        except (ValueError, Fault) as error:
            raise Undeliverable(str(error)) from error

    def _where(self) -> tuple[str, int]:
        return self._mailbox.address if self._mailbox is not None else (self._spec.host, self._spec.port)

    async def _deliver(self, mail: Mail) -> None:
        try:
            with anyio.fail_after(self._spec.timeout):
                async with self._pool.connection() as client:
                    await _hand_over(client, mail, self._from.addr_spec)
        except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused) as error:
            code, said = _answer(error)
            if 500 <= code < 600 and not _about_us(error):
                raise Undeliverable(f"{code} {said}", address=_of_address(error, said)) from error
            refused = (
                isinstance(error, aiosmtplib.SMTPAuthenticationError | aiosmtplib.SMTPSenderRefused) and code >= 500
            )
            raise Undelivered(f"{code} {said}", down=_about_us(error) or code == 421, refused=refused) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            host, port = self._where()
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise Undelivered(f"the mail server {host}:{port}: {said}", down=True) from error

    def _client(self) -> aiosmtplib.SMTP:
        host, port = self._where()
        secret = self._spec.password
        return aiosmtplib.SMTP(
            hostname=host,
            port=port,
            username=self._spec.username,
            password=secret.get_secret_value() if secret is not None else None,
            timeout=self._spec.timeout,
            **self._encryption(port),
        )

    def _encryption(self, port: int) -> dict[str, Any]:
        kind = self._spec.tls
        if kind == "auto":
            return {"use_tls": True} if port == IMPLICIT else {"start_tls": None}
        return {
            "use_tls": kind == "implicit",
            "start_tls": kind == "starttls" if kind != "implicit" else None,
        }


async def _hand_over(client: aiosmtplib.SMTP, mail: Mail, sender: str) -> None:
    options = []
    if mail.international:
        if not client.supports_extension("smtputf8"):
            raise Undeliverable("the mail server does not take addresses that are not ASCII (SMTPUTF8)")
        options = ["SMTPUTF8", "BODY=8BITMIME"]
    await client.sendmail(sender, [mail.to], mail.content, mail_options=options)


def _answer(error: aiosmtplib.SMTPResponseException | aiosmtplib.SMTPRecipientsRefused) -> tuple[int, str]:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    return error.code, " ".join(error.message.split())[:300]


def _about_us(error: Exception) -> bool:
    """Whether the server refuses us, not the letter: a wrong password must not cost the mails."""
    return isinstance(
        error,
        aiosmtplib.SMTPAuthenticationError
        | aiosmtplib.SMTPConnectError
        | aiosmtplib.SMTPHeloError
        | aiosmtplib.SMTPSenderRefused,
    )


def _of_address(error: Exception, said: str) -> bool:
    """Whether it is the address that is refused for good: at RCPT, and not as a matter of policy (RFC 3463, X.7)."""
    return isinstance(error, aiosmtplib.SMTPRecipientsRefused) and not said.startswith("5.7.")
