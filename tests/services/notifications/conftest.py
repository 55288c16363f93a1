"""Mail servers that take, refuse, delay and break off: real ones, by aiosmtpd."""

from __future__ import annotations

import asyncio
import email
import email.policy
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from runtime.services.notifications.adapters.smtp import SmtpSender
from runtime.services.notifications.channels.spec import SmtpChannel
from tests.services.notifications.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from runtime.services.notifications.adapters.webpush import WebPush
    from runtime.storage.wire import WiredRedis


@dataclass
class Post:
    """A mail server under a test's control.

    Args:
        answers: what it says to a recipient's RCPT, by address; each list is used up, then it is 250.
        data: what it says at the end of the message, used up in the same way.
        password: the one that it takes from whoever signs in.
    """

    answers: dict[str, list[str]] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)
    received: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    port: int = 0
    password: str = ""

    def authenticated(self, server: SMTP, session: Session, envelope: Envelope, kind: str, given: Any) -> AuthResult:
        return AuthResult(success=given.password.decode() == self.password, handled=False)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = (self.answers.get(address) or ["250 ok"]).pop(0)
        if answer == "cut":
            _abort(server)
            return "250 never seen"
        if answer == "silence":
            await asyncio.sleep(30)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.data.pop(0) if self.data else "250 kept"
        if answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            self.received.append((list(envelope.rcpt_tos), message))
        return answer

    @property
    def recipients(self) -> list[str]:
        """Whom each message went to, in order."""
        return [", ".join(to) for to, _ in self.received]


def _abort(session: SMTP) -> None:
    transport: Any = session.transport
    if transport is not None:
        transport.abort()


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    post = Post()
    open_: list[SMTP] = []

    def session() -> SMTP:
        open_.append(SMTP(post, enable_SMTPUTF8=True, authenticator=post.authenticated, auth_require_tls=False))
        return open_[-1]

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    yield post
    server.close()
    for made in open_:
        _abort(made)
        if made._handler_coroutine is not None:
            made._handler_coroutine.cancel()
            await asyncio.wait({made._handler_coroutine})


def channel(port: int, **more: Any) -> SmtpChannel:
    """The section of a channel."""
    return SmtpChannel.model_validate(
        {
            "kind": "smtp",
            "host": "127.0.0.1",
            "port": port,
            "from": "Core <no-reply@example.com>",
            "tls": "none",
            **more,
        }
    )


@pytest.fixture
def sender(post: Post) -> Callable[..., SmtpSender]:
    """Makes a sender to the test's mail server."""
    return lambda **more: SmtpSender(channel(**{"port": post.port, **more}))


@pytest.fixture
async def site(client: WiredRedis, url: str, tmp_path: Path, post: Post) -> AsyncIterator[Callable[..., Any]]:
    """Makes instances that share a database and a Redis."""
    made: list[Site] = []

    async def build(
        categories: dict[str, Any] | None = None,
        *,
        channels: dict[str, Any] | None = None,
        retry: dict[str, Any] | None = None,
        declared: dict[str, Any] | None = None,
        push: WebPush | None = None,
        **section: Any,
    ) -> Site:
        known = categories or {"news": {"channels": ["in_app", "email"]}}
        one = Site(
            client,
            url,
            tmp_path,
            post.port,
            known,
            channels or {},
            {"channels": declared or {}, **section},
            retry,
            push,
        )
        made.append(one)
        await one.start()
        return one

    yield build
    for one in reversed(made):
        await one.close()
