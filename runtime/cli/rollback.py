"""`runtime rollback`: makes an earlier revision of a running environment hold again, as a new revision.

Its references are followed anew. The file stays as it is: the next apply brings back what stands there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

EXAMPLE = "runtime rollback specs/development.yaml 3"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the spec that runs")
    parser.add_argument(
        "revision", type=int, nargs="?", metavar="N", help="as `runtime revisions` lists them; else the one before"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    from runtime.cli.handover import roll_back
    from runtime.cli.plans import held, write_plan
    from runtime.running import find

    applied = roll_back(find(args.spec), args.revision)
    if args.json:
        sys.stdout.write(json.dumps(applied, indent=2, ensure_ascii=False) + "\n")
        return 0
    write_plan(applied)
    print(held(applied))
    print(f"{args.spec} is as it was: the next apply brings back what stands there.")
    return 0
