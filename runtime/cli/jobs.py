"""`runtime jobs`: the queues of the running environment by hand.

Puts jobs in, shows queues and jobs, cancels, retries, and looks after the dead ones.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from runtime.cli.calls import Caller
from runtime.errors import Fault, UsageFault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

EXAMPLE = 'runtime jobs enqueue specs/development.yaml demo --payload \'{"name": "Ada"}\' --wait'

_ENDED: Final = ("completed", "failed", "cancelled")
_COUNTS: Final = ("waiting", "scheduled", "running", "dead", "completed", "failed", "cancelled")
_LOOK: Final = 0.1
"""Seconds between two looks at a job that is waited for."""
_BAR: Final = 30
_WIDE: Final = 100
_MOST_DEAD: Final = 200


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, meaning: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=meaning)
        added.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
        added.add_argument("--json", action="store_true", help="one JSON object")
        return added

    action("list", "every queue with its counts")
    enqueue = action("enqueue", "put a job into a queue")
    enqueue.add_argument("queue", metavar="QUEUE")
    enqueue.add_argument("--payload", default="{}", metavar="JSON|@FILE", help="what its task gets; {} by default")
    enqueue.add_argument("--delay", metavar="30s", help="how long to wait before it may run")
    enqueue.add_argument("--priority", type=int, metavar="N", help="lower runs first")
    enqueue.add_argument("--key", metavar="NAME", help="a name that only one unfinished job of the queue may have")
    enqueue.add_argument("--group", metavar="NAME", help="whose turn it takes")
    enqueue.add_argument("--owner", metavar="NAME", help="who is told when it runs for long")
    enqueue.add_argument("--wait", action="store_true", help="until it has ended; exit code 1 when it did not complete")
    for name, meaning in (
        ("show", "one job: status, tries, progress, result, error"),
        ("cancel", "cancel a job that waits or runs"),
        ("retry", "put a failed job back, with no try made"),
        ("pause", "lay one job aside; one that runs is told to end, and the try does not count"),
        ("resume", "let a paused job wait in its queue again"),
        ("watch", "follow a job until it has ended; exit code 1 when it did not complete"),
    ):
        action(name, meaning).add_argument("id", metavar="ID")
    dead = action("dead", f"the jobs of a queue that have failed for good, newest first, {_MOST_DEAD} at most")
    dead.add_argument("queue", metavar="QUEUE")
    dead.add_argument("--replay", action="store_true", help="put them back, the oldest 1,000 at once")


def run(args: argparse.Namespace) -> int:
    body = _request(args) if args.action == "enqueue" else None
    caller = Caller.of(args.spec)
    match args.action:
        case "list":
            found = caller.get("/v1/queues")
            _print(found, args.json, _queues(found["items"]))
        case "enqueue":
            accepted = caller.post(f"/v1/queues/{quote(args.queue, safe='')}/jobs", body)
            if args.wait:
                return _ended(caller, accepted["id"], args.json)
            duplicate = f", {accepted['duplicate']}" if accepted["duplicate"] else ""
            _print(accepted, args.json, [f"{accepted['id']}  {accepted['status']}{duplicate}"])
        case "show":
            job = caller.get(_job(args.id))
            _print(job, args.json, _fields(job))
        case "watch":
            return _ended(caller, args.id, args.json)
        case "cancel" | "retry" | "pause" | "resume":
            accepted = caller.post(f"{_job(args.id)}/{args.action}")
            told = args.action in ("cancel", "pause") and accepted["status"] == "running"
            _print(accepted, args.json, [f"{accepted['id']}  {accepted['status']}{', told to end' if told else ''}"])
        case "dead":
            _dead(caller, args)
    return 0


def _request(args: argparse.Namespace) -> dict[str, Any]:
    """The body that puts a job into a queue.

    Raises:
        UsageFault: the payload is no JSON object.
    """
    text = args.payload
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Fault(f"cannot read the payload {text[1:]}: {error}") from error
    try:
        payload = json.loads(text)
    except ValueError as error:
        raise UsageFault(f"the payload is no JSON: {error}", remedy=f"Try: {EXAMPLE}") from error
    if not isinstance(payload, dict):
        raise UsageFault("the payload is no JSON object", remedy=f"Try: {EXAMPLE}")
    options = ((name, getattr(args, name)) for name in ("delay", "priority", "key", "group", "owner"))
    return {"payload": payload} | {name: value for name, value in options if value is not None}


def _ended(caller: Caller, job_id: str, as_json: bool) -> int:
    """Waits until a job has ended, shows it, and returns the exit code."""
    with_bar = sys.stderr.isatty()
    while (job := caller.get(_job(job_id)))["status"] not in _ENDED:
        if with_bar:
            sys.stderr.write(f"\r{_bar(job)}\033[K")
            sys.stderr.flush()
        time.sleep(_LOOK)
    if with_bar:
        sys.stderr.write("\r\033[K")
    _print(job, as_json, _fields(job))
    return 0 if job["status"] == "completed" else 1


def _bar(job: dict[str, Any]) -> str:
    full = round(job["progress"] * _BAR)
    said = f": {job['message']}" if job["message"] else ""
    state = f"{job['status']}, try {job['attempts']}{said}"
    return f"[{'█' * full}{'·' * (_BAR - full)}] {job['progress']:4.0%}  {state}"[:_WIDE]


def _dead(caller: Caller, args: argparse.Namespace) -> None:
    path = f"/v1/queues/{quote(args.queue, safe='')}/dead"
    if args.replay:
        done = caller.post(f"{path}/replay", {})
        lines = [f"{done['replayed']} replayed, {done['left']} left"]
        _print(done, args.json, lines + [f"{refusal['id']}  {refusal['reason']}" for refusal in done["refused"]])
        return
    page = caller.get(f"{path}?limit={_MOST_DEAD}")
    lines = [f"{job['id']}  {job['finished_at']}  {job['attempts']} tries  {job['error']}" for job in page["items"]]
    if page["next"]:
        lines.append("There are more.")
    _print(page, args.json, lines or ["No dead jobs."])


def _job(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _queues(queues: Sequence[dict[str, Any]]) -> list[str]:
    width = max((len(queue["name"]) for queue in queues), default=0)
    heads = "  ".join(f"{name:>9}" for name in _COUNTS)
    lines = [f"{'queue':<{width}}  {heads}"] if queues else ["The spec declares no queues."]
    for queue in queues:
        counts = "  ".join(f"{queue[name]:>9}" for name in _COUNTS)
        note = "  paused" if queue["paused"] else f"  {queue['reason'] or ''}" if queue["built"] else "  not built"
        note = note.rstrip()
        lines.append(f"{queue['name']:<{width}}  {counts}{note}")
    return lines


def _fields(job: dict[str, Any]) -> list[str]:
    width = max(map(len, job))
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in job.items()}
    return [f"{name:<{width}}  {value}" for name, value in shown.items() if value != "null"]


def _print(data: Any, as_json: bool, lines: Sequence[str]) -> None:
    from runtime.spec.diagnostics import printable

    print(json.dumps(data, indent=2) if as_json else "\n".join(printable(line, 2_000) for line in lines))
