"""The service's end of the socket: bytes of a worker, which are hostile, into frames."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from runtime.services.sandbox.worker.protocol import LARGEST_HEAD, LENGTHS, Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL: Final = 1 << 16
"""Bytes of a body that are taken where no large one is expected."""


class FrameReader:
    """Collects bytes and hands out whole frames.

    `largest` is the most that a body may have; what claims more is refused before it is read.
    """

    def __init__(self) -> None:
        self.largest = SMALL
        self._buffer = bytearray()

    def frames(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now.

        Raises:
            ValueError: what came is no frame, or too large.

        Example:
            >>> [frame.head for frame in FrameReader().frames(b"\\0\\0\\0\\2\\0\\0\\0\\0{}")]
            [{}]
        """
        self._buffer += data
        while len(self._buffer) >= LENGTHS.size:
            head, body = LENGTHS.unpack_from(self._buffer)
            if head > LARGEST_HEAD or body > self.largest:
                raise ValueError(f"a frame of {head} and {body} bytes")
            end = LENGTHS.size + head + body
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[LENGTHS.size : end])
            del self._buffer[:end]
            yield Frame(_object(frame[:head]), frame[head:])


def _object(data: bytes) -> dict[str, Any]:
    head = json.loads(data)
    if not isinstance(head, dict):
        raise ValueError("a head is an object")
    return head
