"""What a gateway adds to a request to a model, beside LiteLLM and Portkey, with a provider that answers at once.

The gateways share one processor, one at a time; the provider and the load have the other. Rounds are interleaved;
medians are shown with their spread. CPU time is that of all processes of a gateway, ours with its server and its
database.

    python benchmarks/ai.py --setup                 installs the peers
    python benchmarks/ai.py --rows chat --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.gateways.systems import THERE, Gateway, installed, provider, setup, started

ASKED = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Say hello to the world, please, in one short sentence and no more than that."},
]
LOAD = Path(__file__).parent / "gateways" / "load.py"
PATH = "/v1/chat/completions"
LONG, SHORT = 420, 20
"""Chunks of two streams, whose difference is what a chunk costs."""
PACES = (("/c1", "one by one"), ("/c0", "one after the other"), ("", "all at once"))
"""Chunks a millisecond apart, each read and sent alone; each sent by itself without a pause; and all in one piece."""

Row = dict[str, Any]


def load(gateway: Gateway, kind: str, *, connections: int, seconds: float, stream: bool) -> Row:
    """One run; with microseconds of the gateway's CPU for each answer."""
    body: Row = {"model": gateway.models[kind], "messages": ASKED, "temperature": 0.2}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    headers = {**gateway.headers, **gateway.per_provider.get(kind, {})}
    path = "/v1/messages" if kind == "anthropic" and gateway.name in ("direct", "copy") else PATH
    order = {
        "port": gateway.port,
        "path": gateway.prefix + path,
        "body": body,
        "headers": headers,
        "connections": connections,
        "seconds": seconds,
    }
    before = gateway.cpu()
    done = subprocess.run([sys.executable, str(LOAD), json.dumps(order)], capture_output=True, text=True, check=True)
    told: Row = json.loads(done.stdout)
    if told["failed"] or not told["rate"]:
        print(f"{gateway.name}, {kind}: {told['failed']} failed: {told['example'][:400]}", file=sys.stderr)
    told["cpu"] = (gateway.cpu() - before) * 1e6 / max(1, told["answered"])
    return told


def leaving(gateway: Gateway, upstream: str, kind: str, *, stream: bool, wait: float) -> float:
    """Milliseconds from a caller's hanging up to the end of the request at the provider; infinite where it goes on."""
    body = json.dumps({"model": gateway.models[kind], "messages": ASKED, "stream": stream}).encode()
    about = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(len(body))}
    headers = {**about, **gateway.headers, **gateway.per_provider.get(kind, {})}
    head = "\r\n".join([f"POST {PATH} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()], "", ""])
    known = len(gone(upstream))
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(head.encode() + body)
        time.sleep(wait)
        left = time.monotonic()
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        if len(found := gone(upstream)) > known:
            return max(0.0, (found[-1] - left) * 1000)
        time.sleep(0.01)
    return float("inf")


def gone(upstream: str) -> list[float]:
    port = upstream.split(":")[2].partition("/")[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/gone", timeout=5) as answer:
        found: list[float] = json.load(answer)
        return found


def chat(gateways: list[Gateway], seconds: float, found: dict[str, list[float]]) -> None:
    for gateway in gateways:
        alone = load(gateway, "openai", connections=1, seconds=seconds, stream=False)
        many = load(gateway, "openai", connections=32, seconds=seconds, stream=False)
        note(found, gateway, p50_us=alone["p50"], p99_us=alone["p99"], requests_s=many["rate"], cpu_us=many["cpu"])


def other(gateways: list[Gateway], seconds: float, found: dict[str, list[float]]) -> None:
    for gateway in gateways:
        for kind in ("anthropic", "mistral"):
            if gateway.process is not None:
                many = load(gateway, kind, connections=32, seconds=seconds, stream=False)
                note(found, gateway, **{f"{kind}_requests_s": many["rate"], f"{kind}_cpu_us": many["cpu"]})


def first(gateways: list[Gateway], seconds: float, found: dict[str, list[float]]) -> None:
    for gateway in gateways:
        one = load(gateway, "openai", connections=1, seconds=seconds, stream=True)
        note(found, gateway, first_token_us=one["first"], stream_us=one["p50"])


def chunks(gateways: list[Gateway], seconds: float, found: dict[str, list[float]]) -> None:
    """CPU of a whole stream."""
    for gateway in gateways:
        if gateway.process is None:
            continue
        for kind in ("openai", "anthropic"):
            one = load(gateway, kind, connections=8, seconds=2 * seconds, stream=True)
            note(found, gateway, **{f"{kind}_stream_cpu_us": one["cpu"]})


def note(found: dict[str, list[float]], gateway: Gateway, **figures: float) -> None:
    for name, value in figures.items():
        found.setdefault(f"{gateway.name}: {name}", []).append(value)


def show(found: dict[str, list[float]]) -> None:
    for name, values in sorted(found.items()):
        print(f"{name:44} {statistics.median(values):10.1f}  ({min(values):.1f}–{max(values):.1f}, {len(values)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setup", action="store_true", help="install the peers first")
    parser.add_argument("--rows", default="chat,other,first,chunks,leaving")
    parser.add_argument("--systems", default="", help="by default all that are installed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    args = parser.parse_args()
    if args.setup:
        setup()
    os.sched_setaffinity(0, THERE)
    names = [name for name in (args.systems.split(",") if args.systems else installed()) if name]
    found: dict[str, list[float]] = {}
    rows = {"chat": chat, "other": other, "first": first}
    with provider() as port, tempfile.TemporaryDirectory(prefix="runtime-bench-") as folder:
        plain = f"http://127.0.0.1:{port}"
        wanted = [row for row in args.rows.split(",") if row in rows]
        if wanted:
            with started(names, plain, Path(folder) / "plain") as gateways:
                for _ in range(args.rounds):
                    for row in wanted:
                        rows[row](gateways, args.seconds, found)
        if "chunks" in args.rows:
            ways = [(f"/n{count}{pause}", f"{count}, {way}") for count in (SHORT, LONG) for pause, way in PACES]
            for path, way in ways:
                one: dict[str, list[float]] = {}
                with started(names, plain + path, Path(folder) / path.replace("/", "")) as gateways:
                    for _ in range(args.rounds):
                        chunks(gateways, args.seconds, one)
                found |= {f"{name} ({way})": values for name, values in one.items()}
        if "leaving" in args.rows:
            slow = f"{plain}/d1000/c1000"
            with started(
                [name for name in names if name not in ("direct", "copy")], slow, Path(folder) / "slow"
            ) as gateways:
                for _ in range(args.rounds):
                    for gateway in gateways:
                        note(found, gateway, leaving_whole_ms=leaving(gateway, slow, "openai", stream=False, wait=0.3))
                        note(
                            found,
                            gateway,
                            leaving_before_head_ms=leaving(gateway, slow, "openai", stream=True, wait=0.3),
                        )
                        note(
                            found, gateway, leaving_in_stream_ms=leaving(gateway, slow, "openai", stream=True, wait=2.4)
                        )
    show(found)


if __name__ == "__main__":
    main()
