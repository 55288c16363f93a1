"""Tasks in processes of their own: what a job does to its process, it does to itself alone."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest

from runtime.plugins import Mark, Registry
from runtime.services.function import TimedOut
from runtime.services.jobs.load import memory_limit
from runtime.services.jobs.ports import Reject, Retry
from runtime.services.jobs.process import ProcessDied
from runtime.services.jobs.processes import ProcessPool, pool_size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
LONG = 30.0


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load([("process_tasks", HERE)])


@pytest.fixture
def do(registry: Registry) -> Mark:
    mark = registry.get("task", "do")
    assert mark is not None
    return mark


@pytest.fixture
async def pool(do: Mark) -> AsyncIterator[ProcessPool]:
    pool = ProcessPool(2, [do])
    yield pool
    await pool.stop()
    assert not pool.processes


@dataclass(eq=False)
class Job:
    """A claimed job, as far as a process asks."""

    payload: dict[str, Any]
    tell: Any
    id: str = "q.1"
    queue: str = "q"
    attempt: int = 2
    attempts: int = 5


def claimed(payload: dict[str, Any], told: list[tuple[float, str]] | None = None) -> Any:
    async def tell(fraction: float, message: str) -> None:
        if told is not None:
            told.append((fraction, message))

    return Job(payload, tell)


async def test_a_job_runs_elsewhere_with_its_payload_parsed(pool: ProcessPool, registry: Registry) -> None:
    mark = registry.get("task", "sum")
    assert mark is not None
    told: list[tuple[float, str]] = []
    returned = await pool.run(mark, claimed({"numbers": [1, 2, 3]}, told), timeout=LONG)
    assert returned.error is None
    pid = returned.value.pop("pid")
    assert returned.value == {"sum": 6, "job": "q.1", "attempt": 2}
    assert told == [(0.5, "halfway")]
    assert pid != os.getpid()
    again = await pool.run(mark, claimed({"numbers": []}), timeout=LONG)
    assert again.value["pid"] == pid  # the child serves the next one
    wrong = await pool.run(mark, claimed({"numbers": "no"}), timeout=LONG)
    assert "the payload is no Sum" in str(wrong.error)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("kill", "its process was ended by SIGKILL: was the memory short?"),
        ("hard exit", "its process ended with the code 4, by os._exit or a library"),
        ("segfault", "its process was ended by SIGSEGV"),
        ("close", "its process closed the connection to its parent"),
        ("flood", "it printed more than 16,000,000 bytes and was ended"),
    ],
)
async def test_a_crash_costs_its_own_job(pool: ProcessPool, do: Mark, what: str, said: str) -> None:
    beside = asyncio.create_task(pool.run(do, claimed({"what": "print"}), timeout=LONG))
    returned = await pool.run(do, claimed({"what": what}), timeout=LONG)
    assert isinstance(returned.error, ProcessDied)
    assert str(returned.error) == said
    assert (await beside).error is None
    assert (await pool.run(do, claimed({"what": "environment"}), timeout=LONG)).error is None
    assert pool.ended == {"time limit": 0, "cancelled": 0, "died": 1, "grown too large": 0}


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("exit", "SystemExit", "3"),
        ("value error", "ValueError", "no such thing"),
        ("no json", "Fault", "its result cannot be kept: lock has no JSON form"),
        ("large", "Fault", "its result cannot be kept: it has 2,000,002 bytes as JSON, and at most 1,000,000 are"),
    ],
)
async def test_what_a_job_raises_comes_back(pool: ProcessPool, do: Mark, what: str, kind: str, said: str) -> None:
    error = (await pool.run(do, claimed({"what": what}), timeout=LONG)).error
    assert (type(error).__name__, str(error)) == (kind, said)
    if what == "value error":
        assert 'raise ValueError("no such thing")' in error.__notes__[0]  # type: ignore[union-attr]
    assert pool.ended["died"] == 0


async def test_retry_and_reject_keep_their_meaning(pool: ProcessPool, do: Mark) -> None:
    error = (await pool.run(do, claimed({"what": "retry"}), timeout=LONG)).error
    assert isinstance(error, Retry)
    assert (error.after, str(error)) == ("7s", "later")
    assert isinstance((await pool.run(do, claimed({"what": "reject"}), timeout=LONG)).error, Reject)


async def test_memory_has_a_limit(do: Mark) -> None:
    pool = ProcessPool(1, [do], memory=500_000_000)
    error = (await pool.run(do, claimed({"what": "memory"}), timeout=LONG)).error
    assert type(error).__name__ == "MemoryError"
    await pool.stop()


async def test_a_leak_is_short_for_nobody(do: Mark, caplog: pytest.LogCaptureFixture) -> None:
    """Thirty jobs leak 300 MB in a process that may have 150: each of them runs, those beside them too."""
    leak = {"what": "leak", "bytes": 10_000_000}
    pool = ProcessPool(1, [do], memory=150_000_000)
    careless = ProcessPool(1, [do], memory=150_000_000, growth=10**12)
    try:
        leaked = [await pool.run(do, claimed(leak), timeout=LONG) for _ in range(30)]
        without = [await careless.run(do, claimed(leak), timeout=LONG) for _ in range(15)]
    finally:
        await pool.stop()
        await careless.stop()
    assert [returned.error for returned in leaked] == [None] * 30
    assert pool.ended["grown too large"] >= 3  # each takes eight or nine: its limit is not reached
    assert "does the task leak?" in caplog.text
    assert [type(returned.error).__name__ for returned in without].count("MemoryError") > 0  # else one meets it


async def test_a_process_without_a_limit_is_replaced_by_its_share_of_the_machine(do: Mark) -> None:
    pool = ProcessPool(2, [do])
    limit = memory_limit()
    assert limit is not None
    assert pool.growth == limit // 4
    first = await pool.run(do, claimed({"what": "leak", "bytes": 1_000_000}), timeout=LONG)
    assert (await pool.run(do, claimed({"what": "leak", "bytes": 1}), timeout=LONG)).value == first.value
    assert Path(f"/proc/{first.value}/oom_score_adj").read_text() == "500\n"
    await pool.stop()


async def test_the_time_limit_ends_it_and_all_that_it_started(pool: ProcessPool, do: Mark) -> None:
    told: list[tuple[float, str]] = []
    returned = await pool.run(do, claimed({"what": "family"}, told), timeout=1.0)
    assert isinstance(returned.error, TimedOut)
    assert not returned.error.left_running
    grandchild = int(told[0][1])
    async with asyncio.timeout(10):
        while psutil.pid_exists(grandchild) and psutil.Process(grandchild).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)
        while not pool.processes:  # a spare takes its place, without a job that asks for it
            await asyncio.sleep(0.01)
    assert pool.ended["time limit"] == 1


async def test_cancelling_kills(pool: ProcessPool, do: Mark) -> None:
    told: list[tuple[float, str]] = []
    running = asyncio.create_task(pool.run(do, claimed({"what": "spin"}, told), timeout=LONG))
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0.01)
    (pid,) = pool.processes
    process = psutil.Process(pid)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(10):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)
    assert pool.ended["cancelled"] == 1


async def test_no_secret_of_the_environment_reaches_a_job(do: Mark, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    pool = ProcessPool(1, [do], variables={"THREADS": "1"})
    seen = (await pool.run(do, claimed({"what": "environment"}), timeout=LONG)).value
    await pool.stop()
    assert "DATABASE_PASSWORD" not in seen
    assert seen["THREADS"] == "1"
    assert seen["PATH"] == os.environ["PATH"]


async def test_output_goes_to_the_log_with_the_name_of_its_job(
    pool: ProcessPool, do: Mark, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await pool.run(do, claimed({"what": "print"}), timeout=LONG)
    said = {record.getMessage(): record for record in caplog.records}
    assert {"printed by the job", "written to the descriptor", "logged by the job"} <= set(said)
    assert said["logged by the job"].name == "plugin"
    assert {record.__dict__["job"] for record in said.values() if "job" in record.__dict__} == {"q.1"}
    caplog.clear()
    await pool.run(do, claimed({"what": "a little much"}), timeout=LONG)
    assert sum(record.getMessage().count("y") for record in caplog.records) < 70_000
    assert any("the rest is left out" in record.getMessage() for record in caplog.records)


async def test_no_more_children_than_its_size_and_idle_ones_retire(do: Mark) -> None:
    pool = ProcessPool(2, [do], idle=0.05)
    most = 0

    async def one() -> None:
        nonlocal most
        await pool.run(do, claimed({"what": "nothing"}), timeout=LONG)
        most = max(most, len(pool.processes))

    await asyncio.gather(*(one() for _ in range(12)))
    assert 1 <= most <= 2
    async with asyncio.timeout(10):
        while pool.processes:
            await asyncio.sleep(0.01)
    pool.resize(1)
    assert (await pool.run(do, claimed({"what": "nothing"}), timeout=LONG)).error is None
    await pool.stop()


async def test_a_task_within_a_function_is_refused(pool: ProcessPool) -> None:
    def inner(job: Any, payload: dict[str, Any]) -> None: ...

    pool = ProcessPool(1, [Mark("task", "inner", inner, process=True)])
    error = (await pool.run(Mark("task", "inner", inner, process=True), claimed({}), timeout=LONG)).error
    assert "does not stand at the top of" in str(error)
    await pool.stop()


async def test_stopping_while_jobs_run_ends_them(do: Mark) -> None:
    pool = ProcessPool(1, [do])
    told: list[tuple[float, str]] = []
    running = asyncio.create_task(pool.run(do, claimed({"what": "spin"}, told), timeout=LONG))
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0.01)
    await pool.stop()
    assert isinstance((await running).error, ProcessDied)
    assert "stopped" in str((await pool.run(do, claimed({"what": "nothing"}), timeout=LONG)).error)


PARENT = """
import asyncio, sys
from pathlib import Path
from types import SimpleNamespace
from runtime.plugins import Registry
from runtime.services.jobs.processes import ProcessPool

async def main():
    mark = Registry.load([("process_tasks", Path(sys.argv[1]))]).get("task", "do")
    pool = ProcessPool(1, [mark])
    async def tell(fraction, message):
        print(pool.processes[0], flush=True)
    job = SimpleNamespace(id="q.1", queue="q", payload={"what": "spin"}, attempt=1, attempts=1, tell=tell)
    await pool.run(mark, job, timeout=60)

asyncio.run(main())
"""


def test_children_die_with_their_parent() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, "-c", PARENT, str(HERE)], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        psutil.wait_procs([child], timeout=10)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_pool_is_no_larger_than_the_machine() -> None:
    usable = len(os.sched_getaffinity(0))
    assert (pool_size(1), pool_size(1000)) == (1, usable)


async def test_progress_that_cannot_be_stored_costs_no_job(pool: ProcessPool, do: Mark) -> None:
    told = 0

    async def tell(fraction: float, message: str) -> None:
        nonlocal told
        told += 1
        raise OSError("the server is away")

    job = Job({"what": "count to 1000"}, tell)
    returned = await pool.run(do, cast("Any", job), timeout=LONG)
    assert (returned.value, returned.error) == (1000, None)
    assert 1 <= told <= 1000


async def test_lost_children_leave_nothing_behind(do: Mark) -> None:
    pool = ProcessPool(2, [do])
    await pool.run(do, claimed({"what": "nothing"}), timeout=LONG)
    before = len(list(Path("/proc/self/fd").iterdir()))
    others = set(psutil.Process().children()) - {psutil.Process(pid) for pid in pool.processes}
    for what in ("kill", "hard exit", "segfault", "exit", "close"):
        await asyncio.gather(*(pool.run(do, claimed({"what": what}), timeout=0.5) for _ in range(2)))
    await pool.stop()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert set(psutil.Process().children()) <= others
