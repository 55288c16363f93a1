"""Server-Sent Events as they come over a wire, cut wherever the network cuts them.

The form is that of the HTML Standard, 9.2.6: lines that end with LF, CR or CRLF, events that end with an empty line.
"""

from __future__ import annotations

from typing import Final

from runtime.services.ai.failures import Failure

LARGEST_EVENT: Final = 8_000_000


class Events:
    """Puts the events of a stream together again.

    Example:
        >>> events = Events()
        >>> events.feed(b'data: {"a": 1}\\n\\nda'), events.feed(b"ta: [DONE]\\n\\n")
        ([b'{"a": 1}'], [b'[DONE]'])
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that is whole now; comments and events without data are passed over.

        Raises:
            Failure: an event is larger than any sane one (`malformed`).
        """
        rest = self._rest + data if self._rest else data
        if b"\r" in rest:
            rest = _unix(rest)
        *whole, self._rest = rest.split(b"\n\n")
        if len(self._rest) > LARGEST_EVENT:
            raise Failure("malformed", f"an event of more than {LARGEST_EVENT:,} bytes")
        found = []
        for event in whole:
            if event.startswith(b"data: ") and b"\n" not in event:
                found.append(event[6:])
            elif (lines := _data(event)) is not None:
                found.append(lines)
        return found

    @property
    def cut(self) -> bool:
        """Whether something of an event is left over."""
        return bool(self._rest.strip())


def _unix(data: bytes) -> bytes:
    """Line ends as LF; a CR at the very end stays, for the LF that may follow it."""
    held = b"\r" if data.endswith(b"\r") else b""
    return data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held


def _data(event: bytes) -> bytes | None:
    lines = [
        line[5:].removeprefix(b" ") if line.startswith(b"data:") else b""
        for line in event.split(b"\n")
        if line.startswith(b"data:") or line == b"data"
    ]
    return b"\n".join(lines) if lines else None
