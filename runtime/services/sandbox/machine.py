"""What a worker says of its engine and its confinement, in words for an operator."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from runtime.errors import Fault
from runtime.services.sandbox.errors import WorkerFailed
from runtime.services.sandbox.launch import Engine, Launch, v8_age
from runtime.services.sandbox.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping


def engine(version: str, today: date) -> dict[str, Any]:
    """The engine's version and the age of its branch in days.

    Example:
        >>> from datetime import date
        >>> engine("14.4.258.23", date(2026, 2, 12))
        {'v8': '14.4.258.23', 'v8_age_days': 30}
    """
    age = v8_age(version, today)
    return {"v8": version} | ({"v8_age_days": age} if age is not None else {})


def confinement(layers: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The layers that stand, and sentences for those that do not.

    Args:
        layers: as a worker reports them.

    Example:
        >>> confinement({"seccomp": 1, "landlock": 0, "user": 1000})[1]
        ['the kernel has no Landlock, which keeps files out of reach']
    """
    landlock, seccomp = int(layers.get("landlock", 0)), bool(layers.get("seccomp", 0))
    missing = []
    if not seccomp:
        missing.append("there is no filter of system calls for this system")
    if not landlock:
        missing.append("the kernel has no Landlock, which keeps files out of reach")
    state = {
        "status": "degraded" if missing else "full",
        "seccomp": seccomp,
        "landlock": landlock,
        "user": layers.get("user"),
    }
    return state, missing


async def examined() -> dict[str, Any]:
    """What a worker on this machine is: engine, confinement, and where the prepared Python is, if it is.

    Raises:
        Fault: no worker comes up.
    """
    from runtime.services.sandbox.bundle import cache

    worker = WorkerProcess(Launch("javascript", Engine.found(), 16_000_000))
    try:
        await worker.start()
        state, _ = confinement(worker.facts["layers"])
        found = cache.found(None)
        known = engine(worker.facts["v8"], datetime.now(UTC).date())
        return {**known, "confinement": state, "python": str(found) if found else ""}
    except WorkerFailed as error:
        raise Fault(f"no worker comes up: {error}") from None
    finally:
        worker.kill()
        await worker.gone.wait()
