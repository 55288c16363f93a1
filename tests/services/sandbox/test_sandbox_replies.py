"""Replies and frames of a worker are hostile: forged, endless, unreadable ones cost only their own job."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.sandbox import replies
from runtime.services.sandbox.errors import WorkerDied, WorkerFailed
from runtime.services.sandbox.order import Answer, Order
from runtime.services.sandbox.process import WorkerProcess
from runtime.services.sandbox.queue import FairQueue

if TYPE_CHECKING:
    import socket
    import subprocess

    from runtime.services.sandbox.ports import Execution

ORDER = Order(b"1", b"null", 5.0, 16_000_000, 1000)


def told(body: str | bytes, outcome: str = "done", **figures: Any) -> Execution:
    data = body.encode() if isinstance(body, str) else body
    answer = Answer(outcome, data, 0.001, figures.get("memory", 0), figures.get("growth", 0))
    return replies.execution(answer, ORDER, allowance=64_000_000)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "1",
        "[]",
        "{",
        '{"output":}',
        '{"output":"\\ud800"}',
        '{"logs":1}',
        '{"error":{"type":1,"message":2}}',
        '{"error":{"type":"x"}}',
        '{"logs":[{"level":"x"}]}',
        b'{"output":"\xff"}',
        '{"output":' + "[" * 100_000 + "]" * 100_000 + "}",
        "\0" * 100,
    ],
)
def test_unreadable_replies_are_errors(body: str | bytes) -> None:
    done = told(body)

    assert done.error is not None
    assert (done.status, done.error.type, done.output) == ("error", "InvalidReply", None)


def test_replies_are_measured_and_cleaned() -> None:
    large = told(json.dumps({"output": "x" * 1001}))
    assert large.error is not None
    assert (large.error.type, large.output) == ("OutputError", None)

    lines = [{"level": "x" * 100, "text": "y" * 300}] * 10
    logs = told(json.dumps({"output": 1, "logs": lines}))
    assert (logs.output, len(logs.logs), logs.logs_cut, len(logs.logs[0].level)) == (1, 3, True, 20)

    error = {"type": "\x1b[31mE", "message": "a\x00b\u202ec" + "d" * 5000, "line": -1, "column": 10**12}
    dirty = told(json.dumps({"error": error})).error
    assert dirty is not None
    assert (dirty.type, dirty.message[:5], dirty.line, dirty.column) == ("\ufffd[31mE", "a\ufffdb\ufffdc", None, None)
    assert len(dirty.message) <= replies.LONGEST_MESSAGE


def test_limits_speak_louder_than_the_reply() -> None:
    assert told('{"output":1}', "timeout").status == "timeout"
    assert told('{"output":1}', "memory").status == "memory"
    assert told('{"output":1}', growth=65_000_000).status == "memory"
    assert told('{"output":1}', "something else").status == "error"


class Impostor:
    """Starts a program of the test's own in the place of a worker."""

    language = "javascript"

    def __init__(self, program: str) -> None:
        self._program = program

    def start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        import socket
        import subprocess

        ours, theirs = socket.socketpair()
        with theirs:
            program = (
                "import os, struct, json, sys, time\nfd = int(sys.argv[1])\n"
                "def send(head, body=b''):\n  head = json.dumps(head).encode()\n"
                "  os.write(fd, struct.pack('>II', len(head), len(body)) + head + body)\n"
                "send({'kind': 'ready', 'v8': '1', 'layers': {}, 'peak': 1})\n" + self._program
            )
            command = [sys.executable, "-I", "-S", "-c", program, str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        ours.setblocking(False)
        return process, ours


ANSWER = "{'kind': 'answer', 'id': 1, 'outcome': 'done', 'duration': 0.1, 'memory': 1, 'peak': 1, 'recycle': False}"


@pytest.mark.parametrize(
    ("program", "cause"),
    [
        ("os.read(fd, 99); os.write(fd, b'\\xff' * 64); time.sleep(60)", "reply"),
        ("os.read(fd, 99); os.write(fd, struct.pack('>II', 2, 2**31)); time.sleep(60)", "reply"),
        ("os.read(fd, 99); send({'kind': 'answer', 'id': 2}); time.sleep(60)", "reply"),
        ("os.read(fd, 99); send({'kind': 'renewed', 'peak': 1}); time.sleep(60)", "reply"),
        ("os.read(fd, 99); send({'kind': 'ready'}); time.sleep(60)", "reply"),
        ("os.read(fd, 99); send({'kind': 'pong'}); time.sleep(60)", "reply"),
        ("os.read(fd, 99); os.write(fd, struct.pack('>II', 2, 0) + b'[]'); time.sleep(60)", "reply"),
        (f"os.read(fd, 99); send({ANSWER.replace('0.1', repr('x'))}); time.sleep(60)", "reply"),
        (f"os.read(fd, 99); send({ANSWER.replace('0.1', '1e999')} | {{'memory': 1e999}}); time.sleep(60)", "reply"),
        ("os.read(fd, 99); sys.exit(0)", "signal"),
        ("os.read(fd, 99); os.close(fd); time.sleep(60)", "signal"),
    ],
)
async def test_forged_frames_end_the_worker(program: str, cause: str) -> None:
    worker = WorkerProcess(Impostor(program))  # type: ignore[arg-type]
    await worker.start()
    worker.reserve()
    with pytest.raises(WorkerDied) as death:
        await worker.run(ORDER, allowance=10**9)
    assert death.value.cause == cause
    await worker.gone.wait()
    assert worker.status == "inactive"


async def test_an_answer_that_comes_twice_ends_the_worker_after_the_first() -> None:
    worker = WorkerProcess(Impostor(f"os.read(fd, 99); send({ANSWER}); send({ANSWER}); time.sleep(60)"))  # type: ignore[arg-type]
    await worker.start()
    worker.reserve()
    assert (await worker.run(ORDER, allowance=10**9)).outcome == "done"
    assert not await worker.renewed()
    await worker.gone.wait()


async def test_a_worker_that_does_not_answer_in_time_is_killed() -> None:
    worker = WorkerProcess(Impostor("os.read(fd, 99); time.sleep(60)"))  # type: ignore[arg-type]
    await worker.start()
    worker.reserve()
    with pytest.raises(WorkerDied) as death:
        await worker.run(Order(b"1", b"null", 0.05, 1, 1), allowance=10**9)
    assert death.value.cause == "deadline"
    await worker.gone.wait()


async def test_a_worker_that_cannot_start_says_why() -> None:
    worker = WorkerProcess(Impostor(""))  # type: ignore[arg-type]
    worker.kill()
    with pytest.raises(WorkerFailed, match="before it started"):
        await worker.start()


def test_callers_take_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(3):
        queue.put("greedy", f"g{number}")
    queue.put("modest", "m0")
    queue.put_back("modest", "again")

    assert len(queue) == 5
    assert queue.of("greedy") == 3
    assert [queue.take() for _ in range(5)] == ["again", "g0", "m0", "g1", "g2"]
    with pytest.raises(IndexError):
        queue.take()
