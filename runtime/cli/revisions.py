"""`runtime revisions`: what was applied to an environment, newest first, and what changed in each.

Read from the journal in the state folder, so that it also tells of an environment that does not run.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from runtime.kernel.journal import Revision

EXAMPLE = "runtime revisions specs/development.yaml"
SHOWN = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
    parser.add_argument("--limit", type=int, default=SHOWN, metavar="N", help=f"so many of the newest ({SHOWN})")
    parser.add_argument("--json", action="store_true", help="one JSON object; the specs themselves are left out")


def run(args: argparse.Namespace) -> int:
    from runtime.kernel.journal import Journal
    from runtime.running import state_of

    state = state_of(args.spec)
    kept = list(reversed(Journal(state.journal).list()))
    revisions = kept[: max(0, args.limit)]
    told = [(revision, changed(_before(revision, kept), revision)) for revision in revisions]
    if args.json:
        items = [{**_without_spec(revision), "changed": paths} for revision, paths in told]
        sys.stdout.write(json.dumps({"items": items}, indent=2, ensure_ascii=False) + "\n")
        return 0
    if not told:
        print(f"{args.spec} was never applied: there is no journal in {state.journal}.")
    for revision, paths in told:
        sys.stdout.writelines(f"{line}\n" for line in _lines(revision, paths))
    return 0


def changed(before: Revision | None, revision: Revision) -> list[str]:
    """The paths of the spec whose values differ from those of the revision that ran before; never a value."""
    if before is None or before.spec is None or revision.spec is None:
        return []
    from runtime.spec.diagnostics import dotted

    return [dotted(path) for path in _differing(before.spec, revision.spec, ())]


def _before(revision: Revision, kept: Sequence[Revision]) -> Revision | None:
    """The one that ran when a revision was applied."""
    return next((each for each in kept if each.number < revision.number and each.outcome == "applied"), None)


def _differing(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if old == new:
        return
    if not isinstance(old, dict) or not isinstance(new, dict):
        yield path
        return
    for key in sorted(old.keys() | new.keys()):
        if key not in old or key not in new:
            yield (*path, key)
        else:
            yield from _differing(old[key], new[key], (*path, key))


def _without_spec(revision: Revision) -> dict[str, Any]:
    return {name: value for name, value in asdict(revision).items() if name != "spec"}


def _lines(revision: Revision, paths: Sequence[str]) -> Iterator[str]:
    if revision.note:
        yield f"{revision.number:>4}  {revision.note}"
        return
    from runtime.cli.plans import MARKS

    when = revision.time[:19].replace("T", " ")
    outcome = revision.outcome if revision.error is None else f"{revision.outcome}: {revision.error}"
    yield f"{revision.number:>4}  {when}  {outcome}"
    if paths:
        yield f"      changed: {', '.join(paths[:8])}{f' and {len(paths) - 8} more' if len(paths) > 8 else ''}"
    steps = [f"{MARKS[step['action']][0]}{step['id']}" for step in revision.plan]
    if steps:
        yield f"      {' '.join(steps[:8])}{f' and {len(steps) - 8} more' if len(steps) > 8 else ''}"
