"""`runtime notify`: the notification service by hand. So far: the mails that the development mailbox has caught."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

EXAMPLE = "runtime notify mails specs/development.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    mails = actions.add_parser("mails", help="the mails caught by `channels.….host: embedded`, newest last")
    mails.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")
    mails.add_argument("id", nargs="?", help="show one mail whole; `last` for the newest")
    mails.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    from runtime.cli.states import state_of
    from runtime.errors import NotFound
    from runtime.services.notifications.mailbox import mails, text_of

    caught = mails(state_of(args.spec).mail)
    if args.id:
        wanted = [mail for mail in caught if mail.id == args.id] or (caught[-1:] if args.id == "last" else [])
        if not wanted:
            raise NotFound(f'no mail "{args.id}"', remedy=f"List them: runtime notify mails {args.spec}")
        print(text_of(wanted[0]))
        return 0
    if args.json:
        print(json.dumps({"mails": [mail.to_data() for mail in caught]}, indent=2))
        return 0
    if not caught:
        print("No mails yet.")
    for mail in caught:
        print(f"{mail.id}  {mail.date:%Y-%m-%d %H:%M:%S}  {', '.join(mail.to):<28}  {mail.subject}")
    return 0
