"""A job on its way to a worker, and what that one says of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """A job on its way to a worker.

    Args:
        code: the source.
        input: JSON text.
        timeout: seconds.
        memory: bytes.
        output: bytes that result and console may have, each.
    """

    code: bytes
    input: bytes
    timeout: float
    memory: int
    output: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker said of a job; not believed yet.

    Args:
        outcome: `done`, `timeout`, `memory` or `crash`.
        body: JSON text.
        duration: seconds.
        memory: bytes, by the engine.
        growth: bytes that the process grew by while it ran, as far as it was seen.
    """

    outcome: str
    body: bytes
    duration: float
    memory: int
    growth: int
