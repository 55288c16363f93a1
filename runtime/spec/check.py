"""Everything that can be known of a spec without running it: its shape, its references, and what must exist elsewhere.

All checks run on the merged plain data, each for itself, so that a mistake in one place hides none in another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtime.spec import references
from runtime.spec.diagnostics import LIMIT, ordered
from runtime.spec.handlers import Handlers
from runtime.spec.meanings import KINDS, Meanings
from runtime.spec.names import FUNCTIONS, Names
from runtime.spec.report import Report, literal_secrets
from runtime.spec.validator import Validator
from runtime.spec.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.spec.diagnostics import Diagnostic
    from runtime.spec.overlay import Composition
    from runtime.spec.places import Path
    from runtime.spec.shapes import Schema, Shapes


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
    _check_values(View(composition, shapes, report, data))
    return [found for found in ordered(report.diagnostics, composition.source.name) if found.severity == "error"][
        :LIMIT
    ]


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
        view = View(composition, shapes, report)
        _check_values(view)
        _check_references(view)
    return ordered(report.diagnostics, composition.source.name)[:LIMIT]


def _check_values(view: View) -> None:
    """Looks beyond single values; one that is still a reference is passed over."""
    whole = view.composition.whole
    names, meanings = Names(view), Meanings(view)
    marked = [mark for mark in view.shapes.marked(view.written, _is_checked) if not view.is_open(mark.value)]
    for mark in marked:
        if mark.leaf.get("x-kind") in KINDS:
            meanings.check(mark)
        if whole and "x-ref" in mark.leaf:
            names.check(mark)
    if whole:
        Handlers(view).check([mark for mark in marked if mark.leaf.get("x-ref") in FUNCTIONS])
        _check_ranges(view)
        _check_processes(view)
        _check_audit(view)
        if view.data.get("routines"):
            from runtime.spec.dataflow import Dataflow

            Dataflow(view).check()


def _is_checked(leaf: Schema) -> bool:
    return "x-ref" in leaf or leaf.get("x-kind") in KINDS


def _check_ranges(view: View) -> None:
    queues = view.data.get("queues")
    for name, queue in queues.items() if isinstance(queues, Mapping) else ():
        bounds = queue.get("concurrency") if isinstance(queue, Mapping) else None
        if not isinstance(bounds, Mapping):
            continue
        least, most = _whole(bounds.get("min")), _whole(bounds.get("max"))
        if least is not None and most is not None and least > most:
            message = f"min is greater than max: {least} > {most}"
            written = _written(view, ("queues", name, "concurrency"), ("min", "max"))
            view.report.add(written, message)


def _written(view: View, path: Path, keys: tuple[str, ...]) -> Path:
    """The first of some keys that stands in a file, rather than among the built-in figures."""
    place = view.composition.place.at(path) if view.composition.place else None
    return next(((*path, key) for key in keys if place is not None and place.child(key)), path)


def _check_processes(view: View) -> None:
    processes, backend = view.value(("processes",)), view.value(("events", "backend"))
    if backend != "memory" or not isinstance(processes, Mapping):
        return
    api, workers = _whole(processes.get("api")), _whole(processes.get("workers"))
    if (api or 1) > 1 or (workers or 0) > 0:
        message = 'events in memory stay within one process, and "processes" asks for several; write redis'
        view.report.add(("events", "backend"), message, "redis")


def _check_audit(view: View) -> None:
    subscriptions = view.value(("events", "subscriptions"))
    if view.value(("observability", "audit")) is not False or not isinstance(subscriptions, Mapping):
        return
    for name, subscription in subscriptions.items():
        if isinstance(subscription, Mapping) and subscription.get("handler") == "audit.record":
            message = "audit.record writes into the audit trail, which observability.audit turns off"
            view.report.add(("events", "subscriptions", name, "handler"), message)


def _check_references(view: View) -> None:
    names = Names(view)
    for path, text in reference_texts(view.written, view.shapes):
        template = references.parse(text)
        for wrong in template.malformed:
            part = (text, wrong.offset, wrong.length)
            view.report.add(path, wrong.message, wrong.suggestion, part=part)
        for reference in template.references:
            if reference.kind == "vault" and view.composition.whole:
                names.vault(path, text, reference)


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


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
