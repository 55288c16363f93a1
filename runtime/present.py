"""What runs at present, and the one way in which it becomes something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from runtime.assembly.secrets import vault_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.assembly import Assembly
    from runtime.code import Code
    from runtime.kernel.component import Component
    from runtime.kernel.plan import Plan
    from runtime.kernel.reconcile import Kernel
    from runtime.spec.load import Loaded
    from runtime.telemetry.redaction import Redactor


class Present:
    """The spec that runs, and the assembly that was made of it.

    Whoever reads a spec anew and applies it holds `changing` all the while: else a rotation of secrets would bring
    back the spec that an apply has just replaced.

    Args:
        loaded: the spec as it was loaded at start.
        kernel: what runs.
        redactor: learns each new value before anything else gets it.
    """

    def __init__(self, loaded: Loaded, kernel: Kernel, redactor: Redactor) -> None:
        self.loaded = loaded
        self.kernel = kernel
        self.redactor = redactor
        self.changing = anyio.Lock()
        self._assembly: Assembly | None = None
        self._code: Code | None = None

    @property
    def assembly(self) -> Assembly:
        """Makes the components of the spec that runs."""
        assert self._assembly is not None  # noqa: S101 - nothing is asked of it before the start
        return self._assembly

    @property
    def started(self) -> bool:
        """Whether the environment has come up."""
        return self._assembly is not None

    @property
    def changed_code(self) -> list[str]:
        """The files of plugins that are others now than those that run."""
        return self._code.changed() if self._code is not None else []

    def begin(self, assembly: Assembly, code: Code) -> None:
        """The environment has come up."""
        self._assembly, self._code = assembly, code

    def learn(self, loaded: Loaded) -> None:
        """Lets the secrets of a spec be masked."""
        self.redactor.learn(loaded.secrets)
        store = vault_store(loaded)
        self.redactor.learn(store.secrets if store is not None else ())

    async def made(self, loaded: Loaded) -> tuple[Assembly, list[Component]]:
        """The components of another spec; none of them runs yet.

        It is made in a thread: a section that is new has its modules imported.
        """
        assembly = self.assembly.of(loaded)
        return assembly, await anyio.to_thread.run_sync(assembly.components)

    async def become(
        self,
        loaded: Loaded,
        assembly: Assembly,
        components: list[Component],
        *,
        recorded: bool,
        on_held: Callable[[], None] = lambda: None,
    ) -> Plan:
        """Makes these components run, all or none.

        Args:
            recorded: whether it makes a revision.
            on_held: called when they are in charge; what they replace may drain for a while yet.

        Raises:
            Fault: the first failure; what ran before runs on.
        """

        def held() -> None:
            self.loaded, self._assembly = loaded, assembly
            self.kernel.service("secrets").adopt(loaded.uses, loaded.files)
            on_held()

        return await self.kernel.apply(components, declared=loaded.declared, recorded=recorded, on_held=held)
