"""A sandbox with real workers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Fault
from runtime.services.sandbox.bundle.cache import prepared
from runtime.services.sandbox.launch import Engine
from runtime.services.sandbox.service import SandboxService
from runtime.services.sandbox.spec import SandboxSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@cache
def _bundle() -> Path | str:
    try:
        return prepared(None, Engine.found())
    except Fault as fault:
        return str(fault)


def bundle() -> Path:
    """The prepared Python, built once for this user; a test that needs it is skipped where it cannot be fetched."""
    found = _bundle()
    if isinstance(found, str):
        if "could not be fetched" not in found and "which is not there" not in found:
            pytest.fail(found)
        pytest.skip(found)
    return found


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


@pytest.fixture
async def python() -> AsyncIterator[SandboxService]:
    bundle()
    async with sandbox_of(languages=["python"], timeout="5s") as service:
        yield service
