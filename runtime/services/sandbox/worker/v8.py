"""V8 through the C library of the `mini-racer` wheel: isolates that evaluate text, with limits of time and heap.

The wheel's own Python classes need an asyncio loop and a thread of it; a worker wants neither. The functions used here
are those of `libmini_racer` 0.14, and another version is refused: a changed C signature would be a crash at best.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import queue
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char, c_char_p, c_double, c_int64, c_size_t, c_uint8, c_uint64
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION: Final = "0.14.1"
"""The version of the wheel whose C functions these are."""

GRACE: Final = 5.0
"""Seconds in which an ended evaluation must come back. The service kills the process long before."""


class Kind(IntEnum):
    """What a value is, as the library numbers it; those not named here are only objects."""

    NULL = 1
    BOOLEAN = 2
    INTEGER = 3
    DOUBLE = 4
    TEXT = 5
    UNDEFINED = 11
    SHARED_BUFFER = 101
    BUFFER = 102
    EXCEPTION = 200
    OUT_OF_MEMORY = 202
    TIMEOUT = 203
    TERMINATED = 204


class _Union(ctypes.Union):
    _fields_: ClassVar = [
        ("pointer", ctypes.c_void_p),
        ("text", POINTER(c_char)),
        ("integer", c_int64),
        ("double", c_double),
    ]


class _Value(ctypes.Structure):
    _pack_ = 1
    _fields_: ClassVar = [("value", _Union), ("length", c_size_t), ("type", c_uint8)]


_Handle = POINTER(_Value)
_Answered = CFUNCTYPE(None, c_uint64, _Handle)

_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "mr_init_v8": (None, [c_char_p, c_char_p]),
    "mr_v8_version": (c_char_p, []),
    "mr_v8_is_using_sandbox": (c_bool, []),
    "mr_init_context": (c_uint64, [_Answered]),
    "mr_free_context": (None, [c_uint64]),
    "mr_eval": (c_uint64, [c_uint64, _Handle, c_uint64]),
    "mr_call_function": (c_uint64, [c_uint64, _Handle, _Handle, _Handle, c_uint64]),
    "mr_cancel_task": (None, [c_uint64, c_uint64]),
    "mr_alloc_string_val": (_Handle, [c_uint64, c_char_p, c_uint64, c_uint8]),
    "mr_free_value": (None, [c_uint64, _Handle]),
    "mr_set_hard_memory_limit": (None, [c_uint64, c_size_t]),
    "mr_hard_memory_limit_reached": (c_bool, [c_uint64]),
    "mr_heap_stats": (_Handle, [c_uint64]),
    "mr_low_memory_notification": (None, [c_uint64]),
}


class ScriptError(Exception):
    """The script threw, or does not compile; says what V8 says of it."""


class ScriptTimeout(ScriptError):  # noqa: N818
    """It was ended at its limit of time."""


class ScriptMemory(ScriptError):  # noqa: N818
    """It was ended at its limit of heap."""


class Engine:
    """V8 in this process; there can be one.

    Args:
        library: the path of `libmini_racer`.
        data: the path of `icudtl.dat`.
        flags: of V8.
    """

    def __init__(self, library: str, data: str, flags: list[str]) -> None:
        self.functions = ctypes.CDLL(library)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self.functions, name)
            function.restype, function.argtypes = result, arguments
        self.functions.mr_init_v8(" ".join(flags).encode(), data.encode())
        self.answers: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        """Numbers and values of evaluations that have come to their end, whichever isolate they ran in."""
        self.answered = _Answered(lambda number, handle: self.answers.put((number, handle)))
        self.numbers = itertools.count(1)

    @property
    def version(self) -> str:
        return str(self.functions.mr_v8_version().decode())

    @property
    def caged(self) -> bool:
        """Whether V8 keeps its heap in an address range of its own, its "sandbox"."""
        return bool(self.functions.mr_v8_is_using_sandbox())


class Held:
    """A value that stays inside the isolate, such as a function."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle


class Isolate:
    """A V8 heap of its own, with one realm. Its code runs in a thread of its own; calls here wait for it.

    Args:
        heap: bytes that its heap may have; unlimited where None.
    """

    def __init__(self, engine: Engine, heap: int | None = None) -> None:
        self._engine = engine
        self._functions = engine.functions
        self._context = self._functions.mr_init_context(engine.answered)
        if heap is not None:
            self.limit_heap(heap)

    def limit_heap(self, size: int) -> None:
        self._functions.mr_set_hard_memory_limit(self._context, size)

    def evaluate(self, source: str | bytes, limit: float | None = None) -> Any:
        """Runs a script and returns its completion value: a plain value, `Held`, or a view of a buffer's memory.

        Args:
            limit: seconds.

        Raises:
            ScriptError: it throws, does not compile, or meets one of its limits.
        """
        code = self._text(source)
        try:
            return self._waited(lambda number: self._functions.mr_eval(self._context, code, number), limit)
        finally:
            self._free(code)

    def function(self, source: str) -> Function:
        """The function that a script's completion value is.

        Raises:
            ScriptError: as `evaluate`, or the value is no object.
        """
        function, nothing = self.evaluate(source), self.evaluate("[]")
        if not isinstance(function, Held) or not isinstance(nothing, Held):
            raise ScriptError("the script does not end with a function")
        return Function(self, function, nothing)

    def call(self, function: Held, text: str | bytes, arguments: Held, limit: float | None = None) -> Any:
        """Calls a function with a text as its `this`; returns and raises as `evaluate` does."""
        this = self._text(text)
        try:
            return self._waited(
                lambda number: self._functions.mr_call_function(
                    self._context, function.handle, this, arguments.handle, number
                ),
                limit,
            )
        finally:
            self._free(this)

    def heap(self) -> int:
        """Bytes of its heap that have memory behind them."""
        handle = self._functions.mr_heap_stats(self._context)
        try:
            value = handle.contents
            figures = json.loads(ctypes.string_at(value.value.text, value.length))
        finally:
            self._free(handle)
        return int(figures.get("total_physical_size", 0))

    def collect_garbage(self) -> None:
        self._functions.mr_low_memory_notification(self._context)

    def close(self) -> None:
        self._functions.mr_free_context(self._context)

    def _text(self, text: str | bytes) -> Any:
        data = text.encode("utf-8", "replace") if isinstance(text, str) else text
        return self._functions.mr_alloc_string_val(self._context, data, len(data), Kind.TEXT)

    def _free(self, handle: Any) -> None:
        self._functions.mr_free_value(self._context, handle)

    def _waited(self, begin: Callable[[int], int], limit: float | None) -> Any:
        number = next(self._engine.numbers)
        task = begin(number)
        ended = False
        while True:
            try:
                answered, handle = self._engine.answers.get(timeout=GRACE if ended else limit)
            except queue.Empty:
                if ended:
                    raise ScriptTimeout("it could not be ended") from None
                ended = True
                self._functions.mr_cancel_task(self._context, task)
                continue
            if answered == number:
                return self._outcome(handle, ended=ended)
            self._free(handle)

    def _outcome(self, handle: Any, *, ended: bool) -> Any:
        held = False
        try:
            value, kind = handle.contents.value, handle.contents.type
            length = handle.contents.length
            if kind >= Kind.EXCEPTION:
                message = ctypes.string_at(value.text, min(length, 4000)).decode("utf-8", "replace")
                # A call, unlike a script, does not tell why it was ended.
                if kind == Kind.OUT_OF_MEMORY or self._functions.mr_hard_memory_limit_reached(self._context):
                    raise ScriptMemory(message)
                raise (ScriptTimeout if ended or kind in (Kind.TIMEOUT, Kind.TERMINATED) else ScriptError)(message)
            match kind:
                case Kind.TEXT:
                    return ctypes.string_at(value.text, length)
                case Kind.INTEGER:
                    return value.integer
                case Kind.BOOLEAN:
                    return bool(value.integer)
                case Kind.DOUBLE:
                    return value.double
                case Kind.NULL | Kind.UNDEFINED:
                    return None
                case Kind.BUFFER | Kind.SHARED_BUFFER:
                    return memoryview((c_char * length).from_address(value.pointer)).cast("B")
            held = True
            return Held(handle)
        finally:
            if not held:
                self._free(handle)


class Function:
    """A function of an isolate that takes one text, as its `this`: to make a list of arguments would cost a job more
    than many a job itself.

    Args:
        nothing: an empty array.
    """

    def __init__(self, isolate: Isolate, function: Held, nothing: Held) -> None:
        self._isolate = isolate
        self._function = function
        self._nothing = nothing

    def __call__(self, text: str | bytes, limit: float | None = None) -> Any:
        """Returns and raises as `Isolate.evaluate` does.

        Args:
            limit: seconds.
        """
        return self._isolate.call(self._function, text, self._nothing, limit)
