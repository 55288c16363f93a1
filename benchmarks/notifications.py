"""Mails a second, from one call to the last receipt, beside the raw library that sends the same mails.

Ours is `runtime apply` on SQLite and the embedded server: one call to an audience of USERS users, each of whom gets
an item in the inbox and a mail: two receipts, preferences asked twice, templates rendered for each, List-Unsubscribe
signed for each, nothing that a crash would lose. Beside it aiosmtplib alone sends mails of the same size over as many
connections, rendered beforehand. Both send to the same mail server, aiosmtpd in a process of its own, which keeps none.

Rounds are interleaved; medians.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiosmtplib
import psutil

from runtime.testing import RunningEnvironment, running

USERS = 2000
ROUNDS = 5
CONNECTIONS = 8
ROOT = Path(__file__).parents[1]
SINK = """
import asyncio, sys
from aiosmtpd.smtp import SMTP
class Sink:
    async def handle_DATA(self, server, session, envelope):
        return "250 taken"
async def main():
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Sink()), "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
MAIL = """From: Core <no-reply@example.com>
To: {to}
Subject: Alert: Disk
MIME-Version: 1.0
Content-Type: text/html; charset="utf-8"

{body}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def spec(folder: Path, port: int) -> Path:
    """The development environment with a real mail server and a category of inbox and mail."""
    overlay = {
        "extends": str(ROOT / "specs" / "development.yaml"),
        "api": {"public_url": "https://core.example.com", "rate_limit": "1000000/m"},
        "observability": {"logs": {"level": "warning"}},
        "queues": {"email": {"concurrency": CONNECTIONS}},
        "notifications": {
            "channels": {"email": {"host": "127.0.0.1", "port": port, "tls": "none", "connections": CONNECTIONS}},
            "categories": {"system-alert": {"channels": ["in_app", "email"]}},
        },
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(overlay))
    return path


def figure(at: RunningEnvironment, status: str, kind: str) -> float:
    pattern = rf'^runtime_notification_deliveries_total{{kind="{kind}",status="{status}"}} (\S+)$'
    found = re.search(pattern, str(at.get("/metrics").body), re.MULTILINE)
    return float(found[1]) if found else 0.0


def ours(at: RunningEnvironment) -> dict[str, float]:
    """One call to everybody: seconds until the last mail is receipted, and the CPU of the main process a mail."""
    before, process = figure(at, "sent", "email"), psutil.Process(at.process.pid)
    cpu, begin = sum(process.cpu_times()[:2]), time.perf_counter()
    body = {"category": "system-alert", "to": {"all": True}, "data": {"title": "Disk", "text": "It is almost full."}}
    answer = at.post("/v1/notifications", body)
    assert answer.status == 202, answer
    taken = time.perf_counter() - begin
    while figure(at, "sent", "email") - before < USERS:
        time.sleep(0.05)
    seconds = time.perf_counter() - begin
    used = sum(process.cpu_times()[:2]) - cpu
    memory = process.memory_info().rss / 1e6
    return {"taken": taken, "rate": USERS / seconds, "cpu": used / USERS, "memory": memory}


def single(at: RunningEnvironment, rounds: int = 200) -> list[float]:
    """Seconds of a call to one person: stored, with its receipts."""
    found = []
    for number in range(rounds):
        body = {
            "category": "user-invite",
            "to": {"emails": [f"p{number}@example.com"]},
            "data": {"sender": "Ada", "place": "Team"},
        }
        begin = time.perf_counter()
        at.post("/v1/notifications", body)
        found.append(time.perf_counter() - begin)
    return found


async def raw(port: int, body: str) -> float:
    """Mails a second of the library alone."""
    queue: asyncio.Queue[int] = asyncio.Queue()
    for number in range(USERS):
        queue.put_nowait(number)

    async def sender() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            while not queue.empty():
                to = f"u{queue.get_nowait()}@example.com"
                await client.sendmail("no-reply@example.com", [to], MAIL.format(to=to, body=body))

    begin = time.perf_counter()
    await asyncio.gather(*[sender() for _ in range(CONNECTIONS)])
    return USERS / (time.perf_counter() - begin)


def main() -> None:
    port = free_port()
    rows: list[dict[str, float]] = []
    bare: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="runtime-bench-") as folder,
        subprocess.Popen([sys.executable, "-c", SINK, str(port)], stdout=subprocess.PIPE) as sink,
    ):
        assert sink.stdout is not None
        sink.stdout.readline()
        try:
            with running(spec(Path(folder), port), timeout=60) as at:
                for number in range(USERS):
                    made = at.post("/v1/users", {"email": f"u{number}@example.com", "verified": True})
                    assert made.status == 201, made
                preview: Any = at.post(
                    "/v1/notifications/preview",
                    {"category": "system-alert", "data": {"title": "Disk", "text": "It is almost full."}},
                ).body
                rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
                for _ in range(rounds):
                    rows.append(ours(at))
                    bare.append(asyncio.run(raw(port, preview["html"])))
                calls = sorted(single(at))
        finally:
            sink.terminate()
    rates = [row["rate"] for row in rows]
    print(f"{USERS} users, inbox and mail each, {CONNECTIONS} connections; medians of {len(rows)}")
    print(f"ours       {statistics.median(rates):7.0f} mails/s ({min(rates):.0f}–{max(rates):.0f}), as many inbox rows")
    print(f"aiosmtplib {statistics.median(bare):7.0f} mails/s ({min(bare):.0f}–{max(bare):.0f}), nothing kept")
    cpu = statistics.median(row["cpu"] for row in rows) * 1000
    print(f"CPU a recipient {cpu:.2f} ms, main process {rows[-1]['memory']:.0f} MB")
    print(f"a call to everybody taken in {statistics.median(row['taken'] for row in rows) * 1000:.0f} ms")
    print(
        f"a call to one: p50 {calls[len(calls) // 2] * 1000:.1f} ms, p99 {calls[int(len(calls) * 0.99)] * 1000:.1f} ms"
    )


if __name__ == "__main__":
    main()
