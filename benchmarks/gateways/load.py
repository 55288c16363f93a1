"""A load of requests over connections that stay open: `python load.py '{"port": …, "path": …, …}'`, figures as JSON.

Each connection waits for its answer before it sends the next request, and for its last one at the end: what the gateway
has worked for is counted. Times are in microseconds; those of the first part of the run are left out.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from typing import Any

import uvloop

WARM = 0.2
"""The part of the run that does not count."""
LATEST = 10.0
"""Seconds after the end for which answers are waited for."""


class Sender(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes, figures: Figures) -> None:
        self._request = request
        self._figures = figures

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._head = -1
        self._size = -1
        self._got = b""
        self._first = 0.0
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._head < 0:
            self._head = self._got.find(b"\r\n\r\n")
            if self._head < 0:
                return
            head = self._got[: self._head].lower()
            at = head.find(b"\ncontent-length:")
            self._size = int(head[at + 16 :].split(b"\r", 1)[0]) if at >= 0 else -1
        body = self._head + 4
        if not self._first and self._got.find(b'"content"', body) >= 0:
            self._first = time.perf_counter()
        whole = len(self._got) >= body + self._size if self._size >= 0 else self._got.endswith(b"0\r\n\r\n")
        if whole:
            good = self._got.startswith(b"HTTP/1.1 200") and b'"error"' not in self._got[-300:]
            self._figures.add(self._sent, self._first, good, self._got)
            if time.perf_counter() < self._figures.ends:
                self._send()
            else:
                self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._figures.left()


class Figures:
    """What came of it.

    Args:
        connections: that are to come.
        seconds: that requests are sent.
    """

    def __init__(self, connections: int, seconds: float) -> None:
        now = time.perf_counter()
        self._begins = now + seconds * WARM
        self.ends = now + seconds
        self._open = connections
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.took: list[float] = []
        self.first: list[float] = []
        self.failed = 0
        self.answered = 0
        self.closed = 0
        """Connections that the gateway closed."""
        self.example = ""

    def add(self, sent: float, first: float, good: bool, got: bytes) -> None:
        self.answered += good
        if not good:
            self.failed += 1
            self.example = self.example or got[:600].decode("utf-8", "replace")
        elif sent >= self._begins and (now := time.perf_counter()) <= self.ends:
            self.took.append((now - sent) * 1e6)
            self.first.append((first - sent) * 1e6)

    def left(self) -> None:
        """A connection has ended."""
        self.closed += time.perf_counter() < self.ends
        self._open -= 1
        if not self._open:
            self.over.set_result(None)


def quantile(values: list[float], part: float) -> float:
    values = sorted(values)
    return values[int((len(values) - 1) * part)] if values else float("nan")


async def main(order: dict[str, Any]) -> None:
    body = json.dumps(order["body"], separators=(",", ":")).encode()
    headers = {
        "Host": "127.0.0.1",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Content-Length": len(body),
        **order["headers"],
    }
    lines = [f"POST {order['path']} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    figures = Figures(order["connections"], order["seconds"])
    loop = asyncio.get_running_loop()
    for _ in range(order["connections"]):
        await loop.create_connection(lambda: Sender(request, figures), "127.0.0.1", order["port"])
    with suppress(TimeoutError):
        await asyncio.wait_for(figures.over, order["seconds"] + LATEST)
    counted = order["seconds"] * (1 - WARM)
    told = {
        "rate": len(figures.took) / counted,
        "p50": quantile(figures.took, 0.5),
        "p99": quantile(figures.took, 0.99),
        "first": quantile(figures.first, 0.5),
        "failed": figures.failed,
        "answered": figures.answered,
        "closed": figures.closed,
        "example": figures.example,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
