"""A job as the worker gets it, and what came of it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Job(NamedTuple):
    """One execution.

    Args:
        id: given back with the answer.
        code: the source.
        input: JSON text.
        timeout: seconds.
        memory: bytes.
        output: bytes that the result and the log may have, each.
    """

    id: int
    code: str
    input: str
    timeout: float
    memory: int
    output: int

    @classmethod
    def of(cls, head: dict[str, Any], body: bytes) -> Job:
        """Reads a frame: the code's length stands in the head, code and input in the body."""
        cut = head["code"]
        code, given = body[:cut].decode(), body[cut:].decode()
        return cls(head["id"], code, given, head["timeout"], head["memory"], head["output"])

    def text(self, **more: Any) -> bytes:
        """The job as the JSON text that the language's driver reads."""
        known = json.dumps({"code": self.code, "output": self.output, **more})
        return f'{known[:-1]},"input":{self.input}}}'.encode()


class Result(NamedTuple):
    """What came of a job.

    Args:
        outcome: `done` (the answer says how), `timeout`, `memory`, or `crash` of the engine.
        answer: JSON text, as the driver wrote it; `{}` where it could not.
        duration: seconds.
        memory: bytes that it had at its end, as far as the engine knows.
        recycle: whether this process should take no further job.
    """

    outcome: str
    answer: bytes
    duration: float
    memory: int
    recycle: bool = False
