"""What a request costs that shows who it is from, beside bare Litestar.

Ours is the whole environment as `runtime apply` runs it, with every layer that a request passes: the caller found and
held against the route's scope, the limit counted, headers and figures. The route answers from memory. Bare Litestar
answers the same, made anew from what it holds, on uvicorn with the same loop and parser, and asks nobody who they are.

One process sends from a fixed number of connections, each of which waits for its answer. It is a bare loop over epoll:
a client that needed as long as the server would measure itself. Rounds are short and interleaved; the median and the
spread are shown, and the CPU time of the server for one request, which a busy machine bends less.
"""

from __future__ import annotations

import json
import re
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from runtime.testing import running

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 15
SECONDS = 1.0
CONNECTIONS = 16
PATH = "/v1/signing-keys"
PASSWORD = "a password of benchmarks"
SPEC = {
    "version": 1,
    "name": "bench",
    "api": {"port": 0, "rate_limit": "10000000/s"},
    "auth": {"passwords": {"rounds": 4}, "api_keys": {"rounds": 4}},
    "observability": {"logs": {"level": "warning"}},
}
BARE = """
import json, socket, sys
from datetime import UTC, datetime
import msgspec, uvicorn
from litestar import Litestar, get

class Key(msgspec.Struct):
    kid: str
    state: str
    signs_from: datetime

class Keys(msgspec.Struct):
    items: list[Key]

HELD = [(key.kid, key.state, key.signs_from.timestamp()) for key in msgspec.json.decode(sys.argv[2], type=Keys).items]

@get("/v1/signing-keys", sync_to_thread=False)
def keys() -> Keys:
    return Keys([Key(kid, state, datetime.fromtimestamp(since, UTC)) for kid, state, since in HELD])

listener = socket.socket(fileno=int(sys.argv[1]))
config = uvicorn.Config(Litestar([keys]), log_level="error", access_log=False, loop="uvloop", http="httptools")
uvicorn.Server(config).run([listener])
"""


class Target:
    """A server, and the head of the request that it is sent."""

    def __init__(self, url: str, process: int, headers: dict[str, str]) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.address = host, int(port)
        self.process = psutil.Process(process)
        lines = [f"GET {PATH} HTTP/1.1", f"Host: {host}", *[f"{name}: {value}" for name, value in headers.items()]]
        self.request = "\r\n".join([*lines, "", ""]).encode()


_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def whole(answer: bytes) -> bool:
    """Whether an answer has come to its end."""
    head, end, body = answer.partition(b"\r\n\r\n")
    found = _LENGTH.search(head)
    if end and (not head.startswith(b"HTTP/1.1 200") or found is None):
        raise SystemExit(f"refused: {head!r}")
    return found is not None and bool(end) and len(body) == int(found[1])


def send(target: Target, seconds: float) -> int:
    """Sends over all connections, on each one request after another; returns how many were answered."""
    answered, until = 0, time.perf_counter() + seconds
    with ExitStack() as ends, select.epoll() as ready:
        connections = [ends.enter_context(socket.create_connection(target.address)) for _ in range(CONNECTIONS)]
        by_number = {connection.fileno(): connection for connection in connections}
        parts = dict.fromkeys(by_number, b"")
        for number, connection in by_number.items():
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.register(number, select.EPOLLIN)
            connection.sendall(target.request)
        while time.perf_counter() < until:
            for number, _ in ready.poll(5):
                parts[number] += by_number[number].recv(65_536)
                if whole(parts[number]):
                    answered += 1
                    parts[number] = b""
                    by_number[number].sendall(target.request)
    return answered


def measure(target: Target, seconds: float = SECONDS) -> tuple[float, float]:
    """Requests a second, and microseconds of the server's CPU for each."""
    before, start = target.process.cpu_times(), time.perf_counter()
    answered = send(target, seconds)
    took, after = time.perf_counter() - start, target.process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return answered / took, cpu / answered * 1e6


@contextmanager
def bare(answer: str) -> Iterator[Target]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-c", BARE, str(listener.fileno()), answer]
        with subprocess.Popen(command, pass_fds=[listener.fileno()]) as process:
            try:
                yield Target(url, process.pid, {})
            finally:
                process.terminate()


def signed_in(url: str) -> tuple[str, str]:
    """An access token, and the cookies of a browser."""
    body = json.dumps({"email": "ada@example.com", "password": PASSWORD}).encode()
    request = urllib.request.Request(f"{url}/v1/auth/login", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        cookies = [line.partition(";")[0] for line in answer.headers.get_all("set-cookie")]
        return json.load(answer)["access_token"], "; ".join(cookies)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="runtime-bench-") as folder:
        spec = Path(folder) / "spec.yaml"
        spec.write_text(json.dumps(SPEC))
        with running(spec) as environment:
            made = environment.post("/v1/api-keys", {"name": "bench", "scopes": ["runtime:admin"]}).body
            user = {"email": "ada@example.com", "password": PASSWORD, "scopes": ["runtime:admin"]}
            assert environment.post("/v1/users", user).status == 201
            token, cookies = signed_in(environment.url)
            answer = json.dumps(environment.get(PATH).body)

            def ours(**headers: str) -> Target:
                shown = {name.replace("_", "-"): value for name, value in headers.items()}
                return Target(environment.url, environment.process.pid, shown)

            with bare(answer) as floor:
                targets = {
                    "bare Litestar": floor,
                    "operator's key": ours(Authorization=f"Bearer {environment.key}"),
                    "API key": ours(Authorization=f"Bearer {made['key']}"),
                    "access token": ours(Authorization=f"Bearer {token}"),
                    "browser's cookies": ours(Cookie=cookies),
                }
                report(rounds(targets))


def rounds(targets: dict[str, Target]) -> dict[str, list[tuple[float, float]]]:
    for target in targets.values():
        measure(target, 0.5)
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in targets}
    for _ in range(ROUNDS):
        for name, target in targets.items():
            figures[name].append(measure(target))
    return figures


def report(figures: dict[str, list[tuple[float, float]]]) -> None:
    def median(name: str, place: int) -> Any:
        return statistics.median(row[place] for row in figures[name])

    floor, floor_cpu = (median("bare Litestar", place) for place in (0, 1))
    print(f"{'':<20}{'requests/s':>11}{'spread':>16}{'of bare':>9}{'CPU, µs':>9}{'of bare':>9}   median of {ROUNDS}")
    for name, rows in figures.items():
        rate, cpu = median(name, 0), median(name, 1)
        spread = f"{min(rows)[0]:,.0f}–{max(rows)[0]:,.0f}"
        print(f"{name:<20}{rate:>11,.0f}{spread:>16}{rate / floor:>9.0%}{cpu:>9.0f}{cpu / floor_cpu:>9.2f}")


if __name__ == "__main__":
    main()
