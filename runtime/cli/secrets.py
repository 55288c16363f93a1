"""`runtime secrets`: where the secrets of a spec come from, whether each of them is there; never a value.

`check` follows every reference, Vault included, and starts nothing. `list` and `refresh` speak to the running
environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runtime.errors import SpecFault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from runtime.spec.origins import Use

EXAMPLE = "runtime secrets check specs/production.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, meaning: str, spec: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=meaning)
        added.add_argument("spec", type=Path, metavar="SPEC", help=spec)
        added.add_argument("--json", action="store_true", help="one JSON object")
        return added

    check = action("check", "follow each reference: its source, version and age; exit code 1 if one fails", "the spec")
    check.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable, as for `apply`")
    action("list", "the sources that a running environment uses", "the spec that was applied")
    refresh = action("refresh", "look at a source now", "the spec that was applied")
    refresh.add_argument("name", metavar="NAME", help="as `list` shows it")


def run(args: argparse.Namespace) -> int:
    if args.action == "check":
        return _check(args)
    from runtime.cli.calls import Caller

    caller = Caller.of(args.spec)
    if args.action == "list":
        views = caller.get("/v1/secrets")["items"]
    else:
        views = [caller.post(f"/v1/secrets/{quote(args.name.lstrip('/'))}/refresh")]
    if args.json:
        _write_json({"items": views})
    else:
        _table([_row(view) for view in views], ("NAME", "SOURCE", "VERSION", "AGE", "LEASE", "STATUS"))
    return 0


def _check(args: argparse.Namespace) -> int:
    from runtime.cli.apply import variables
    from runtime.services.secrets.store import VaultStore
    from runtime.spec.declare import declare
    from runtime.spec.resolve import resolve

    declared = declare(args.spec)
    declared.checked()
    store = VaultStore()
    try:
        found = resolve(
            declared.composition, declared.shapes, os.environ, given=variables(args.set), vault=store
        )  # fmt: skip
    finally:
        store.leave()
    if args.json:
        _write_json(
            {
                "references": [_as_json(use) for use in found.uses],
                "errors": [each.as_json() for each in found.diagnostics if each.severity == "error"],
            }
        )
    else:
        _table([_checked(use) for use in found.uses], ("PLACE", "REFERENCE", "SOURCE", "VERSION", "AGE"))
    wrong = [each for each in found.diagnostics if each.severity == "error"]
    if wrong and not args.json:
        sys.stdout.write("\n")
        raise SpecFault(wrong)
    return SpecFault(wrong).exit_code if wrong else 0


def _checked(use: Use) -> tuple[str, ...]:
    origin = use.origin
    if origin is None:
        return use.place, use.written, "-", "-", "-"
    return use.place, use.written, str(origin), origin.version or "-", _age(origin.since)


def _as_json(use: Use) -> dict[str, Any]:
    from runtime.spec.diagnostics import dotted

    origin = use.origin
    return {
        "place": use.place,
        "path": dotted(use.path),
        "reference": use.written,
        "source": origin.kind if origin else None,
        "name": origin.name if origin else None,
        "version": (origin.version or None) if origin else None,
        "age": round(time.time() - origin.since, 1) if origin and origin.since else None,
        "lease": origin.lease if origin else None,
        "problem": use.problem or None,
    }


def _row(view: dict[str, Any]) -> tuple[str, ...]:
    age, lease = view["age"], view["lease"]
    return (
        view["name"],
        view["source"] if view["source"] != "vault" else f"vault {view['path']}",
        view["version"] or "-",
        _span(age) if age is not None else "-",
        _span(lease) if lease is not None else "-",
        view["status"] if not view["problem"] else f"{view['status']}: {view['problem']}",
    )


def _table(rows: Sequence[tuple[str, ...]], head: tuple[str, ...]) -> None:
    if not rows:
        sys.stdout.write("no references\n")
        return
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        sys.stdout.write("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _age(since: float | None) -> str:
    return "-" if since is None else _span(max(0.0, time.time() - since))


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def _write_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
