"""`extends`: a file laid over others, with the place of every value kept.

Mappings merge deeply, lists and scalars replace, null removes what a base set. Of several bases later ones win, and the
file itself wins over all of them.
"""

from __future__ import annotations

import os.path
import sys
from typing import TYPE_CHECKING, Any

from runtime.spec import files, yaml
from runtime.spec.diagnostics import Diagnostic, printable, quoted
from runtime.spec.places import Place, Source, Span, diagnose

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILES = 64
STDIN = "-"

_EXTENDS = "extends"
Layer = tuple[dict[str, Any], Place]


class Composition:
    """A spec with its bases merged in.

    Args:
        source: the root file, the one that was asked for.
        data: the merged plain data, without `extends`.
        place: where each value of it was written; of a removed key, where it was removed.
        diagnostics: what is wrong with the files themselves.
        whole: whether every file could be read to its end; otherwise missing keys prove nothing.
        files: the absolute names of all that were read, or looked for.
    """

    __slots__ = ("data", "diagnostics", "files", "place", "source", "whole")

    def __init__(
        self,
        source: Source,
        layer: Layer | None,
        diagnostics: list[Diagnostic],
        *,
        whole: bool,
        files: frozenset[str] = frozenset(),
    ) -> None:
        self.source = source
        self.files = files
        self.data: dict[str, Any] = layer[0] if layer else {}
        self.place = layer[1] if layer else None
        self.diagnostics = diagnostics
        self.whole = whole and layer is not None


def compose(name: str, *, text: str | None = None) -> Composition:
    """Reads a file and those that it extends.

    Args:
        name: the file as the user wrote it; `-` is standard input, whose relative paths start from the
            current folder.
        text: what counts as the file's content, in place of what stands there.

    Example:
        >>> compose("specs/production.yaml").data["environment"]
        'production'
    """
    reading = _Reading()
    if name == STDIN:
        source = Source("<stdin>", os.path.abspath("<stdin>"))
    else:
        source = Source(os.path.normpath(name) if name else name, os.path.abspath(name) if name else name)
    if text is not None:
        reading.given[source.file] = text
    layer = reading.layer(source)
    return Composition(source, layer, reading.diagnostics, whole=reading.whole, files=frozenset(reading.files))


def merge(base: Layer, over: Layer) -> Layer:
    """One layer laid over another; neither is changed.

    Example:
        `{a: {b: 1, c: 2}}` and `{a: {b: null, d: 3}}` give `{a: {c: 2, d: 3}}`.
    """
    data, place = dict(base[0]), over[1]
    below = base[1].children
    children: dict[str, Place] = dict(below) if isinstance(below, dict) else {}
    above: dict[str, Place] = place.children if isinstance(place.children, dict) else {}
    for key, value in over[0].items():
        known, here = data.get(key), above[key]
        if value is None:
            data.pop(key, None)
        elif isinstance(value, dict) and isinstance(known, dict):
            data[key], here = merge((known, children[key]), (value, here))
        else:
            data[key] = value
        children[key] = here
    return data, place._replace(children=children)


class _Reading:
    """The files of one composition, each read once."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.whole = True
        self.layers: dict[str, Layer | None] = {}
        self.nodes = 0
        self.open: list[tuple[str, str]] = []
        self.given: dict[str, str] = {}
        self.files: set[str] = set()

    def layer(self, source: Source) -> Layer | None:
        """A file with its bases; None where it could not be read."""
        identity = _identity(source)
        if identity not in self.layers:
            self.open.append((identity, source.name))
            self.layers[identity] = self._merged(source)
            self.open.pop()
        return self.layers[identity]

    def _merged(self, source: Source) -> Layer | None:
        document = self._document(source)
        if document is None or document.place is None or not isinstance(document.data, dict):
            self.whole = False
            return None
        own = {key: value for key, value in document.data.items() if key != _EXTENDS}
        result: Layer | None = None
        for base, place, written in self._bases(document):
            layer = self._base(base, place, written)
            if layer is None:
                self.whole = False
            else:
                result = layer if result is None else merge(result, layer)
        return merge(result, (own, document.place)) if result else (own, document.place)

    def _document(self, source: Source) -> yaml.Document | None:
        self.files.add(source.file)
        try:
            if source.file in self.given:
                source.text = self.given[source.file]
            elif source.name == "<stdin>":
                source.text = files.decoded(sys.stdin.buffer.read(yaml.MAX_BYTES + 1))
            else:
                source.text = files.read_text(source.file, yaml.MAX_BYTES)
        except files.Unreadable as error:
            source.text = error.text
            self._unreadable(source, error)
            return None
        document = yaml.parse(source)
        self.diagnostics += document.diagnostics
        self.nodes += document.nodes
        if self.nodes > yaml.MAX_NODES:
            most = f"{yaml.MAX_NODES:,}"
            self._report(source, Span(0, 0, 1), f"with this file the spec has more than {most} values")
            return None
        if document.place is None:
            if not document.diagnostics:
                self._report(source, Span(1, 1, 1), 'the file is empty; a spec begins with "version: 1"')
            return None
        if not isinstance(document.data, dict) and not (document.data is None and document.diagnostics):
            found = "a list" if isinstance(document.data, list) else "a single value"
            where = document.place.value_span()
            self._report(source, where, f'a spec is a mapping ("version: 1" and so on), this is {found}')
        return document

    def _unreadable(self, source: Source, error: files.Unreadable) -> None:
        near = files.nearest(source.file) if error.missing and source.file else None
        hint = f", did you mean {quoted(near)}?" if near else ""
        self._report(source, error.where or Span(0, 0, 1), f"{error.reason}{hint}", near)

    def _bases(self, document: yaml.Document) -> Iterator[tuple[Source, Place, str]]:
        place = document.place.child(_EXTENDS) if document.place else None
        if place is None:
            return
        value = document.data[_EXTENDS]
        items = value if isinstance(value, list) else [] if value is None else [value]
        for index, item in enumerate(items):
            where = (place.child(index) or place) if isinstance(value, list) else place
            if not isinstance(item, str) or not item or "${" in item:
                text = '"extends" takes a file name or a list of them, and no references; write "base.yaml"'
                self._wrong_base(where, text)
                continue
            if "://" in item:
                self._wrong_base(where, f"{quoted(item)} is an address; a base is a file on this machine")
                continue
            name = os.path.normpath(os.path.join(os.path.dirname(document.source.name), item))
            yield Source(name, os.path.join(document.source.folder, item)), where, item

    def _base(self, source: Source, place: Place, written: str) -> Layer | None:
        identity = _identity(source)
        opened = [name for name, _ in self.open]
        if identity in opened:
            circle = [name for _, name in self.open[opened.index(identity) :]]
            shown = " → ".join(printable(name) for name in [*circle, circle[0]])
            self._wrong_base(place, f'"extends" goes in a circle: {shown}')
            return None
        if identity not in self.layers:
            if len(self.layers) + len(self.open) >= MAX_FILES:
                self._wrong_base(place, f"more than {MAX_FILES} files are extended")
                return None
            self.files.add(source.file)
            if not os.path.lexists(source.file):
                near = files.nearest(source.file)
                hint = f", did you mean {quoted(os.path.join(os.path.dirname(written), near))}?" if near else ""
                self._wrong_base(place, f"there is no file {quoted(source.name)}{hint}", near)
                return None
        return self.layer(source)

    def _wrong_base(self, place: Place, message: str, suggestion: str | None = None) -> None:
        self.whole = False
        where = place.value_span()
        self.diagnostics.append(diagnose(place.source, where, (_EXTENDS,), message, suggestion=suggestion))

    def _report(self, source: Source, where: Span, message: str, suggestion: str | None = None) -> None:
        self.diagnostics.append(diagnose(source, where, (), message, suggestion=suggestion))


def _identity(source: Source) -> str:
    """What makes two names the same file."""
    try:
        return os.path.realpath(source.file) if source.file else ""
    except (OSError, ValueError):  # no name that a file could have
        return source.file
