"""`runtime show`: a spec with its bases merged in, its defaults filled in and its secrets hidden.

References are shown as they were written; with --origin also which source would give each of them its value. Vault is
not asked.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from runtime.spec.declare import declare
from runtime.spec.diagnostics import dotted
from runtime.spec.emit import emit
from runtime.spec.redact import redacted

if TYPE_CHECKING:
    import argparse

    from runtime.spec.declare import Declared
    from runtime.spec.places import Path

EXAMPLE = "runtime show specs/production.yaml --origin"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="SPEC", help="the spec; - is standard input")
    parser.add_argument("--origin", action="store_true", help="beside each value the file and line that it comes from")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    declared = declare(args.spec)
    data = redacted(declared.checked(), declared.shapes)
    if args.json:
        import json

        told = dict(_origins(data, (), declared, sources(declared))) if args.origin else {}
        result: Any = {"spec": data, "origin": told} if args.origin else data
        sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    else:
        known = sources(declared) if args.origin else {}
        sys.stdout.write(emit(data, (lambda path: _told(path, declared, known)) if args.origin else None))
    return 0


def sources(declared: Declared) -> dict[Path, str]:
    """Where the values of references would come from: `environment PORT`, `vault secret/data/db#password`."""
    import os

    from runtime.spec.resolve import resolve

    found: dict[Path, list[str]] = {}
    for use in resolve(declared.composition, declared.shapes, os.environ).uses:
        if use.reference.kind == "vault":
            source = f"vault {_vault_path(use.reference.name, declared)}#{use.reference.field}"
        else:
            lacking = "not set" if use.reference.kind == "environment" else "not readable"
            source = str(use.origin) if use.origin is not None else f"{use.reference.name} {lacking}"
        found.setdefault(use.path, []).append(source)
    return {path: ", ".join(dict.fromkeys(each)) for path, each in found.items()}


def _vault_path(name: str, declared: Declared) -> str:
    vault = ((declared.data or {}).get("secrets") or {}).get("vault") or {}
    entry = (vault.get("paths") or {}).get(name)
    return str(entry["path"]) if isinstance(entry, dict) else name


def _told(path: Path, declared: Declared, known: dict[Path, str]) -> str:
    source = known.get(path)
    return f"{origin(path, declared)} <- {source}" if source else origin(path, declared)


def origin(path: Path, declared: Declared) -> str:
    """Where a value comes from: `specs/base.yaml:12`, `built in` or `default`."""
    place = declared.composition.place
    for part in path:
        below = place.child(part) if place is not None else None
        if below is None:
            return "built in" if _is_built_in(path, declared) else "default"
        place = below
    return f"{place.source.name}:{place.value_span().line}" if place is not None else "default"


def _is_built_in(path: Path, declared: Declared) -> bool:
    shapes = declared.shapes
    for depth in range(1, len(path)):
        field = shapes.at(path[:depth])
        for leaf in shapes.leaves(field) if field else ():
            figures: Any = leaf.get("x-built-in", {})
            for part in path[depth:]:
                figures = figures.get(part) if isinstance(figures, dict) else None
            if figures is not None:
                return True
    return False


def _origins(value: Any, path: Path, declared: Declared, known: dict[Path, str]) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [pair for key, below in value.items() for pair in _origins(below, (*path, key), declared, known)]
    return [(dotted(path), _told(path, declared, known))]
