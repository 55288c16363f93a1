"""JavaScript: a fresh isolate for each job, made before the job comes."""

from __future__ import annotations

import json
import os
import re
import resource
import struct
import time
from pathlib import Path
from typing import Final

from runtime.services.sandbox.worker.job import Job, Result
from runtime.services.sandbox.worker.v8 import Engine, Isolate, ScriptError, ScriptMemory, ScriptTimeout

FLAGS: Final = ["--single-threaded", "--stack-size=900", "--no-maglev"]
"""Without V8's middle compiler: in one thread the job waits for it, a millisecond for a short loop. A long one gets the
last compiler as soon."""


def _script(name: str) -> str:
    """A file beside this one without its comments and margins: V8 reads it anew for each job."""
    lines = Path(__file__).with_name(name).read_text().splitlines()
    return "\n".join(line for line in map(str.strip, lines) if line and not line.startswith("//"))


DRIVER: Final = f"{_script('javascript.js')}({json.dumps(_script('values.js'))})"
WORTH_ASKING: Final = 1_000_000
"""Bytes of memory touched by a job beyond which V8 is asked for its heap: the question takes 0.3 ms."""
LAST_WORDS: Final = 0.01
"""Seconds for reading what an ended job had logged."""
_PLACE: Final = re.compile(r"\A<anonymous>:(\d+): [^\n]*\n[^\n]*\n( *)\^")


class JavaScript:
    """Runs jobs one after another.

    Args:
        engine: V8.
        memory: bytes of heap that a job may have unless it says less.
    """

    def __init__(self, engine: Engine, memory: int) -> None:
        self._engine = engine
        self._memory = memory
        self._faults = 0
        # V8 gives up its read-only heap with its last isolate, and to build that again is half of a job's work.
        # This isolate runs nothing; it is there so that there is always one.
        self._keeper = Isolate(engine)
        self._prepare()

    def run(self, job: Job) -> Result:
        began = time.perf_counter()
        self._faults = _faults()
        if job.memory != self._memory:
            self._isolate.limit_heap(job.memory)
        text = job.text(seed=struct.unpack("<3i", os.urandom(12)), tagged='"$' in job.input)
        try:
            answer = self._answered(text, began + job.timeout)
        except ScriptTimeout:
            return self._result("timeout", self._last_words(), began)
        except ScriptMemory:
            return self._result("memory", b"{}", began, recycle=True)
        except ScriptError:
            return self._result("crash", b"{}", began, recycle=True)
        if answer.startswith(b'{"uncompiled":'):
            answer = self._explained(job, answer, began + job.timeout)
        return self._result("done", answer, began)

    def renew(self) -> None:
        """Puts a fresh isolate in the place of the used one."""
        self._isolate.close()
        self._prepare()

    def digest(self) -> bytes:
        """What a fresh isolate offers: its globals."""
        names = self._isolate.evaluate("JSON.stringify(Object.getOwnPropertyNames(globalThis))")
        return names if isinstance(names, bytes) else b""

    def _prepare(self) -> None:
        self._isolate = Isolate(self._engine, self._memory)
        self._driver = self._isolate.function(DRIVER)

    def _answered(self, text: bytes, deadline: float) -> bytes:
        answer = self._called(text, deadline)
        return answer if answer is not None else self._called(b"", deadline) or b""

    def _called(self, word: bytes, deadline: float) -> bytes | None:
        left = max(0.001, deadline - time.perf_counter())
        answer = self._driver(word, left)
        return answer if isinstance(answer, bytes) else None

    def _last_words(self) -> bytes:
        try:
            return self._called(b"end", time.perf_counter() + LAST_WORDS) or b"{}"
        except ScriptError:
            return b"{}"

    def _explained(self, job: Job, answer: bytes, deadline: float) -> bytes:
        """The error of a source that does not compile, with its line: V8 tells it only to the one who hands it in."""
        error = {"type": "SyntaxError", "message": json.loads(answer)["uncompiled"]}
        try:
            self._isolate.evaluate(job.code, max(0.001, deadline - time.perf_counter()))
        except ScriptError as told:
            if place := _PLACE.match(str(told)):
                error |= {"line": int(place[1]), "column": len(place[2]) + 1}
        return json.dumps({"error": error}).encode()

    def _result(self, outcome: str, answer: bytes, began: float, *, recycle: bool = False) -> Result:
        duration = time.perf_counter() - began
        memory = (_faults() - self._faults) * resource.getpagesize()
        if outcome == "done" and memory > WORTH_ASKING:
            memory = self._isolate.heap()
        return Result(outcome, answer, duration, memory if outcome == "done" else 0, recycle)


def _faults() -> int:
    """How often a page of memory was touched for the first time."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
