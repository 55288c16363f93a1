"""Rounds: many who ask at once are served together, and nobody with what was found before they came."""

from __future__ import annotations

import asyncio

import pytest

from runtime.services.auth.rounds import Rounds


class Work:
    """Counts its calls; each waits until it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        self.calls += 1
        number = self.calls
        self.begun.set()
        await self.go.wait()
        return number


async def asked(rounds: Rounds[int], work: Work, times: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(rounds.run("key", work)) for _ in range(times)]
    await asyncio.sleep(0)
    return tasks


async def test_who_comes_during_a_round_shares_the_next() -> None:
    rounds, work = Rounds[int](), Work()
    (first,) = await asked(rounds, work, 1)
    await work.begun.wait()
    later = await asked(rounds, work, 50)
    work.go.set()
    assert await first == 1
    assert set(await asyncio.gather(*later)) == {2}
    assert rounds._lines == {}


async def test_an_error_is_everybodys() -> None:
    rounds: Rounds[int] = Rounds()
    calls = []

    async def fail() -> int:
        calls.append(1)
        await asyncio.sleep(0)
        raise ValueError("no")

    outcomes = await asyncio.gather(*[rounds.run("key", fail) for _ in range(5)], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError] * 5
    assert len(calls) == 2  # the first, and the round of those who came meanwhile
    assert rounds._lines == {}


async def test_another_takes_over_from_one_who_is_gone() -> None:
    rounds, work = Rounds[int](), Work()
    first, second = await asked(rounds, work, 2)
    await work.begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.go.set()
    assert await second == 2
    assert rounds._lines == {}


async def test_keys_do_not_wait_for_each_other() -> None:
    rounds, work = Rounds[int](), Work()
    held = asyncio.create_task(rounds.run("one", work))
    await work.begun.wait()

    async def at_once() -> int:
        return 7

    assert await rounds.run("other", at_once) == 7
    work.go.set()
    assert await held == 1
