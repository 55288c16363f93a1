"""Several processes that share their money, and one that is killed."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.services.ai.books.test_money import FREE_INPUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.services.ai.books.conftest import Instance
    from tests.services.conftest import Server

    Make = Callable[..., Awaitable[Instance]]

PROGRAM = Path(__file__).with_name("process.py")
ROOT = Path(__file__).parents[4]


class Process:
    """An instance in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, line: str = "") -> str:
        """Tells it something; what it says then, or nothing where it has ended."""
        if line:
            assert self._process.stdin is not None
            self._process.stdin.write(f"{line}\n".encode())
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            return (await self._process.stdout.readline()).decode().strip()

    async def end(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(30):
            return await self._process.wait()


@asynccontextmanager
async def running(url: str, folder: Path, server: Server, **section: Any) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), url, str(folder), str(server.socket), json.dumps(section),
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": ""},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    one = Process(process)
    try:
        assert await one.ask() == "ready"
        yield one
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_two_processes_let_exactly_ten_of_a_hundred_calls_pass(
    instance: Make, url: str, tmp_path: Path, shared_server: Server
) -> None:
    here = await instance(prices=FREE_INPUT)
    await here.give("user:ada", Decimal(30))
    async with (
        running(url, tmp_path, shared_server, prices=FREE_INPUT) as one,
        running(url, tmp_path, shared_server, prices=FREE_INPUT) as other,
    ):
        passed = await asyncio.gather(one.ask("open 50"), other.ask("open 50"))
        assert sum(map(int, passed)) == 10
        for process in (one, other):
            assert await process.ask("record 100") == "recorded"
            assert await process.end() == 0
    stands = await here.ledger.balance("user:ada")
    assert (stands.balance, stands.reserved) == (Decimal(0), Decimal(0))
    assert await here.count() == 10


async def test_a_process_that_is_killed_loses_no_attempt(
    instance: Make, url: str, tmp_path: Path, shared_server: Server
) -> None:
    here = await instance(prices=FREE_INPUT, folder=tmp_path / "elsewhere")
    await here.give("user:ada", Decimal(100))
    async with running(url, tmp_path, shared_server, prices=FREE_INPUT) as one:
        assert await one.ask("open 12") == "12"
        assert await one.ask("record 7 die") == ""
        assert await one.end() < 0
    after = await instance(prices=FREE_INPUT)
    stands = await after.ledger.balance("user:ada")
    assert (stands.balance, stands.reserved) == (Decimal(79), Decimal(0))
    assert await after.count() == 7
    assert await after.count("ai_budget_holds") == 0
