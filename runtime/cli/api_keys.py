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

    create = actions.add("create", "make a key; it is shown this once")
    create.add_argument("--name", default="by hand", help="what you call it")
    create.add_argument("--scope", action="append", required=True, help="what it may do; may be given again")
    create.add_argument("--owner", help="whose credits and data it uses; the operator's by default")
    create.add_argument("--rate", help="its own limit: 100/m")
    create.add_argument("--credits", metavar="AMOUNT", help="the most that it may spend of its owner's: 12.50")
    create.add_argument("--expires-at", metavar="TIME", help="when it ends: 2027-01-01T00:00:00Z")
    listed = actions.add("list", "the keys, the newest first")
    listed.add_argument("--starts-with", default="", metavar="TEXT", help="the first characters of a found key")
    listed.add_argument("--limit", type=int, default=100, help="so many at most; 100 by default")
    found = actions.add("find", "whose key a found piece is; of a whole key, nothing secret is sent")
    found.add_argument("piece", metavar="PIECE", help="the first characters of a key, or all of it")
    revoke = actions.add("revoke", "end a key, everywhere within a second")
    revoke.add_argument("id", metavar="ID|KEY", help="its id, the characters that it begins with, or the key")


def run(args: argparse.Namespace) -> int:
    from runtime.cli.calls import Caller
    from runtime.services.auth.key_text import id_of

    caller = Caller.of(args.spec)
    if args.action == "create":
        names = {"name": args.name, "scopes": args.scope, "owner": args.owner, "rate": args.rate}
        wanted = {**names, "expires_at": args.expires_at, "credits": args.credits}
        made = caller.post("/v1/api-keys", {name: value for name, value in wanted.items() if value is not None})
        write(made, [made["key"]], as_json=args.json)
    elif args.action == "list":
        found = _listed(caller, args.starts_with, args.limit)
        write(found, [_line(key) for key in found["items"]], as_json=args.json)
    elif args.action == "find":
        found = _listed(caller, args.piece, MOST)
        lines = [_line(key) for key in found["items"]] or ["No key of this environment begins like that."]
        write(found, lines, as_json=args.json)
        return 0 if found["items"] else 1
    else:
        id_ = id_of(args.id)
        with caller.opened("DELETE", f"/v1/api-keys/{quote(id_, safe='')}"):
            write({"id": id_, "revoked": True}, [f"{id_} is revoked"], as_json=args.json)
    return 0


def _listed(caller: Caller, starts_with: str, limit: int) -> dict[str, Any]:
    from runtime.services.auth.key_text import public_part

    query = urlencode({"owner": "*", "limit": limit, "starts_with": public_part(starts_with)})
    found: dict[str, Any] = caller.get(f"/v1/api-keys?{query}")
    return found


def _line(key: dict[str, Any]) -> str:
    state = "revoked" if key["revoked_at"] else f"used {key['used_at']}" if key["used_at"] else "not used"
    return f"{key['begins']:<20} {key['owner']:<20} {' '.join(key['scopes']):<30} {state}  {key['name']}"
