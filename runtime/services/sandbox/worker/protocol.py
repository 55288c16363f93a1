"""Frames between the service and a worker, over one socket pair.

    4 bytes  length of the head
    4 bytes  length of the body
    head     a JSON object
    body     bytes that only the two ends of a job understand

The worker reads its jobs here; what it answers is read by `runtime.services.sandbox.process`, which
believes none of it.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any, Final, NamedTuple

LENGTHS: Final = struct.Struct(">II")
LARGEST_HEAD: Final = 4096
"""Bytes of a head; ours are far shorter."""


class Frame(NamedTuple):
    """One message.

    Args:
        head: what it is: `kind`, and the job's `id`.
        body: the job, or the answer, as JSON text.
    """

    head: dict[str, Any]
    body: bytes = b""


def packed(head: dict[str, Any], body: bytes = b"") -> bytes:
    """A frame as bytes.

    Example:
        >>> packed({"kind": "ping"})[8:]
        b'{"kind":"ping"}'
    """
    text = json.dumps(head, separators=(",", ":")).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


class Channel:
    """A worker's end of the socket.

    Args:
        descriptor: of the socket; it blocks.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def receive(self) -> Frame:
        """The next frame; waits for it.

        Raises:
            EOFError: the service has gone.
        """
        head, body = LENGTHS.unpack(self._read(LENGTHS.size))
        return Frame(json.loads(self._read(head)), self._read(body))

    def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        left = memoryview(packed(head, body))
        while left:
            left = left[os.write(self._descriptor, left) :]

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            part = os.read(self._descriptor, min(size, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
