"""The development mailbox: catches what is sent to it, and shows it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import StartFailed
from runtime.services.notifications.adapters.smtp import SmtpSender
from runtime.services.notifications.channels.spec import SmtpChannel
from runtime.services.notifications.letters import Letter, Undelivered
from runtime.services.notifications.mailbox import Mailbox, mails, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Mailbox]:
    box = Mailbox(tmp_path / "mail")
    await box.start()
    yield box
    await box.stop()


def sender(box: Mailbox) -> SmtpSender:
    section = {"kind": "smtp", "host": "embedded", "from": "Core <no-reply@example.com>"}
    return SmtpSender(SmtpChannel.model_validate(section), box)


async def test_it_catches_what_is_sent(box: Mailbox, tmp_path: Path) -> None:
    mailer = sender(box)
    for name in ("ada", "bob", "eve"):
        await mailer.send(Letter(name, f"{name}@example.com", "Grüße", f"Hello {name}", "<p>Hi</p>"))
    caught = mails(tmp_path / "mail")
    assert [mail.to for mail in caught] == [("ada@example.com",), ("bob@example.com",), ("eve@example.com",)]
    assert [mail.id for mail in caught] == sorted(mail.id for mail in caught)
    data = caught[0].to_data()
    assert (data["from"], data["subject"]) == ("Core <no-reply@example.com>", "Grüße")
    assert data["size"] == caught[0].path.stat().st_size
    assert text_of(caught[1]).splitlines()[:3] == [
        "From: Core <no-reply@example.com>",
        "To: bob@example.com",
        "Subject: Grüße",
    ]
    assert text_of(caught[1]).endswith("Also: text/html\n\nHello bob")
    assert caught[0].path.stat().st_mode & 0o077 == 0
    assert [path.suffix for path in (tmp_path / "mail").iterdir()] == [".eml"] * 3
    health = await box.health()
    assert health.details == {"port": box.address[1], "caught": 3, "kept": 3}
    assert (await mailer.health()).status == "operational"


async def test_it_keeps_its_port_over_a_restart(box: Mailbox) -> None:
    address = box.address
    await box.stop()
    await box.stop()
    assert (await box.health()).status == "down"
    with pytest.raises(Undelivered):
        await sender(box).send(Letter("a", "ada@example.com", "x", "y"))
    await box.start()
    assert box.address == address
    await sender(box).send(Letter("a", "ada@example.com", "x", "y"))


async def test_its_death_is_noticed(box: Mailbox) -> None:
    watching = asyncio.create_task(box.watch())
    await asyncio.sleep(0)
    server: Any = box._server
    server.close()
    with pytest.raises(RuntimeError, match="does not listen"):
        async with asyncio.timeout(5):
            await watching
    await box.stop()
    await box.start()
    await sender(box).send(Letter("a", "ada@example.com", "x", "y"))


async def test_a_client_that_stays_does_not_keep_it_from_stopping(box: Mailbox) -> None:
    reader, writer = await asyncio.open_connection(*box.address)
    await reader.readline()
    async with asyncio.timeout(5):
        await box.stop()
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_taken_port_is_said(box: Mailbox, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=str(box.address[1])):
        await Mailbox(tmp_path, box.address[1]).start()


async def test_a_folder_that_cannot_be_written_is_a_temporary_refusal(box: Mailbox, tmp_path: Path) -> None:
    (tmp_path / "mail").rmdir()
    (tmp_path / "mail").write_text("in the way")
    with pytest.raises(Undelivered, match="451"):
        await sender(box).send(Letter("a", "ada@example.com", "x", "y"))


def test_no_folder_holds_no_mails(tmp_path: Path) -> None:
    assert mails(tmp_path / "nothing") == []
