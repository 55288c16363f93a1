"""Which addresses a push subscription may name: whoever subscribes decides where the server sends requests to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

LONGEST: Final = 2000
"""Characters of an endpoint."""

_NAT64: Final = IPv6Network("64:ff9b::/96")


def fault_of(endpoint: str, *, private: bool = False) -> str:
    """What is wrong with an endpoint; empty where nothing is.

    A name is looked at once more when it is connected to, by the address that it stands for then.

    Args:
        private: whether plain HTTP and the own network are allowed.

    Example:
        >>> fault_of("https://push.example.com/s/1"), fault_of("https://127.0.0.1/s")
        ('', 'it is in an own network')
    """
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is no address"
    if len(endpoint) > LONGEST or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        return f"it is longer than {LONGEST} characters or has some that cannot stand in an address"
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        return "it is no https address"
    if not host or "@" in parts.netloc:
        return "it names no host, or a user"
    if private:
        return ""
    try:
        address = ip_address(host)
    except ValueError:
        local = "." not in host.rstrip(".") or host.rstrip(".").endswith((".localhost", ".local", ".internal"))
        return "it is in an own network" if local else ""
    return "it is in an own network" if is_own(address) else ""


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
