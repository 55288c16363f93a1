"""YAML to plain data and the place of every key and value, from one pass over the parser's events.

PyYAML's own loader recurses (100,000 levels of nesting end the process), keeps the last of two equal keys, reads `no`
as false and forgets positions. This one is a loop with caps, refuses what is ambiguous, and goes on after a mistake
where it can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yaml import CSafeLoader, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from runtime.spec.collector import Paused
from runtime.spec.diagnostics import LIMIT, Diagnostic, printable, quoted
from runtime.spec.places import Path, Place, Source, Span, diagnose, span
from runtime.spec.scalars import scalar
from runtime.spec.suggest import Speller
from runtime.spec.syntax import explain

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 100_000
"""Values after aliases have been followed: ten aliases of ten aliases of … are counted as often as they
stand.
"""

_MERGE = "\0merge"
_DROP = "\0drop"
_HIDDEN = (_MERGE, _DROP)
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),),
}  # fmt: skip
_TAGS = "tag:yaml.org,2002:"


class Document:
    """One parsed file.

    Args:
        data: plain data; None where the file could not be read to its end.
        place: the place of the root.
        diagnostics: what is wrong with the text itself.
        nodes: how many values it holds, aliases followed.
    """

    __slots__ = ("data", "diagnostics", "nodes", "place", "source")

    def __init__(
        self, source: Source, data: Any, place: Place | None, diagnostics: list[Diagnostic], nodes: int = 0
    ) -> None:
        self.source = source
        self.data = data
        self.place = place
        self.diagnostics = diagnostics
        self.nodes = nodes


class _Stop(Exception):  # noqa: N818 - ends the loop; the diagnostic has been noted
    """The rest of the text cannot be understood or must not be read."""


class _Anchor:
    """A value that has a name: what it is, and what an alias of it costs."""

    __slots__ = ("height", "nodes", "place", "value")

    def __init__(self, value: Any, place: Place, nodes: int) -> None:
        self.value = value
        self.place = place
        self.nodes = nodes
        self.height = -1


class _Frame:
    """An open mapping or list."""

    __slots__ = ("anchor", "begun", "children", "container", "entry", "key", "key_event", "special")

    def __init__(self, container: Any, children: Any, event: Any, begun: int, entry: Place) -> None:
        self.container = container
        self.children = children
        self.key: str | None = None
        self.key_event: Any = None
        self.anchor: str | None = event.anchor
        self.begun = begun
        self.entry = entry
        self.special = False


def parse(source: Source) -> Document:
    """Reads one document.

    Never raises for what stands in the text: whatever it is ends in `Document.diagnostics`.

    Example:
        >>> document = parse(Source("a.yaml", "/x/a.yaml", "port: 010"))
        >>> document.data
        {'port': '010'}
        >>> document.place.at(("port",)).value_span()
        Span(line=1, column=7, length=3)
    """
    composer = _Composer(source)
    try:
        with Paused():
            composer.run()
    except _Stop:
        return Document(source, None, None, composer.diagnostics)
    except YAMLError as error:
        where, message = explain(source, error, composer.opened())
        composer.report(where, message)
        return Document(source, None, None, composer.diagnostics)
    return Document(source, composer.root, composer.place, composer.diagnostics, composer.nodes)


class _Composer:
    """Builds data and places out of events."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.root: Any = None
        self.place: Place | None = None
        self.stack: list[_Frame] = []
        self.anchors: dict[str, _Anchor] = {}
        self.nodes = 0
        self.speller = Speller()

    def run(self) -> None:
        """The loop. It is the one hot place of the language, hence its length and its locals."""
        source, stack, new = self.source, self.stack, tuple.__new__  # a third of what Place(...) takes
        next_event: Callable[[], Any] = CSafeLoader(source.text).get_event
        frame: _Frame | None = None
        while True:
            event = next_event()
            kind = type(event)
            children: Any = None
            if kind is ScalarEvent:
                self.nodes += 1
                if frame is not None and frame.key is None and type(frame.container) is dict:
                    self._key(frame, event)
                    continue
                value = self._scalar(event)
            elif kind is MappingStartEvent:
                value, children = {}, {}
            elif kind is SequenceStartEvent:
                value, children = [], []
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                if frame is not None:
                    self._close(frame)
                stack.pop()
                frame = stack[-1] if stack else None
                continue
            elif kind is AliasEvent:
                if frame is not None and frame.key is None and type(frame.container) is dict:
                    self._alias_key(frame, event)
                    continue
                value, children = self._alias(event)
            elif kind is StreamEndEvent:
                return
            else:
                if kind is DocumentStartEvent and self.place is not None:
                    self.report(span(event), "a second document begins here; a spec is one document")
                    raise _Stop
                continue

            place = new(Place, (source, frame.key_event if frame is not None else None, event, children))
            if frame is None:
                self.root, self.place = value, place
            elif type(frame.container) is list:
                frame.container.append(value)
                frame.children.append(place)
            elif frame.key is None:
                self._odd_key(frame, event)
            else:
                frame.container[frame.key] = value
                frame.children[frame.key] = place
                frame.key = None
                frame.key_event = None
            if kind is ScalarEvent:
                if event.anchor is not None:
                    self.anchors[event.anchor] = _Anchor(value, place, 1)
            elif kind is not AliasEvent:
                frame = self._open(value, children, event, place)

    def _open(self, container: Any, children: Any, event: Any, place: Place) -> _Frame:
        if len(self.stack) >= MAX_DEPTH:
            self.report(span(event), f"nested deeper than {MAX_DEPTH} levels; no spec needs that")
            raise _Stop
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._too_many(event)
        expected = "map" if type(container) is dict else "seq"
        if event.tag is not None and event.tag not in ("!", f"{_TAGS}{expected}"):
            self._bad_tag(event)
        frame = _Frame(container, children, event, self.nodes - 1, place)
        if event.anchor is not None:
            # An alias inside its own anchor must find it open, not an older one of that name.
            self.anchors.pop(event.anchor, None)
        self.stack.append(frame)
        return frame

    def _close(self, frame: _Frame) -> None:
        if frame.special:
            self._finish(frame)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = _Anchor(frame.container, frame.entry, self.nodes - frame.begun)

    def _key(self, frame: _Frame, event: Any) -> None:
        text: str = event.value
        if self.nodes > MAX_NODES:
            self._too_many(event)
        if event.implicit[0]:
            if text == "<<":
                self._merge_key(frame, event)
                return
            if not text or text[0] in "-+.0123456789nNtTfF~":
                self._check_key(text, event)
        elif "\0" in text:
            self._report_here(event, "a key cannot hold the character NUL")
            text = text.replace("\0", "")
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchor(text, Place(self.source, None, event, None), 1)
        self._set_key(frame, text, event)

    def _set_key(self, frame: _Frame, text: str, event: Any) -> None:
        if text in frame.children:
            first = frame.children[text].key_span()
            self._report_here(
                event,
                f"duplicate key {quoted(text)}, first written at line {first.line}, column {first.column}",
                path=(*self._path(), text),
            )
            frame.special = True
            text = _DROP
        frame.key = text
        frame.key_event = event

    def _check_key(self, text: str, event: Any) -> None:
        try:
            value = scalar(text)
        except ValueError:
            value = None
        if not isinstance(value, str):
            what = "a number" if isinstance(value, int | float) and not isinstance(value, bool) else "no text"
            shown = printable(text) or "an empty key"
            self._report_here(event, f"a key is text, and {shown} is {what}; put it in quotes", suggestion=f'"{text}"')

    def _odd_key(self, frame: _Frame, event: Any) -> None:
        self._report_here(event, "a key is text; a mapping or a list cannot be one")
        frame.special = True
        frame.key = _DROP
        frame.key_event = event

    def _alias_key(self, frame: _Frame, event: Any) -> None:
        value, _ = self._alias(event)
        if isinstance(value, str):
            self._set_key(frame, value, event)
        else:
            self._odd_key(frame, event)

    def _merge_key(self, frame: _Frame, event: Any) -> None:
        if _MERGE in frame.children:
            self._report_here(event, "two << keys in one mapping; write one, <<: [*first, *second]")
        frame.special = True
        frame.key = _MERGE
        frame.key_event = event

    def _finish(self, frame: _Frame) -> None:
        """Takes out what stood under `<<` and merges it: the mapping's own keys win, then the first of a list."""
        frame.container.pop(_DROP, None)
        frame.children.pop(_DROP, None)
        place: Place | None = frame.children.pop(_MERGE, None)
        if place is None:
            return
        merged = frame.container.pop(_MERGE)
        sources = (
            list(zip(merged, place.children, strict=True))
            if isinstance(merged, list) and isinstance(place.children, list)
            else [(merged, place)]
        )
        for value, where in sources:
            if not isinstance(value, dict) or not isinstance(where.children, dict):
                self.report(where.value_span(), "<< takes a mapping or a list of mappings", self._path())
                continue
            for key, below in value.items():
                if key not in frame.children:
                    frame.container[key] = below
                    frame.children[key] = where.children[key]

    def _scalar(self, event: Any) -> Any:
        if self.nodes > MAX_NODES:
            self._too_many(event)
        text: str = event.value
        plain, quotes = event.implicit
        try:
            if plain:
                return scalar(text)
            if not quotes and event.tag != "!":
                return self._tagged(event)
        except ValueError as error:
            self._report_here(event, str(error), path=self._next())
            return None
        if "\0" in text:
            self._report_here(event, "text cannot hold the character NUL", path=self._next())
            return text.replace("\0", "")
        return text

    def _tagged(self, event: Any) -> Any:
        """A scalar with an explicit `!!tag`."""
        tag, text = event.tag.removeprefix(_TAGS), event.value
        if tag == "str":
            return text.replace("\0", "")
        expected = _TYPES.get(tag)
        if expected is None:
            self._bad_tag(event)
            return text.replace("\0", "")
        value = scalar(text)
        if not isinstance(value, expected) or (isinstance(value, bool) and tag != "bool"):
            raise ValueError(f"{quoted(text)} is not of the type !!{tag}")
        return float(value) if tag == "float" and isinstance(value, int) else value

    def _bad_tag(self, event: Any) -> None:
        tag = event.tag.replace(_TAGS, "!!")
        self._report_here(event, f"the tag {printable(tag)} has no meaning here; leave it out")

    def _alias(self, event: Any) -> tuple[Any, Any]:
        anchor = self.anchors.get(event.anchor)
        if anchor is None:
            self._unknown_alias(event)
            return None, None
        self.nodes += anchor.nodes
        if self.nodes > MAX_NODES:
            self._too_many(event)
        if anchor.height < 0:
            anchor.height = _height(anchor.value)
        if len(self.stack) + anchor.height > MAX_DEPTH:
            self.report(span(event), f"nested deeper than {MAX_DEPTH} levels once the alias is followed")
            raise _Stop
        return anchor.value, anchor.place.children

    def _unknown_alias(self, event: Any) -> None:
        name = printable(event.anchor)
        if any(frame.anchor == event.anchor for frame in self.stack):
            self._report_here(event, f"the alias *{name} stands inside its own anchor", path=self._next())
            return
        near = self.speller.nearest(event.anchor, self.anchors)
        hint = f", did you mean *{near}?" if near else f"; write &{name} before the value that it stands for"
        self._report_here(
            event,
            f"no anchor &{name} above this alias{hint}",
            path=self._next(),
            suggestion=near and f"*{near}",
        )

    def _too_many(self, event: Any) -> None:
        self.report(span(event), f"more than {MAX_NODES:,} values, aliases followed; no spec needs that")
        raise _Stop

    def opened(self) -> Span | None:
        """The innermost bracket that is still open; None where indentation does its work."""
        event = self.stack[-1].entry.value if self.stack else None
        return span(event) if event is not None and event.flow_style else None

    def _path(self) -> Path:
        """The path of the innermost open mapping or list."""
        parts = (_part(frame) for frame in self.stack[:-1])
        return tuple(part for part in parts if part is not None and part not in _HIDDEN)

    def _next(self) -> Path:
        """The path of the value that is being read."""
        if not self.stack:
            return ()
        last = _part(self.stack[-1], ahead=True)
        return self._path() if last is None or last in _HIDDEN else (*self._path(), last)

    def _report_here(
        self, event: Any, message: str, *, path: Path | None = None, suggestion: str | None = None
    ) -> None:
        self.report(span(event), message, self._path() if path is None else path, suggestion)

    def report(self, where: Span, message: str, path: Path = (), suggestion: str | None = None) -> None:
        self.diagnostics.append(diagnose(self.source, where, path, message, suggestion=suggestion))
        if len(self.diagnostics) >= LIMIT:
            raise _Stop


def _part(frame: _Frame, *, ahead: bool = False) -> str | int | None:
    if isinstance(frame.container, list):
        return len(frame.container) - (not ahead)
    if ahead:
        return frame.key
    return next(reversed(frame.children), None)


def _height(value: Any) -> int:
    """How many levels a value has; 0 for a scalar."""
    height, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        height += 1
        level = [below for item in level for below in (item.values() if isinstance(item, dict) else item)]
    return height
