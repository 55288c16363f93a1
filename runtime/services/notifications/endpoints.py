"""Which addresses a push subscription may name: whoever subscribes decides where the server sends requests to."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from runtime.services.addresses import is_own

LONGEST: Final = 2000
"""Characters of an endpoint."""


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
