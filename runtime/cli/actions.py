"""The actions of a command that speaks with a running environment: each takes its spec, and `--json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


class Actions:
    """Adds actions to a command.

    Example:
        >>> actions = Actions(parser)                                                         # doctest: +SKIP
        >>> actions.add("revoke", "end a key").add_argument("id")                             # doctest: +SKIP
    """

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parsers = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(self, name: str, meaning: str) -> argparse.ArgumentParser:
        """An action that is given the spec."""
        made = self.parsers.add_parser(name, help=meaning)
        made.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
        made.add_argument("--json", action="store_true", help="one JSON object")
        return made


def write(value: Any, lines: Sequence[str], *, as_json: bool) -> None:
    """Prints what an action has found.

    Args:
        value: for programs.
        lines: for people.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) if as_json else "\n".join(lines)
    sys.stdout.write(f"{text}\n" if text else "")
