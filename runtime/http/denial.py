"""A WebSocket that is refused, at the server: answered as the request that it still is, and not as a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, which takes an opening that was answered with a refusal (the extension `websocket.http.response` of
    ASGI) for one that was never answered, and logs an error.
    """

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True  # there will be none: it was refused, and whoever asked has the answer
