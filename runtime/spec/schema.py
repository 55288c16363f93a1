"""The JSON Schemas of the spec, made from the models.

Two are published. `spec.v1.json` is for a whole spec, its bases merged in. `overlay.v1.json` is for a file
with `extends`: nothing is required there, and null removes what a base has set. Both are committed, and a
test compares them with what is made here.

    python -m runtime.spec.schema          writes schemas/*.json

The vocabulary is a part of Draft 2020-12 and some words of our own:

    x-kind           what a text means: duration, size, rate, money, path, secret, cron, timezone, email, url, template,
                     condition; of free JSON values, that texts within them are templates
    x-base           `root`: the path is relative to the folder of the root spec, not to that of the file
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic.json_schema import GenerateJsonSchema

from runtime.services.events.spec import BUILT_IN_SUBSCRIBERS
from runtime.services.jobs.spec import BUILT_IN_HANDLERS
from runtime.spec.root import Spec

if TYPE_CHECKING:
    from pydantic_core import core_schema

    from runtime.spec.kinds import Kind

Purpose = Literal["spec", "overlay"]
Schema = dict[str, Any]

FILES: dict[Purpose, str] = {"spec": "spec.v1.json", "overlay": "overlay.v1.json"}

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLES: dict[Purpose, str] = {
    "spec": "Runtime spec, version 1",
    "overlay": "Runtime spec, version 1: a file that extends another",
}
_NULL: Schema = {"type": "null"}
_REFERENCE: Schema = {"$ref": "#/$defs/Reference"}
_UNSET: Schema = {"$ref": "#/$defs/Unset"}
_OWN_DEFINITIONS: dict[str, Schema] = {
    "Reference": {
        "description": "A reference to the environment, a mounted file or Vault, resolved when the runtime starts.",
        "type": "string",
        "pattern": r"\$\{",
        "examples": ["${PORT:-8080}", "${file:/run/secrets/db}", "${vault:postgres#password}"],
    },
    "Unset": {"description": "Null for the default, or a reference.", "anyOf": [_NULL, _REFERENCE]},
}
_USERS_KEYS: dict[str, Schema] = {"^x-": {}}
_WORDS_OF_A_FIELD = ("description", "default", "examples", "deprecated", "x-live")
_WIDTH = 110


def build(purpose: Purpose) -> Schema:
    """One of the two schemas.

    Args:
        purpose: `spec` for a whole spec, `overlay` for a file that is laid over others.
    """
    raw = Spec.model_json_schema(schema_generator=_Generator)
    sections: dict[str, Schema] = raw.pop("$defs")
    writer = _Writer(sections, strict=purpose == "spec")
    root = writer.section(raw)
    definitions = {name: writer.section(section) for name, section in sections.items()}
    loose = _Writer(sections, strict=False)
    definitions |= {f"BuiltIn{name}": loose.section(sections[name]) for name in writer.with_built_in}
    return {
        "$schema": _DIALECT,
        "title": _TITLES[purpose],
        **root,
        "x-built-in-handlers": list(BUILT_IN_HANDLERS),
        "x-built-in-subscribers": list(BUILT_IN_SUBSCRIBERS),
        "$defs": dict(sorted({**definitions, **writer.kinds, **_OWN_DEFINITIONS}.items())),
    }


def text(schema: Schema) -> str:
    """A schema as it is written to its file: what fits into a line stands on one line."""
    return _laid_out(schema, "") + "\n"


def write(folder: Path) -> list[Path]:
    """Writes both schemas into a folder; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / name: text(build(purpose)) for purpose, name in FILES.items()}
    for file, content in files.items():
        file.write_text(content, encoding="utf-8")
    return list(files)


class _Generator(GenerateJsonSchema):
    """pydantic's generator, held to our vocabulary and to the order of the models."""

    def sort(self, value: Schema, parent_key: str | None = None) -> Schema:
        return value

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Schema:
        return self.generate_inner(schema["schema"])  # every field may be null, see `_Writer`

    def dict_schema(self, schema: core_schema.DictSchema) -> Schema:
        keys = self.generate_inner(schema["keys_schema"])
        known = {**keys["x-definition"].schema, **keys} if "x-definition" in keys else keys
        names = {word: known[word] for word in ("pattern", "minLength", "x-ref") if word in known}
        values = self.generate_inner(schema["values_schema"])
        return {
            "type": "object",
            **({"propertyNames": names} if names else {}),
            **({"additionalProperties": values} if values else {}),
        }

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> Schema:
        choices = [self.generate_inner(choice) for choice in schema["choices"].values()]
        flat = [branch for choice in choices for branch in choice.get("anyOf", [choice])]
        return {"anyOf": flat, "x-discriminator": schema["discriminator"]}


class _Writer:
    """Turns pydantic's schema into ours: kinds under `$defs`, null, references and the user's own `x-` keys.

    Args:
        sections: pydantic's definitions.
        strict: whether what is required is required.
    """

    def __init__(self, sections: dict[str, Schema], *, strict: bool) -> None:
        self._sections = sections
        self._strict = strict
        self.kinds: dict[str, Schema] = {}
        self.with_built_in: list[str] = []

    def section(self, raw: Schema) -> Schema:
        """A mapping with fixed keys, those that tell it apart from others first."""
        required = raw.get("required", []) if self._strict else []
        fields = sorted(raw.get("properties", {}).items(), key=lambda field: "const" not in field[1])
        return {
            "description": raw["description"],
            "type": "object",
            **({"required": required} if required else {}),
            "properties": {name: self._field(field, required=name in required) for name, field in fields},
            "patternProperties": _USERS_KEYS,
            "additionalProperties": False,
        }

    def _field(self, raw: Schema, *, required: bool) -> Schema:
        said = {word: raw[word] for word in _WORDS_OF_A_FIELD if word in raw}
        shape = self._shape({word: value for word, value in raw.items() if word not in said})
        # pydantic leaves out a description that is also that of the section
        meaning = said.pop("description", None) or self._raw_section(shape)["description"]
        tells_apart = "const" in shape and "default" not in said
        return {
            "description": meaning,
            **(shape if tells_apart else self._opened(shape, null=not required)),
            **said,
        }

    def _shape(self, raw: Schema) -> Schema:
        """What a value looks like, without what its field says of it."""
        shape = {word: value for word, value in raw.items() if word != "title"}
        if "x-definition" in shape:
            return self._kind(shape)
        if "anyOf" in shape:
            shape["anyOf"] = [self._shape(branch) for branch in shape["anyOf"]]
        if "items" in shape:
            shape["items"] = self._opened(self._shape(shape["items"]), null=False)
        if "additionalProperties" in shape:
            shape = self._entries(shape)
        if "x-shorthand" in shape:
            shape = self._with_shorthand(shape)
        return shape

    def _kind(self, raw: Schema) -> Schema:
        kind: Kind = raw["x-definition"]
        self.kinds[kind.name] = kind.schema
        return {"$ref": f"#/$defs/{kind.name}", **({"x-ref": raw["x-ref"]} if "x-ref" in raw else {})}

    def _entries(self, shape: Schema) -> Schema:
        entry = self._shape(shape.pop("additionalProperties"))
        section = self._raw_section(entry)
        may_be_empty = bool(section) and not section.get("required")
        users_keys = shape.pop("x-entries", False)
        if users_keys and "pattern" in shape["propertyNames"]:
            shape["propertyNames"] = {
                **shape["propertyNames"],
                "pattern": f"^x-|{shape['propertyNames']['pattern']}",
            }
        if "x-built-in" in shape:
            shape["properties"] = self._built_in(entry["$ref"], shape["x-built-in"])
        if users_keys:
            shape["patternProperties"] = _USERS_KEYS
        opened = self._opened(entry, null=may_be_empty or not self._strict)
        shape["additionalProperties"] = {**opened, "default": {}} if may_be_empty else opened
        return shape

    def _built_in(self, reference: str, entries: dict[str, Schema]) -> Schema:
        section = reference.rpartition("/")[2]
        self.with_built_in.append(section)
        shape = {"anyOf": [{"$ref": f"#/$defs/BuiltIn{section}"}, _NULL]}
        return {
            name: {"description": f"Built in: `{figures['handler']}`.", **shape, "default": figures}
            for name, figures in entries.items()
        }

    def _with_shorthand(self, shape: Schema) -> Schema:
        field = self._raw_section(shape)["properties"][shape["x-shorthand"]]
        short = self._shape({word: value for word, value in field.items() if word not in _WORDS_OF_A_FIELD})
        whole = {"$ref": shape.pop("$ref")}
        return {"anyOf": [short, whole], **shape}

    def _opened(self, shape: Schema, *, null: bool) -> Schema:
        """Lets a value be null, and lets a scalar be a reference, where its shape does not let it already."""
        if all(word.startswith("x-") for word in shape):
            return shape  # it may be anything
        branches: list[Schema] = shape.get("anyOf", [shape])
        if not any(self._is_scalar(branch) for branch in branches):
            further = [_NULL] if null else []
        elif null:
            further = [_UNSET]
        else:
            further = [] if all(self._is_any_text(branch) for branch in branches) else [_REFERENCE]
        if not further:
            return shape
        beside = {word: value for word, value in shape.items() if word != "anyOf"} if "anyOf" in shape else {}
        return {"anyOf": [*branches, *further], **beside}

    def _raw_section(self, shape: Schema) -> Schema:
        return self._sections.get(shape.get("$ref", "").rpartition("/")[2], {})

    def _is_scalar(self, shape: Schema) -> bool:
        return shape.get("type") not in ("object", "array") and not self._raw_section(shape)

    def _is_any_text(self, shape: Schema) -> bool:
        whole = self.kinds.get(shape.get("$ref", "").rpartition("/")[2], shape)
        return whole.get("type") == "string" and "pattern" not in whole and "enum" not in whole


def _laid_out(value: Any, indent: str) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list) or len(indent) + len(flat) <= _WIDTH:
        return flat
    deeper = indent + "  "
    if isinstance(value, list):
        begin, end = "[]"
        lines = [_laid_out(item, deeper) for item in value]
    else:
        begin, end = "{}"
        lines = [f"{json.dumps(key)}: {_laid_out(item, deeper)}" for key, item in value.items()]
    return f"{begin}\n{deeper}" + f",\n{deeper}".join(lines) + f"\n{indent}{end}"


if __name__ == "__main__":
    for written in write(Path(sys.argv[1] if len(sys.argv) > 1 else "schemas")):
        sys.stdout.write(f"{written}\n")
