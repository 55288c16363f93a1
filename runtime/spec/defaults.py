"""Every default filled in, from the JSON Schema alone.

`runtime show`, the cross-references and the graph need a spec with its defaults and its built-in queues; the
models take too long to load for that. Only the standard library is imported.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from runtime.spec.shapes import Schema, Shapes

Data = Mapping[str, Any]


def filled(data: Data, schema: Schema) -> dict[str, Any]:
    """A merged spec with every default in place, its keys in the order of the schema.

    What does not fit the schema is left as it is, so that this never fails.

    Args:
        data: the spec as plain data; it is not changed.
        schema: what `schemas/spec.v1.json` holds.

    Example:
        >>> filled({"version": 1, "name": "shop"}, schema)["api"]["port"]
        8080
    """
    shapes = Shapes(schema)
    queues = shapes.mapping(schema["properties"]["queues"], {})
    whole = with_built_in(data, queues["x-built-in"] if queues else {}, schema["properties"])
    return _Filling(shapes).mapping(whole, schema)


def with_built_in(data: Data, built_in: Data, sections: Container[str]) -> dict[str, Any]:
    """A spec whose queues are laid over the figures of the built-in ones.

    A built-in queue exists when the spec names it, when the service of its handler is declared
    (`notifications.email`: when there is a section `notifications`), and when no section stands for its
    handler (`transfers.export`).

    Args:
        data: the whole spec.
        built_in: the built-in queues by name.
        sections: the keys that a spec may have.
    """
    named = data.get("queues")
    if named is None:
        named = {}
    if not isinstance(named, Mapping):
        return dict(data)
    queues = {}
    for name, figures in built_in.items():
        service = figures["handler"].partition(".")[0]
        if name in named or service not in sections or data.get(service) is not None:
            queues[name] = overlaid(figures, {} if named.get(name) is None else named[name])
    return {**data, "queues": {**queues, **{name: named[name] for name in named if name not in queues}}}


def overlaid(base: Data, top: Any) -> Any:
    """A mapping laid over another: mappings deeply, everything else replaced; null leaves what the base has.

    Example:
        >>> overlaid({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": None})
        {'a': {'b': 3, 'c': 2}, 'd': None}
    """
    if not isinstance(top, Mapping):
        return top
    result = dict(base)
    for key, value in top.items():
        known = result.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            result[key] = overlaid(known, value)
        elif value is not None or key not in result:
            result[key] = value
    return result


class _Filling:
    """Lays data over the defaults of a schema."""

    __slots__ = ("_shapes",)

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes

    def mapping(self, data: Data, leaf: Schema) -> dict[str, Any]:
        """The keys of a mapping, those of the schema first and in its order."""
        fields: Data = leaf.get("properties", {})
        entry = leaf.get("additionalProperties")
        result = {
            key: self._value(data.get(key), field)
            for key, field in fields.items()
            if key in data or ("default" in field and not entry)
        }
        for key, value in data.items():
            if key not in result:
                is_entry = isinstance(entry, dict) and not str(key).startswith("x-")
                result[key] = self._value(value, entry or {}) if is_entry else value
        return result

    def _value(self, value: Any, node: Schema) -> Any:
        if value is None:
            value = node.get("default")
        if isinstance(value, Mapping):
            leaf = self._shapes.mapping(node, value)
            return self.mapping(value, leaf) if leaf is not None else dict(value)
        if isinstance(value, list):
            leaf = self._shapes.array(node)
            return [self._value(item, leaf["items"]) for item in value] if leaf is not None else value
        return value
