"""The listening sockets, owned by the kernel so that they outlive the servers that accept on them.

A server gets a duplicate. When it is replaced, the new one gets another duplicate of the same socket, so that
at no moment a connection is refused.
"""

from __future__ import annotations

import dataclasses
import errno
import socket
import weakref

from runtime.errors import Fault, StartFailed
from runtime.kernel.occupant import occupant

BACKLOG = 2048


@dataclasses.dataclass(slots=True)
class _Listener:
    kept: socket.socket
    port: int
    users: list[weakref.ref[socket.socket]] = dataclasses.field(default_factory=list)

    @property
    def used(self) -> bool:
        self.users = [user for user in self.users if (alive := user()) is not None and alive.fileno() != -1]
        return bool(self.users)


class Sockets:
    """Listening TCP sockets by address.

    Example:
        >>> sockets = Sockets()
        >>> server = sockets.listen("127.0.0.1", 0)
        >>> server.getsockname()[1]
        49152
    """

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, str, int], _Listener] = {}

    @property
    def in_use(self) -> bool:
        """Whether a server accepts on one of them."""
        return any(listener.used for listener in self._listeners.values())

    def listen(self, host: str, port: int, *, field: str = "api.port") -> socket.socket:
        """A socket that listens, for one server; the server closes it when it stops.

        Args:
            host: a name or an address; `0.0.0.0` and `::` mean all of this machine.
            port: 0 takes a free one; the socket's `getsockname()[1]` says which.
            field: the spec's field with the port. Calls with the same field and address share one socket;
                another field's does not.

        Raises:
            Fault: the port is taken (with the process that holds it), not allowed, or the host is not this
                machine's.
        """
        key = (field, host, port)
        listener = self._listeners.get(key)
        if listener is None:
            self._refuse_shared(host, port, field)
            bound = _bind(host, port, field)
            listener = self._listeners[key] = _Listener(bound, bound.getsockname()[1])
        handed = listener.kept.dup()
        handed.setblocking(False)
        listener.users.append(weakref.ref(handed))
        return handed

    def prune(self) -> None:
        """Closes the sockets on which no server accepts any more."""
        for key, listener in list(self._listeners.items()):
            if not listener.used:
                listener.kept.close()
                del self._listeners[key]

    def close(self) -> None:
        """Closes all of them."""
        for listener in self._listeners.values():
            listener.kept.close()
        self._listeners.clear()

    def _refuse_shared(self, host: str, port: int, field: str) -> None:
        for (other, known_host, _), listener in self._listeners.items():
            if port and listener.port == port and known_host == host and other != field:
                raise Fault(f"{field} and {other} both ask for {_shown(host, port)}", remedy=f"Change {field}.")


def _bind(host: str, port: int, field: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise _refused(
            field, f'unknown host "{host}"', f"Set {_host_of(field)} to an address of this machine."
        ) from error
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise _explained(error, host, port, field) from error
    bound.setblocking(False)
    return bound


def _explained(error: OSError, host: str, port: int, field: str) -> Fault:
    shown = _shown(host, port)
    if error.errno == errno.EADDRINUSE:
        who = occupant(port)
        return _refused(
            field,
            f"{shown} is taken by {who}",
            f"Stop that process (`runtime down` where it is another environment), or choose another {field}.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return _refused(
            field,
            f"this user may not listen on {shown}",
            f"Set {field} to 1024 or more, or allow low ones: `sysctl net.ipv4.ip_unprivileged_port_start={port}`.",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return _refused(field, f"{host} is no address of this machine", f"Set {_host_of(field)} to one of its own.")
    return _refused(field, f"cannot listen on {shown}: {error.strerror}", f"Choose another {field}.")


def _refused(field: str, message: str, remedy: str) -> Fault:
    return StartFailed(field, message, remedy=remedy)


def _host_of(field: str) -> str:
    return f"{field.rpartition('.')[0]}.host"


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
