"""Whether an address is one of the public internet: what others name must not lead a request into the own network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket

_NAT64: Final = IPv6Network("64:ff9b::/96")


class OwnNetworkError(OSError):
    """A name stands for an address of the own network."""


def is_own(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is not one of the public internet, also where IPv6 wraps an IPv4 address.

    Example:
        >>> is_own(ip_address("::ffff:10.0.0.1")), is_own(ip_address("1.1.1.1"))
        (True, False)
    """
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_own(inner)
    return not address.is_global or address.is_multicast


def public_socket(address: Any) -> socket.socket:
    """A socket for an address that is about to be connected to, after its name was looked up.

    Args:
        address: as `socket.getaddrinfo` gives it.

    Raises:
        OwnNetworkError: it is one of the own network.
    """
    import socket

    family, kind, protocol, _, where = address
    if is_own(ip_address(where[0].partition("%")[0])):
        raise OwnNetworkError("an address of the own network")
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made
