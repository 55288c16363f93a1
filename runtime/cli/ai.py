"""`runtime ai`: the models of a running environment: ask one, see its providers, what was used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from runtime.errors import Fault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from email.message import Message

EXAMPLE = "runtime ai chat specs/development.yaml 'Say hello'"

GROUPS = ("day", "user", "key", "provider", "model", "operation")
ANSWER: Final = 120.0
"""Seconds that an answer may keep its reader waiting."""
COLUMNS = ("calls", "failed", "tokens in", "tokens out", "cost USD")


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, meaning: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=meaning)
        made.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
        made.add_argument("--json", action="store_true", help="one JSON object")
        return made

    chat = action("chat", "ask a model; the answer is shown as it comes")
    chat.add_argument("prompt", metavar="PROMPT", help="what to ask; - for standard input")
    chat.add_argument("--model", default="default", help="a chain, or provider/model; `default` by default")
    chat.add_argument("--system", metavar="TEXT", help="a system prompt")
    chat.add_argument("--max-tokens", type=int, metavar="N", help="so many tokens out at most")
    action("providers", "every provider and its state")
    used = action("usage", "tokens and cost, and what is left of budgets")
    used.add_argument("--by", action="append", choices=GROUPS, help="what to group by; may be given again")
    for name in ("user", "key", "provider", "model"):
        used.add_argument(f"--{name}", help=f"one {name} alone")
    used.add_argument("--since", metavar="DAY", help="the first day, UTC: 2027-01-01; 30 days ago by default")
    used.add_argument("--until", metavar="DAY", help="the last day; today by default")
    used.add_argument("--limit", type=int, default=100, help="so many groups at most; 100 by default")


def run(args: argparse.Namespace) -> int:
    return {"chat": _chat, "providers": _providers, "usage": _usage}[args.action](args)


def _chat(args: argparse.Namespace) -> int:
    from runtime.cli.calls import Caller

    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    messages = [{"role": "system", "content": args.system}] if args.system else []
    body = {"model": args.model, "messages": [*messages, {"role": "user", "content": prompt}], "stream": not args.json}
    if args.max_tokens is not None:
        body["max_completion_tokens"] = args.max_tokens
    with Caller.of(args.spec).opened("POST", "/v1/chat/completions", body, patience=ANSWER) as answer:
        if args.json:
            sys.stdout.write(json.dumps(json.load(answer), indent=2, ensure_ascii=False) + "\n")
            return 0
        return _show_stream(answer, answer.headers)


def _show_stream(lines: Iterable[bytes], headers: Message) -> int:
    """Writes the text of a stream as it comes; who answered goes to standard error."""
    cost = 0
    for line in lines:
        if line.startswith(b": cost "):
            cost = int(line.split()[2])
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if "error" in event:
            raise Fault(event["error"]["message"])
        for choice in event["choices"]:
            sys.stdout.write(choice["delta"].get("content") or "")
            sys.stdout.flush()
    tries = headers["X-Runtime-Attempts"]
    told = f"{headers['X-Runtime-Provider']}/{headers['X-Runtime-Model']}, ${cost / 1e9:.6f}"
    sys.stdout.write("\n")
    sys.stderr.write(told + (f", {tries} attempts\n" if tries != "1" else "\n"))
    return 0


def _providers(args: argparse.Namespace) -> int:
    from runtime.cli.calls import Caller

    found = Caller.of(args.spec).get("/v1/ai/providers")
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        return 0
    rows = [["name", "kind", "state", "requests", "tokens", "why"]]
    rows += [
        [one["name"], one["kind"], one["state"], one["requests"] or "-", one["tokens"] or "-", one["reason"]]
        for one in found["items"]
    ]
    sys.stdout.write("\n".join(_table(rows, left=len(rows[0]))) + "\n")
    return 0


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
