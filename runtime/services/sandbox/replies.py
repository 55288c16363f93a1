"""From what a worker said to what the caller gets. A reply is hostile input: it is typed, measured and cleaned here."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.services.sandbox.ports import Execution, Failure, LogLine, Status

if TYPE_CHECKING:
    from runtime.services.sandbox.order import Answer, Order
    from runtime.services.sandbox.process import WorkerProcess

LONGEST_MESSAGE: Final = 2000
LONGEST_NAME: Final = 100
LONGEST_LEVEL: Final = 20
MOST_LINES: Final = 5000
FARTHEST: Final = 10**9
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What has no place in a line: control characters, and those that turn the direction of writing."""
_OUT_OF_BUFFERS: Final = ("Array buffer allocation failed", "Out of memory")
_CRASHES: Final = {-signal.SIGTRAP, -signal.SIGABRT, -signal.SIGILL, -signal.SIGSEGV, -signal.SIGBUS}


class _Error(msgspec.Struct):
    type: str
    message: str
    line: int | None = None
    column: int | None = None


class _Line(msgspec.Struct):
    level: str
    text: str


class _Reply(msgspec.Struct):
    output: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None
    logs: list[_Line] = []
    cut: bool = False
    trap: str = ""


_DECODER: Final = msgspec.json.Decoder(_Reply)
_UNREADABLE: Final = (msgspec.DecodeError, msgspec.EncodeError, UnicodeError, RecursionError, OverflowError)


def execution(answer: Answer, order: Order, *, allowance: int) -> Execution:
    """What came of a job whose worker answered.

    Args:
        allowance: bytes that the process might grow by.
    """
    output: Any = None
    try:
        reply = _DECODER.decode(answer.body)
        status, failure = _judged(answer, reply, order, allowance)
        if status == "ok":
            output = _output(reply.output, order.output)
    except _OutputError as error:
        status, failure = "error", Failure("OutputError", f"the result cannot be sent: {error}")
    except _UNREADABLE as error:
        reply = _Reply()
        status, failure = "error", Failure("InvalidReply", _clean(f"the code made its answer unreadable: {error}"))
    logs, cut = _logs(reply, order.output)
    peak = max(answer.memory, answer.growth)
    return Execution(status, output, logs, failure, round(answer.duration * 1000, 3), peak, cut)


def lost(cause: str, worker: WorkerProcess, order: Order) -> Execution | None:
    """What came of a job whose worker ended; None where the worker was ended by a stranger's hand.

    Args:
        cause: as in `WorkerDied`. For `signal`, the process has been reaped.
    """
    growth = max(worker.guard.grown, worker.peak - worker.guard.base)
    if cause == "deadline":
        return _ended("timeout", order, growth)
    if cause == "memory":
        return _ended("memory", order, growth)
    if cause == "reply":
        return Execution("error", error=Failure("InvalidReply", "the worker sent what is no answer"))
    if worker.exit_code == -signal.SIGSYS:
        violation = Failure("Violation", "the code made the engine call the system; its process was ended")
        return Execution("error", error=violation, memory_peak=growth)
    if worker.exit_code in _CRASHES:
        if growth > order.memory // 2:
            return _ended("memory", order, growth)
        return Execution("error", error=Failure("Crash", "the engine crashed"), memory_peak=growth)
    return None


def limit_met(status: Status, order: Order) -> Failure:
    """The sentence for a limit.

    Example:
        >>> from runtime.services.sandbox.order import Order
        >>> limit_met("timeout", Order(b"", b"", 0.5, 16_000_000, 1)).message
        'it ran longer than 500 ms'
    """
    if status == "timeout":
        return Failure("Timeout", f"it ran longer than {order.timeout * 1000:g} ms")
    return Failure("OutOfMemory", f"it needed more than {order.memory / 1e6:g} MB")


class _OutputError(Exception):
    """A result that is well formed and does not pass."""


def _ended(status: Status, order: Order, growth: int) -> Execution:
    duration = order.timeout * 1000 if status == "timeout" else 0.0
    return Execution(status, error=limit_met(status, order), duration_ms=duration, memory_peak=growth)


def _judged(answer: Answer, reply: _Reply, order: Order, allowance: int) -> tuple[Status, Failure | None]:
    if answer.outcome == "timeout":
        return "timeout", limit_met("timeout", order)
    if answer.outcome == "memory" or answer.growth > allowance or _out_of_memory(reply.error):
        return "memory", limit_met("memory", order)
    if answer.outcome != "done":
        return "error", Failure("Crash", _clean(f"the engine could not go on: {reply.trap}".rstrip(": ")))
    return ("error", _failure(reply.error)) if reply.error else ("ok", None)


def _out_of_memory(error: _Error | None) -> bool:
    if error is None:
        return False
    return error.type == "MemoryError" or (error.type == "RangeError" and error.message.endswith(_OUT_OF_BUFFERS))


def _failure(error: _Error) -> Failure:
    place = [number if number is not None and 0 < number < FARTHEST else None for number in (error.line, error.column)]
    return Failure(_clean(error.type)[:LONGEST_NAME] or "Error", _clean(error.message), *place)


def _output(raw: msgspec.Raw, most: int) -> Any:
    size = len(bytes(raw))
    if size > most:
        raise _OutputError(f"it has {size:,} bytes as JSON, and {most:,} are let out")
    value = msgspec.json.decode(raw)
    msgspec.json.encode(value)  # integers of more than 64 bits cannot be sent as they are
    return value


def _logs(reply: _Reply, most: int) -> tuple[list[LogLine], bool]:
    lines: list[LogLine] = []
    left = most
    for line in reply.logs[:MOST_LINES]:
        text = _clean(line.text, left)
        left -= len(text.encode()) + 1
        if left < 0:
            break
        lines.append(LogLine(_clean(line.level, LONGEST_LEVEL), text))
    return lines, reply.cut or len(lines) < len(reply.logs)


def _clean(text: str, most: int = LONGEST_MESSAGE) -> str:
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text[:most])
