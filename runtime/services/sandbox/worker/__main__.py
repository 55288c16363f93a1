"""A worker's life: enclose, boot the engine, seal, then job after job until the service closes the socket.

python -I -S -B __main__.py '{"socket": 3, "language": "javascript", …}'
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

sys.path.insert(0, str(Path(__file__).parents[4]))  # the folder that holds the package; `-S` leaves it out

from runtime.services.sandbox.worker.confine import Confinement
from runtime.services.sandbox.worker.job import Job, Result
from runtime.services.sandbox.worker.protocol import Channel
from runtime.services.sandbox.worker.v8 import Engine

if TYPE_CHECKING:
    from collections.abc import Callable


class Language(Protocol):
    """What runs jobs: `JavaScript` or `Python`."""

    def run(self, job: Job) -> Result: ...

    def renew(self) -> None: ...

    def digest(self) -> bytes: ...


def main() -> None:
    options: dict[str, Any] = json.loads(sys.argv[1])
    channel = Channel(options["socket"])
    try:
        if options.get("snapshot"):
            return take_snapshot(options, channel)
        language, facts = boot(options)
    except Exception as error:  # noqa: BLE001 - nobody else could tell the service why
        return channel.send({"kind": "failed", "reason": f"{type(error).__name__}: {error}"[:500]})
    channel.send({"kind": "ready", **facts})
    try:
        serve(channel, language)
    except EOFError:
        return None


def boot(options: dict[str, Any]) -> tuple[Language, dict[str, Any]]:
    """The language, ready for its first job, and what the service is told of it."""
    confinement = Confinement(options["socket"])
    make, engine = (_python if options["language"] == "python" else _javascript)(options)
    confinement.enclose()
    language = make()
    del make
    gc.collect()
    gc.freeze()
    confinement.seal(headroom=options["headroom"])
    return language, {"v8": engine.version, "caged": engine.caged, "layers": confinement.layers, **_resident()}


def _javascript(options: dict[str, Any]) -> tuple[Callable[[], Language], Engine]:
    from runtime.services.sandbox.worker.javascript import FLAGS, JavaScript

    engine = Engine(options["library"], options["data"], FLAGS)
    return lambda: JavaScript(engine, options["memory"]), engine


def _python(options: dict[str, Any]) -> tuple[Callable[[], Language], Engine]:
    from runtime.services.sandbox.worker.python import FLAGS, Bundle, Python

    engine = Engine(options["library"], options["data"], FLAGS)
    bundle = Bundle.read(options["bundle"])
    return lambda: Python(engine, bundle, options["memory"]), engine


def take_snapshot(options: dict[str, Any], channel: Channel) -> None:
    """Sends the memory of a freshly booted interpreter."""
    from runtime.services.sandbox.worker.python import FLAGS, Bundle, snapshot

    confinement = Confinement(options["socket"])
    engine = Engine(options["library"], options["data"], FLAGS)
    bundle = Bundle.read(options["bundle"])
    confinement.enclose()
    memory, top = snapshot(engine, bundle)
    channel.send({"kind": "snapshot", "top": top}, memory)


def serve(channel: Channel, language: Language) -> None:
    while True:
        frame = channel.receive()
        if frame.head["kind"] == "ping":
            channel.send({"kind": "pong"})
            continue
        if frame.head["kind"] == "digest":
            channel.send({"kind": "digest"}, language.digest())
            continue
        job = Job.of(frame.head, frame.body)
        channel.send(*_answer(job, language.run(job)))
        language.renew()
        channel.send({"kind": "renewed", **_resident()})


def _answer(job: Job, result: Result) -> tuple[dict[str, Any], bytes]:
    head = {
        "kind": "answer",
        "id": job.id,
        "outcome": result.outcome,
        "duration": result.duration,
        "memory": result.memory,
        "recycle": result.recycle,
        **_resident(),
    }
    return head, result.answer


def _resident() -> dict[str, int]:
    """The most memory that this process has ever had."""
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


if __name__ == "__main__":
    try:
        main()
    finally:
        sys.stdout = sys.stderr = None  # they are closed, and must not be flushed
        os._exit(0)  # V8's threads do not end by themselves
