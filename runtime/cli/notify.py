"""`runtime notify`: notifications by hand: send, preview, receipts, what was caught, the key of push."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import UsageFault

if TYPE_CHECKING:
    import argparse

EXAMPLE = """runtime notify send specs/development.yaml system-alert --email ada@example.com \\
      --data '{"title": "Disk", "text": "It is almost full."}'"""
PAGE: Final = 200


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    send = actions.add_parser("send", help="tell people something")
    _spec(send)
    send.add_argument("category", metavar="CATEGORY", help="its name in the spec")
    send.add_argument("--user", action="append", default=[], metavar="ID", help="a user; may be given again")
    send.add_argument("--email", action="append", default=[], metavar="ADDRESS", help="somebody without an account")
    send.add_argument(
        "--phone", action="append", default=[], metavar="NUMBER", help="the same, by an international number"
    )
    send.add_argument("--topic", metavar="TOPIC", help="its subscribers")
    send.add_argument("--all", action="store_true", help="every user")
    send.add_argument("--except", action="append", default=[], metavar="ID", dest="but", help="a user to leave out")
    send.add_argument("--key", help="names it: sent again, it is told once")
    send.add_argument("--at", metavar="TIME", help="when, such as 2026-01-05T08:00:00Z")
    send.add_argument("--delay", action="append", metavar="1d", dest="delays", help="tell it again while it is unread")
    send.add_argument("--urgency", choices=("low", "normal", "high"))
    send.add_argument("--mode", choices=("default", "forced", "prefer_socket"))
    _data(send)
    preview = actions.add_parser("preview", help="what it would look like; nothing is sent")
    _spec(preview)
    preview.add_argument("category", metavar="CATEGORY", help="its name in the spec")
    preview.add_argument("--kind", choices=("email", "push", "sms", "in_app"), default="email")
    preview.add_argument("--language", metavar="fr-CA")
    preview.add_argument("--html", type=Path, metavar="FILE", help="write the HTML of a mail there")
    _data(preview)
    receipts = actions.add_parser("receipts", help="what became of a notification")
    _spec(receipts)
    receipts.add_argument("id", metavar="ID", help="as `send` has printed it")
    mails = actions.add_parser("mails", help="the mails caught by `channels.….host: embedded`, newest last")
    _spec(mails)
    mails.add_argument("id", nargs="?", help="show one mail whole; `last` for the newest")
    texts = actions.add_parser("texts", help="the text messages caught by `provider: embedded`, newest last")
    _spec(texts)
    texts.add_argument("id", nargs="?", help="show one whole; `last` for the newest")
    vapid = actions.add_parser("vapid", help="the public key that browsers subscribe to push messages with")
    _spec(vapid)
    for each in (send, preview, receipts, mails, texts, vapid):
        each.add_argument("--json", action="store_true", help="JSON")


def run(args: argparse.Namespace) -> int:
    if args.action == "mails":
        return _mails(args)
    if args.action == "texts":
        return _texts(args)
    from runtime.cli.calls import Caller

    caller = Caller.of(args.spec)
    return {"send": _send, "preview": _preview, "receipts": _receipts, "vapid": _vapid}[args.action](args, caller)


def _send(args: argparse.Namespace, caller: Any) -> int:
    to = {
        "users": args.user, "emails": args.email, "phones": args.phone, "topic": args.topic, "all": args.all,
        "except": args.but,
    }  # fmt: skip
    body = {"category": args.category, "to": {name: value for name, value in to.items() if value}, **_shown(args)}
    body.update(
        {
            name: value
            for name in ("key", "at", "delays", "urgency", "mode")
            if (value := getattr(args, name)) is not None
        }
    )
    taken = caller.post("/v1/notifications", body)
    if args.json:
        print(json.dumps(taken))
        return 0
    told = "told before" if taken["known"] else "taken"
    print(f"{taken['id']}  {told}. Receipts: runtime notify receipts {args.spec} {taken['id']}")
    return 0


def _preview(args: argparse.Namespace, caller: Any) -> int:
    body = {"category": args.category, "kind": args.kind, "language": args.language, **_shown(args)}
    shown = caller.post("/v1/notifications/preview", body)
    if args.html is not None:
        args.html.write_text(shown.get("html") or "")
    if args.json:
        print(json.dumps(shown, indent=2))
        return 0
    for name in ("subject", "title"):
        if shown.get(name):
            print(shown[name] + "\n")
    print((shown.get("text") or "").rstrip())
    return 0


def _receipts(args: argparse.Namespace, caller: Any) -> int:
    after, found = "", []
    while True:
        page = caller.get(f"/v1/notifications/{args.id}/deliveries?limit={PAGE}{after}")
        found += page["items"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    if args.json:
        print(json.dumps({"items": found}, indent=2))
        return 0
    if not found:
        print("No receipts yet.")
    for each in found:
        where = each["address"] or each["recipient"]
        step = f"  {each['step']}" if each["step"] else ""
        print(f"{each['kind']:<6}  {each['status']:<10}  {where:<34}{step}  {each['reason']}".rstrip())
    return 0


def _vapid(args: argparse.Namespace, caller: Any) -> int:
    key = caller.get("/v1/notifications/vapid")
    print(json.dumps(key) if args.json else key["public_key"])
    return 0


def _mails(args: argparse.Namespace) -> int:
    from runtime.errors import NotFound
    from runtime.running import state_of
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


def _texts(args: argparse.Namespace) -> int:
    from runtime.errors import NotFound
    from runtime.running import state_of
    from runtime.services.notifications.textbox import texts

    caught = texts(state_of(args.spec).texts)
    if args.id:
        wanted = [text for text in caught if text.id == args.id] or (caught[-1:] if args.id == "last" else [])
        if not wanted:
            raise NotFound(f'no text message "{args.id}"', remedy=f"List them: runtime notify texts {args.spec}")
        print(f"To: {wanted[0].to}\nFrom: {wanted[0].from_}\n\n{wanted[0].body}")
        return 0
    if args.json:
        print(json.dumps({"texts": [text.to_data() for text in caught]}, indent=2))
        return 0
    if not caught:
        print("No text messages yet.")
    for text in caught:
        print(f"{text.id}  {text.date:%Y-%m-%d %H:%M:%S}  {text.to:<16}  {' '.join(text.body.split())[:80]}")
    return 0


def _spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the spec that was applied")


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default="{}", metavar="JSON|@FILE", help="what the templates show")
    parser.add_argument("--link", metavar="URL", help="where it leads")


def _shown(args: argparse.Namespace) -> dict[str, Any]:
    """The data and the link of a message.

    Raises:
        UsageFault: the data are no JSON object.
    """
    text = Path(args.data[1:]).read_text() if args.data.startswith("@") else args.data
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageFault(f"--data is no JSON: {error}", remedy=f"Try: {EXAMPLE}") from None
    if not isinstance(data, dict):
        raise UsageFault("--data is no JSON object", remedy=f"Try: {EXAMPLE}")
    return {"data": data, **({"link": args.link} if args.link else {})}
