"""Python: one warm Pyodide, cut off from JavaScript, that returns to its baseline after each job."""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from runtime.services.sandbox.worker.job import Job, Result
from runtime.services.sandbox.worker.v8 import Engine, Isolate, ScriptError, ScriptMemory, ScriptTimeout
from runtime.services.sandbox.worker.wasm import with_most_memory

FLAGS: Final = [
    "--single-threaded",
    "--stack-size=1800",
    "--no-flush-liftoff-code",  # code that has been compiled is kept when garbage is collected: to compile it again
    "--no-flush-bytecode",  # would cost a job 50 ms
    "--no-wasm-dynamic-tiering",  # with no thread to compile better code in, it counts for nothing what is called often
    "--no-wasm-inlining",
    "--expose-gc",  # to our own JavaScript, which Python cannot reach
]
BOOT_LIMIT: Final = 50.0
RESET_LIMIT: Final = 1.0
LAST_WORDS: Final = 0.01
WARM_UP: Final = 3
"""Jobs of its own that a worker runs before it is ready, so that V8 has compiled what every job needs."""

WARM: Final = (
    "abc, array, ast, asyncio, base64, binascii, bisect, calendar, collections, contextlib, copy, csv, dataclasses, "
    "datetime, decimal, difflib, enum, fractions, functools, hashlib, heapq, hmac, html, inspect, io, ipaddress, "
    "itertools, json, logging, math, numbers, operator, os, pathlib, pprint, queue, random, re, secrets, statistics, "
    "string, struct, sys, tempfile, textwrap, time, traceback, types, typing, unicodedata, urllib.parse, uuid, "
    "warnings, zlib, zoneinfo"
)
"""Modules that stand in the snapshot, so that a job imports them at once."""

_SOURCES: Final = Path(__file__).parent / "pyodide"
SHELL, SEVER, RESET, RUNNER = (
    (_SOURCES / name).read_text() for name in ("shell.js", "sever.js", "reset.js", "runner.py")
)

FILES: Final = ("glue.js", "python.wasm", "library.zip", "lock.json")


class Bundle(NamedTuple):
    """The prepared files of Pyodide, in memory.

    Args:
        glue: JavaScript.
        module: WebAssembly.
        library: Python's standard library, zipped.
        lock: what Pyodide's own loader wants to read.
        snapshot: linear memory of a booted interpreter; empty where it is still to be made.
        top: bytes of memory that the snapshot's interpreter uses.
    """

    glue: bytes
    module: bytes
    library: bytes
    lock: bytes
    snapshot: bytes = b""
    top: int = 0

    @classmethod
    def read(cls, folder: str) -> Bundle:
        """Reads them, before the process loses sight of files."""
        place = Path(folder)
        glue, module, library, lock = ((place / name).read_bytes() for name in FILES)
        facts = place / "bundle.json"
        if not facts.exists():
            return cls(glue, module, library, lock)
        top = int(json.loads(facts.read_text())["top"])
        return cls(glue, module, library, lock, (place / "snapshot.bin").read_bytes(), top)


class Python:
    """Runs jobs one after another.

    Args:
        engine: V8.
        bundle: with a snapshot.
        memory: bytes that a job may have unless it says less.
    """

    def __init__(self, engine: Engine, bundle: Bundle, memory: int) -> None:
        limited = bundle._replace(module=with_most_memory(bundle.module, bundle.top + memory))
        self._isolate = _booted(engine, limited, "_loadSnapshot: sandbox.files.get('snapshot.bin')")
        self._isolate.evaluate(f"py.runPython({json.dumps(RUNNER)}, {{globals: py.globals}}); 0")
        self._driver = self._isolate.function(RESET)
        for _ in range(WARM_UP):
            self.run(Job(0, "print(1)\nsum(input)", "[1, 2]", BOOT_LIMIT, memory, 1000))
            self.renew()
        self._isolate.collect_garbage()

    def run(self, job: Job) -> Result:
        began = time.perf_counter()
        limits = {"memory": job.memory, "output": job.output, "seed": struct.unpack("<8I", os.urandom(32))}
        try:
            answer = self._called(json.dumps(limits).encode() + b"\n" + job.text(), job.timeout)
        except ScriptTimeout:
            return Result("timeout", self._last_words(), time.perf_counter() - began, 0)
        except ScriptMemory:
            return Result("memory", b"{}", time.perf_counter() - began, 0, recycle=True)
        except ScriptError:
            return Result("crash", b"{}", time.perf_counter() - began, 0, recycle=True)
        return self._told(job, answer, time.perf_counter() - began)

    def renew(self) -> None:
        """Returns to the baseline."""
        if self._called(b"reset", RESET_LIMIT) == b"much":
            self._isolate.collect_garbage()

    def digest(self) -> bytes:
        """What its state comes to: equal whenever it is the same."""
        return self._called(b"digest", BOOT_LIMIT)

    def _told(self, job: Job, answer: bytes, duration: float) -> Result:
        """What the driver said; its first entry tells which of its answers it is."""
        if answer.startswith(b'{"trap":'):
            return Result("crash", answer, duration, 0, recycle=True)
        size = answer[len(b'{"memory":') : answer.find(b",")]
        memory = int(size) if size.isdigit() else 0
        return Result("memory" if memory > job.memory else "done", answer, duration, memory)

    def _last_words(self) -> bytes:
        try:
            return self._called(b"logs", LAST_WORDS)
        except ScriptError:
            return b"{}"

    def _called(self, word: bytes, limit: float) -> bytes:
        answer = self._driver(word, limit)
        return answer if isinstance(answer, bytes) else b"{}"


def snapshot(engine: Engine, bundle: Bundle) -> tuple[bytes, int]:
    """Boots an interpreter afresh, imports what jobs like to use, and returns its memory and how much it uses."""
    isolate = _booted(engine, bundle, "_makeSnapshot: true")
    isolate.evaluate(f"py.runPython({json.dumps(f'import {WARM}')}); 0")
    memory = isolate.evaluate("globalThis.taken = py.makeMemorySnapshot(); taken.buffer")
    top = isolate.evaluate("py._module.HEAPU32[py._module._emscripten_get_sbrk_ptr() >> 2]")
    return bytes(memory), int(top)


def _booted(engine: Engine, bundle: Bundle, option: str) -> Isolate:
    isolate = Isolate(engine)
    isolate.evaluate(SHELL)
    isolate.evaluate(f"sandbox.reseed({list(struct.unpack('<8I', os.urandom(32)))}); 0")
    isolate.evaluate(SEVER)
    isolate.evaluate(bundle.glue)
    files = {
        "pyodide.asm.wasm": bundle.module,
        "python_stdlib.zip": bundle.library,
        "pyodide-lock.json": bundle.lock,
        "snapshot.bin": bundle.snapshot,
    }
    for name, content in files.items():
        _hand_in(isolate, name, content)
    isolate.evaluate(
        f"loadPyodide({{indexURL: '/', createPyodideModule: _createPyodideModule, {option}}})"
        ".then((booted) => { globalThis.py = booted }, (fault) => { globalThis.fault = `${fault} ${fault?.stack}` }); 0"
    )
    deadline = time.monotonic() + BOOT_LIMIT
    while not (state := isolate.evaluate("globalThis.fault ?? (globalThis.py ? 1 : 0)")):
        if time.monotonic() > deadline:
            raise ScriptTimeout(f"Pyodide did not boot within {BOOT_LIMIT:g} s")
        time.sleep(0.002)
    if isinstance(state, bytes):
        raise ScriptError(f"Pyodide did not boot: {state.decode('utf-8', 'replace')[:500]}")
    return isolate


def _hand_in(isolate: Isolate, name: str, content: bytes) -> None:
    buffer: Any = isolate.evaluate(
        f"sandbox.files.set({json.dumps(name)}, new ArrayBuffer({len(content)})).get({json.dumps(name)})"
    )
    buffer[:] = content
