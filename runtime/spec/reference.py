"""The reference page of the spec, made from the JSON Schema: one table for each mapping.

python -m runtime.spec.reference          writes docs/spec-reference.md
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.spec.schema import Schema, build

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path("docs/spec-reference.md")

_INTRODUCTION = """\
<!-- Made by `python -m runtime.spec.reference` from the models; a test compares it with them. -->
# The spec, key by key

Every key of version 1, with its type, its default, what it means and an example. `runtime explain PATH` tells
the same in a terminal, and the first line of a spec gives it to editors:

```yaml
# yaml-language-server: $schema=../schemas/spec.v1.json
```

Any scalar may be a reference instead, such as `${PORT:-8080}`, `${file:/run/secrets/db}` or
`${vault:postgres#password}`. Null means the default; in a file with `extends` it removes what a base has set.
Keys that begin with `x-` are your own. A key with ● changes while the environment runs, without a restart.
`<name>` is a name that you choose.
"""


def page(schema: Schema) -> str:
    """The reference page as Markdown.

    Args:
        schema: the schema of a whole spec.
    """
    reader = _Reader(schema["$defs"])
    parts = [_INTRODUCTION, "## The file\n", *reader.table("", schema)]
    for name, places in reader.sections(schema).items():
        parts.append(f'<a id="{_anchor(name)}"></a>\n\n## `{places[0]}`\n')
        section = schema["$defs"][name]
        parts.append(section["description"] + _also(places[1:]) + "\n")
        parts += reader.table(places[0], section)
    parts.append("## How values are written\n")
    parts += reader.kinds()
    return "\n".join(parts)


class _Reader:
    """Reads the schema for people.

    Args:
        definitions: its `$defs`.
    """

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions

    def sections(self, root: Schema) -> dict[str, list[str]]:
        """Every section with the places where it stands, in the order of the file."""
        found: dict[str, list[str]] = {}
        self._collect(root, "", found)
        return found

    def table(self, place: str, section: Schema) -> list[str]:
        """A table of the keys of a section."""
        required = section.get("required", [])
        lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
        for key, field in section["properties"].items():
            live = " ●" if field.get("x-live") else ""
            default = "**required**" if key in required else self._default(field)
            examples = [f" For example `{_inline(example)}`." for example in field.get("examples", [])[:1]]
            meaning = field["description"] + "".join(examples if "const" not in field else [])
            cells = (f"`{key}`{live}", self._type(field), default, meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return [*lines, ""]

    def kinds(self) -> list[str]:
        """A table of the kinds of text."""
        lines = ["| kind | meaning | examples |", "|---|---|---|"]
        for name, kind in self._definitions.items():
            if kind.get("type") == "string":
                examples = ", ".join(f"`{example}`" for example in kind["examples"])
                lines.append(f'| <a id="{_anchor(name)}"></a>{_words(name)} | {kind["description"]} | {examples} |')
        return [*lines, ""]

    def _collect(self, shape: Schema, place: str, found: dict[str, list[str]]) -> None:
        for key, field in shape["properties"].items():
            below = f"{place}.{key}" if place else key
            for name, at in self._sections_of(field, below):
                known = found.setdefault(name, [])
                if at not in known:
                    known.append(at)
                if len(known) == 1:
                    self._collect(self._definitions[name], at, found)

    def _sections_of(self, shape: Schema, place: str) -> Iterator[tuple[str, str]]:
        """The sections that a shape may be, each with its place."""
        if "$ref" in shape:
            name = shape["$ref"].rpartition("/")[2]
            if self._definitions[name].get("type") == "object":
                yield name, place + self._constant(name)
        for branch in shape.get("anyOf", []):
            yield from self._sections_of(branch, place)
        if "additionalProperties" in shape and shape["additionalProperties"] is not False:
            yield from self._sections_of(shape["additionalProperties"], f"{place}.<name>")
        if "items" in shape:
            yield from self._sections_of(shape["items"], f"{place}[]")

    def _constant(self, name: str) -> str:
        """What tells a section apart from its alternatives: ` (kind: smtp)`."""
        fields = self._definitions[name]["properties"].items()
        fixed = [f"{key}: {field['const']}" for key, field in fields if "const" in field]
        return f" ({', '.join(fixed)})" if fixed else ""

    def _type(self, shape: Schema) -> str:
        if "anyOf" in shape:
            kinds = [self._type(branch) for branch in shape["anyOf"] if not _is_unset(branch)]
            return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
        if "const" in shape:
            return f"`{_inline(shape['const'])}`"
        if "enum" in shape:
            return ", ".join(f"`{_inline(choice)}`" for choice in shape["enum"])
        if "$ref" in shape:
            name = shape["$ref"].rpartition("/")[2]
            text = _words(name)
            if "properties" in self._definitions[name]:
                text = self._constant(name).strip(" ()").rpartition(": ")[2] or "mapping"
            return f"[{text}](#{_anchor(name)})" + _target(shape)
        if shape.get("type") == "array":
            return f"list of {self._type(shape['items'])}"
        if shape.get("type") == "object":
            entries = shape.get("additionalProperties")
            return f"by name: {self._type(entries)}" if entries else "mapping of any values"
        plain = {"string": "text", "integer": "whole number", "boolean": "true or false", "null": ""}
        type_: str = shape.get("type", "any value")
        kind: str = plain.get(type_, type_)
        return kind + _bounds(shape) + _target(shape)

    def _default(self, field: Schema) -> str:
        default = field.get("default")
        if default is None or default == {}:
            return ""
        return f"`{_inline(default)}`"


def _is_unset(shape: Schema) -> bool:
    return shape.get("$ref", "").endswith(("/Unset", "/Reference")) or shape.get("type") == "null"


def _target(shape: Schema) -> str:
    return f" of `{shape['x-ref']}`" if "x-ref" in shape else ""


def _bounds(shape: Schema) -> str:
    least, most = shape.get("minimum"), shape.get("maximum")
    if least is not None and most is not None:
        return f", {least} to {most}"
    return f", at least {least}" if least else ""


def _also(places: list[str]) -> str:
    return " Also " + ", ".join(f"`{place}`" for place in places) + "." if places else ""


def _inline(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _words(name: str) -> str:
    """`DurationOrZero` as `duration or zero`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def _anchor(name: str) -> str:
    return _words(name.removesuffix("Spec")).replace(" ", "-")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(build("spec")), encoding="utf-8")
    sys.stdout.write(f"{target}\n")
