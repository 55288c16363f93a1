"""Runs inside of Pyodide: one job from a file, its result into another. What a job does to it is undone afterwards."""

import ast
import asyncio
import base64
import dataclasses
import datetime
import decimal
import enum
import fractions
import inspect
import json
import math
import os
import pathlib
import random
import re
import sys
import time
import traceback
import uuid

JOB, ANSWER, NAME = "/tmp/.job", "/tmp/.answer", "<job>"
DEEPEST = 100
LONGEST_MESSAGE = 2000
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
CLOSED = ("js", "pyodide", "pyodide_js", "_pyodide", "_pyodide_core", "ctypes", "_ctypes")
"""Modules that reach for JavaScript or for foreign functions: what they call is cut off, so that to import them is an
error rather than the end of the interpreter."""
_LARGE = re.compile(r"\d{19}")


class OutputError(Exception):
    pass


def run():
    try:
        with open(JOB) as file:
            text = file.read()
        os.unlink(JOB)
    except OSError:
        text = '{"code": "1", "input": null, "output": 100}'
    job = json.loads(text)
    random.seed(int.from_bytes(os.urandom(16)))
    try:
        given = decoded(job["input"]) if '{"$' in text else job["input"]
        answer = '{"output":' + encoded(outcome(job["code"], given), job["output"]) + "}"
    except BaseException as error:
        answer = json.dumps({"error": failure(error)})
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass
    if "\\ud" in answer:
        answer = well_formed(answer)
    with open(ANSWER, "w") as file:
        file.write(answer)


def well_formed(answer):
    """The same JSON, its lone surrogates replaced."""
    text = json.dumps(json.loads(answer), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def outcome(code, given):
    space = {"__name__": "__main__", "__builtins__": __builtins__, "input": given}
    tree = ast.parse(code, NAME)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    evaluated(compile(tree, NAME, "exec", _AWAIT, True), space)
    if last is not None:
        value = evaluated(compile(ast.Expression(last.value), NAME, "eval", _AWAIT, True), space)
    elif "result" in space:
        value = space["result"]
    elif callable(space.get("main")):
        value = space["main"](given)
    else:
        return None
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def evaluated(code, space):
    value = eval(code, space)
    return asyncio.run(value) if code.co_flags & inspect.CO_COROUTINE else value


# -- values ------------------------------------------------------------------------------------------------------------


def encoded(value, most):
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        text = ""
    if not text or '{"$' in text or _LARGE.search(text):
        text = json.dumps(tagged(value, 0, set()), allow_nan=False, separators=(",", ":"))
    if len(text) > most:
        raise OutputError("the result cannot be sent: it is larger than the sandbox lets out")
    return text


def tagged(value, depth, above):
    if value is None or value is True or value is False or type(value) is str:
        return value
    if isinstance(value, enum.Enum):
        return tagged(value.value, depth, above)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else {"$bigint": str(int(value))}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$number": named(value)}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, datetime.datetime | datetime.date):
        return {"$date": value.isoformat()}
    if isinstance(value, decimal.Decimal | fractions.Fraction | uuid.UUID | pathlib.PurePath | datetime.time):
        return str(value)
    return composed(value, depth, above)


def composed(value, depth, above):
    if depth >= DEEPEST:
        raise OutputError(f"the result cannot be sent: it is nested more than {DEEPEST} deep")
    if id(value) in above:
        raise OutputError("the result cannot be sent: it contains itself")
    inner = above | {id(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        if all(type(key) is str for key in value):
            items = {key: tagged(item, depth + 1, inner) for key, item in value.items()}
            return {"$object": items} if len(items) == 1 and next(iter(items)).startswith("$") else items
        return {
            "$map": [[tagged(key, depth + 2, inner), tagged(item, depth + 2, inner)] for key, item in value.items()]
        }
    if isinstance(value, set | frozenset):
        return {"$set": [tagged(item, depth + 1, inner) for item in value]}
    if isinstance(value, list | tuple) or hasattr(value, "__iter__") and hasattr(value, "__len__"):
        return [tagged(item, depth + 1, inner) for item in value]
    raise OutputError(f"the result cannot be sent: a {type(value).__name__} is no JSON value")


def named(value):
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def decoded(value):
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        return {key: decoded(item) for key, item in value.items()}
    ((key, inner),) = value.items()
    match key:
        case "$date":
            return datetime.datetime.fromisoformat(inner) if inner else None
        case "$map":
            return {_key(decoded(name)): decoded(item) for name, item in inner}
        case "$set":
            return {_key(decoded(item)) for item in inner}
        case "$bytes":
            return base64.b64decode(inner)
        case "$bigint":
            return int(inner)
        case "$number":
            return float(inner)
        case "$object":
            return {name: decoded(item) for name, item in inner.items()}
    return {key: decoded(inner)}


def _key(value):
    return tuple(value) if isinstance(value, list) else value


# -- errors ------------------------------------------------------------------------------------------------------------


def failure(error):
    try:
        message = str(error)[:LONGEST_MESSAGE]
    except BaseException:
        message = "its message cannot be read"
    if isinstance(error, SyntaxError) and error.filename == NAME:
        return {"type": type(error).__name__, "message": str(error.msg), "line": error.lineno, "column": error.offset}
    lines = own_lines(error)
    if isinstance(error, MemoryError):
        traceback.clear_frames(error.__traceback__)  # what they hold is needed for the answer
    return {"type": type(error).__name__, "message": message} | ({"line": lines[-1]} if lines else {})


def own_lines(error):
    return [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == NAME]


# -- what is taken away, and what is put in its place


class _Selector:
    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("everything waits and nothing is left to run")
        time.sleep(max(0.0, timeout))
        return []

    def close(self):
        pass


class Loop(asyncio.BaseEventLoop):
    """An event loop of timers and callbacks: there is nothing else to wait for."""

    def __init__(self):
        super().__init__()
        self._selector = _Selector()

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass


def run_loop(main, *, debug=None, loop_factory=None):
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    if not inspect.isawaitable(main):
        raise TypeError("An asyncio.Future, a coroutine or an awaitable is required")
    loop = Loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        try:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def prepare():
    for finder in list(sys.meta_path):
        if type(finder).__module__.startswith(("_pyodide", "pyodide")):
            sys.meta_path.remove(finder)
    for name in list(sys.modules):
        if name.partition(".")[0] in ("js", "pyodide", "_pyodide", "pyodide_js", "_pyodide_core"):
            del sys.modules[name]
    for name in CLOSED:
        sys.modules[name] = None
    asyncio._set_running_loop(None)
    asyncio.run = asyncio.runners.run = run_loop
    asyncio.new_event_loop = asyncio.events.new_event_loop = Loop
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    import __main__

    __main__.__run__ = run


prepare()
