"""Every default filled in, from the JSON Schema alone.

`runtime show`, the cross-references and the graph need a spec with its defaults and its built-in queues; the
models take too long to load for that. Only the standard library is imported.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

Data = Mapping[str, Any]


def filled(data: Data, schema: Data) -> dict[str, Any]:
    """A merged spec with every default in place, its keys in the order of the schema.

    What does not fit the schema is left as it is, so that this never fails.

    Args:
        data: the spec as plain data; it is not changed.
        schema: what `schemas/spec.v1.json` holds.

    Example:
        >>> filled({"version": 1, "name": "shop"}, schema)["api"]["port"]
        8080
    """
    queues = schema["properties"]["queues"]["anyOf"][0]
    whole = with_built_in(data, queues["x-built-in"], schema["properties"])
    return _Filling(schema["$defs"]).mapping(whole, schema)


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

    __slots__ = ("_definitions",)

    def __init__(self, definitions: Data) -> None:
        self._definitions = definitions

    def mapping(self, data: Data, shape: Data) -> dict[str, Any]:
        """A mapping that the shape describes: known keys in order, then the others."""
        result: dict[str, Any] = {}
        fixed = shape.get("properties", {})
        named = "additionalProperties" in shape and shape["additionalProperties"] is not False
        for key, field in fixed.items():
            value = data.get(key)
            if key in data or (not named and "default" in field):
                result[key] = self._value(field.get("default") if value is None else value, field)
        for key, value in data.items():
            if key in result or not named or str(key).startswith("x-"):
                result.setdefault(key, value)
            else:
                entry = shape["additionalProperties"]
                result[key] = self._value(entry.get("default") if value is None else value, entry)
        return result

    def _value(self, value: Any, shape: Data) -> Any:
        if isinstance(value, Mapping):
            found = self._fitting(value, shape)
            return self.mapping(value, found) if found is not None else dict(value)
        if isinstance(value, list | tuple):
            return [self._value(item, self._items(shape)) for item in value]
        return value

    def _branches(self, shape: Data) -> list[Data]:
        """The alternatives of a shape, references followed."""
        if "$ref" in shape:
            return self._branches(self._definitions[shape["$ref"].rpartition("/")[2]])
        if "anyOf" in shape:
            return [branch for alternative in shape["anyOf"] for branch in self._branches(alternative)]
        return [shape]

    def _fitting(self, value: Data, shape: Data) -> Data | None:
        """The alternative that a mapping means: the one whose constants it has."""
        for branch in self._branches(shape):
            fixed = branch.get("properties", {})
            if branch.get("type") == "object" and all(
                value.get(key) == field["const"] for key, field in fixed.items() if "const" in field
            ):
                return branch
        return None

    def _items(self, shape: Data) -> Data:
        return next((branch["items"] for branch in self._branches(shape) if "items" in branch), {})
