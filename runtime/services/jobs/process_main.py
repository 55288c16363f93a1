"""What a child process of `process` does: imports tasks, and runs one job after the other.

Started by its path, not as a module: its parent's `sys.path` comes in the first message, and nothing of the project is
imported before that. Standard output and error lead to the parent's log.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import pathlib
import socket
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.plugins import Mark

LARGEST_RESULT = 1_000_000
LONGEST_TEXT = 8_000


class Link:
    """The connection to the parent: one JSON object a line."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # what a job starts must not keep it open
        self._socket = socket.socket(fileno=descriptor)
        self._lines = self._socket.makefile("rb")
        self._lock = threading.Lock()

    def hear(self) -> dict[str, Any] | None:
        line = self._lines.readline()
        return json.loads(line) if line else None

    def say(self, **message: Any) -> None:
        text = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._socket.sendall(text)


class ChildJob:
    """The running job, as a handler in a process sees it: everything is a plain call."""

    def __init__(self, link: Link, facts: dict[str, Any]) -> None:
        self._link = link
        self.id: str = facts["id"]
        self.queue: str = facts["queue"]
        self.attempt: int = facts["attempt"]
        self.attempts: int = facts["attempts"]

    def progress(self, fraction: float, message: str = "") -> None:
        """Tells how far the job has come, from 0 to 1."""
        if not 0 <= fraction <= 1:
            from runtime.errors import Invalid

            raise Invalid(f"progress runs from 0 to 1, not {fraction:g}", remedy="Divide by the whole.")
        self._link.say(kind="progress", fraction=float(fraction), message=str(message)[:LONGEST_TEXT])

    def wait(self, answer: Any) -> Any:
        """Takes what a thread would have waited for, so that a handler runs in either."""
        return answer

    def enqueue(self, *_: Any, **__: Any) -> Any:
        """Not from here.

        Raises:
            NotBuilt: always.
        """
        from runtime.errors import NotBuilt

        raise NotBuilt("enqueueing from a task that runs in a process")

    def publish(self, *_: Any, **__: Any) -> Any:
        """Not from here.

        Raises:
            NotBuilt: always.
        """
        from runtime.errors import NotBuilt

        raise NotBuilt("publishing from a task that runs in a process")


class Forward(logging.Handler):
    """Hands log records to the parent, which knows where they go."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # a log line is not worth a job
            said = self.format(record)[:LONGEST_TEXT]
            self._link.say(kind="log", name=record.name, level=record.levelno, message=said)


class Tasks:
    """The tasks that this process has imported, by module and name, with the type of their payload."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[Mark, Any]] = {}

    def get(self, place: dict[str, str]) -> tuple[Mark, Any]:
        """A task and its payload's type.

        Raises:
            Fault: it is not at the top of its module; and whatever the module raises.
        """
        from runtime.errors import Fault
        from runtime.plugins import Registry
        from runtime.services.jobs.payload import PayloadType

        key = (place["module"], place["name"])
        if key not in self._known:
            importlib.import_module(place["module"])
            mark = _registry(Registry, place["module"]).get("task", place["name"])
            if mark is None:
                raise Fault(f'{place["origin"]}: "{place["name"]}" does not stand at the top of {place["module"]}')
            self._known[key] = (mark, PayloadType(mark.function, mark.origin))
        return self._known[key]


def _registry(kind: Any, module: str) -> Any:
    registry = kind()
    registry._collect(sys.modules[module])  # noqa: SLF001
    return registry


def run(link: Link, tasks: Tasks, order: dict[str, Any]) -> None:
    """Runs a job and says what it came to; whatever it raises stays here."""
    try:
        mark, kind = tasks.get(order["task"])
        value = mark.function(ChildJob(link, order["job"]), kind.parse(order["payload"]))
        answer = {"kind": "returned", "value": _kept(value)}
    except BaseException as error:  # noqa: BLE001 - sys.exit in a job ends the job alone
        answer = _raised(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - the job may have closed it
            answer["spoilt"] = True
    link.say(**answer)


def _kept(value: Any) -> Any:
    from runtime.errors import Fault
    from runtime.services.jobs.payload import plain

    try:
        result = plain(value)
        size = len(json.dumps(result, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise Fault(f"its result cannot be kept: {error}") from error
    if size > LARGEST_RESULT:
        raise Fault(f"its result cannot be kept: it has {size:,} bytes as JSON, and at most {LARGEST_RESULT:,} are")
    return result


def _raised(error: BaseException) -> dict[str, Any]:
    from runtime.errors import Fault
    from runtime.services.jobs.ports import Reject, Retry

    answer: dict[str, Any] = {"kind": "raised", "type": type(error).__name__, "text": str(error)[:LONGEST_TEXT]}
    match error:
        case Retry():
            answer |= {"type": "Retry", "after": error.after if isinstance(error.after, str | int | float) else 0}
        case Reject():
            answer["type"] = "Reject"
        case Fault():
            answer |= {"type": "Fault", "text": error.message[:LONGEST_TEXT]}
        case _:
            answer["trace"] = "".join(traceback.format_exception(error, limit=-20))[-LONGEST_TEXT:]
    answer["spoilt"] = isinstance(error, MemoryError) or not isinstance(error, Exception)
    return answer


def main() -> None:
    link = Link(int(sys.argv[1]))
    hello = link.hear()
    if hello is None:
        return
    sys.path[:] = hello["path"]
    with contextlib.suppress(OSError):  # where the machine's memory is short, a job is ended and not the environment
        pathlib.Path("/proc/self/oom_score_adj").write_text("500")
    root = logging.getLogger()
    root.setLevel(hello["level"])
    root.addHandler(Forward(link))
    tasks = Tasks()
    try:
        for place in hello["tasks"]:
            tasks.get(place)
    except BaseException as error:  # noqa: BLE001 - a module may raise anything
        said = f"{type(error).__name__}: {error}"
        link.say(kind="broken", text=f"a task cannot be imported in a process of its own: {said}"[:LONGEST_TEXT])
        return
    if hello["memory"] is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (hello["memory"], hello["memory"]))
    link.say(kind="ready")
    while (order := link.hear()) is not None:
        run(link, tasks, order)


if __name__ == "__main__":
    main()
    os._exit(0)  # threads that a job has left behind keep nobody waiting
