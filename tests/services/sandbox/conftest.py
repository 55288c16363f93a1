"""A sandbox with real workers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.sandbox.service import SandboxService
from runtime.services.sandbox.spec import SandboxSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def sandbox_of(**section: Any) -> AsyncIterator[SandboxService]:
    """A sandbox of a spec's section; JavaScript alone where it names no languages."""
    service = SandboxService(SandboxSpec.model_validate({"languages": ["javascript"], **section}))
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


@pytest.fixture
async def javascript() -> AsyncIterator[SandboxService]:
    async with sandbox_of() as service:
        yield service
