"""The development text messages: each is kept as a file of a folder, and none is sent."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import NotFound
from runtime.health import Health
from runtime.services.names import time_ordered
from runtime.services.notifications.channels.port import Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runtime.services.notifications.channels.port import Callback, Report
    from runtime.services.notifications.channels.sms import Text

SUFFIX: Final = ".txt"


@dataclass(frozen=True, slots=True)
class Caught:
    """A caught text message.

    Args:
        id: sorts by the time of its arrival.
        to: the number, E.164.
        from_: who sent it; empty where the spec does not say.
        date: when it was caught, UTC.
        body: what it says.
    """

    id: str
    to: str
    from_: str
    date: datetime
    body: str

    def to_data(self) -> dict[str, Any]:
        """Its JSON values."""
        date = self.date.isoformat().replace("+00:00", "Z")
        return {"id": self.id, "to": self.to, "from": self.from_, "date": date, "text": self.body}


class Textbox:
    """Keeps text messages; implements `Carrier` and is the channel's component.

    Args:
        folder: where they go, `<state folder>/sms`.
        sender: the number or the name that they come from.
    """

    def __init__(self, folder: Path, sender: str | None = None) -> None:
        self._folder = folder
        self._sender = sender or ""
        self._caught = 0

    async def start(self) -> None:
        """Nothing listens."""

    async def stop(self) -> None:
        """Nothing is open."""

    async def health(self) -> Health:
        return Health(details={"caught": self._caught})

    async def send(self, text: Text) -> Receipt:
        try:
            path = await asyncio.to_thread(keep, self._folder, self._sender, text)
        except OSError as error:
            return Receipt("later", reason=f"the folder of text messages: {error.strerror}", down=True)
        self._caught += 1
        return Receipt("sent", id=path.stem)

    def reports(self, callback: Callback) -> Sequence[Report]:
        raise NotFound("caught text messages go nowhere: nobody reports on them")


def keep(folder: Path, sender: str, text: Text) -> Path:
    """Writes a text message into a folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{time_ordered()}{SUFFIX}"
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"To: {text.to}\nFrom: {sender}\n\n{text.body}\n")
    draft.replace(path)
    return path


def texts(folder: Path) -> list[Caught]:
    """The caught text messages of a folder, the newest last; none where there is no such folder."""
    found: list[Caught] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found.append(_caught(path))
        except OSError:  # deleted while we looked
            continue
    return found


def _caught(path: Path) -> Caught:
    head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    known = dict(line.partition(": ")[::2] for line in head.splitlines())
    date = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Caught(path.stem, known.get("To", ""), known.get("From", ""), date, body.removesuffix("\n"))
