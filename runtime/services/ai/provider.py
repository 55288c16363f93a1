"""A provider of models, as the gateway sees it; and the one of all providers that are reached over HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from runtime.errors import Fault, Invalid
from runtime.services.ai.failures import Failure
from runtime.services.ai.moderations import MODERATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from runtime.services.ai.adapters.transport import Opened, Reply, Transport
    from runtime.services.ai.pieces import Answer, Piece, Reader
    from runtime.services.ai.request import ChatRequest


class Pieces(Protocol):
    """An open stream, in pieces of OpenAI's format."""

    ignored: Sequence[str]

    async def next(self) -> Piece:
        """The next piece. After one that has `ended` or `failure` there is none.

        Raises:
            Failure: the stream broke.
        """
        ...


class Provider(Protocol):
    """Models of one provider. Every method raises `Failure` where the provider does not do what it is asked.

    `key` is the caller's own key; None for the environment's. `limit` is the most tokens that a choice may have.
    """

    async def chat(
        self, request: ChatRequest, model: str, *, key: str | None = None, limit: int | None = None
    ) -> Answer:
        """Asks for a chat completion."""
        ...

    def stream(
        self, request: ChatRequest, model: str, *, key: str | None = None, limit: int | None = None
    ) -> AbstractAsyncContextManager[Pieces]:
        """Asks for a chat completion as a stream, which ends with the block."""
        ...

    async def embed(self, fields: Mapping[str, msgspec.Raw], model: str, *, key: str | None = None) -> Answer:
        """Asks for embeddings; `fields` are OpenAI's."""
        ...

    async def moderate(self, fields: Mapping[str, msgspec.Raw], model: str | None, *, key: str | None = None) -> Answer:
        """Asks whether texts are unsafe; `fields` are OpenAI's. `model` None is the provider's usual one."""
        ...

    async def probe(self) -> None:
        """Asks for something that costs nothing, to learn whether it answers and takes the key."""
        ...


class Wire(Protocol):
    """The translation of chat completions into a provider's format and back."""

    @property
    def chat_path(self) -> str: ...

    def request(self, request: ChatRequest, model: str, limit: int | None) -> tuple[bytes, Sequence[str]]: ...

    def answer(self, body: bytes, request: ChatRequest) -> Answer: ...

    def reader(self, request: ChatRequest) -> Reader: ...


class Endpoint(Protocol):
    """What an official SDK knows of its provider: where it is, how it is signed in to, and what its errors mean."""

    name: str
    base: str
    models_path: str

    def headers(self, key: str | None) -> Mapping[str, str]:
        """The headers of a request."""
        ...

    def failure(self, reply: Reply, *, own_key: bool) -> Failure:
        """What an answer with an error status means; the SDK's own error is its cause."""
        ...


class RemoteProvider:
    """A provider that is reached over HTTP.

    Args:
        endpoint: may be replaced while requests run: those that run keep the headers that they began with.
        wire: its format.
        transport: carries the bytes.
    """

    embeddings_path = "/embeddings"
    moderations_path = "/moderations"

    def __init__(self, endpoint: Endpoint, wire: Wire, transport: Transport) -> None:
        self.endpoint = endpoint
        self._wire = wire
        self._transport = transport

    async def chat(
        self, request: ChatRequest, model: str, *, key: str | None = None, limit: int | None = None
    ) -> Answer:
        body, ignored = self._translated(request, model, limit)
        reply = await self._post(self._wire.chat_path, body, key)
        answer = self._wire.answer(reply.body, request)
        return msgspec.structs.replace(answer, ignored=ignored) if ignored else answer

    @asynccontextmanager
    async def stream(
        self, request: ChatRequest, model: str, *, key: str | None = None, limit: int | None = None
    ) -> AsyncIterator[Pieces]:
        body, ignored = self._translated(request, model, limit)
        endpoint = self.endpoint
        url = endpoint.base + self._wire.chat_path
        async with self._transport.open(url, body, endpoint.headers(key)) as opened:
            if isinstance(opened, tuple):
                if opened.status == 200:
                    raise Failure("malformed", "an answer that is no stream")
                raise endpoint.failure(opened, own_key=key is not None)
            yield _RemotePieces(opened, self._wire.reader(request), ignored)

    async def embed(self, fields: Mapping[str, msgspec.Raw], model: str, *, key: str | None = None) -> Answer:
        from runtime.services.ai.wire.openai import embeddings

        body = msgspec.json.encode({**fields, "model": model})
        return embeddings((await self._post(self.embeddings_path, body, key)).body)

    async def moderate(self, fields: Mapping[str, msgspec.Raw], model: str | None, *, key: str | None = None) -> Answer:
        from runtime.services.ai.wire.openai import moderation

        body = msgspec.json.encode({**fields, "model": model or MODERATIONS["openai"]})
        return moderation((await self._post(self.moderations_path, body, key)).body)

    async def probe(self) -> None:
        endpoint = self.endpoint
        reply = await self._transport.send("GET", endpoint.base + endpoint.models_path, None, endpoint.headers(None))
        if reply.status >= 400:
            raise endpoint.failure(reply, own_key=False)

    async def _post(self, path: str, body: bytes, key: str | None) -> Reply:
        endpoint = self.endpoint
        reply = await self._transport.send("POST", endpoint.base + path, body, endpoint.headers(key))
        if reply.status != 200:
            raise endpoint.failure(reply, own_key=key is not None)
        return reply

    def _translated(self, request: ChatRequest, model: str, limit: int | None) -> tuple[bytes, Sequence[str]]:
        try:
            return self._wire.request(request, model, request.limited(limit))
        except Fault:
            raise
        except (TypeError, AttributeError, KeyError, ValueError, IndexError) as error:
            raise Invalid(
                f"the request does not have the form of OpenAI's: {type(error).__name__}: {error}"[:300],
                remedy="Compare it with the API reference of chat completions.",
            ) from error


class _RemotePieces:
    def __init__(self, opened: Opened, reader: Reader, ignored: Sequence[str]) -> None:
        self._opened = opened
        self._reader = reader
        self.ignored = ignored

    async def next(self) -> Piece:
        return self._reader.read(await self._opened.read())


def bodies(reply_body: bytes) -> Any:
    """A body as plain data; its text where it is no JSON."""
    try:
        return msgspec.json.decode(reply_body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return reply_body.decode("utf-8", "replace")
