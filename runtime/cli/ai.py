"""`runtime ai`: the models of a running environment: what was used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    import argparse

EXAMPLE = "runtime ai usage specs/development.yaml --by model"

GROUPS = ("day", "user", "key", "provider", "model", "operation")
COLUMNS = ("calls", "failed", "tokens in", "tokens out", "cost USD")


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, meaning: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=meaning)
        made.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
        made.add_argument("--json", action="store_true", help="one JSON object")
        return made

    used = action("usage", "tokens and cost, and what is left of budgets")
    used.add_argument("--by", action="append", choices=GROUPS, help="what to group by; may be given again")
    for name in ("user", "key", "provider", "model"):
        used.add_argument(f"--{name}", help=f"one {name} alone")
    used.add_argument("--since", metavar="DAY", help="the first day, UTC: 2027-01-01; 30 days ago by default")
    used.add_argument("--until", metavar="DAY", help="the last day; today by default")
    used.add_argument("--limit", type=int, default=100, help="so many groups at most; 100 by default")


def run(args: argparse.Namespace) -> int:
    return {"usage": _usage}[args.action](args)


def _usage(args: argparse.Namespace) -> int:
    from runtime.cli.calls import Caller

    chosen = {name: getattr(args, name) for name in ("key", "provider", "model", "since", "until")}
    query = {name: value for name, value in chosen.items() if value is not None}
    groups = args.by or ["day"]
    found = Caller.of(args.spec).get(
        f"/v1/usage?{urlencode({**query, 'user': args.user or '*', 'limit': args.limit, 'by': groups}, doseq=True)}"
    )
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        return 0
    rows = [[*groups, *COLUMNS], *([*(item[group] for group in groups), *_figures(item)] for item in found["items"])]
    lines = _table(rows, left=len(groups)) if found["items"] else ["Nothing was used."]
    lines += [_budget(budget) for budget in found["budgets"]]
    if found["next"]:
        lines.append(f"There are more: --limit {args.limit * 2}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _figures(item: dict[str, Any]) -> list[str]:
    tokens = item["tokens"]
    out = tokens["output"] + tokens["reasoning"]
    return [str(item["calls"]), str(item["failed"]), str(tokens["total"] - out), str(out), item["cost"]]


def _budget(budget: dict[str, Any]) -> str:
    spent = f"{budget['spent']} of {budget['limit']} {budget['currency']} spent, {budget['left']} left"
    return f"budget {budget['name']}: {spent} until {budget['ends']}"


def _table(rows: list[list[str]], *, left: int) -> list[str]:
    """Rows as lines, the first columns to the left and the figures to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
