"""The mails that the development mailbox has caught, as files of a folder."""

from __future__ import annotations

import email
import email.policy
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtime.services.names import time_ordered

if TYPE_CHECKING:
    from email.message import EmailMessage
    from pathlib import Path

SUFFIX = ".eml"


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
    lines = [
        f"{name}: {message[name]}"
        for name in ("From", "To", "Subject", "Date", "Message-ID")
        if message[name]
    ]
    body = message.get_body(("plain", "html"))
    text = body.get_content() if body is not None else ""
    others = [
        part.get_content_type() for part in message.walk() if part is not body and not part.is_multipart()
    ]
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
