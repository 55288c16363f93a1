"""JavaScript in the sandbox: what a source may be, what comes in and goes out, and its limits."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import Invalid
from tests.services.sandbox.conftest import sandbox_of

if TYPE_CHECKING:
    from runtime.services.sandbox.ports import Execution
    from runtime.services.sandbox.service import SandboxService


async def outcome(sandbox: SandboxService, code: str, given: Any = None, **limits: Any) -> Execution:
    return await sandbox.execute("javascript", code, given, **limits)


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("input.a * 2", 42),
        ("let x = 3; x + 1", 4),
        ("{a: 1, b: [input.a]}", {"a": 1, "b": [21]}),
        ("async (given) => { await null; return given.a }", 21),
        ("function anything(given) { return given.a }", 21),
        ("const one = () => 1\nfunction main(given) { return given.a + one() }", 22),
        ("const x = await Promise.resolve(2); return x", 2),
        ("if (input.a) 'yes'; else 'no'", "yes"),
        ("undefined", None),
        ("({f() {}, u: undefined, n: null})", {"n": None}),
    ],
)
async def test_a_source_is_an_expression_a_script_or_a_function(
    javascript: SandboxService, code: str, output: Any
) -> None:
    done = await outcome(javascript, code, {"a": 21})

    assert (done.status, done.output) == ("ok", output), done.error
    assert done.duration_ms > 0
    assert done.memory_peak > 0


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("new Date(0)", {"$date": "1970-01-01T00:00:00.000Z"}),
        ("new Date(NaN)", {"$date": None}),
        ("new Map([['a', new Set([1])]])", {"$map": [["a", {"$set": [1]}]]}),
        ("new Uint8Array([1, 2, 255])", {"$bytes": "AQL/"}),
        ("new Uint16Array([1]).buffer", {"$bytes": "AQA="}),
        ("10n ** 30n", {"$bigint": "1" + "0" * 30}),
        ("[NaN, -Infinity]", [{"$number": "NaN"}, {"$number": "-Infinity"}]),
        ("({$date: 1})", {"$object": {"$date": 1}}),
        ("'a\\ud800b'", "a\ufffdb"),
        ("({toJSON() { return 'short' }})", "short"),
    ],
)
async def test_what_json_lacks_goes_out_tagged(javascript: SandboxService, code: str, output: Any) -> None:
    done = await outcome(javascript, code)

    assert (done.status, done.output) == ("ok", output), done.error


@pytest.mark.parametrize(
    "value",
    [
        {"$date": "2026-01-02T03:04:05.000Z"},
        {"$map": [["k", 1], [{"$set": [2]}, None]]},
        {"$set": ["a", {"$bigint": "5"}]},
        {"$bytes": "AQL/"},
        {"$number": "-Infinity"},
        {"$object": {"$date": "no date"}},
        {"nested": [{"$date": "2026-01-02T03:04:05.000Z"}], "__proto__": {"x": 1}},
    ],
)
async def test_what_goes_in_comes_out_the_same(javascript: SandboxService, value: Any) -> None:
    done = await outcome(javascript, "input", value)

    assert (done.status, done.output) == ("ok", value), done.error


@pytest.mark.parametrize(
    ("code", "type_", "line", "column"),
    [
        ("\n  throw new TypeError('no')", "TypeError", 2, 9),
        ("function f() {\n  null.x\n}\nf()", "TypeError", 2, 8),
        ("\n\n  foo bar", "SyntaxError", 3, 7),
        ("const a = 1\nreturn a +\nmissing", "ReferenceError", 3, 1),
        ("throw 7", "Thrown", None, None),
        ("new Promise(() => {})", "Unsettled", None, None),
        ("Promise.reject(new RangeError('x'))", "RangeError", 1, 16),
        ("const o = {}; o.me = [o]; o", "OutputError", None, None),
    ],
)
async def test_an_error_names_the_users_own_line(
    javascript: SandboxService, code: str, type_: str, line: int | None, column: int | None
) -> None:
    done = await outcome(javascript, code)

    assert done.error is not None
    assert (done.status, done.output, done.error.type) == ("error", None, type_)
    assert (done.error.line, done.error.column) == (line, column)


async def test_the_console_is_captured_and_cut(javascript: SandboxService) -> None:
    done = await outcome(javascript, "console.log('a', {b: 1}); console.error(new Error('c')); console.warn([1n]); 1")
    assert [(line.level, line.text) for line in done.logs] == [
        ("log", 'a {"b":1}'),
        ("error", "Error: c"),
        ("warn", '[{"$bigint":"1"}]'),
    ]
    assert not done.logs_cut

    flood = await outcome(javascript, "for (let i = 0; i < 100000; i++) console.log('x'.repeat(100)); 'done'")
    assert (flood.status, flood.output, flood.logs_cut) == ("ok", "done", True)
    assert sum(len(line.text) for line in flood.logs) <= 256_000


async def test_what_was_logged_before_the_end_of_time_is_told(javascript: SandboxService) -> None:
    for _ in range(10):  # a machine that stands still loses the log with the worker
        done = await outcome(javascript, "console.log('before'); for (;;);", timeout=0.05)
        if done.logs:
            break

    assert (done.status, [line.text for line in done.logs]) == ("timeout", ["before"])
    assert done.error is not None
    assert done.error.message == "it ran longer than 50 ms"


@pytest.mark.parametrize(
    "code",
    [
        "for (;;);",
        "(async () => { for (;;) await 0 })()",
        "/(a+)+b/.test('a'.repeat(40))",
        "[2, 1].sort(() => { for (;;); })",
    ],
)
async def test_no_loop_outlives_its_time(javascript: SandboxService, code: str) -> None:
    done = await outcome(javascript, code, timeout=0.1)

    assert done.status in ("timeout", "memory")
    assert (await outcome(javascript, "1 + 1")).output == 2


@pytest.mark.parametrize(
    "code",
    [
        "const a = []; for (;;) a.push({})",
        "const b = []; for (let i = 0; i < 200; i++) b.push(new Uint8Array(1e6).fill(1)); b.length",
        "new Uint8Array(1e9).fill(1).length",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, i)",
        "let s = ''; for (;;) s += 'abc'",
        "new Array(1e9).fill(0).length",
    ],
)
async def test_memory_of_each_kind_is_limited(javascript: SandboxService, code: str) -> None:
    done = await outcome(javascript, code)

    # A slow machine may reach the limit of time first; it reaches one of them.
    assert done.status in ("memory", "timeout"), done
    assert (await outcome(javascript, "1 + 1")).output == 2


async def test_what_fits_is_not_refused(javascript: SandboxService) -> None:
    heap = "const kept = []; for (let i = 0; i < 100; i++) kept.push('x' + i, new Array(10000).fill(i)); kept.length"
    buffers = "const kept = []; for (let i = 0; i < 14; i++) kept.push(new Uint8Array(1e6).fill(1)); kept.length"

    for code, output in ((heap, 200), (buffers, 14)):
        done = await outcome(javascript, code)
        assert (done.status, done.output) == ("ok", output), done


async def test_a_caller_lowers_limits_and_never_raises_them(javascript: SandboxService) -> None:
    assert (await outcome(javascript, "for (;;);", timeout=0.02)).status == "timeout"
    for limits in ({"timeout": 0.6}, {"memory": 17_000_000}, {"timeout": 0.0}, {"memory": 0}):
        done = await outcome(javascript, "1", **limits)
        assert done.error is not None
        assert (done.status, done.error.type) == ("rejected", "Rejected")


async def test_too_much_code_or_output_is_refused(javascript: SandboxService) -> None:
    assert (await outcome(javascript, "1" + " " * 8192)).status == "rejected"
    assert (await outcome(javascript, "1", "x" * 1_000_001)).status == "rejected"
    for code in ("'x'.repeat(300000)", "new Array(300000).fill(1)", "new Uint8Array(300000)", "'é'.repeat(140000)"):
        done = await outcome(javascript, code)
        assert done.error is not None
        assert (done.status, done.error.type) == ("error", "OutputError"), code


async def test_a_job_sees_nothing_of_the_one_before(javascript: SandboxService) -> None:
    await outcome(javascript, "globalThis.left = 1; Array.prototype.left = 2; Object.freeze(Math); JSON.parse = null")

    done = await outcome(javascript, "[typeof left, [].left ?? null, Object.isFrozen(Math), typeof JSON.parse]")

    assert done.output == ["undefined", None, False, "function"]


async def test_chance_differs_from_job_to_job(javascript: SandboxService) -> None:
    seen = {tuple((await outcome(javascript, "[Math.random(), Math.random()]")).output) for _ in range(20)}

    assert len(seen) == 20
    assert all(0 <= number < 1 for pair in seen for number in pair)


async def test_an_unknown_language_is_refused(javascript: SandboxService) -> None:
    with pytest.raises(Invalid, match='runs no "python"'):
        await javascript.execute("python", "1")


async def test_jobs_of_killed_workers_run_again_or_are_answered(javascript: SandboxService) -> None:
    async def kill_some() -> None:
        for number in range(12):
            await asyncio.sleep(0.05)
            if alive := sorted(javascript.processes()):
                os.kill(alive[number % len(alive)], signal.SIGKILL)

    killing = asyncio.create_task(kill_some())
    done = await asyncio.gather(*(outcome(javascript, f"{number} * 2") for number in range(400)))
    await killing

    assert len(done) == 400
    for number, execution in enumerate(done):
        lost = execution.error is not None and execution.error.type == "WorkerLost"
        assert execution.output == number * 2 or lost, execution
    assert (await outcome(javascript, "1 + 1")).output == 2


async def test_workers_are_replaced_after_their_share_of_jobs() -> None:
    async with sandbox_of(recycle=3, workers=1, spares=0) as sandbox:
        (first,) = sandbox.processes()
        for number in range(7):
            assert (await outcome(sandbox, str(number))).output == number
        assert first not in sandbox.processes()


async def test_health_tells_the_engine_and_the_confinement(javascript: SandboxService) -> None:
    health = await javascript.health()

    assert health.details["v8"].split(".")[0].isdigit()
    assert health.details["v8_age_days"] >= 0
    assert health.details["confinement"]["seccomp"] in (True, False)
    assert health.details["javascript"]["workers"]["idle"] >= 1
