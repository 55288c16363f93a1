"""`runtime explain`: what a key of the spec means, its type, its default, an example, and whether it changes live.

Names that you choose yourself may be anything: queues.email.retry and queues.NAME.retry are the same field.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.cli.render import Style
from runtime.errors import Fault
from runtime.spec.diagnostics import printable
from runtime.spec.shapes import REFERENCE, Schema, Shapes, constants, load_schema
from runtime.spec.suggest import did_you_mean
from runtime.spec.words import expected, shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

EXAMPLE = "runtime explain queues.email.retry"

_PART = re.compile(r'"([^"]*)"|([^.\[\]"]+)|\[(\d*)\]')


class Field(NamedTuple):
    """A place in the schema: what its field says, and whether it or one above it changes live."""

    path: str
    node: Schema
    live: bool


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", nargs="?", default="", metavar="PATH", help="the keys with dots between; all sections without"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    shapes = Shapes(load_schema())
    field = find(args.path, shapes)
    if args.json:
        import json

        sys.stdout.write(json.dumps(_as_json(field, shapes), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in described(field, shapes, Style(sys.stdout)))
    return 0


def find(path: str, shapes: Shapes) -> Field:
    """The field at a dotted path.

    Raises:
        Fault: there is none; the message tells the nearest.
    """
    field = Field("", shapes.schema, live=False)
    parts = [quoted or bare or f"[{index}]" for quoted, bare, index in _PART.findall(path)]
    while parts:
        field = _step(field, parts, shapes)
    return field


def _step(field: Field, parts: list[str], shapes: Shapes) -> Field:
    """One level down; names with dots in them, such as event types, may take several parts."""
    part = parts.pop(0)
    array = shapes.array(field.node)
    if part.startswith("["):
        if array is None:
            raise Fault(f"{field.path or 'the spec'} is no list", remedy=f"Try: runtime explain {field.path}")
        return Field(f"{field.path}[]", array["items"], field.live)
    fixed, entries = _keys(field.node, shapes)
    path = f"{field.path}.{part}" if field.path else part
    if part in fixed:
        return Field(path, fixed[part], field.live or _is_live(fixed[part]))
    if entries is None:
        near = did_you_mean(part, fixed)
        better = f"{field.path}.{near}" if field.path and near else near
        hint = f', did you mean "{better}"?' if better else ""
        above = f"`runtime explain {field.path}`".replace(" `", "`") if field.path else "`runtime explain`"
        raise Fault(f"there is no {printable(path, 200)}{hint}", remedy=f"{above} lists the keys there.")
    below, _ = _keys(entries, shapes)
    while parts and parts[0] not in below and not parts[0].startswith("[") and _is_dotted(field.node, shapes):
        path += f".{parts.pop(0)}"
    return Field(path, entries, field.live)


def _keys(node: Schema, shapes: Shapes) -> tuple[dict[str, Schema], Schema | None]:
    """The fixed keys of all alternatives, and what entries under names of the user's are."""
    fixed: dict[str, Schema] = {}
    entries: Schema | None = None
    for leaf in _objects(node, shapes):
        for key, field in leaf.get("properties", {}).items():
            fixed.setdefault(key, field)
        if isinstance(leaf.get("additionalProperties"), dict):
            entries = leaf["additionalProperties"]
    return fixed, entries


def _objects(node: Schema, shapes: Shapes) -> list[Schema]:
    return [leaf for leaf in shapes.leaves(node) if leaf.get("type") == "object"]


def _is_dotted(node: Schema, shapes: Shapes) -> bool:
    return any(r"\." in leaf.get("propertyNames", {}).get("pattern", "") for leaf in _objects(node, shapes))


def _is_live(node: Schema) -> bool:
    return bool(node.get("x-live"))


def described(field: Field, shapes: Shapes, style: Style) -> Iterator[str]:
    """What `runtime explain` prints, line by line."""
    node = field.node
    yield style(field.path or "the spec", "bold")
    leaves = [leaf for leaf in shapes.leaves(node) if leaf.get("type") != "null" and leaf.get("$name") != REFERENCE]
    description = node.get("description") or next((leaf["description"] for leaf in leaves if "description" in leaf), "")
    if description:
        yield f"  {description}"
    yield ""
    for name, value in _facts(field, leaves):
        yield f"  {style(f'{name:<9}', 'dim')} {value}"
    variants = [leaf for leaf in leaves if leaf.get("type") == "object"]
    for leaf in variants:
        yield from _listed(leaf, shapes, style, told_apart=len(variants) > 1)


def _facts(field: Field, leaves: list[Schema]) -> Iterator[tuple[str, str]]:
    node = field.node
    if field.path:
        yield "type", " or ".join(dict.fromkeys(_type(leaf) for leaf in leaves)) or "anything"
        if "default" in node and node["default"] is not None:
            yield "default", shown(node["default"])
        elif "default" in node:
            yield "default", "none"
    examples = node.get("examples") or [example for leaf in leaves for example in leaf.get("examples", ())]
    if examples:
        yield "example", shown(examples[0])
    for leaf in leaves:
        if "x-ref" in leaf:
            yield "names", f"an entry of {leaf['x-ref']}"
            break
    if any(leaf.get("x-secret") for leaf in leaves):
        yield "secret", "yes, it is never shown"
    if field.path:
        yield (
            "live",
            "yes, it changes without a restart" if field.live else "no, a change replaces what uses it",
        )


def _type(leaf: Schema) -> str:
    wanted = expected(leaf)
    entries = leaf.get("additionalProperties")
    if leaf.get("type") == "object" and isinstance(entries, dict) and not leaf.get("properties"):
        return f"{wanted} of entries by name"
    bounds = [f"at least {leaf['minimum']}"] if "minimum" in leaf else []
    bounds += [f"at most {leaf['maximum']}"] if "maximum" in leaf else []
    return f"{wanted}, {' and '.join(bounds)}" if bounds else wanted


def _listed(leaf: Schema, shapes: Shapes, style: Style, *, told_apart: bool) -> Iterator[str]:
    """The keys of one alternative."""
    properties: dict[str, Schema] = leaf.get("properties", {})
    entries = leaf.get("additionalProperties")
    rows = [(key, _default(key, field, leaf), _meaning(field, shapes)) for key, field in properties.items()]
    if isinstance(entries, dict):
        rows.append(("NAME", "", _meaning(entries, shapes)))
    if not rows:
        return
    tags = ", ".join(f"{key}: {value}" for key, value in constants(leaf).items()) if told_apart else ""
    yield ""
    yield f"  {style(f'keys with {tags}' if tags else 'keys', 'dim')}"
    width = max(len(key) for key, _, _ in rows)
    second = min(24, max(len(default) for _, default, _ in rows))
    for key, default, meaning in rows:
        yield f"    {key:<{width}}  {style(f'{default:<{second}}', 'dim')}  {meaning}".rstrip()


def _default(key: str, field: Schema, leaf: Schema) -> str:
    if "const" in field:
        return shown(field["const"])
    if key in leaf.get("required", ()):
        return "required"
    default = field.get("default")
    return "" if default in (None, {}, []) or isinstance(default, dict) else shown(default)


def _meaning(field: Schema, shapes: Shapes) -> str:
    text: str = field.get("description", "")
    return text or next((leaf["description"] for leaf in shapes.leaves(field) if leaf.get("description")), "")


def _as_json(field: Field, shapes: Shapes) -> dict[str, Any]:
    leaves = [
        leaf for leaf in shapes.leaves(field.node) if leaf.get("type") != "null" and leaf.get("$name") != REFERENCE
    ]
    fixed, entries = _keys(field.node, shapes)
    return {
        "path": field.path,
        "description": field.node.get("description", ""),
        "type": list(dict.fromkeys(_type(leaf) for leaf in leaves)),
        "default": field.node.get("default"),
        "examples": field.node.get("examples", []),
        "live": field.live,
        "secret": any(leaf.get("x-secret", False) for leaf in leaves),
        "keys": [*fixed, *(["NAME"] if entries is not None else [])],
    }
