"""The generated JSON Schema as the rest of the language reads it: where it is, and what it says of a value.

A field of the schema is a small tree of `$ref` and `anyOf`; what matters is its leaves, the shapes that a value may
have.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from runtime.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runtime.spec.places import Path

Schema = dict[str, Any]
Form = Literal["spec", "overlay"]

REFERENCE = "Reference"
"""The definition that stands for `${…}`."""

_ANNOTATIONS = ("x-ref", "x-kind", "x-base", "x-secret", "x-live")


def schema_file(form: Form = "spec") -> str:
    """The path of a schema: inside the installed package, or `schemas/` of a checkout.

    Raises:
        Fault: neither is there.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    name = f"{form}.v1.json"
    checkout = os.path.join(here, "..", "..", "schemas", name)
    for file in (os.path.join(here, name), os.path.normpath(checkout)):
        if os.path.isfile(file):
            return file
    raise Fault(f"the schema {name} is not installed", remedy="Install the package again.")


def load_schema(form: Form = "spec") -> Schema:
    """The schema as plain data."""
    with open(schema_file(form), encoding="utf-8") as stream:
        schema: Schema = json.load(stream)
    return schema


Wanted = Callable[[Schema], bool]


class Marked(NamedTuple):
    """A text whose field has a mark: where it is, what it is, and what the schema says of it."""

    path: Path
    value: str
    leaf: Schema
    on_key: bool = False


class Shapes:
    """Answers what a schema says of a value.

    Args:
        schema: the whole schema, with its `$defs`.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.definitions: dict[str, Schema] = schema.get("$defs", {})
        self._leaves: dict[int, list[Schema]] = {}

    def leaves(self, node: Schema) -> list[Schema]:
        """The alternatives of a field, without `$ref` and `anyOf`, each with the field's own `x-` words.

        A leaf that came from `$defs` says so in `$name`.
        """
        known = self._leaves.get(id(node))
        if known is None:
            known = self._leaves[id(node)] = list(self._flat(node))
        return known

    def _flat(self, node: Schema) -> Iterator[Schema]:
        own = {word: node[word] for word in _ANNOTATIONS if word in node}
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            for leaf in self.leaves(self.definitions[name]):
                yield {"$name": name, **leaf, **own}
        elif "anyOf" in node:
            for branch in node["anyOf"]:
                for leaf in self.leaves(branch):
                    yield {**leaf, **own} if own else leaf
        else:
            yield node

    def mapping(self, node: Schema, value: Mapping[str, Any]) -> Schema | None:
        """The leaf that a mapping means: of several, the one whose constants it has.

        Where none has them, the one with the most keys in common, so that a wrong `kind` hides nothing else.
        """
        candidates = [leaf for leaf in self.leaves(node) if leaf.get("type") == "object"]
        for leaf in candidates:
            if all(value.get(key) == constant for key, constant in constants(leaf).items()):
                return leaf
        return max(candidates, key=lambda leaf: len(value.keys() & leaf.get("properties", {}).keys()), default=None)

    def array(self, node: Schema) -> Schema | None:
        """The leaf for a list."""
        return next((leaf for leaf in self.leaves(node) if leaf.get("type") == "array"), None)

    def text(self, node: Schema) -> Schema | None:
        """The leaf for a text, other than a reference."""
        return next(
            (leaf for leaf in self.leaves(node) if leaf.get("type") == "string" and leaf.get("$name") != REFERENCE),
            None,
        )

    def field(self, leaf: Schema, key: str) -> Schema | None:
        """What a mapping's leaf says of one of its keys; None where it is unknown or the user's own."""
        found: Schema | None = leaf.get("properties", {}).get(key)
        if found is not None:
            return found
        if key.startswith("x-") and "patternProperties" in leaf:
            return None
        entries = leaf.get("additionalProperties")
        return entries if isinstance(entries, dict) else None

    def marked(self, data: Any, wanted: Wanted) -> list[Marked]:
        """Every text in the data, keys included, whose field is wanted.

        What does not fit the schema is passed over, so that a mistake in one place hides none in another.

        Args:
            data: plain data.
            wanted: tells it from the leaf; branches of the schema without a wanted one are not entered.
        """
        found: list[Marked] = []
        self._marked(data, self.schema, (), wanted, {}, found)
        return found

    def _marked(
        self,
        value: Any,
        node: Schema,
        path: Path,
        wanted: Wanted,
        known: dict[int, bool],
        found: list[Marked],
    ) -> None:
        if isinstance(value, str):
            leaf = self.text(node)
            if leaf is not None and wanted(leaf):
                found.append(Marked(path, value, leaf))
        elif isinstance(value, dict):
            leaf = self.mapping(node, value)
            if leaf is None:
                return
            names = leaf.get("propertyNames", {})
            named = bool(names) and wanted(names)
            for key, below in value.items():
                field = self.field(leaf, key)
                if field is None:
                    continue
                if named:
                    found.append(Marked((*path, key), key, names, on_key=True))
                if self._has(field, wanted, known):
                    self._marked(below, field, (*path, key), wanted, known, found)
        elif isinstance(value, list):
            leaf = self.array(node)
            if leaf is not None and "items" in leaf and self._has(leaf["items"], wanted, known):
                for index, below in enumerate(value):
                    self._marked(below, leaf["items"], (*path, index), wanted, known, found)

    def _has(self, node: Schema, wanted: Wanted, remembered: dict[int, bool]) -> bool:
        """Whether a field, or one below it, is wanted; remembered, since most are not."""
        known = remembered.get(id(node))
        if known is None:
            remembered[id(node)] = False
            known = remembered[id(node)] = any(
                wanted(leaf)
                or ("propertyNames" in leaf and wanted(leaf["propertyNames"]))
                or any(self._has(below, wanted, remembered) for below in _below(leaf))
                for leaf in self.leaves(node)
            )
        return known

    def at(self, path: Path, data: Any = None) -> Schema | None:
        """The field at a path; the data tells alternatives apart, without it the first that has the key is taken."""
        node: Schema = self.schema
        for part in path:
            found: Schema | None = None
            if isinstance(part, int):
                leaf = self.array(node)
                found = leaf.get("items") if leaf else None
                data = data[part] if isinstance(data, list) and part < len(data) else None
            else:
                fit = self.mapping(node, data) if isinstance(data, dict) else None
                for leaf in [fit] if fit else [leaf for leaf in self.leaves(node) if leaf.get("type") == "object"]:
                    found = found or self.field(leaf, part)
                data = data.get(part) if isinstance(data, dict) else None
            if found is None:
                return None
            node = found
        return node


def is_secret(leaf: Schema) -> bool:
    """Whether a leaf holds a secret."""
    return "x-secret" in leaf


def is_path(leaf: Schema) -> bool:
    """Whether a leaf holds the name of a file or folder."""
    return leaf.get("x-kind") == "path"


def constants(leaf: Schema) -> dict[str, Any]:
    """The keys of a mapping's leaf that have one allowed value: `{"kind": "smtp"}`."""
    return {key: field["const"] for key, field in leaf.get("properties", {}).items() if "const" in field}


def _below(leaf: Schema) -> Iterator[Schema]:
    yield from leaf.get("properties", {}).values()
    for word in ("additionalProperties", "items"):
        if isinstance(leaf.get(word), dict):
            yield leaf[word]
