"""The user's own code: what marks a function, and what collects the marks.

A decorator only marks. `Registry.load` imports the modules that a spec names and collects the marks, so that there is
no global state: two environments in one process have two registries, and loading a module again is safe.

Example:
    >>> from runtime import task
    >>> @task("images.resize")
    ... async def resize(job, payload: dict) -> dict:
    ...     return {"width": payload["width"]}
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from runtime.errors import Fault

if TYPE_CHECKING:
    from types import ModuleType

Function = TypeVar("Function", bound=Callable[..., Any])
Kind = Literal["task", "subscriber", "event_type"]

ENTRY_POINTS = "runtime.plugins"
_MARK = "__runtime_marks__"


@dataclass(frozen=True, slots=True)
class Mark:
    """One decorated function.

    Args:
        kind: `task` runs jobs, `subscriber` receives events, `event_type` is a class that the data of events fit.
        name: what the spec calls it, in `handler:`.
        function: the function itself, unchanged.
        process: run it in a process of its own (CPU-bound work); tasks only.
        once: it gets a transaction beside each event, in which the event counts as handled; subscribers only.
        accepts: makes what the function gets of a job's payload, where that takes more than the annotated type; raises
            Invalid; built-in tasks only.
    """

    kind: Kind
    name: str
    function: Callable[..., Any]
    process: bool = False
    once: bool = False
    accepts: Callable[[Mapping[str, Any]], Any] | None = None

    @property
    def origin(self) -> str:
        """Where it was written: `tasks.py:12`."""
        code = getattr(self.function, "__code__", None)
        if code is None:
            return f"{self.function.__module__}.{self.function.__qualname__}"
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def task(name: str, *, process: bool = False) -> Callable[[Function], Function]:
    """Marks a function as the handler of jobs: `async def f(job: JobContext, payload: T) -> R`.

    A plain function runs in a thread, with `process=True` in a process. The annotated type of `payload` is the queue's
    payload schema.

    Args:
        name: what `queues.<queue>.handler` says.
        process: run it in a process of its own.
    """
    return _marking("task", name, process=process)


def subscriber(name: str, *, once: bool = False) -> Callable[[Function], Function]:
    """Marks a function as the handler of events: `async def f(event: Event) -> None`.

    With `once=True` it is `async def f(event: Event, tx: Transaction) -> None`: what it does through `tx` is committed
    together with the note that the event is handled, so that it is done exactly once, however often the event comes.

    Args:
        name: what `events.subscriptions.<subscription>.handler` says.
        once: give it a transaction.
    """
    return _marking("subscriber", name, once=once)


def event_type(name: str) -> Callable[[Function], Function]:
    """Marks a class as what the data of a type of events must fit: a dataclass, a msgspec Struct, a pydantic model or a
    TypedDict. It holds for every stream that declares the type; each event is checked when it is published.

    Args:
        name: what `events.streams.<stream>.events` calls the type.

    Example:
        >>> from dataclasses import dataclass
        >>> @event_type("orders.placed")
        ... @dataclass
        ... class OrderPlaced:
        ...     order: str
        ...     items: int
    """
    return _marking("event_type", name)


def _marking(kind: Kind, name: str, *, process: bool = False, once: bool = False) -> Callable[[Function], Function]:
    if not isinstance(name, str) or not name:
        raise TypeError(f'@{kind} needs a name, as in @{kind}("images.resize")')

    def mark(function: Function) -> Function:
        if once and not inspect.iscoroutinefunction(function):
            raise TypeError(f'@{kind}("{name}", once=True) needs an async function: a transaction belongs to the loop')
        marks: list[Mark] = function.__dict__.get(_MARK) or []
        setattr(function, _MARK, [*marks, Mark(kind, name, function, process, once)])
        return function

    return mark


class Registry:
    """The marked functions of an environment, by kind and name."""

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        self._marks: dict[tuple[Kind, str], Mark] = {}
        for mark in marks:
            self.add(mark)

    def add(self, mark: Mark) -> None:
        """Adds one mark.

        Raises:
            Fault: another function has that name.
        """
        known = self._marks.get((mark.kind, mark.name))
        if known is not None and known.function is not mark.function:
            raise Fault(
                f'two {mark.kind}s are called "{mark.name}": {known.origin} and {mark.origin}',
                remedy="Rename one of them.",
            )
        self._marks[mark.kind, mark.name] = mark

    def get(self, kind: Kind, name: str) -> Mark | None:
        return self._marks.get((kind, name))

    def of(self, kind: Kind) -> list[Mark]:
        """All marks of a kind."""
        return [mark for mark in self if mark.kind == kind]

    def __iter__(self) -> Iterator[Mark]:
        return iter(self._marks.values())

    @classmethod
    def load(cls, modules: Iterable[tuple[str, Path]]) -> Registry:
        """Imports modules and the installed packages' entry points, and collects their marks.

        Args:
            modules: dotted names, each with the folder of the spec that names it; a file there comes before an
                installed module.

        Raises:
            Fault: a module is missing or raises while it is imported.
        """
        registry = cls()
        for module, folder in modules:
            registry._collect(_import(module, folder))
        for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
            with _explained(entry.value, None):
                registry._collect(entry.load())
        return registry

    def _collect(self, module: ModuleType) -> None:
        for value in list(vars(module).values()):
            marks = inspect.getattr_static(value, _MARK, None)  # runs none of the value's own code
            for mark in marks if isinstance(marks, list) else ():
                self.add(mark)


def _import(name: str, folder: Path) -> ModuleType:
    parent = str(folder)
    if parent not in sys.path:
        sys.path.insert(0, parent)
    importlib.invalidate_caches()
    _make_way(name, folder)
    with _explained(name, folder):
        return importlib.import_module(name)


def _make_way(name: str, folder: Path) -> None:
    """Forgets a module of that name that was imported from elsewhere, where the folder has one of its own."""
    own = folder.joinpath(*name.split("."))
    files = {own.with_name(f"{own.name}.py"), own / "__init__.py"}
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if not any(file.is_file() for file in files) or (loaded and Path(loaded) in files):
        return
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise Fault(
            f'plugins: "{name}" in {folder} has the name of a module of Python itself', remedy="Rename the file."
        )
    sys.modules.pop(name, None)


@contextmanager
def _explained(name: str, folder: Path | None) -> Iterator[None]:
    """Says what is wrong with a user's module; anything may come out of it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if folder is not None and (error.name == name or name.startswith(f"{error.name}.")):
            raise Fault(
                f'plugins: no module "{name}" beside the spec ({folder}) or installed',
                remedy=f"Create {name.replace('.', '/')}.py there, or install the package that holds it.",
            ) from error
        raise Fault(
            f'plugins: "{name}" imports "{error.name}", which is not installed',
            remedy=f"Install {error.name} in this environment.",
        ) from error
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}"
        raise Fault(f'plugins: "{name}" failed to import{_place(error)}: {said}') from error


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return ""  # it says where itself
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f" ({Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno})" if frame else ""
