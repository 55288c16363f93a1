"""`runtime keys`: create, list, rotate and retire the keys that users' own provider keys are encrypted with; list and
rotate those of push messages (`vapid`).

A rotation needs no pause: declare a second key, name it in `secrets.encryption.active`, apply; what is stored is
brought under it in the background, and `retire` says when the first one may go.
"""

from __future__ import annotations

import base64
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.cli.actions import Actions, write
from runtime.errors import Fault

if TYPE_CHECKING:
    import argparse

    from runtime.cli.calls import Caller

EXAMPLE = "runtime keys list specs/production.yaml"

_KEY: Final = 32
_LOOK: Final = 0.2
"""Seconds between two looks at a re-encryption that is waited for."""


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = Actions(parser)
    create = actions.parsers.add_parser("create", help="a new random key of 32 bytes in base64")
    create.add_argument("--file", type=Path, help="write it there, mode 0600, rather than to the terminal")

    listed = actions.add("list", "the keys, and how many stored keys are under each")
    rotate = actions.add(
        "rotate", "bring all under the active key; one in Vault's transit engine gets a new version first"
    )
    for each in (listed, rotate):
        each.add_argument(
            "kind", nargs="?", choices=("encryption", "vapid"), default="encryption",
            help="`vapid`: those that browsers subscribe to push messages with",
        )  # fmt: skip
    rotate.add_argument("--wait", action="store_true", help="until all is; exit code 1 if some cannot be decrypted")
    actions.add("retire", "whether a key is not needed any more").add_argument("name", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    if args.action == "create":
        return _create(args.file)
    from runtime.cli.calls import Caller

    caller = Caller.of(args.spec)
    if getattr(args, "kind", "") == "vapid":
        return _vapid(caller, rotate=args.action == "rotate", as_json=args.json)
    keys = caller.get("/v1/encryption-keys")["items"]
    if args.action == "list":
        progress = caller.get("/v1/encryption-keys/reencryption")
        write({"items": keys, "reencryption": progress}, [*map(_line, keys), _progress(progress)], as_json=args.json)
        return 0
    if args.action == "retire":
        return _retire(args.name, keys, as_json=args.json)
    active = next(key for key in keys if key["active"])
    progress = caller.post("/v1/encryption-keys/reencryption", {"rotate": active["kind"] == "transit"})
    while args.wait and progress["left"] > progress["failed"]:
        time.sleep(_LOOK)
        progress = caller.get("/v1/encryption-keys/reencryption")
    write(progress, [_progress(progress)], as_json=args.json)
    return 1 if args.wait and progress["left"] else 0


def _create(file: Path | None) -> int:
    key = base64.b64encode(os.urandom(_KEY)).decode()
    if file is None:
        sys.stdout.write(f"{key}\n")
        return 0
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise Fault(f"{file} is there already", remedy="Name another file: a key must never be overwritten.") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as output:
        output.write(f"{key}\n")
    sys.stdout.write(f"{file}: a new key; refer to it as ${{file:{file}}}\n")
    return 0


def _vapid(caller: Caller, *, rotate: bool, as_json: bool) -> int:
    path = "/v1/notifications/vapid"
    keys = caller.post(f"{path}/rotate", None) if rotate else caller.get(f"{path}/keys")
    lines = [
        f"{key['id']}  {key['subscriptions']:>8} subscriptions{'  current' if key['current'] else ''}"
        for key in keys["items"]
    ]
    write(keys, lines, as_json=as_json)
    return 0


def _retire(name: str, keys: list[dict[str, Any]], *, as_json: bool) -> int:
    found = next((key for key in keys if key["name"] == name), None)
    if found is None:
        names = ", ".join(key["name"] for key in keys)
        raise Fault(f'there is no encryption key "{name}"', remedy=f"There are {names}.")
    if found["active"]:
        raise Fault(
            f'"{name}" is the active key', remedy="Name another one in secrets.encryption.active, and apply the spec."
        )
    if found["records"]:
        raise Fault(
            f'{found["records"]} stored keys are still under "{name}"',
            remedy="`runtime keys rotate --wait` brings them under the active key.",
        )
    said = f'nothing is under "{name}" any more: take it out of secrets.encryption.keys, and delete its source'
    write(found, [said], as_json=as_json)
    return 0


def _line(key: dict[str, Any]) -> str:
    marks = [mark for mark, true in (("active", key["active"]), ("not declared", not key["declared"])) if true]
    return f"{key['name']:<20} {key['kind']:<8} {key['records']:>8} stored  {', '.join(marks)}".rstrip()


def _progress(progress: dict[str, Any]) -> str:
    failed = f", {progress['failed']} cannot be decrypted" if progress["failed"] else ""
    if not progress["left"]:
        return f'all is under "{progress["active"]}"'
    return f'{progress["left"]} to be brought under "{progress["active"]}"{failed}'
