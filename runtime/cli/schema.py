"""`runtime schema`: the JSON Schema of the spec, for editors and other tools.

In an editor the first line of a file names it: # yaml-language-server: $schema=spec.v1.json
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from runtime.spec.shapes import schema_file

if TYPE_CHECKING:
    import argparse

EXAMPLE = "runtime schema > spec.v1.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overlay", action="store_true", help="the schema for files with `extends`: nothing is required"
    )


def run(args: argparse.Namespace) -> int:
    with open(schema_file("overlay" if args.overlay else "spec"), encoding="utf-8") as stream:  # noqa: PTH123
        sys.stdout.write(stream.read())
    return 0
