"""`runtime signing-keys`: the keys that access tokens are signed with: list, rotate."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

EXAMPLE = "runtime signing-keys rotate specs/development.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, meaning: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=meaning)
        made.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
        made.add_argument("--json", action="store_true", help="one JSON object")
        return made

    action("list", "the keys and their states, the newest first")
    rotate = action("rotate", "publish the next key; it signs five minutes later, and no token is refused")
    rotate.add_argument("--compromised", action="store_true", help="sign with it at once, refuse all present tokens")


def run(args: argparse.Namespace) -> int:
    from runtime.cli.calls import Caller

    caller = Caller.of(args.spec)
    if args.action == "list":
        found = caller.get("/v1/signing-keys")
        _write(args, found, [_line(key) for key in found["items"]])
    else:
        made = caller.post("/v1/signing-keys/rotate", {"compromised": args.compromised})
        _write(args, made, [_line(made)])
    return 0


def _line(key: dict[str, Any]) -> str:
    return f"{key['kid']}  {key['state']:<9}  {key['signs_from'] or 'from the spec'}"


def _write(args: argparse.Namespace, value: Any, lines: list[str]) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) if args.json else "\n".join(lines)
    sys.stdout.write(f"{text}\n")
