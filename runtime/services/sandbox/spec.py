"""The `sandbox` section: untrusted code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from runtime.spec.fields import Items, Live, Section, setting
from runtime.spec.kinds import Duration, Natural, PathField, Positive, Size, Switch


class SandboxSpec(Section):
    """Where untrusted code runs, and within which limits."""

    memory: Live[Size] = setting("16MB", "Memory for one job.", example="32MB")
    timeout: Live[Duration] = setting("500ms", "Time for one job.", example="2s")
    workers: Live[Positive] = setting(2, "Worker processes of each language.", example=4)
    spares: Natural = setting(1, "Warm workers of each language that wait to take over.", example=2)
    languages: Annotated[Items[Literal["javascript", "python"]], Field(min_length=1)] = setting(
        ["javascript", "python"], "Languages that may be run.", example=["javascript"]
    )
    output: Live[Size] = setting("256kB", "The largest result, and the largest captured console.", example="1MB")
    code: Live[Size] = setting("8KiB", "The longest source.", example="64KiB")
    recycle: Positive = setting(1000, "Jobs after which a worker is replaced.", example=100)
    require_confinement: Switch = setting(
        False, "Whether to refuse to start where the kernel lacks a layer of confinement.", example=True
    )
    cache: PathField | None = setting(
        None, "The folder of the prepared Python; by default in the user's cache.", example="/opt/sandbox"
    )
