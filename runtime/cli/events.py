"""`runtime events`: the streams of a running environment by hand: publish, follow, read again, see what is dead."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from runtime.errors import Fault, NotRunning, Unreachable, UsageFault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from runtime.cli.calls import Caller

EXAMPLE = "runtime events publish specs/development.yaml system service.health --data '{\"up\": true}'"

SILENCE: Final = 45.0
"""Seconds without a word after which a followed stream counts as broken off; the server gives a sign every 15."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
PAGE: Final = 200


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    publish = _action(actions, "publish", "publish an event")
    publish.add_argument("type", metavar="TYPE", help="one of the stream's types of events")
    publish.add_argument("--data", default="{}", metavar="JSON", help="what has happened: a JSON object, or @FILE")
    publish.add_argument("--key", help="events of one key are in order")
    publish.add_argument("--id", help="your own id; within 24 hours an event of the same id is stored once")
    tail = _action(actions, "tail", "follow a stream until Ctrl+C")
    tail.add_argument("--after", metavar="POSITION", help="begin after this event; 0 for the oldest; by default now")
    tail.add_argument("--type", action="append", default=[], help="only events of this type; may be given again")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")
    replay = _action(actions, "replay", "the events that a stream keeps, oldest first")
    replay.add_argument("--after", default="0", metavar="POSITION", help="begin after this event")
    replay.add_argument("--limit", type=int, default=100, help="so many at most; 100 by default")
    replay.add_argument("--json", action="store_true", help="one JSON object a line")
    dead = _action(actions, "dead", "events that subscriptions could not handle")
    dead.add_argument("--replay", action="store_true", help="have them handled again, by the same subscriptions")
    dead.add_argument("--subscription", help="only this one's")
    dead.add_argument("--json", action="store_true", help="one JSON object a line")


def _action(actions: Any, name: str, meaning: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = actions.add_parser(name, help=meaning)
    made.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
    made.add_argument("stream", metavar="STREAM", help="the stream's name")
    return made


def run(args: argparse.Namespace) -> int:
    from runtime.cli.calls import Caller

    act = {"publish": _publish, "tail": _tail, "replay": _replay, "dead": _dead}[args.action]
    return act(args, Caller.of(args.spec))


def _publish(args: argparse.Namespace, caller: Caller) -> int:
    wanted = {"type": args.type, "data": _data(args.data), "key": args.key, "id": args.id}
    body = {name: value for name, value in wanted.items() if value is not None}
    accepted = caller.post(f"{_stream(args)}/events", body)
    print(f"{accepted['position']}  {accepted['id']}")
    return 0


def _tail(args: argparse.Namespace, caller: Caller) -> int:
    """Follows until it is interrupted; where the connection breaks off, goes on after the last event."""
    from runtime.cli.calls import Caller

    last = args.after or caller.get(_stream(args))["last"]
    pause = FIRST_PAUSE
    path = f"{_stream(args)}/subscribe"
    if args.type:
        path += "?" + urlencode({"type": args.type}, doseq=True)
    while True:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
        try:
            with caller.opened("GET", path, headers=headers, patience=SILENCE) as answer:
                for event in _heard(answer):
                    last, pause = event["position"], FIRST_PAUSE
                    _show(event, as_json=args.json)
        except Unreachable as error:
            sys.stderr.write(f"{error.message}; trying again\n")
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)
        with suppress(NotRunning):
            caller = Caller.of(args.spec)  # it may have come back at another port


def _heard(answer: Any) -> Iterator[dict[str, Any]]:
    """The events of a stream of Server-Sent Events.

    Raises:
        Fault: the environment says that it cannot go on.
    """
    kind = ""
    for line in answer:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            kind = value
        elif field == "data":
            told = json.loads(value)
            if kind == "missed":
                sys.stderr.write(f"What came after {told['after']} is no longer kept, up to {told['next'] or 'now'}.\n")
                continue
            if kind == "error":
                raise Fault(told["detail"])
            yield told


def _replay(args: argparse.Namespace, caller: Caller) -> int:
    after, left = args.after, args.limit
    while left > 0:
        query = urlencode({"after": after, "limit": min(left, PAGE)})
        page = caller.get(f"{_stream(args)}/events?{query}")
        for event in page["items"]:
            _show(event, as_json=args.json)
        left -= len(page["items"])
        after = page["next"]
        if after is None:
            break
    return 0


def _dead(args: argparse.Namespace, caller: Caller) -> int:
    if args.replay:
        body = {"subscription": args.subscription} if args.subscription else {}
        answer = caller.post(f"{_stream(args)}/dead/replay", body)
        if args.json:
            print(json.dumps(answer))
            return 0
        print(f"{answer['replayed']} given to their subscriptions again.")
        if answer["gone"]:
            print(f"{len(answer['gone'])} are no longer kept by the stream and stay among the dead.")
        return 0
    query = {"limit": PAGE, **({"subscription": args.subscription} if args.subscription else {})}
    found = 0
    while True:
        page = caller.get(f"{_stream(args)}/dead?{urlencode(query)}")
        for dead in page["items"]:
            found += 1
            _show_dead(dead, as_json=args.json)
        if page["next"] is None:
            break
        query["after"] = page["next"]
    if not found and not args.json:
        print("No dead events.")
    return 0


def _show(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(event), flush=True)
        return
    key = f"  {event['key']}" if event["key"] is not None else ""
    print(f"{event['position']}  {event['type']}{key}  {json.dumps(event['data'])}", flush=True)


def _show_dead(dead: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dead))
        return
    event = dead["event"] or {"id": "-", "type": "unreadable"}
    tries = f"{dead['tries']} {'try' if dead['tries'] == 1 else 'tries'}"
    print(f"{dead['position']}  {dead['subscription']}  {event['type']}  {event['id']}  {tries}: {dead['error']}")


def _stream(args: argparse.Namespace) -> str:
    return f"/v1/streams/{quote(args.stream, safe='')}"


def _data(given: str) -> Any:
    """The data of `--data`.

    Raises:
        UsageFault: it is no JSON object.
    """
    text = Path(given[1:]).read_text() if given.startswith("@") else given
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageFault(f"--data is no JSON: {error}", remedy=f"Try: {EXAMPLE}") from None
    if not isinstance(data, dict):
        raise UsageFault("--data is no JSON object", remedy=f"Try: {EXAMPLE}")
    return data
