"""The time limit of what is waited for again and again."""

from __future__ import annotations

import asyncio

import pytest

from runtime.services.ai.patience import Patience


async def test_a_long_wait_ends_and_short_ones_do_not() -> None:
    patience = Patience(0.05)
    for _ in range(8):  # together far longer than one may be
        with patience:
            await asyncio.sleep(0.02)
    with pytest.raises(TimeoutError), patience:
        await asyncio.Event().wait()
    await asyncio.sleep(0.1)  # nothing is waited for: nothing ends
    with pytest.raises(TimeoutError), patience:
        await asyncio.Event().wait()
    patience.close()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_outside_stays_one() -> None:
    waiting = asyncio.Event()

    async def wait() -> None:
        with Patience(60) as patience:
            try:
                waiting.set()
                await asyncio.Event().wait()
            finally:
                patience.close()

    task = asyncio.create_task(wait())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
