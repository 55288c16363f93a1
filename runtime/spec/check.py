"""Everything that can be known of a spec without running it: shape, references and the names that must exist
elsewhere.

All checks run on the merged plain data, each for itself, so that a mistake in one place hides none in
another.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from runtime.spec import cron, files, references
from runtime.spec.defaults import with_built_in
from runtime.spec.diagnostics import LIMIT, Diagnostic, Severity, ordered, printable, quoted
from runtime.spec.places import Path, Place, diagnose
from runtime.spec.shapes import is_secret
from runtime.spec.suggest import Speller
from runtime.spec.validator import Problem, Validator

if TYPE_CHECKING:
    from runtime.spec.overlay import Composition
    from runtime.spec.shapes import Marked, Shapes

MAX_SCHEMA_BYTES = 1024 * 1024
_LEAST_SECRET = 4
"""Shorter texts are not masked: half of every line would turn into stars."""


class Report:
    """Collects diagnostics about the merged data of one composition.

    Args:
        composition: the files and their places.
        secrets: literal secrets that must not be shown.
    """

    def __init__(self, composition: Composition, secrets: frozenset[str] = frozenset()) -> None:
        self._root = composition.place
        self._secrets = secrets
        self.diagnostics: list[Diagnostic] = list(composition.diagnostics)

    def add(
        self,
        path: Path,
        message: str,
        suggestion: str | None = None,
        *,
        on_key: bool = False,
        severity: Severity = "error",
        part: tuple[str, int, int] | None = None,
    ) -> None:
        """Notes one diagnostic.

        Args:
            path: the keys that lead to the value.
            message: what is wrong and what to write.
            suggestion: the bare replacement.
            on_key: whether the key is meant, not its value.
            severity: how bad it is.
            part: of a text value the text, and where the meant part begins and how long it is.
        """
        if self._root is None:
            return
        place = self._root.at(path)
        if part is not None:
            where = place.inner_span(*part)
        elif on_key or not self._reaches(path):
            where = place.key_span()
        else:
            where = place.value_span()
        self.diagnostics.append(
            diagnose(
                place.source,
                where,
                path,
                message,
                suggestion=suggestion,
                severity=severity,
                secrets=self._secrets,
            )
        )

    def problem(self, problem: Problem) -> None:
        self.add(problem.path, problem.message, problem.suggestion, on_key=problem.on_key)

    def _reaches(self, path: Path) -> bool:
        place: Place | None = self._root
        for part in path:
            place = place.child(part) if place is not None else None
        return place is not None


def recheck(
    composition: Composition, shapes: Shapes, data: dict[str, Any], secrets: frozenset[str]
) -> list[Diagnostic]:
    """The errors that a spec has only once its references are resolved.

    Args:
        composition: where everything was written.
        shapes: the schema.
        data: the merged data with its references resolved.
        secrets: what must not be shown.
    """
    report = Report(composition, secrets)
    for problem in Validator(shapes, references=False).problems(data):
        report.problem(problem)
    _Checks(composition, shapes, report, data).values()
    return [
        found for found in ordered(report.diagnostics, composition.source.name) if found.severity == "error"
    ][:LIMIT]


def check(composition: Composition, shapes: Shapes) -> list[Diagnostic]:
    """Every error and warning of a spec, in order.

    Example:
        >>> check(compose("specs/production.yaml"), Shapes(load_schema()))
        []
    """
    report = Report(composition, literal_secrets(composition.data, shapes))
    if composition.place is not None:
        for problem in Validator(shapes, partial=not composition.whole).problems(composition.data):
            report.problem(problem)
        _Checks(composition, shapes, report).run()
    return ordered(report.diagnostics, composition.source.name)[:LIMIT]


def literal_secrets(data: Any, shapes: Shapes) -> frozenset[str]:
    """The secrets that stand in the file itself rather than behind a reference."""
    found = (mark.value for mark in shapes.marked(data, is_secret) if "${" not in mark.value)
    return frozenset(value for value in found if len(value) >= _LEAST_SECRET)


class _Checks:
    """The checks that look beyond one value."""

    def __init__(
        self, composition: Composition, shapes: Shapes, report: Report, resolved: dict[str, Any] | None = None
    ) -> None:
        data = composition.data if resolved is None else resolved
        self._composition = composition
        self._resolved = resolved is not None
        self._shapes = shapes
        self._report = report
        self._speller = Speller()
        self._names: dict[str, Collection[str] | None] = {}
        queues = next(
            leaf for leaf in shapes.leaves(shapes.schema["properties"]["queues"]) if "x-built-in" in leaf
        )
        self._own = data
        self._data = with_built_in(data, queues["x-built-in"], shapes.schema["properties"])

    def run(self) -> None:
        """All checks, for data whose references stand as they were written."""
        self.values()
        for path, text in reference_texts(self._own, self._shapes):
            self._template(path, text)

    def values(self) -> None:
        """The checks of values; a reference that is still one is passed over."""
        kinds: dict[str, Callable[[Marked], None]] = {
            "cron": self._cron,
            "timezone": self._timezone,
            "path": self._path,
            "secret": self._secret,
        }
        marked = [
            mark
            for mark in self._shapes.marked(
                self._own, lambda leaf: "x-ref" in leaf or leaf.get("x-kind") in kinds
            )
            if not self._is_open(mark.value)
        ]
        for mark in marked:
            if mark.leaf.get("x-kind") in kinds:
                kinds[mark.leaf["x-kind"]](mark)
            if self._composition.whole and "x-ref" in mark.leaf:
                self._reference(mark)
        if self._composition.whole:
            self._handlers([mark for mark in marked if mark.leaf.get("x-ref") in ("handlers", "subscribers")])
            self._ranges()
            self._processes()

    def _is_open(self, value: str) -> bool:
        return not self._resolved and "${" in value

    # Names that must exist elsewhere

    def _reference(self, mark: Marked) -> None:
        target = mark.leaf["x-ref"]
        if target == "ai.models":
            self._declared(mark, "ai.providers", mark.value.partition("/")[0], "model")
        elif target == "events.types":
            self._event_type(mark)
        elif target not in ("handlers", "subscribers"):
            self._declared(mark, target, mark.value, "")

    def _declared(self, mark: Marked, target: str, name: str, what: str) -> None:
        names = self._entries(target)
        if names is None or name in names or not name:
            return
        kind = _singular(target)
        near = self._speller.nearest(name, names)
        message = f"no {kind} {quoted(name)} is declared under {target}"
        better = f"{near}{mark.value[len(name) :]}" if near else None
        if near:
            message += f", did you mean {quoted(near)}?"
        elif names:
            message += f"; there are {', '.join(sorted(map(printable, names))[:12])}"
        self._report.add(mark.path, message, better, on_key=mark.on_key)

    def _entries(self, target: str) -> Collection[str] | None:
        """The names under a path of the spec; None where what stands there is no mapping, which is an error
        by itself.
        """
        if target not in self._names:
            self._names[target] = self._keys(tuple(target.split(".")))
        return self._names[target]

    def _keys(self, path: Path) -> Collection[str] | None:
        value: Any = self._data
        for part in path:
            if value is None:
                return ()
            if not isinstance(value, Mapping):
                return None
            value = value.get(part)
        if value is None:
            return ()
        return [key for key in value if not key.startswith("x-")] if isinstance(value, Mapping) else None

    def _event_type(self, mark: Marked) -> None:
        """A type must be one of the stream that stands beside it."""
        *above, _ = mark.path if not isinstance(mark.path[-1], int) else mark.path[:-1]
        beside = self._value(tuple(above))
        stream = beside.get("stream") if isinstance(beside, dict) else None
        if not isinstance(stream, str) or stream not in (self._entries("events.streams") or ()):
            return
        types = self._keys(("events", "streams", stream, "events"))
        if types is None or mark.value in types:
            return
        near = self._speller.nearest(mark.value, types)
        others = [
            name for name in self._entries("events.streams") or () if mark.value in (self._types(name) or ())
        ]
        message = f"the stream {quoted(stream)} has no event {quoted(mark.value)}"
        if near:
            message += f", did you mean {quoted(near)}?"
        elif others:
            message += f"; it belongs to the stream {quoted(others[0])}"
        self._report.add(mark.path, message, near)

    def _types(self, stream: str) -> Collection[str] | None:
        return self._keys(("events", "streams", stream, "events"))

    def _value(self, path: Path) -> Any:
        value: Any = self._data
        for part in path:
            if isinstance(part, int):
                value = value[part] if isinstance(value, list) and part < len(value) else None
            else:
                value = value.get(part) if isinstance(value, Mapping) else None
        return value

    # Functions of the plugins

    def _handlers(self, marked: list[Marked]) -> None:
        schema = self._shapes.schema
        known = {
            "handlers": frozenset(schema.get("x-built-in-handlers", ())),
            "subscribers": frozenset(schema.get("x-built-in-subscribers", ())),
        }
        plugins = self._data.get("plugins")
        plugins = plugins if isinstance(plugins, list) else []
        unknown = [mark for mark in marked if mark.value and mark.value not in known[mark.leaf["x-ref"]]]
        if not plugins and not unknown:
            return
        from runtime.spec.marks import Kind, Marks

        marks = Marks([self._folder(("plugins", index)) for index in range(len(plugins))])
        for index, module in enumerate(plugins):
            if isinstance(module, str) and module and not self._is_open(module) and not marks.add(module):
                self._missing_plugin(("plugins", index), module)
        for wrong in marks.wrong:
            self._report.diagnostics.append(diagnose(wrong.source, wrong.where, (), wrong.message))
        kinds: dict[str, Kind] = {"handlers": "task", "subscribers": "subscriber"}
        unknown = [m for m in unknown if m.value not in marks.names(kinds[m.leaf["x-ref"]])]
        if unknown:
            _add_installed(marks)
        whole = marks.certain and not any(
            isinstance(module, str) and self._is_open(module) for module in plugins
        )
        for mark in unknown if not marks.wrong else ():
            kind = kinds[mark.leaf["x-ref"]]
            if mark.value not in marks.names(kind):
                self._unknown_handler(
                    mark, kind, known[mark.leaf["x-ref"]] | marks.names(kind), certain=whole
                )

    def _unknown_handler(self, mark: Marked, kind: str, names: Collection[str], *, certain: bool) -> None:
        if not certain:
            message = (
                f"no @{kind}({quoted(mark.value)}) is seen in the plugins, which name some only when they run"
            )
            self._report.add(mark.path, message, severity="warning")
            return
        near = self._speller.nearest(mark.value, names)
        message = f"no @{kind}({quoted(mark.value)}) in the plugins, and none of that name is built in"
        hint = f", did you mean {quoted(near)}?" if near else '; name the module that has it under "plugins"'
        self._report.add(mark.path, message + hint, near)

    def _folder(self, path: Path) -> str:
        """The folder of the file in which a value was written."""
        place = self._composition.place
        return place.at(path).source.folder if place is not None else self._composition.source.folder

    def _missing_plugin(self, path: Path, module: str) -> None:
        folder = self._folder(path)
        try:
            beside = [name.removesuffix(".py") for name in os.listdir(folder)[:1000] if name.endswith(".py")]
        except OSError:
            beside = []
        near = self._speller.nearest(module, beside)
        hint = f", did you mean {quoted(near)}?" if near else f"; create {module.replace('.', '/')}.py there"
        self._report.add(path, f"no module {quoted(module)} beside the spec or installed{hint}", near)

    # Values with a meaning

    def _cron(self, mark: Marked) -> None:
        import re

        if re.search(mark.leaf.get("pattern", ""), mark.value):
            wrong = cron.fault(mark.value)
            if wrong:
                self._report.add(mark.path, wrong)

    def _timezone(self, mark: Marked) -> None:
        if mark.value == "UTC" or not mark.value:
            return
        import zoneinfo

        try:
            zoneinfo.ZoneInfo(mark.value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            zones = zoneinfo.available_timezones()
            if not zones:
                self._report.add(
                    mark.path, "this machine knows no time zones; install tzdata", severity="warning"
                )
                return
            near = self._speller.nearest(mark.value, sorted(zones))
            hint = f", did you mean {quoted(near)}?" if near else '; write a name such as "Europe/Vienna"'
            self._report.add(mark.path, f"there is no time zone {quoted(mark.value)}{hint}", near)

    def _path(self, mark: Marked) -> None:
        """Files that belong to the spec must be there; those of the machine that it will run on need not."""
        wanted = _FILES.get(str(mark.path[-1]))
        if wanted is None or self._composition.place is None or not mark.value:
            return
        folder = self._folder(mark.path)
        file = os.path.join(folder, mark.value)
        reason = wanted(file)
        if reason is not None:
            near = files.nearest(file.rstrip("/")) if reason.startswith("there is no") else None
            better = os.path.join(os.path.dirname(mark.value.rstrip("/")), near) if near else None
            hint = f", did you mean {quoted(better)}?" if better else ""
            self._report.add(mark.path, f"{reason}: {quoted(mark.value)}{hint}", better)

    def _secret(self, mark: Marked) -> None:
        if self._data.get("environment") == "production":
            message = (
                "a secret stands in the file; write a reference, such as ${NAME} or ${file:/run/secrets/name}"
            )
            self._report.add(mark.path, message, severity="warning")

    # Values that must agree

    def _ranges(self) -> None:
        queues = self._data.get("queues")
        for name, queue in queues.items() if isinstance(queues, Mapping) else ():
            bounds = queue.get("concurrency") if isinstance(queue, Mapping) else None
            if not isinstance(bounds, Mapping):
                continue
            least, most = _whole(bounds.get("min")), _whole(bounds.get("max"))
            if least is not None and most is not None and least > most:
                message = f"min is greater than max: {least} > {most}"
                written = self._written(("queues", name, "concurrency"), ("min", "max"))
                self._report.add(written, message)

    def _written(self, path: Path, keys: tuple[str, ...]) -> Path:
        """The first of some keys that stands in a file, rather than among the built-in figures."""
        place = self._composition.place.at(path) if self._composition.place else None
        return next(((*path, key) for key in keys if place is not None and place.child(key)), path)

    def _processes(self) -> None:
        processes, backend = self._value(("processes",)), self._value(("events", "backend"))
        if backend != "memory" or not isinstance(processes, Mapping):
            return
        api, workers = _whole(processes.get("api")), _whole(processes.get("workers"))
        if (api or 1) > 1 or (workers or 0) > 0:
            message = (
                'events in memory stay within one process, and "processes" asks for several; write redis'
            )
            self._report.add(("events", "backend"), message, "redis")

    # References

    def _template(self, path: Path, text: str) -> None:
        template = references.parse(text)
        for wrong in template.malformed:
            part = (text, wrong.offset, wrong.length)
            self._report.add(path, wrong.message, wrong.suggestion, part=part)
        for reference in template.references:
            if reference.kind == "vault" and self._composition.whole:
                self._vault(path, text, reference)

    def _vault(self, path: Path, text: str, reference: references.Reference) -> None:
        paths = self._entries("secrets.vault.paths")
        part = (text, reference.offset, reference.length)
        if self._value(("secrets", "vault")) is None:
            self._report.add(path, "this needs Vault, and there is no section secrets.vault", part=part)
        elif "/" not in reference.name and paths is not None and reference.name not in paths:
            near = self._speller.nearest(reference.name, paths)
            message = f"no path {quoted(reference.name)} is declared under secrets.vault.paths"
            hint = f", did you mean {quoted(near)}?" if near else "; a raw path has a slash, secret/data/app"
            self._report.add(path, message + hint, near, part=part)


def reference_texts(data: Any, shapes: Shapes) -> Iterator[tuple[Path, str]]:
    """Every text with a dollar sign and its path, outside of the user's own `x-` keys."""
    waiting: list[tuple[Path, Any]] = [((), data)]
    while waiting:
        path, container = waiting.pop()
        items = container.items() if isinstance(container, dict) else enumerate(container)
        for part, value in items:
            if isinstance(value, str):
                if "$" in value and not _is_own((*path, part), data, shapes):
                    yield (*path, part), value
            elif isinstance(value, dict | list):
                waiting.append(((*path, part), value))


def _is_own(path: Path, data: Any, shapes: Shapes) -> bool:
    """Whether a path goes through an `x-` key that the schema leaves to the user."""
    for depth, part in enumerate(path):
        if isinstance(part, str) and part.startswith("x-"):
            field, value = shapes.at(path[:depth], data), data
            for step in path[:depth]:
                value = value[step]
            leaf = shapes.mapping(field, value) if field is not None and isinstance(value, dict) else None
            if leaf is not None and "patternProperties" in leaf:
                return True
    return False


def _add_installed(marks: Any) -> None:
    """Plugins that installed packages bring by themselves; looked at only where a name is still missing."""
    from importlib.metadata import entry_points

    for entry in entry_points(group="runtime.plugins"):
        marks.add(entry.module)


def _folder_fault(file: str) -> str | None:
    if _is(os.path.isdir, file):
        return None
    return "this is a file, not a folder" if _is(os.path.exists, file) else "there is no folder of this name"


def _file_fault(file: str) -> str | None:
    if _is(os.path.isfile, file):
        return None
    return "this is no regular file" if _is(os.path.exists, file) else "there is no file of this name"


def _json_fault(file: str) -> str | None:
    try:
        content = json.loads(files.read_text(file, MAX_SCHEMA_BYTES))
    except files.Unreadable as error:
        return "there is no file of this name" if error.missing else error.reason
    except json.JSONDecodeError as error:
        return f"the file is no JSON ({error.msg} at line {error.lineno}, column {error.colno})"
    except (ValueError, RecursionError):
        return "the file is no JSON"
    return None if isinstance(content, dict | bool) else "the file is JSON, but no JSON Schema"


def _is(test: Callable[[str], bool], file: str) -> bool:
    try:
        return test(file)
    except ValueError:
        return False


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _singular(target: str) -> str:
    name = target.rpartition(".")[2]
    return f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")


_FILES: dict[str, Callable[[str], str | None]] = {
    "template": _folder_fault,
    "code_file": _file_fault,
    "payload": _json_fault,
    "schema": _json_fault,
}
