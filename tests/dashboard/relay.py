"""A way to a server that can be cut, as a network can."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Relay:
    """Passes bytes on, while it is whole.

    Args:
        port: of the server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._address = ("127.0.0.1", 0)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.mend()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._address[1]}"

    def mend(self) -> None:
        """Takes connections, at the address it had before."""
        self._listener = socket.create_server(self._address)
        self._address = self._listener.getsockname()
        self._start(self._accept, self._listener)

    def cut(self) -> None:
        """Ends all connections and takes no more."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()
        self._open, self._threads = [], []

    def _start(self, act: object, *sockets: socket.socket) -> None:
        thread = threading.Thread(target=act, args=sockets)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            self._open += [client, server]
            self._start(_pass, client, server)
            self._start(_pass, server, client)


def _pass(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay(port: int) -> Iterator[Relay]:
    """Runs one until the block's end."""
    made = Relay(port)
    try:
        yield made
    finally:
        made.cut()
