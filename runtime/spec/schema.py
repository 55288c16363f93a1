"""The JSON Schemas of the spec, made from the models.

Two are published: `spec.v1.json` is for a whole spec, with its bases merged in; `overlay.v1.json` is for a file with `extends`,
where nothing is required and null removes what a base has set. Both are committed; a test compares them with what is made here.

    python -m runtime.spec.schema          writes schemas/*.json

The vocabulary is Draft 2020-12 without its rarer words, plus words of our own:

    x-kind           what a text means (duration, size, rate, money, path, secret, cron, timezone, email, url)
    x-base           `root`: the path is relative to the folder of the root spec, not of the file
    x-ref            the mapping in which the value, or the key, must be an entry
    x-live           the field changes without a restart
    x-secret         the value is never shown
    x-built-in       entries of a mapping that exist without being declared
    x-shorthand      the field of the mapping for which a list may stand
    x-discriminator  the property that tells the alternatives of an `anyOf` apart
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from runtime.services.events.spec import BUILT_IN_SUBSCRIBERS
from runtime.services.jobs.spec import BUILT_IN_HANDLERS
from runtime.spec.root import Spec

Form = Literal["spec", "overlay"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILES: dict[Form, str] = {"spec": "spec.v1.json", "overlay": "overlay.v1.json"}

_TITLES: dict[Form, str] = {
    "spec": "Runtime spec, version 1",
    "overlay": "Runtime spec, version 1: a file with `extends`",
}
_UNSET = {"$ref": "#/$defs/Unset"}
_REFERENCE = {"$ref": "#/$defs/Reference"}
_NULL = {"type": "null"}
_OWN_DEFINITIONS = {
    "Reference": {
        "description": "A reference to the environment, a mounted file or Vault, resolved when the runtime starts.",
        "type": "string",
        "pattern": r"\$\{",
        "examples": ["${PORT:-8080}", "${file:/run/secrets/db}", "${vault:postgres#password}"],
    },
    "Unset": {
        "description": "Null, for the default, or a reference.",
        "anyOf": [_NULL, _REFERENCE],
    },
}
_WIDTH = 110
_USER_KEYS: dict[str, Any] = {"^x-": {}}
_FIELD_WORDS = ("description", "default", "examples", "deprecated", "x-live")
_ORDER = (
    "$schema", "title", "description", "type", "const", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "uniqueItems", "items", "$ref", "anyOf", "default", "examples", "deprecated", "x-kind", "x-base",
    "x-ref", "x-live", "x-secret", "x-shorthand", "x-discriminator", "x-built-in", "propertyNames", "required", "minProperties",
    "properties", "patternProperties", "additionalProperties", "x-built-in-handlers", "x-built-in-subscribers", "$defs",
)  # fmt: skip


def build(form: Form) -> dict[str, Any]:
    """One of the two schemas, its words in a fixed order.

    Args:
        form: `spec` for a whole spec, `overlay` for a file that is laid over others.
    """
    raw = Spec.model_json_schema(schema_generator=_Words)
    sections = raw.pop("$defs")
    made = _Maker(sections, overlay=form == "overlay")
    root = made.mapping(raw)
    definitions = {name: made.mapping(section) for name, section in sections.items()}
    built_in = _Maker(sections, overlay=True)
    definitions |= {f"BuiltIn{name}": built_in.mapping(sections[name]) for name in sorted(made.built_in)}
    schema: dict[str, Any] = _ordered(
        {
            **root,
            "$schema": DIALECT,
            "title": _TITLES[form],
            "x-built-in-handlers": list(BUILT_IN_HANDLERS),
            "x-built-in-subscribers": list(BUILT_IN_SUBSCRIBERS),
            "$defs": dict(sorted({**definitions, **made.scalars, **_OWN_DEFINITIONS}.items())),
        }
    )
    return schema


def text(schema: dict[str, Any]) -> str:
    """The schema as it is written to its file: two spaces deep, what fits into a line on one line."""
    return _laid_out(schema, "") + "\n"


def write(folder: Path) -> list[Path]:
    """Writes both schemas into a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / name: text(build(form)) for form, name in FILES.items()}
    for file, content in files.items():
        file.write_text(content, encoding="utf-8")
    return list(files)


class _Words(GenerateJsonSchema):
    """pydantic's generator, with the words of our vocabulary only."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        return value  # the order of the models is the order of the schema

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made: JsonSchemaValue = {"type": "object"}
        keys = self.generate_inner(schema["keys_schema"])
        if keys := {word: keys[word] for word in ("pattern", "minLength", "x-ref") if word in keys}:
            made["propertyNames"] = keys
        values = self.generate_inner(schema["values_schema"])
        made["additionalProperties"] = values
        self.update_with_validations(made, schema, self.ValidationsMapping.object)
        return made

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        branches = [self.generate_inner(choice) for choice in schema["choices"].values()]
        flat = [inner for branch in branches for inner in branch.get("anyOf", [branch])]
        return {"anyOf": flat, "x-discriminator": schema["discriminator"]}


class _Maker:
    """Turns pydantic's output into ours: shared scalars, null and references, the user's own `x-` keys."""

    def __init__(self, sections: dict[str, Any], *, overlay: bool) -> None:
        self._sections = sections
        self._overlay = overlay
        self.scalars: dict[str, Any] = {}
        self.built_in: set[str] = set()

    def mapping(self, section: dict[str, Any]) -> dict[str, Any]:
        """A mapping with fixed keys."""
        required = [] if self._overlay else section.get("required", [])
        fields = sorted(section.get("properties", {}).items(), key=lambda item: "const" not in item[1])
        made = {
            "description": section["description"],
            "type": "object",
            "properties": {name: self._property(field, required=name in required) for name, field in fields},
            "patternProperties": _USER_KEYS,
            "additionalProperties": False,
        }
        return {**made, "required": required} if required else made

    def _property(self, field: dict[str, Any], *, required: bool) -> dict[str, Any]:
        said = {word: field[word] for word in _FIELD_WORDS if word in field}
        shape = self._shape({word: value for word, value in field.items() if word not in _FIELD_WORDS})
        said.setdefault("description", self._section(shape).get("description"))  # pydantic drops equal ones
        return {**said, **self._open(shape, null=not required)}

    def _shape(self, shape: dict[str, Any]) -> dict[str, Any]:
        """The shape of one value, without what its field says of it."""
        if "x-scalar" in shape:
            return self._scalar(shape)
        shape = {word: value for word, value in shape.items() if word != "title"}
        if "anyOf" in shape:
            shape["anyOf"] = [self._shape(branch) for branch in shape["anyOf"]]
        if "items" in shape:
            shape["items"] = self._open(self._shape(shape["items"]), null=False)
        if shape.get("type") == "object":
            shape = self._entries(shape)
        if "x-shorthand" in shape:
            shape = self._shorthand(shape)
        return shape

    def _scalar(self, shape: dict[str, Any]) -> dict[str, Any]:
        name = shape["x-scalar"]
        here = {"x-ref": shape["x-ref"]} if "x-ref" in shape else {}
        self.scalars[name] = {
            word: value for word, value in shape.items() if word not in ("x-scalar", "x-ref")
        }
        return {"$ref": f"#/$defs/{name}", **here}

    def _entries(self, shape: dict[str, Any]) -> dict[str, Any]:
        values = shape.get("additionalProperties", True)
        if not isinstance(values, dict) or not values:
            return {word: value for word, value in shape.items() if word != "additionalProperties"}
        made = self._shape(values)
        empty = self._may_be_empty(made)
        entry = self._open(made, null=self._overlay or empty)
        shape = {**shape, "additionalProperties": {**entry, "default": {}} if empty else entry}
        if shape.pop("x-entries", False):
            shape["patternProperties"] = _USER_KEYS
            if pattern := shape["propertyNames"].get("pattern"):
                shape["propertyNames"] = {**shape["propertyNames"], "pattern": f"^x-|{pattern}"}
        if "x-built-in" in shape:
            entry = made["$ref"].removeprefix("#/$defs/")
            self.built_in.add(entry)
            own = {"anyOf": [{"$ref": f"#/$defs/BuiltIn{entry}"}, _NULL]}
            shape["properties"] = {
                name: {"description": f"The built-in queue `{name}`.", "default": figures, **own}
                for name, figures in shape["x-built-in"].items()
            }
        return shape

    def _shorthand(self, shape: dict[str, Any]) -> dict[str, Any]:
        field = self._section(shape)["properties"][shape["x-shorthand"]]
        listed = self._shape({word: value for word, value in field.items() if word not in _FIELD_WORDS})
        named = {"$ref": shape.pop("$ref")}
        return {"anyOf": [listed, named], **shape}

    def _open(self, shape: dict[str, Any], *, null: bool) -> dict[str, Any]:
        """Lets the shape be null, or be given by a reference where it is a scalar."""
        if self._is_constant(shape):
            return shape
        branches = shape.get("anyOf", [shape])
        scalar = any(self._is_scalar(branch) for branch in branches)
        if scalar:
            extra = [_UNSET if null else _REFERENCE]
        else:
            extra = [_NULL] if null else []
        if not null and all(self._is_any_text(branch) for branch in branches):
            extra = []
        if not extra:
            return shape
        around = {word: value for word, value in shape.items() if word != "anyOf"} if "anyOf" in shape else {}
        return {"anyOf": [*branches, *extra], **around}

    def _section(self, shape: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._sections.get(shape.get("$ref", "").removeprefix("#/$defs/"), {})
        return found

    def _is_scalar(self, shape: dict[str, Any]) -> bool:
        return shape.get("type") not in ("object", "array") and not self._section(shape)

    def _is_constant(self, shape: dict[str, Any]) -> bool:
        return "const" in shape or not shape

    def _is_any_text(self, shape: dict[str, Any]) -> bool:
        whole = self.scalars.get(shape.get("$ref", "").removeprefix("#/$defs/"), shape)
        return whole.get("type") == "string" and "pattern" not in whole and "enum" not in whole

    def _may_be_empty(self, shape: dict[str, Any]) -> bool:
        section = self._section(shape)
        return bool(section) and not section.get("required")


def _ordered(value: Any) -> Any:
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {word: _inner(word, value[word]) for word in _by_order(value)}


def _laid_out(value: Any, indent: str) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list) or len(indent) + len(flat) <= _WIDTH:
        return flat
    deeper = indent + "  "
    if isinstance(value, list):
        lines = [_laid_out(item, deeper) for item in value]
        begin, end = "[]"
    else:
        lines = [
            f"{json.dumps(key, ensure_ascii=False)}: {_laid_out(item, deeper)}" for key, item in value.items()
        ]
        begin, end = "{}"
    return f"{begin}\n{deeper}" + f",\n{deeper}".join(lines) + f"\n{indent}{end}"


def _by_order(value: dict[str, Any]) -> Iterator[str]:
    return iter(sorted(value, key=lambda word: _ORDER.index(word)))


def _inner(word: str, value: Any) -> Any:
    if word in ("properties", "patternProperties", "$defs"):
        return {name: _ordered(item) for name, item in value.items()}
    if word in ("default", "examples", "x-built-in", "const", "enum", "required"):
        return value
    return _ordered(value)


if __name__ == "__main__":
    for written in write(Path(sys.argv[1] if len(sys.argv) > 1 else "schemas")):
        sys.stdout.write(f"{written}\n")
