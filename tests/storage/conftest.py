"""The real servers that these tests use."""

from __future__ import annotations

from tests.postgres import postgres
from tests.valkey import valkey

__all__ = ["postgres", "valkey"]
