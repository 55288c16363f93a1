"""A provider that answers at once, in OpenAI's, Anthropic's and Mistral's format: `python upstream.py PORT`.

Parts of the path before `/v1`: `/n<k>` is the number of chunks of a stream (20), `/d<ms>` a pause before the answer,
`/c<ms>` one between chunks. `GET /gone` tells when requests were given up by whoever sent them, in seconds of the
monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any

import uvloop

TEXT = "Hello! This is a fixed reply from a provider that never sleeps."
USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 30,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 100},
}
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1764000000,
    "model": "gpt-4o-mini",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": TEXT}, "logprobs": None, "finish_reason": "stop"}
    ],
    "usage": USAGE,
    "system_fingerprint": "fp_1",
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": TEXT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 20,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 0,
        "output_tokens": 30,
    },
}
OPTION = re.compile(r"/([ndc])(\d+)(?=/)")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"

gone: list[float] = []


def whole(body: Any) -> bytes:
    data = json.dumps(body).encode()
    return HEAD % len(data) + data


WHOLE = {"chat": whole(CHAT), "message": whole(MESSAGE)}


def events(kind: str, count: int) -> list[bytes]:
    """The writes of a stream, each a chunk of HTTP."""
    if kind == "message":
        begun = {**MESSAGE, "content": [], "stop_reason": None}
        told: list[list[dict[str, Any]]] = [
            [
                {"type": "message_start", "message": begun},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            ]
        ]
        told += [
            [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f" tok{number}"}}]
            for number in range(count)
        ]
        ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": count}}
        told.append([{"type": "content_block_stop", "index": 0}, ended, {"type": "message_stop"}])
        texts = ["".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in part) for part in told]
    else:
        about = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1764000000, "model": "gpt-4o-mini"}

        def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return f"data: {json.dumps({**about, 'choices': [choice], 'usage': None, **more})}\n\n"

        texts = [chunk({"role": "assistant", "content": ""})]
        texts += [chunk({"content": f" tok{number}"}) for number in range(count)]
        last = f"data: {json.dumps({**about, 'choices': [], 'usage': USAGE})}\n\n"
        texts.append(chunk({}, "stop") + last + "data: [DONE]\n\n")
    encoded = [text.encode() for text in texts]
    return [b"%x\r\n%b\r\n" % (len(text), text) for text in encoded]


class Provider(asyncio.Protocol):
    """One connection."""

    known: dict[tuple[str, int], list[bytes]] = {}

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._buffer = b""
        self._answering: asyncio.Task[None] | None = None

    def connection_lost(self, _: Exception | None) -> None:
        if self._answering is not None and not self._answering.done():
            gone.append(time.monotonic())
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"\ncontent-length:")
            size = int(head[at + 16 :].split(b"\r", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + size:
                return
            path = self._buffer.split(b" ", 2)[1].decode()
            body, self._buffer = self._buffer[end + 4 : end + 4 + size], self._buffer[end + 4 + size :]
            self._answer(path, body)

    def _answer(self, path: str, body: bytes) -> None:
        if path == "/gone":
            self._transport.write(whole(gone))
            return
        options = {name: int(number) for name, number in OPTION.findall(path)}
        kind = "message" if path.endswith("/messages") else "chat"
        stream = b'"stream":true' in body or b'"stream": true' in body
        if "d" not in options and "c" not in options:
            self._transport.write(self._stream(kind, options) if stream else WHOLE[kind])
        else:
            self._answering = asyncio.create_task(self._slowly(kind, stream, options))

    def _stream(self, kind: str, options: dict[str, int]) -> bytes:
        return STREAM + b"".join(self._events(kind, options)) + b"0\r\n\r\n"

    def _events(self, kind: str, options: dict[str, int]) -> list[bytes]:
        key = kind, options.get("n", 20)
        if key not in self.known:
            self.known[key] = events(*key)
        return self.known[key]

    async def _slowly(self, kind: str, stream: bool, options: dict[str, int]) -> None:
        await asyncio.sleep(options.get("d", 0) / 1000)
        if not stream:
            self._transport.write(WHOLE[kind])
            return
        self._transport.write(STREAM)
        for event in self._events(kind, options):
            self._transport.write(event)
            await asyncio.sleep(options.get("c", 0) / 1000)
        self._transport.write(b"0\r\n\r\n")


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
