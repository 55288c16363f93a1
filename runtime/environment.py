"""One environment, from its checked spec to its last drain."""

from __future__ import annotations

import itertools
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio

from runtime import __version__
from runtime.assembly import Assembly, Site
from runtime.code import Code
from runtime.errors import AlreadyRunning, Fault
from runtime.hangup import Hangup
from runtime.kernel.journal import Journal
from runtime.kernel.lock import StateLock
from runtime.kernel.reconcile import Kernel
from runtime.kernel.status import ComponentStatus
from runtime.outline import AUDIT, audited, catches_mail, channels
from runtime.part import Part
from runtime.plugins import Registry
from runtime.present import Present
from runtime.reapply import Applied, Reapply
from runtime.rotation import Rotation
from runtime.services.secrets.adapters.files import signature
from runtime.settings import Settings
from runtime.state import StateFolder
from runtime.telemetry.audit import OPERATOR, Act
from runtime.telemetry.logs import Logs
from runtime.telemetry.metrics import Metrics
from runtime.telemetry.redaction import Redactor
from runtime.view import View
from runtime.vitals import Vitals

if TYPE_CHECKING:
    from runtime.services.notifications.ports import Audience, Notice, Notifications, Notified
    from runtime.spec.load import Loaded
    from runtime.spec.root import Spec

logger = logging.getLogger("runtime.environment")

Change = Callable[[ComponentStatus], None]


class Environment:
    """A set of core services that one spec declares, running in this process.

    Args:
        loaded: the spec, checked and resolved.
        settings: the process's own settings.
        part: which part of it this process runs.
        watch: whether it is applied again when one of the files that it was read from changes.

    Example:
        >>> environment = Environment(load(Path("spec.yaml")))          # doctest: +SKIP
        >>> anyio.run(environment.serve)
    """

    def __init__(
        self, loaded: Loaded, settings: Settings | None = None, part: Part | None = None, *, watch: bool = False
    ) -> None:
        self.part = part or Part()
        self._booted = loaded
        self._present: Present | None = None
        self._watched = signature(loaded.read) if watch else None
        self.settings = settings or Settings()
        self.state = StateFolder.of(loaded.data, loaded.root)
        self.kernel: Kernel | None = None
        self.url = ""
        self.boot_seconds = 0.0
        self.absent: frozenset[str] = frozenset()
        """Ids of the components that the spec declares and this version does not run."""
        self._begun = time.monotonic()
        self._over = anyio.Event()
        self._recorded = 0

    @property
    def loaded(self) -> Loaded:
        """The spec that runs."""
        return self._present.loaded if self._present is not None else self._booted

    @property
    def spec(self) -> Spec:
        return self.loaded.spec

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def revision(self) -> int:
        """The number of the revision that runs; 0 before the first has come up."""
        revision = self.kernel.revision if self.kernel else None
        return revision.number if revision else 0

    @property
    def catches_mail(self) -> bool:
        return any(catches_mail(channel) for channel in channels(self.loaded.data).values())

    async def serve(
        self,
        on_change: Change = lambda status: None,
        on_ready: Callable[[], None] = lambda: None,
        on_apply: Callable[[Applied | Fault], None] = lambda outcome: None,
    ) -> None:
        """Boots the environment, serves until SIGTERM, SIGINT or `stop`, then drains. SIGHUP applies its file again.

        Args:
            on_change: called when a component changes its state.
            on_ready: called when `/readyz` answers.
            on_apply: called with what came of an apply that a signal or a changed file asked for.

        Raises:
            AlreadyRunning: another process has the state folder.
            Unreachable: a dependency does not answer.
            Fault: a component could not start; nothing is left running.
        """
        failure: Fault | None = None
        vitals: Vitals | None = None
        logs = self._logs()

        def changed(status: ComponentStatus) -> None:
            on_change(status)
            if vitals is not None:
                vitals.look_soon()

        with logs, self._locked() as lock:
            self.state.create()
            async with anyio.create_task_group() as tasks:
                async with Kernel(on_change=changed, journal=Journal(self.state.journal)) as self.kernel:
                    kernel = self.kernel
                    present = self._present = Present(self._booted, kernel, logs.redactor)
                    view = View(kernel, self.name, lambda: present.loaded.shown, logs.redactor)
                    rotation = Rotation(present)
                    follow = partial(self._follow, present, lock)
                    reapply = Reapply(present, tasks, on_apply=on_apply, on_held=follow)
                    tasks.start_soon(self._await_signals, kernel, view, reapply)
                    try:
                        await self._boot(present, view, logs, rotation, reapply)
                    except Fault as error:  # raised below: here it would come out wrapped in a group
                        failure = error
                    else:
                        tasks.start_soon(rotation.run)
                        lock.publish(self.url)
                        on_ready()
                        self._record(present)
                        vitals = Vitals(kernel, lambda: kernel.service("events").platform, logs.redactor.text)
                        await self._until_over(vitals, reapply)
                        rotation.stop()
                    tasks.start_soon(self._hurry_late, self.kernel)
                await rotation.leave()
                tasks.cancel_scope.cancel()
        if failure is not None and not self._over.is_set():  # else a signal came first, and is why it failed
            raise failure

    def _record(self, present: Present) -> None:
        """Writes down that a revision holds, once; a worker beside others runs a part of one that does."""
        if self.part.beside_others or self.revision == self._recorded or not audited(present.loaded.data):
            return
        self._recorded = self.revision
        kernel = present.kernel
        digest = kernel.revision.digest if kernel.revision else ""
        about = {"digest": digest, "version": __version__, "role": self.part.role}
        kernel.service(AUDIT).note(Act("spec.apply", OPERATOR, f"revision:{self.revision}", details=about))

    @contextmanager
    def _locked(self) -> Iterator[StateLock]:
        """Holds the state folder; for a worker beside others, the first free folder within."""
        spec, whole = str(self.loaded.file), self.state
        for number in itertools.count(1):
            if self.part.beside_others:
                self.state = whole.beside(number)
            lock = StateLock(self.state.own, spec=spec)
            try:
                lock.acquire()
            except AlreadyRunning:
                if not self.part.beside_others:
                    raise
            else:
                break
        try:
            yield lock
        finally:
            lock.release()

    async def _until_over(self, vitals: Vitals, reapply: Reapply) -> None:
        """Watches the components until the end begins: what happens from then on is no change of health."""
        async with anyio.create_task_group() as watching:
            watching.start_soon(vitals.run)
            if self._watched is not None:
                watching.start_soon(reapply.watch, self._watched)
            await self._over.wait()
            watching.cancel_scope.cancel()

    def _logs(self) -> Logs:
        wanted = self.spec.observability.logs
        return Logs(
            self.settings.log_format or wanted.format,
            self.settings.log_level or wanted.level,
            Redactor(self.loaded.secrets),
        )

    async def _boot(self, present: Present, view: View, logs: Logs, rotation: Rotation, reapply: Reapply) -> None:
        kernel = present.kernel
        site = Site(
            self.loaded,
            Registry.load(self.loaded.plugins),
            self.state,
            sockets=kernel.sockets,
            logs=logs,
            metrics=Metrics(self.name, __version__),
            health=view,
            view=view,
            control=reapply,
            part=self.part,
            rotate=rotation.request,
        )
        assembly = Assembly(site)
        components = assembly.components()
        self.absent = frozenset(assembly.missing)
        await kernel.apply(components, declared=self.loaded.declared)
        present.begin(assembly, Code(self.loaded.plugins))
        if self.part.includes("http"):
            self.url = kernel.service("http").url
        self.boot_seconds = time.monotonic() - self._begun

    def _follow(self, present: Present, lock: StateLock) -> None:
        """Another spec holds: its API may listen elsewhere."""
        self.absent = frozenset(present.assembly.missing)
        self._record(present)
        if self.part.includes("http"):
            self.url = present.kernel.service("http").url
            try:
                lock.publish(self.url)
            except OSError as error:  # a full disk; the apply itself holds
                logger.warning("the address %s could not be written down: %s", self.url, error.strerror)

    async def notify(self, notice: Notice, to: Audience, *, by: str = "python") -> Notified:
        """Tells people something, from code in this process that is no job; as `job.notify`.

        Args:
            by: who asks for it: what `notice.key` names is its own.

        Raises:
            Fault: it does not run, or the spec declares no notifications.

        Example:
            >>> await environment.notify(                                                  # doctest: +SKIP
            ...     Notice("system-alert", {"title": "Disk", "text": "It is full."}), Audience(users=("u1",))
            ... )
        """
        if self.kernel is None or not self.url:
            raise Fault("nobody can be told anything: the environment does not run", remedy="Wait for `on_ready`.")
        notifications: Notifications = self.kernel.service("notifications")
        return await notifications.sending.notify(notice, to, by=by)

    def stop(self) -> None:
        """Asks it to drain and end."""
        self._over.set()

    async def _await_signals(self, kernel: Kernel, view: View, reapply: Reapply) -> None:
        """The first signal drains, the second hurries, and so does the end of the time that a stop may take."""
        hangup = Hangup()
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if number == signal.SIGHUP and not hangup.terminal_gone:
                    reapply.request("SIGHUP received")
                    continue
                if self._over.is_set():
                    logger.info("%s received again, hurrying", signal.Signals(number).name)
                    kernel.hurry()
                    continue
                logger.info("%s received, draining", signal.Signals(number).name)
                view.draining = True
                self.stop()
                if not self.boot_seconds:
                    kernel.interrupt()  # a boot under way

    async def _hurry_late(self, kernel: Kernel) -> None:
        await anyio.sleep(self.settings.stop_timeout)
        logger.warning("still draining after %g s, hurrying", self.settings.stop_timeout)
        kernel.hurry()
