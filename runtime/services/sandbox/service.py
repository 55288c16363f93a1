"""The sandbox: what may be run, within which limits, and how it is."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.errors import Invalid, Pointer, StartFailed
from runtime.health import Health
from runtime.services.sandbox import machine
from runtime.services.sandbox.crew import Size
from runtime.services.sandbox.errors import NotReady, WorkerFailed
from runtime.services.sandbox.launch import Engine, Launch
from runtime.services.sandbox.order import Order
from runtime.services.sandbox.pool import Pool
from runtime.services.sandbox.ports import Execution, Failure, Language

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runtime.services.sandbox.spec import SandboxSpec

logger = logging.getLogger("runtime.sandbox")

SWEEP: Final = 0.5
"""Seconds between two looks at idle workers."""
PAUSE: Final = 60.0
"""Seconds after which Python is prepared once more where that failed, when it is asked for."""
PREPARING: Final = "it is being prepared"
LARGEST_INPUT: Final = 1_000_000
LEAST_TIME: Final = 0.001
LEAST_MEMORY: Final = 1_000_000


class SandboxService:
    """Runs untrusted code in confined processes; implements the port `Sandbox`.

    Args:
        spec: the `sandbox` section.

    Raises at `start`:
        StartFailed: the engine is absent, no worker comes up, or the kernel lacks a layer of confinement that the spec
            requires.
    """

    def __init__(self, spec: SandboxSpec) -> None:
        self._spec = spec
        self._pools: dict[str, Pool] = {}
        self._engine: Engine | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._tried = 0.0
        self._state: dict[str, str] = {}
        """Of languages that cannot be run yet: why."""

    async def start(self) -> None:
        self._state = {}
        try:
            engine = self._engine = await asyncio.to_thread(Engine.found)
            if "javascript" in self._spec.languages:
                await self._open(self._launch("javascript", engine))
            if "python" in self._spec.languages:
                self._begin_python()
                if "javascript" not in self._spec.languages and self._preparing is not None:
                    await self._preparing
        except WorkerFailed as error:
            raise StartFailed(
                "sandbox", f"no worker comes up: {error}", remedy="`runtime doctor` tells more."
            ) from error

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            for pool in self._pools.values():
                pool.crew.sweep()

    async def stop(self) -> None:
        preparing, self._preparing = self._preparing, None
        if preparing is not None:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
        pools, self._pools = list(self._pools.values()), {}
        await asyncio.gather(*(pool.stop() for pool in pools))

    async def update(self, fields: Mapping[str, Any]) -> None:
        changed = type(self._spec).model_validate(fields)
        self._spec = self._spec.model_copy(update={name: getattr(changed, name) for name in fields})
        for pool in self._pools.values():
            started = pool.crew.launch
            pool.crew.renew(self._launch(started.language, started.engine, started.bundle), self._size())

    async def health(self) -> Health:
        details: dict[str, Any] = {}
        troubles = [f"{language}: {reason}" for language, reason in self._state.items()]
        for language, pool in self._pools.items():
            details[language] = pool.details()
            if pool.crew.reason:
                troubles.append(f"{language}: {pool.crew.reason}")
        for language, reason in self._state.items():
            details[language] = {"state": reason}
        if facts := next((pool.crew.facts for pool in self._pools.values() if pool.crew.facts), None):
            details |= machine.engine(facts["v8"], datetime.now(UTC).date())
            details["confinement"], missing = machine.confinement(facts["layers"])
            troubles += [f"confinement: degraded: {what}" for what in missing]
        if self._pools and all(pool.crew.reason and not pool.crew.ready for pool in self._pools.values()):
            return Health("down", "; ".join(troubles), details)
        return Health("degraded", "; ".join(troubles), details) if troubles else Health(details=details)

    async def execute(
        self,
        language: Language,
        code: str,
        input: Any = None,  # noqa: A002 - the name that the code sees
        *,
        memory: int | None = None,
        timeout: float | None = None,
        caller: str = "",
    ) -> Execution:
        pool = self._pool(language)
        order = self._order(code, input, memory, timeout)
        if isinstance(order, Failure):
            return Execution("rejected", error=order)
        return await pool.execute(caller, order)

    def processes(self) -> list[int]:
        """The process ids of all workers."""
        return [pid for pool in self._pools.values() for pid in pool.crew.processes()]

    async def states(self, language: Language) -> dict[int, bytes]:
        """What the state of each idle worker of a language comes to, by process id: equal whenever it is the same."""
        return await self._pool(language).crew.states()

    # -- languages ---------------------------------------------------------------------------------------------------

    def _pool(self, language: str) -> Pool:
        if language not in self._spec.languages:
            offered = " or ".join(self._spec.languages)
            raise Invalid(
                f'the sandbox runs no "{language[:40]}"',
                errors=[Pointer("/language", f"must be {offered}")],
                remedy="sandbox.languages in the spec says what it runs.",
            )
        if language in self._pools:
            return self._pools[language]
        self._try_again()
        reason = self._state.get(language, "the sandbox is stopping")
        raise NotReady(f"{language} cannot be run: {reason}", retry_after=5.0)

    async def _open(self, launch: Launch) -> None:
        pool = Pool(launch, self._size())
        try:
            await pool.crew.start()
            self._require_confinement(pool)
        except BaseException:
            await pool.stop()
            raise
        self._pools[launch.language] = pool

    async def _prepare(self, engine: Engine) -> None:
        """Makes Python ready, which takes a while where its bundle is not built yet."""
        from runtime.services.sandbox.bundle import background

        try:
            folder = await background.prepared(self._spec.cache, engine)
            await self._open(self._launch("python", engine, folder))
        except Exception as error:  # noqa: BLE001 - JavaScript serves on; health tells
            self._state["python"] = str(error).replace("\n ", "")
            logger.error("the sandbox runs no Python: %s", error)
        else:
            del self._state["python"]

    def _try_again(self) -> None:
        """Prepares Python once more where that failed a while ago."""
        if self._preparing is not None and self._preparing.done() and time.monotonic() - self._tried > PAUSE:
            self._begin_python()

    def _begin_python(self) -> None:
        assert self._engine is not None  # noqa: S101 - `start` has found it
        self._tried = time.monotonic()
        self._state["python"] = PREPARING
        self._preparing = asyncio.create_task(self._prepare(self._engine))

    def _launch(self, language: Language, engine: Engine, bundle: Path | None = None) -> Launch:
        return Launch(language, engine, self._spec.memory, bundle)

    def _size(self) -> Size:
        return Size(self._spec.workers, self._spec.spares, self._spec.recycle)

    def _require_confinement(self, pool: Pool) -> None:
        _, missing = machine.confinement(pool.crew.facts["layers"])
        if missing and self._spec.require_confinement:
            raise StartFailed(
                "sandbox",
                f"this machine cannot confine a worker: {'; '.join(missing)}",
                remedy="Run it on Linux 5.13 or newer, or set sandbox.require_confinement: false.",
            )

    # -- limits ------------------------------------------------------------------------------------------------------

    def _order(self, code: str, given: Any, memory: int | None, timeout: float | None) -> Order | Failure:
        """The job, or why it is not run."""
        source = code.encode("utf-8", "replace")
        text = _json(given)
        if len(source) > self._spec.code:
            return _refusal(f"the code has {len(source):,} bytes, and {self._spec.code:,} are taken")
        if len(text) > LARGEST_INPUT:
            return _refusal(f"the input has {len(text):,} bytes as JSON, and {LARGEST_INPUT:,} are taken")
        memory = self._spec.memory if memory is None else memory
        timeout = self._spec.timeout if timeout is None else timeout
        if not LEAST_MEMORY <= memory <= self._spec.memory:
            return _refusal(f"memory is {LEAST_MEMORY / 1e6:g} to {self._spec.memory / 1e6:g} MB: a call may lower it")
        if not LEAST_TIME <= timeout <= self._spec.timeout:
            return _refusal(f"timeout is 1 to {self._spec.timeout * 1000:g} ms: a call may lower it")
        return Order(source, text, timeout, memory, self._spec.output)


def _refusal(message: str) -> Failure:
    return Failure("Rejected", message)


def _json(given: Any) -> bytes:
    try:
        return msgspec.json.encode(given)
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeError) as error:
        raise Invalid(f"the input is no JSON: {error}", errors=[Pointer("/input", str(error))]) from error
