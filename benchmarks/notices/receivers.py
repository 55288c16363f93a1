"""Where messages go: a mail server, a push service and a provider of text messages, which check and count.

    python receivers.py SMTP_PORT HTTP_PORT

`GET /arrived` tells what came and how much CPU it took, `POST /forget` begins anew, `GET /samples` shows pushes as they
came.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import sys
import time
from collections import Counter
from typing import Any

import uvloop
from aiohttp import web
from aiosmtpd.smtp import SMTP

ACCOUNT, TOKEN, SENDER = "AC" + "0" * 32, "a-token-of-a-benchmark", "+12025550100"
SIGNED_IN = "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
TEXT = "Disk: It is almost full."
SUBJECT = b"Subject: Alert: Disk\r\n"
KINDS = ("email", "push", "sms")
EVERY = 20
"""Of so many pushes, one is kept as it came."""


class Arrivals:
    """What came since it was asked to forget.

    Args:
        recipients: by channel, how many messages each has got.
        wrong: what was wrong with them.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.recipients: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        self.wrong: Counter[str] = Counter()
        self.samples: list[dict[str, str]] = []
        self._cpu = time.process_time()

    def shown(self) -> dict[str, Any]:
        came = {kind: [found.total(), len(found)] for kind, found in self.recipients.items()}
        return {"came": came, "wrong": dict(self.wrong), "cpu": time.process_time() - self._cpu}

    def takes(self, kind: str, recipient: str, *checks: tuple[str, bool]) -> bool:
        """Counts a message, and what is wrong with it."""
        faults = [f"{kind}: {name}" for name, good in checks if not good]
        self.wrong.update(faults)
        self.recipients[kind][recipient] += 1
        return not faults

    # Mail

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        to = envelope.rcpt_tos
        checks = ("recipients", len(to) == 1), ("subject", SUBJECT in envelope.content)
        self.takes("email", to[0], *checks)
        return "250 taken"  # also the invitations of new users, which are none of the messages that are measured

    # Push (RFC 8030, section 5)

    async def push(self, request: web.Request) -> web.Response:
        body, headers = await request.read(), request.headers
        good = self.takes(
            "push",
            request.path,
            ("encoding", headers.get("Content-Encoding") == "aes128gcm"),
            ("TTL", headers.get("TTL", "").isdigit()),
            ("signature", headers.get("Authorization", "").startswith("vapid t=")),
            ("size", 103 < len(body) <= 4096),
        )
        if self.recipients["push"].total() % EVERY == 1:
            sealed = base64.b64encode(body).decode()
            self.samples.append({"path": request.path, "signed": headers["Authorization"], "body": sealed})
        return web.Response(status=201 if good else 400, headers={"Location": f"/message/{os.urandom(8).hex()}"})

    # Text messages, as Twilio takes them

    async def sms(self, request: web.Request) -> web.Response:
        form = await request.post()
        to = str(form.get("To", ""))
        good = self.takes(
            "sms",
            to,
            ("account", request.headers.get("Authorization") == SIGNED_IN),
            ("To", bool(re.fullmatch(r"\+\d{8,15}", to))),
            ("From", form.get("From") == SENDER),
            ("Body", form.get("Body") == TEXT),
            ("StatusCallback", str(form.get("StatusCallback", "")).startswith("https://")),
        )
        if not good:
            return web.json_response({"code": 21211, "message": "no", "status": 400}, status=400)
        made = {"sid": f"SM{os.urandom(16).hex()}", "status": "queued", "to": to, "num_segments": "1"}
        return web.json_response(made, status=201)


async def main(smtp: int, http: int) -> None:
    arrivals = Arrivals()

    async def arrived(_: web.Request) -> web.Response:
        return web.json_response(arrivals.shown())

    async def samples(_: web.Request) -> web.Response:
        return web.json_response(arrivals.samples)

    async def forget(_: web.Request) -> web.Response:
        arrivals.forget()
        return web.json_response({})

    application = web.Application()
    application.add_routes(
        [
            web.post("/push/{browser}", arrivals.push),
            web.post(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", arrivals.sms),
            web.get("/arrived", arrived),
            web.get("/samples", samples),
            web.post("/forget", forget),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", http).start()
    mails = await asyncio.get_running_loop().create_server(lambda: SMTP(arrivals), "127.0.0.1", smtp)
    print("ready", flush=True)
    await mails.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
