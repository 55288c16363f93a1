"""`runtime validate`: everything that is wrong with a spec, at once.

Resolves no reference, opens no connection and runs none of your code. Ends with 1 where a file has an error.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from runtime.cli.render import Style, counted, write_diagnostics
from runtime.spec.check import check
from runtime.spec.collector import Paused
from runtime.spec.overlay import compose
from runtime.spec.shapes import Shapes, load_schema

if TYPE_CHECKING:
    import argparse

    from runtime.spec.diagnostics import Diagnostic

EXAMPLE = "runtime validate specs/production.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("specs", nargs="+", metavar="SPEC", help="a spec; - is standard input")
    parser.add_argument("--json", action="store_true", help="one JSON object with all errors and warnings")
    parser.add_argument(
        "--format", choices=("text", "json", "github"), default="text", help="github: annotations for Actions"
    )


def run(args: argparse.Namespace) -> int:
    shapes = Shapes(load_schema())
    with Paused():
        found = {name: check(compose(name), shapes) for name in dict.fromkeys(args.specs)}
    every = list(dict.fromkeys(diagnostic for diagnostics in found.values() for diagnostic in diagnostics))
    errors = [diagnostic for diagnostic in every if diagnostic.severity == "error"]
    if args.json or args.format == "json":
        _write_json(every)
    elif args.format == "github":
        sys.stdout.writelines(f"{diagnostic.as_annotation()}\n" for diagnostic in every)
    else:
        _write_text(found, every, len(errors))
    return 1 if errors else 0


def _write_json(every: list[Diagnostic]) -> None:
    import json

    result = {
        "errors": [diagnostic.as_json() for diagnostic in every if diagnostic.severity == "error"],
        "warnings": [diagnostic.as_json() for diagnostic in every if diagnostic.severity == "warning"],
    }
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def _write_text(found: dict[str, list[Diagnostic]], every: list[Diagnostic], errors: int) -> None:
    """Errors and warnings on standard error, one line for each valid file on standard output."""
    write_diagnostics(every, sys.stderr)
    style = Style(sys.stdout)
    for name, diagnostics in found.items():
        if not any(diagnostic.severity == "error" for diagnostic in diagnostics):
            warnings = f" ({counted(len(diagnostics), 'warning')})" if diagnostics else ""
            sys.stdout.write(f"{name}: {style('valid', 'green')}{warnings}\n")
    if errors:
        wrong = sum(any(d.severity == "error" for d in diagnostics) for diagnostics in found.values())
        where = f" in {counted(wrong, 'spec')}" if len(found) > 1 else ""
        sys.stderr.write(f"{Style(sys.stderr)(counted(errors, 'error'), 'red', 'bold')}{where}\n")
