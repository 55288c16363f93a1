"""One letter and the mail server: what is composed, and what becomes of refusals."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.services.notifications.letters import Letter, Undeliverable, Undelivered


def letter(to: str = "ada@example.com", **more: Any) -> Letter:
    return Letter(**{"id": "abc", "to": to, "subject": "Grüße", "text": "It works.\nReally.", **more})


async def test_a_letter_arrives_as_it_was_written(post: Any, sender: Any) -> None:
    mailer = sender(reply_to="support@example.com")
    await mailer.send(letter("Ada Lovelace <ada@example.com>", html="<p>It works.</p>"))
    ((to, message),) = post.received
    assert to == ["ada@example.com"]
    assert message["To"] == "Ada Lovelace <ada@example.com>"
    assert message["From"] == "Core <no-reply@example.com>"
    assert message["Reply-To"] == "support@example.com"
    assert message["Subject"] == "Grüße"
    assert message["Message-ID"] == "<abc@example.com>"
    assert message["Date"].datetime.tzinfo is not None
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_body(("plain",)).get_content().splitlines() == ["It works.", "Really."]
    assert message.get_body(("html",)).get_content().strip() == "<p>It works.</p>"
    health = await mailer.health()
    assert (health.status, health.details) == ("operational", {"sent": 1, "failed": 0})


@pytest.mark.parametrize(
    "answer", ["550 no such user", "553 mailbox name not allowed", "554 5.7.1 rejected", "501 syntax"]
)
async def test_a_permanent_refusal_is_for_good(post: Any, sender: Any, answer: str) -> None:
    post.answers["ada@example.com"] = [answer]
    with pytest.raises(Undeliverable, match=answer[:3]):
        await sender().send(letter())


@pytest.mark.parametrize("answer", ["451 try later", "421 closing", "450 greylisted", "452 full"])
async def test_a_temporary_refusal_is_not(post: Any, sender: Any, answer: str) -> None:
    post.answers["ada@example.com"] = [answer]
    mailer = sender()
    with pytest.raises(Undelivered, match=answer[:3]):
        await mailer.send(letter())
    assert (await mailer.health()).status == "degraded"
    await mailer.send(letter())
    assert (await mailer.health()).status == "operational"


@pytest.mark.parametrize(("answer", "kind"), [("552 too big", Undeliverable), ("451 later", Undelivered)])
async def test_a_refusal_after_the_message_counts_as_well(
    post: Any, sender: Any, answer: str, kind: type[Exception]
) -> None:
    post.data = [answer]
    with pytest.raises(kind):
        await sender().send(letter())
    assert post.received == []


async def test_a_connection_that_breaks_is_temporary(post: Any, sender: Any) -> None:
    post.answers["ada@example.com"] = ["cut"]
    with pytest.raises(Undelivered):
        await sender().send(letter())
    await sender().send(letter())
    assert post.recipients == ["ada@example.com"]


async def test_a_server_that_says_nothing_is_given_up(post: Any, sender: Any) -> None:
    post.answers["ada@example.com"] = ["silence"]
    with pytest.raises(Undelivered):
        async with asyncio.timeout(5):
            await sender(timeout="100ms").send(letter())


async def test_a_server_that_is_not_there_is_said(sender: Any) -> None:
    mailer = sender(port=9)
    with pytest.raises(Undelivered, match=r"127\.0\.0\.1:9"):
        await mailer.send(letter())
    health = await mailer.health()
    assert (health.status, health.reason) == ("degraded", "the mail server 127.0.0.1:9 does not answer")


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "ada@example.com\r\nBcc: eve@example.com"},
        {"to": "ada@example.com, eve@example.com"},
        {"to": "ada"},
        {"to": "@example.com"},
        {"to": "ada@"},
        {"to": "Ada <ada@example.com> eve@example.com"},
        {"to": "friends: ada@example.com, eve@example.com;"},
        {"to": ""},
        {"subject": "Hello\r\nBcc: eve@example.com"},
        {"subject": "Hello\nX: y"},
        {"subject": "Hello\0"},
        {"text": "\ud800"},
    ],
)
async def test_headers_cannot_be_slipped_in(post: Any, sender: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(Undeliverable):
        await sender().send(letter(**wrong))
    assert post.received == []


async def test_what_looks_like_the_end_of_a_message_does_not_end_it(post: Any, sender: Any) -> None:
    await sender().send(letter(text="a\r\n.\r\nRCPT TO:<eve@example.com>\r\nb\n.\n"))
    ((to, message),) = post.received
    assert to == ["ada@example.com"]
    assert "RCPT TO" in message.get_content()


async def test_a_password_is_never_in_an_error(post: Any, sender: Any) -> None:
    with pytest.raises(Undelivered) as refused:  # the server offers no AUTH
        await sender(username="core", password="hunter2-secret").send(letter())
    assert "hunter2" not in str(refused.value)


async def test_another_password_holds_from_the_next_letter_on(post: Any, sender: Any) -> None:
    mailer = sender(username="core", password="first-password")
    post.password = "second-password"
    with pytest.raises(Undelivered, match="535"):
        await mailer.send(letter())
    await mailer.update({"password": "second-password"})
    await mailer.send(letter())
    assert post.recipients == ["ada@example.com"]
