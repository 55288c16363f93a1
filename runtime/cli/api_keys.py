"""`runtime api-keys`: the API keys of a running environment: create, list, find, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from runtime.cli.actions import Actions, write

if TYPE_CHECKING:
    import argparse

    from runtime.cli.calls import Caller

MOST: Final = 100
EXAMPLE = "runtime api-keys create specs/development.yaml --name ci --scope jobs:write"


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = Actions(parser)

    made = actions.add("create", "make a key; it is shown this once")
    describing(made, required=True)
    listed = actions.add("list", "the keys, the newest first")
    listed.add_argument("--starts-with", default="", metavar="TEXT", help="the first characters of a found key")
    listed.add_argument("--limit", type=int, default=MOST, help=f"so many at most; {MOST} by default")
    found = actions.add("find", "whose key a found piece is; of a whole key, nothing secret is sent")
    found.add_argument("piece", metavar="PIECE", help="the first characters of a key, or all of it")
    ended = actions.add("revoke", "end a key, everywhere within a second")
    ended.add_argument("id", metavar="ID|KEY", help="its id, the characters that it begins with, or the key")


def describing(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """What a new key shall be like."""
    parser.add_argument("--name", default="by hand", help="what you call it")
    parser.add_argument("--scope", action="append", required=required, help="what it may do; may be given again")
    parser.add_argument("--owner", help="whose credits and data it uses; the operator's by default")
    parser.add_argument("--rate", help="its own limit: 100/m")
    parser.add_argument("--credits", metavar="AMOUNT", help="the most that it may spend of its owner's: 12.50")
    parser.add_argument("--expires-at", metavar="TIME", help="when it ends: 2027-01-01T00:00:00Z")


def run(args: argparse.Namespace) -> int:
    from runtime.cli.calls import Caller

    caller = Caller.of(args.spec)
    if args.action == "create":
        create(caller, args)
    elif args.action == "list":
        show(caller, args.starts_with, args.limit, as_json=args.json)
    elif args.action == "find":
        found = _listed(caller, args.piece, MOST)
        lines = [_line(key) for key in found["items"]] or ["No key of this environment begins like that."]
        write(found, lines, as_json=args.json)
        return 0 if found["items"] else 1
    else:
        revoke(caller, args.id, as_json=args.json)
    return 0


def create(caller: Caller, args: argparse.Namespace) -> None:
    """Makes a key as it was described, and shows it."""
    names = {"name": args.name, "scopes": args.scope, "owner": args.owner, "rate": args.rate}
    wanted = {**names, "expires_at": args.expires_at, "credits": args.credits}
    made = caller.post("/v1/api-keys", {name: value for name, value in wanted.items() if value is not None})
    write(made, [made["key"]], as_json=args.json)


def show(caller: Caller, starts_with: str = "", limit: int = MOST, *, as_json: bool) -> None:
    """Lists keys, the newest first."""
    found = _listed(caller, starts_with, limit)
    write(found, [_line(key) for key in found["items"]], as_json=as_json)


def revoke(caller: Caller, key: str, *, as_json: bool) -> None:
    """Ends a key, named by its id, the characters that it begins with, or all of it."""
    from runtime.services.auth.key_text import id_of

    id_ = id_of(key)
    with caller.opened("DELETE", f"/v1/api-keys/{quote(id_, safe='')}"):
        write({"id": id_, "revoked": True}, [f"{id_} is revoked"], as_json=as_json)


def _listed(caller: Caller, starts_with: str, limit: int) -> dict[str, Any]:
    from runtime.services.auth.key_text import public_part

    query = urlencode({"owner": "*", "limit": limit, "starts_with": public_part(starts_with)})
    found: dict[str, Any] = caller.get(f"/v1/api-keys?{query}")
    return found


def _line(key: dict[str, Any]) -> str:
    state = "revoked" if key["revoked_at"] else f"used {key['used_at']}" if key["used_at"] else "not used"
    return f"{key['begins']:<20} {key['owner']:<20} {' '.join(key['scopes']):<30} {state}  {key['name']}"
