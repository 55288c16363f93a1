from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio
import pytest

from runtime.storage.filelock import FileLock

if TYPE_CHECKING:
    from pathlib import Path


def test_one_holds_it_and_says_who(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.holder() is None
    assert first.try_acquire()
    assert first.try_acquire()
    assert not second.try_acquire()
    assert second.holder() == os.getpid()
    first.release()
    first.release()
    assert second.try_acquire()
    second.release()


async def test_a_waiting_one_gets_it_when_it_is_free(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert await first.acquire(0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(second.acquire, 5)
        await anyio.sleep(0.001)
        assert second.descriptor is None
        first.release()
    assert second.descriptor is not None
    second.release()


async def test_waiting_has_an_end(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.try_acquire()
    assert not await second.acquire(0.01)
    first.release()


def test_a_place_where_it_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        FileLock(tmp_path / "file" / "lock").try_acquire()
