"""Clients of an environment that is not there, or whose Redis is not, that moves, and whose answers get lost."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from runtime import Client, SyncClient
from runtime.errors import Fault, NotRunning, SpecFault, Unreachable
from runtime.testing import running
from tests.services.conftest import mortal_server as mortal_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.services.conftest import Server

TASKS = """
from runtime import task

@task("note")
async def note(job, payload: dict):
    return payload
"""
PATIENCE = 60.0


@asynccontextmanager
async def losing_one_answer(port: int) -> AsyncIterator[int]:
    """A way to the environment on which the first answer to a POST gets lost."""
    lost: list[bytes] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        its_reader, its_writer = await asyncio.open_connection("127.0.0.1", port)
        posted = asyncio.Event()

        async def forth() -> None:
            while block := await reader.read(65_536):  # head and body may come apart
                if block.startswith(b"POST"):
                    posted.set()
                its_writer.write(block)
            its_writer.close()

        sending = asyncio.create_task(forth())
        try:
            while answer := await its_reader.read(65_536):
                if posted.is_set() and not lost:
                    lost.append(answer)
                    return
                writer.write(answer)
        finally:
            sending.cancel()
            its_writer.close()
            writer.close()

    async with await asyncio.start_server(pass_on, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
    assert lost
    assert lost[0].startswith(b"HTTP/1.1 202")


async def test_an_environment_that_is_not_there(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    async with Client(spec) as client:
        with pytest.raises(SpecFault):
            await client.enqueue("jobs", {})
        spec.write_text("version: 1\nname: nothing\n")
        with pytest.raises(NotRunning, match=f"runtime apply {spec}"):
            await client.enqueue("jobs", {})
    with SyncClient(spec, patience=0.2) as plain, pytest.raises(NotRunning, match="is not running"):
        await asyncio.to_thread(plain.enqueue, "jobs", {})
    nowhere: dict[str, Any] = {"url": "http://127.0.0.1:9", "api_key": "rt_secret"}
    async with Client(**nowhere) as client:
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9") as refused:
            await client.enqueue("jobs", {})
    assert "rt_secret" not in str(refused.value)
    with SyncClient(**nowhere) as plain, pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9"):
        await asyncio.to_thread(plain.enqueue, "jobs", {})


async def test_what_is_away_comes_back(mortal_server: Server, tmp_path: Path) -> None:
    """One environment through all of it; its queue is paused, so that each job that was stored is counted."""
    spec, state = tmp_path / "spec.yaml", tmp_path / "state"
    (tmp_path / "away_tasks.py").write_text(TASKS)
    spec.write_text(
        f"version: 1\nname: away\nplugins: [away_tasks]\nqueues: {{jobs: {{handler: note}}}}\n"
        f"storage: {{redis: 'unix://{mortal_server.socket}', path: {state}}}\n"
    )
    with ExitStack() as stack:

        async def start() -> Any:
            return await asyncio.to_thread(stack.enter_context, running(spec, state=state))

        def waiting() -> int:
            return int(environment.get("/v1/queues/jobs").body["waiting"])

        async with Client(spec, patience=PATIENCE) as patient, Client(spec) as hasty:
            plain = SyncClient(spec, patience=PATIENCE)
            early = asyncio.create_task(patient.enqueue("jobs", {"n": 1}))
            environment = await start()
            await patient.wait((await early).id)
            environment.post("/v1/queues/jobs/pause", {})

            await hasty.enqueue("jobs", {})
            mortal_server.kill()
            with pytest.raises(Unreachable, match=r"storage.redis does not answer"):
                await hasty.enqueue("jobs", {})
            late = [
                asyncio.create_task(patient.enqueue("jobs", {})),
                asyncio.create_task(asyncio.to_thread(plain.enqueue, "jobs", {})),
            ]
            mortal_server.start()
            assert {job.status for job in await asyncio.gather(*late)} == {"queued"}
            assert waiting() == 3

            port = int(environment.url.rpartition(":")[2])
            for kind in (Client, SyncClient):
                async with losing_one_answer(port) as other:
                    address = {"url": f"http://127.0.0.1:{other}", "api_key": environment.key, "patience": PATIENCE}
                    if kind is Client:
                        async with Client(**address) as client:
                            await client.enqueue("jobs", {})
                    else:
                        with SyncClient(**address) as client_:
                            await asyncio.to_thread(client_.enqueue, "jobs", {})
            assert waiting() == 5  # sent twice, stored once

            before = environment.url
            await asyncio.to_thread(environment.stop)
            with pytest.raises(NotRunning):
                await hasty.enqueue("jobs", {})
            with pytest.raises(Fault):
                await hasty.job("jobs.x")
            moving = asyncio.create_task(patient.enqueue("jobs", {}))
            environment = await start()
            assert environment.url != before
            await moving
            await asyncio.to_thread(plain.enqueue, "jobs", {})
            await hasty.enqueue("jobs", {})
            assert waiting() == 8
            plain.close()
        await asyncio.to_thread(stack.close)
