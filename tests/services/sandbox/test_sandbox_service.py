"""The sandbox as a component: what it does where Python or a layer is missing, how it changes live, who waits."""

from __future__ import annotations

import asyncio
import fcntl
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import StartFailed, TooMany
from runtime.services.sandbox import machine, pool
from runtime.services.sandbox.errors import NotReady
from runtime.services.sandbox.launch import Launch
from tests.services.sandbox.conftest import sandbox_of
from tests.services.sandbox.test_sandbox_replies import Impostor

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.services.sandbox.service import SandboxService


async def test_python_is_prepared_while_javascript_serves(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another process that prepares it
        async with sandbox_of(languages=["javascript", "python"], cache=str(tmp_path)) as sandbox:
            assert (await sandbox.execute("javascript", "1 + 1")).output == 2
            with pytest.raises(NotReady, match="it is being prepared") as told:
                await sandbox.execute("python", "1 + 1")
            assert (told.value.status, told.value.retry_after) == (503, 5.0)
            health = await sandbox.health()
            assert (health.status, health.details["python"]) == ("degraded", {"state": "it is being prepared"})


async def test_javascript_runs_where_python_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    async with sandbox_of(languages=["javascript", "python"], cache=str(tmp_path / "file" / "below")) as sandbox:
        async with asyncio.timeout(30):
            while (health := await sandbox.health()).details["python"].get("state") == "it is being prepared":
                await asyncio.sleep(0.02)
        assert "cannot be kept" in health.details["python"]["state"]
        assert health.status == "degraded"
        assert (await sandbox.execute("javascript", "1 + 1")).output == 2


@pytest.mark.parametrize("required", [True, False])
async def test_a_missing_layer_is_told_and_refused_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    monkeypatch.setattr(Launch, "start", lambda _: Impostor("time.sleep(60)").start())
    if required:
        with pytest.raises(StartFailed, match="cannot confine a worker: there is no filter"):
            async with sandbox_of(require_confinement=True):
                pass
        return
    async with sandbox_of() as sandbox:
        health = await sandbox.health()
        assert health.status == "degraded"
        assert "confinement: degraded" in health.reason
        assert health.details["confinement"]["status"] == "degraded"


async def test_limits_change_live() -> None:
    async with sandbox_of() as sandbox:
        assert (await sandbox.execute("javascript", "1", timeout=0.8)).status == "rejected"
        await sandbox.update({"timeout": "1s", "memory": "32MB"})
        assert (await sandbox.execute("javascript", "1", timeout=0.8, memory=32_000_000)).status == "ok"
        kept = "const kept = []; for (let i = 0; i < 28; i++) kept.push(new Uint8Array(1e6).fill(1)); kept.length"
        assert (await sandbox.execute("javascript", kept)).output == 28


async def test_who_waits_is_served_in_turn_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_WAITING_OF_ONE", 5)
    async with sandbox_of(workers=1, spares=0) as sandbox:
        ended: list[str] = []

        async def call(caller: str) -> None:
            await sandbox.execute("javascript", "let x = 0; for (let i = 0; i < 1e5; i++) x += i; x", caller=caller)
            ended.append(caller)

        greedy = [asyncio.create_task(call("greedy")) for _ in range(6)]
        await asyncio.sleep(0)
        modest = asyncio.create_task(call("modest"))
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await sandbox.execute("javascript", "1", caller="greedy")
        await asyncio.gather(*greedy, modest)
        assert ended.index("modest") < 4


async def test_a_caller_who_leaves_costs_nobody_their_turn(javascript: SandboxService) -> None:
    leaving = [asyncio.create_task(javascript.execute("javascript", "for (;;);", timeout=0.1)) for _ in range(5)]
    await asyncio.sleep(0.01)
    for task in leaving:
        task.cancel()
    assert (await javascript.execute("javascript", "1 + 1")).output == 2


async def test_stopping_ends_every_worker_and_it_starts_again(javascript: SandboxService) -> None:
    running = asyncio.create_task(javascript.execute("javascript", "for (;;);", timeout=0.2))
    await asyncio.sleep(0.01)
    await javascript.stop()
    assert (await running).status == "timeout", "what ran was let go on"
    assert javascript.processes() == []
    with pytest.raises(NotReady):
        await javascript.execute("javascript", "1")
    await javascript.start()
    assert (await javascript.execute("javascript", "1 + 1")).output == 2


async def test_this_machine_is_examined() -> None:
    found: dict[str, Any] = await machine.examined()

    assert found["v8"]
    assert found["confinement"]["status"] in ("full", "degraded")
