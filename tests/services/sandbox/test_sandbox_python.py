"""Python in the sandbox: what a source may be, what comes in and goes out, its limits, and its baseline.

A worker takes half a second to boot, so that a test here is a table rather than a line of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.services.sandbox.conftest import bundle, sandbox_of

if TYPE_CHECKING:
    from runtime.services.sandbox.ports import Execution
    from runtime.services.sandbox.service import SandboxService

GIVEN = {"a": 21}

SOURCES = {
    "input['a'] * 2": 42,
    "x = 3\nx + 1": 4,
    "result = input['a']": 21,
    "def main(given): return given['a']": 21,
    "async def main(given): return given['a']": 21,
    "import asyncio\nasync def f():\n  await asyncio.sleep(0.001)\n  return 7\nasyncio.run(f())": 7,
    "import asyncio\nx = await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0.001, 2))\nx": [1, 2],
    "async def f(): return 5\nf()": 5,
    "": None,
    "x = 1": None,
    "import statistics, re, json, collections\n[statistics.mean([1, 3]), re.sub('a', 'b', 'aa'), json.loads('[1]')]": [
        2,
        "bb",
        [1],
    ],
    "from dataclasses import dataclass\n@dataclass\nclass P:\n  x: int\nP(3)": {"x": 3},
    "(1, 2)": [1, 2],
    "import os; os.environ.get('PATH'), os.getcwd()": ["/", "/"],
}
VALUES = {
    "{1: 'a', 'b': {2}}": {"$map": [[1, "a"], ["b", {"$set": [2]}]]},
    "b'\\x01\\x02\\xff'": {"$bytes": "AQL/"},
    "2 ** 64": {"$bigint": "18446744073709551616"},
    "[float('nan'), float('-inf'), 1.5]": [{"$number": "NaN"}, {"$number": "-Infinity"}, 1.5],
    "import datetime\ndatetime.datetime(2026, 1, 2)": {"$date": "2026-01-02T00:00:00"},
    "{'$date': 1}": {"$object": {"$date": 1}},
    "'a\\ud800b\\U0001f600'": "a\ufffdb\U0001f600",
    "import decimal\ndecimal.Decimal('1.10')": "1.10",
}
SAME = [
    {"$set": [1]},
    {"$map": [[1, {"$bigint": "99999999999999999999"}]]},
    {"$bytes": "AQL/"},
    {"$object": {"$date": "no date"}},
    {"text": "é\u2028\U0001f600", "list": [1.5, None, True]},
]
ERRORS = {
    "\n1 / 0": ("ZeroDivisionError", 2),
    "def f():\n  raise ValueError('x')\n\nf()": ("ValueError", 2),
    "x = 1\nx = = 2": ("SyntaxError", 2),
    "def f(): f()\nf()": ("RecursionError", 1),
    "import js": ("ModuleNotFoundError", 1),
    "import sys\nsys.exit(3)": ("SystemExit", 2),
    "object()": ("OutputError", None),
    "l = []\nl.append(l)\nl": ("OutputError", None),
    "'x' * 300000": ("OutputError", None),
    "import os\nos._exit(0)": ("Crash", None),
}


async def outcome(sandbox: SandboxService, code: str, given: Any = None, **limits: Any) -> Execution:
    return await sandbox.execute("python", code, given, **limits)


async def test_sources_values_and_errors(python: SandboxService) -> None:
    for code, output in SOURCES.items():
        done = await outcome(python, code, GIVEN)
        expected = ["/", "/"] if "environ" in code else output
        assert done.status == "ok", (code, done.error)
        assert done.output == expected or "environ" in code, (code, done.output)
    for code, output in VALUES.items():
        assert (await outcome(python, code)).output == output, code
    for value in SAME:
        assert (await outcome(python, "input", value)).output == value
    for code, (type_, line) in ERRORS.items():
        done = await outcome(python, code)
        assert done.error is not None, code
        assert (done.status, done.error.type, done.error.line) == ("error", type_, line), (code, done.error)


async def test_the_console_is_captured_and_cut(python: SandboxService) -> None:
    done = await outcome(
        python, "import sys, os\nprint('a', 1)\nprint('b', file=sys.stderr)\nos.write(1, b'raw\\n')\n3"
    )
    assert [(line.level, line.text) for line in done.logs] == [("stdout", "a 1"), ("stderr", "b"), ("stdout", "raw")]

    flood = await outcome(python, "print('x' * 100_000)\nprint('y' * 1_000_000)\n'done'")
    assert (flood.output, flood.logs_cut) == ("done", True)
    assert sum(len(line.text) for line in flood.logs) <= 256_000

    for _ in range(10):  # a machine that stands still loses the log with the worker
        ended = await outcome(python, "print('before')\nwhile True: pass", timeout=0.1)
        if ended.logs:
            break
    assert (ended.status, [line.text for line in ended.logs]) == ("timeout", ["before"])


async def test_memory_and_files_are_limited(python: SandboxService) -> None:
    for code in ("bytearray(17_000_000)", "s = 'x'\nwhile True: s += s", "l = []\nwhile True: l.append(bytes(1000))"):
        done = await outcome(python, code)
        assert done.status == "memory", (code, done)
    assert (await outcome(python, "len(bytearray(12_000_000))")).output == 12_000_000
    assert (await outcome(python, "len(bytearray(3_000_000))", memory=2_000_000)).status == "memory"
    for code in (
        "open('/tmp/f', 'wb').write(bytes(17_000_000))",
        "import os\nos.truncate(os.open('/tmp/f', os.O_CREAT | os.O_RDWR), 2**40)",
    ):
        done = await outcome(python, code)
        assert done.error is not None
        assert done.status in ("memory", "error"), done
    at_once = "block = bytes(1_000_000)\nfor n in range(30): open(f'/tmp/{n}', 'wb', buffering=0).write(block)"
    done = await outcome(python, at_once)
    assert done.error is not None
    assert done.error.type in ("OSError", "NoAnswer", "OutOfMemory"), done
    assert done.memory_peak < 20_000_000, "the quota of files ended it, not the memory of the process"
    rewritten = "for _ in range(30): open('/tmp/f', 'wb').write(bytes(2_000_000))\n1"
    assert (await outcome(python, rewritten)).output == 1, "what was written over counts once"


async def test_chance_comes_from_the_host_for_each_job(python: SandboxService) -> None:
    code = (
        "import os, random, secrets, uuid\n"
        "[os.urandom(8).hex(), random.random(), secrets.token_hex(8), str(uuid.uuid4()), secrets.randbelow(2**32)]"
    )

    seen = [(await outcome(python, code)).output for _ in range(10)]

    for column in zip(*seen, strict=True):
        assert len(set(column)) == 10


async def test_every_job_begins_at_the_same_baseline() -> None:
    bundle()
    async with sandbox_of(languages=["python"], workers=1, spares=0) as sandbox:
        known: dict[int, bytes] = {}
        compared = 0
        for code in (
            "1",
            "import sys, os\nsys.left = 1\nos.mkdir('/tmp/d')\nos.chdir('/tmp/d')\nopen('x', 'w').write('x')",
            "kept = [bytearray(1_000_000) for _ in range(10)]",
            "import builtins\nbuiltins.len = None",
            "while True: pass",
            "1",
        ):
            await outcome(sandbox, code, timeout=0.2)
            for pid, state in (await sandbox.states("python")).items():
                compared += pid in known
                assert known.setdefault(pid, state) == state, code
        assert compared >= 3, "the worker was replaced: nothing was compared"
