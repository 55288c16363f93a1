"""`runtime keys`: keys of every kind: of the API, of access tokens (`signing`), of push messages (`vapid`), and those
that users' own provider keys are encrypted with (`encryption`).

A rotation needs no pause. For encryption: declare a second key, name it in `secrets.encryption.active`, apply; what is
stored is brought under it in the background, and `retire` says when the first one may go.
"""

from __future__ import annotations

import base64
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.cli import api_keys, signing_keys
from runtime.cli.actions import Actions, write
from runtime.errors import Fault, UsageFault

if TYPE_CHECKING:
    import argparse

    from runtime.cli.calls import Caller

EXAMPLE = "runtime keys create specs/development.yaml --scope runtime:admin"

KINDS: Final = ("encryption", "signing", "vapid")
"""Those that are rotated."""

_KEY: Final = 32
_LOOK: Final = 0.2
"""Seconds between two looks at a re-encryption that is waited for."""


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = Actions(parser)
    create = actions.parsers.add_parser(
        "create", help="an API key of a running environment; without SPEC, a random key for `secrets.encryption.keys`"
    )
    create.add_argument("spec", type=Path, nargs="?", metavar="SPEC", help="the spec that was applied")
    create.add_argument("--json", action="store_true", help="one JSON object")
    create.add_argument("--file", type=Path, help="write the random key there, mode 0600, not to the terminal")
    api_keys.describing(create, required=False)

    listed = actions.add("list", "the keys: for `encryption`, with how many stored keys are under each")
    rotate = actions.add(
        "rotate", "`encryption`: bring all under the active key; `signing`, `vapid`: make the next one, nobody notices"
    )
    for each, kinds in ((listed, ("encryption", "signing", "vapid", "api")), (rotate, KINDS)):
        each.add_argument(
            "kind", nargs="?", choices=kinds, default="encryption",
            help="those of users' provider keys by default; `signing`: of access tokens, `vapid`: of push messages",
        )  # fmt: skip
    rotate.add_argument("--wait", action="store_true", help="until all is; exit code 1 if some cannot be decrypted")
    rotate.add_argument("--compromised", action="store_true", help="of `signing`: refuse all present tokens")
    actions.add("retire", "whether a key of encryption is not needed any more").add_argument("name", metavar="NAME")
    ended = actions.add("revoke", "end an API key, everywhere within a second")
    ended.add_argument("id", metavar="ID|KEY", help="its id, the characters that it begins with, or the key")


def run(args: argparse.Namespace) -> int:
    if args.action == "create" and args.spec is None:
        if args.scope:
            raise UsageFault("an API key is of an environment", remedy=f"Name its spec: {EXAMPLE}.")
        return _create(args.file)
    from runtime.cli.calls import Caller

    caller = Caller.of(args.spec)
    if args.action == "create":
        if not args.scope:
            raise UsageFault("an API key needs scopes", remedy=f"Say what it may do: {EXAMPLE}.")
        api_keys.create(caller, args)
    elif args.action == "revoke":
        api_keys.revoke(caller, args.id, as_json=args.json)
    elif args.action == "retire":
        return _retire(args.name, _encryption(caller), as_json=args.json)
    elif args.kind == "api":
        api_keys.show(caller, as_json=args.json)
    elif args.kind == "vapid":
        _vapid(caller, rotate=args.action == "rotate", as_json=args.json)
    elif args.kind == "signing" and args.action == "list":
        signing_keys.show(caller, as_json=args.json)
    elif args.kind == "signing":
        signing_keys.rotate(caller, compromised=args.compromised, as_json=args.json)
    elif args.action == "list":
        keys, progress = _encryption(caller), caller.get("/v1/encryption-keys/reencryption")
        write({"items": keys, "reencryption": progress}, [*map(_line, keys), _progress(progress)], as_json=args.json)
    else:
        return _reencrypt(caller, wait=args.wait, as_json=args.json)
    return 0


def _encryption(caller: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller.get("/v1/encryption-keys")["items"]
    return found


def _reencrypt(caller: Caller, *, wait: bool, as_json: bool) -> int:
    active = next(key for key in _encryption(caller) if key["active"])
    progress = caller.post("/v1/encryption-keys/reencryption", {"rotate": active["kind"] == "transit"})
    while wait and progress["left"] > progress["failed"]:
        time.sleep(_LOOK)
        progress = caller.get("/v1/encryption-keys/reencryption")
    write(progress, [_progress(progress)], as_json=as_json)
    return 1 if wait and progress["left"] else 0


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


def _vapid(caller: Caller, *, rotate: bool, as_json: bool) -> None:
    path = "/v1/notifications/vapid"
    keys = caller.post(f"{path}/rotate", None) if rotate else caller.get(f"{path}/keys")
    lines = [
        f"{key['id']}  {key['subscriptions']:>8} subscriptions{'  current' if key['current'] else ''}"
        for key in keys["items"]
    ]
    write(keys, lines, as_json=as_json)


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
