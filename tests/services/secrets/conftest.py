"""A real OpenBao for the tests of secrets."""

from __future__ import annotations

import socket

import pytest

from tests.openbao import openbao

__all__ = ["openbao"]


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
