"""The names that plugins give to their functions, read from the source text: nothing of the user's code is run.

`@task("images.resize")` and `@subscriber("billing.log")` are found in the syntax tree of a module beside the spec or
installed, and of the modules that it imports functions from.
"""

from __future__ import annotations

import ast
import os.path
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Literal, NamedTuple

from runtime.spec import files
from runtime.spec.places import Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["task", "subscriber"]

MAX_BYTES = 1024 * 1024
MAX_MODULES = 50
_KINDS: dict[str, Kind] = {"task": "task", "subscriber": "subscriber"}
_HOMES = ("runtime", "runtime.plugins")


class Wrong(NamedTuple):
    """A plugin that cannot be read: its file, the place in it, and why."""

    source: Source
    where: Span
    message: str


class Marks:
    """What the plugins of a spec offer.

    Args:
        folders: those of the files that name plugins, searched in this order before the installed modules.
    """

    def __init__(self, folders: list[str]) -> None:
        self._folders = folders
        self._modules: dict[str, _Module | None] = {}
        self._names: dict[Kind, set[str]] = {"task": set(), "subscriber": set()}
        self._certain = True
        self.wrong: list[Wrong] = []

    def add(self, name: str) -> bool:
        """Reads a plugin; False where no such module is found."""
        module = self._module(name)
        if module is None:
            return False
        for function in list(module.marks):
            self._take(module, function, frozenset())
        for function in module.imports:
            self._take(module, function, frozenset())
        self._certain = self._certain and module.certain
        return True

    def names(self, kind: Kind) -> set[str]:
        return self._names[kind]

    @property
    def certain(self) -> bool:
        """Whether the names are all that there are; not where one is computed, or a module has no source."""
        return self._certain

    def _take(self, module: _Module, function: str, seen: frozenset[tuple[str, str]]) -> None:
        for kind, name in module.marks.get(function, ()):
            self._names[kind].add(name)
        origin = module.imports.get(function)
        if origin is None or origin in seen or len(self._modules) >= MAX_MODULES:
            return
        other = self._module(origin[0]) if _may_hold_tasks(origin[0]) else None
        if other is None:
            return
        wanted = [*other.marks, *other.imports] if origin[1] == "*" else [origin[1]]
        for below in wanted:
            self._take(other, below, seen | {origin})

    def _module(self, name: str) -> _Module | None:
        if name not in self._modules:
            self._modules[name] = None
            spec = self._find(name)
            if spec is not None:
                self._modules[name] = self._read(name, spec)
        return self._modules[name]

    def _find(self, name: str) -> ModuleSpec | None:
        """Where a module is, without importing its parents."""
        search: list[str] | None = None
        parts = name.split(".")
        found: ModuleSpec | None = None
        for index in range(len(parts)):
            whole = ".".join(parts[: index + 1])
            found = PathFinder.find_spec(whole, self._folders) if index == 0 else None
            for finder in sys.meta_path:
                if found is None:
                    try:
                        found = finder.find_spec(whole, search)
                    except (ImportError, AttributeError, ValueError):
                        continue
            if found is None:
                return None
            search = list(found.submodule_search_locations or [])
        return found

    def _read(self, name: str, spec: ModuleSpec) -> _Module:
        file = spec.origin or ""
        if not file.endswith(".py"):
            # A namespace package holds nothing itself; compiled modules keep their names to themselves.
            return _Module({}, {}, certain=spec.submodule_search_locations is not None)
        source = Source(os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file, file)
        try:
            source.text = files.read_text(file, MAX_BYTES)
            tree = ast.parse(source.text)
        except files.Unreadable as error:
            self.wrong.append(Wrong(source, error.where or Span(0, 0, 1), error.reason))
        except SyntaxError as error:
            where = Span(error.lineno or 1, error.offset or 1, 1)
            self.wrong.append(Wrong(source, where, f"this is no Python: {error.msg}"))
        except (ValueError, RecursionError, MemoryError):
            self.wrong.append(Wrong(source, Span(1, 1, 1), "this file is too deep to be read as Python"))
        else:
            package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
            return _Reader(package).read(tree)
        return _Module({}, {}, certain=False)


class _Module(NamedTuple):
    """A module's marks by function, its imported names by where they come from, and whether that is all."""

    marks: dict[str, list[tuple[Kind, str]]]
    imports: dict[str, tuple[str, str]]
    certain: bool = True


class _Reader:
    """Finds the marks in one module's syntax tree."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._decorators: dict[str, Kind] = {}
        self._aliases: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._certain = True
        self._marks: dict[str, list[tuple[Kind, str]]] = {}
        self._imports: dict[str, tuple[str, str]] = {}

    def read(self, tree: ast.Module) -> _Module:
        for statement in _statements(tree.body):
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    self._aliases[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            elif isinstance(statement, ast.ImportFrom):
                self._from(statement)
            elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in statement.decorator_list:
                    self._mark(statement.name, decorator)
            elif isinstance(statement, ast.Assign):
                self._assigned(statement)
        return _Module(self._marks, self._imports, self._certain)

    def _from(self, statement: ast.ImportFrom) -> None:
        module = statement.module or ""
        if statement.level:
            parents = self._package.split(".")
            kept = parents[: len(parents) - statement.level + 1]
            module = ".".join([*kept, module] if module else kept)
        for alias in statement.names:
            name = alias.asname or alias.name
            if module in _HOMES and alias.name in _KINDS:
                self._decorators[name] = _KINDS[alias.name]
            elif module == "runtime" and alias.name == "plugins":
                self._aliases[name] = "runtime.plugins"
            else:
                self._imports[f"*{module}" if alias.name == "*" else name] = (module, alias.name)

    def _assigned(self, statement: ast.Assign) -> None:
        target, value = statement.targets[0], statement.value
        if not isinstance(target, ast.Name):
            return
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            self._texts[target.id] = value.value
        elif isinstance(value, ast.Call):
            self._mark(target.id, value.func)

    def _mark(self, function: str, decorator: ast.expr) -> None:
        if not isinstance(decorator, ast.Call):
            return
        kind = self._kind(decorator.func)
        if kind is None:
            return
        argument = next(
            (word.value for word in decorator.keywords if word.arg == "name"),
            decorator.args[0] if decorator.args else None,
        )
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            name: str | None = argument.value
        else:
            name = self._texts.get(argument.id) if isinstance(argument, ast.Name) else None
        if name is None:
            self._certain = False
        else:
            self._marks.setdefault(function, []).append((kind, name))

    def _kind(self, called: ast.expr) -> Kind | None:
        if isinstance(called, ast.Name):
            return self._decorators.get(called.id)
        if isinstance(called, ast.Attribute) and called.attr in _KINDS:
            parts = list(_dotted(called.value))
            home = ".".join([self._aliases.get(parts[0], ""), *parts[1:]]) if parts else ""
            return _KINDS[called.attr] if home in _HOMES else None
        return None


def _dotted(expression: ast.expr) -> Iterator[str]:
    if isinstance(expression, ast.Attribute):
        yield from _dotted(expression.value)
        yield expression.attr
    elif isinstance(expression, ast.Name):
        yield expression.id


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported, those inside `if`, `try` and `with` included."""
    waiting = list(reversed(body))
    while waiting:
        statement = waiting.pop()
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With | ast.For | ast.While):
            inner = [*statement.body, *getattr(statement, "orelse", ()), *getattr(statement, "finalbody", ())]
            for handler in getattr(statement, "handlers", ()):
                inner += handler.body
            waiting += reversed(inner)


def _may_hold_tasks(module: str) -> bool:
    """Whether to look for marks in an imported module: not in the standard library, nor in ourselves."""
    top = module.partition(".")[0]
    return bool(top) and top not in sys.stdlib_module_names and top != "runtime"
