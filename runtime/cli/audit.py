"""`runtime audit`: who did what in a running environment, and whether that record is whole: list, verify, head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from runtime.cli.actions import Actions, write
from runtime.errors import Fault, UsageFault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from runtime.cli.calls import Caller

MOST: Final = 50
PAGE: Final = 200
WALK: Final = 20_000
"""Entries that are verified by one call: less than a second's work."""
PATIENCE: Final = 60.0
FILTERS: Final = ("actor", "action", "target")
EXAMPLE = "runtime audit verify specs/development.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = Actions(parser)

    listed = actions.add("list", "who did what, the newest first")
    listed.add_argument("--actor", help="who did it: user:…, key:…, key:operator, system")
    listed.add_argument("--action", dest="act", help="what was done: session.login, queue.pause …")
    listed.add_argument("--target", help="what it was done to: user:…, queue:email …")
    listed.add_argument("--since", metavar="TIME|AGE", help="of this moment and later: 2026-01-31T00:00:00Z, or 24h")
    listed.add_argument("--until", metavar="TIME|AGE", help="before this moment")
    listed.add_argument("--limit", type=int, default=MOST, help=f"so many at most; {MOST} by default")
    verified = actions.add("verify", "whether the chain of entries holds; exit code 1 where it does not")
    verified.add_argument("--head", metavar="SEQ:HASH", help="it must go through this head, noted down earlier")
    actions.add("head", "where the chain ends, to be noted down outside of the environment")


def run(args: argparse.Namespace) -> int:
    from runtime.cli.calls import Caller

    caller = Caller.of(args.spec)
    if args.action == "list":
        show(caller, args)
    elif args.action == "verify":
        return verify(caller, args.head, as_json=args.json)
    else:
        head = _get(caller, "/head", {})
        write(head, [head["noted"]], as_json=args.json)
    return 0


def show(caller: Caller, args: argparse.Namespace) -> None:
    """Lists entries, the newest first."""
    wanted: dict[str, Any] = {"actor": args.actor, "action": args.act, "target": args.target}
    wanted |= {"since": _moment("--since", args.since), "until": _moment("--until", args.until)}
    items: list[dict[str, Any]] = []
    after = None
    while len(items) < args.limit:
        limit = min(PAGE, args.limit - len(items))
        page = _get(caller, "", {**wanted, "limit": limit, "after": after})
        items += page["items"]
        after = page["next"]
        if after is None:
            break
    write({"items": items}, [_line(item) for item in items], as_json=args.json)


def verify(caller: Caller, noted: str | None, *, as_json: bool) -> int:
    """Follows the chain from its oldest entry; returns the exit code."""
    from runtime.cli.progress import Progress

    checked, after = 0, None
    with Progress() as progress:
        while True:
            found = _get(caller, "/verify", {"head": noted, "limit": WALK, "after": after})
            checked += found["checked"]
            after = found["next"]
            if after is None:
                break
            first, last = found["first"], found["head"]["seq"]
            part = (found["through"]["seq"] - first + 1) / max(1, last - first + 1)
            progress.show(f"{checked:,} of {last - first + 1:,} entries", min(1.0, part))
    whole = {**found, "checked": checked}
    write(whole, _verdict(whole, noted), as_json=as_json)
    return 0 if whole["valid"] else 1


def _verdict(found: Mapping[str, Any], noted: str | None) -> list[str]:
    if found["broken"]:
        return [
            f"The chain does not hold at entry {found['broken']['seq']}: {found['broken']['why']}.",
            f"Entries up to {found['through']['seq']} hold. Keep a copy of the database before you change anything.",
        ]
    lines = [f"The chain holds: {found['checked']:,} entries, up to {found['head']['noted']}"]
    if noted is not None and int(noted.partition(":")[0]) < found["first"] - 1:
        lines.append(f"The noted head {noted[:40]}… is of an entry that was removed for its age: it proves nothing.")
    return lines


def _get(caller: Caller, path: str, query: Mapping[str, Any]) -> Any:
    import json

    given = urlencode({name: value for name, value in query.items() if value is not None})
    try:
        with caller.opened("GET", f"/v1/audit{path}?{given}", patience=PATIENCE) as answer:
            return json.load(answer)
    except Fault as fault:
        if fault.message.startswith("There is nothing at this address"):
            raise Fault(
                "this environment keeps no audit trail", remedy="Set observability.audit in its spec, and apply."
            ) from fault
        raise


def _moment(option: str, text: str | None) -> str | None:
    """A moment as the API takes it; an age counts back from now.

    Raises:
        UsageFault: it is neither.
    """
    if text is None:
        return None
    from datetime import UTC, datetime, timedelta

    from runtime.services.names import seconds

    age = seconds(text)
    if age is not None:
        return (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageFault(f"{option} wants a time or an age", remedy=f"{option} 2026-01-31T00:00:00Z or 24h") from error
    return (moment if moment.tzinfo else moment.astimezone()).isoformat()


def _line(item: Mapping[str, Any]) -> str:
    time = item["time"][:19].replace("T", " ")
    outcome = "" if item["outcome"] == "done" else f"  {item['outcome']}"
    return f"{item['seq']:>6}  {time}  {item['actor']:<28} {item['action']:<22} {item['target'] or ''}{outcome}"
