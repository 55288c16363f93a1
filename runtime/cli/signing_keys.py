"""`runtime signing-keys`: the keys that access tokens are signed with: list, rotate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.cli.actions import Actions, write

if TYPE_CHECKING:
    import argparse

    from runtime.cli.calls import Caller

EXAMPLE = "runtime signing-keys rotate specs/development.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = Actions(parser)

    actions.add("list", "the keys and their states, the newest first")
    rotated = actions.add("rotate", "publish the next key; it signs five minutes later, and no token is refused")
    rotated.add_argument("--compromised", action="store_true", help="sign with it at once, refuse all present tokens")


def run(args: argparse.Namespace) -> int:
    from runtime.cli.calls import Caller

    caller = Caller.of(args.spec)
    if args.action == "list":
        show(caller, as_json=args.json)
    else:
        rotate(caller, compromised=args.compromised, as_json=args.json)
    return 0


def show(caller: Caller, *, as_json: bool) -> None:
    """Lists the keys."""
    found = caller.get("/v1/signing-keys")
    write(found, [_line(key) for key in found["items"]], as_json=as_json)


def rotate(caller: Caller, *, compromised: bool, as_json: bool) -> None:
    """Publishes the next key."""
    made = caller.post("/v1/signing-keys/rotate", {"compromised": compromised})
    write(made, [_line(made)], as_json=as_json)


def _line(key: dict[str, Any]) -> str:
    return f"{key['kid']}  {key['state']:<9}  {key['signs_from'] or 'from the spec'}"
