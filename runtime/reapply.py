"""Turns a running environment into what its file says now, or into what it was at an earlier revision.

It is all or nothing: what is wrong with the spec, and what cannot change while it runs, is refused before anything is
touched; when a component cannot start, what ran before runs on. One apply at a time, and none while a secret rotates.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.errors import Conflict, Fault, NotFound, Outdated, Undone
from runtime.prospect import prospect_of
from runtime.services.secrets.adapters.files import signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from runtime.kernel.journal import Revision
    from runtime.kernel.plan import Action, Plan
    from runtime.present import Present
    from runtime.services.secrets.adapters.files import Signature

logger = logging.getLogger("runtime.reapply")

LOOK: Final = 0.25
"""Seconds between two looks at the files that are watched; a look takes microseconds. A watch by the system would miss
what changes while it is being set up."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of an apply, or would come of it.

    Args:
        file: the root spec.
        revision: the number of the revision that runs now.
        plan: what was done, or would be.
        warnings: what a person should know of it.
        seconds: from the request until it held.
    """

    file: str
    revision: int
    plan: Plan
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_data(self) -> dict[str, Any]:
        """As plain data, ready for JSON."""
        return {
            "file": self.file,
            "revision": self.revision,
            "changed": bool(self.plan),
            "steps": self.plan.to_data(),
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 3),
        }


class Reapply:
    """Plans and applies, for whoever asks: a signal, a changed file, the command line, the HTTP API.

    Args:
        present: what runs.
        tasks: carries an apply on when whoever asked for it has gone: its request may come over a server that the
            apply replaces.
        on_apply: is told what came of each apply that nobody waits for.
        on_held: called when another spec holds.
    """

    def __init__(
        self,
        present: Present,
        tasks: TaskGroup,
        *,
        on_apply: Callable[[Applied | Fault], None],
        on_held: Callable[[], None],
    ) -> None:
        self._present = present
        self._tasks = tasks
        self._tell = on_apply
        self._held = on_held
        self._under_way: _Outcome | None = None
        self._again = False

    @property
    def revision(self) -> int:
        """The number of the revision that runs; 0 where none was recorded."""
        revision = self._present.kernel.revision
        return revision.number if revision else 0

    # As the HTTP API asks

    async def plan(self) -> dict[str, Any]:
        """What an apply of the file would do now; nothing is touched.

        Raises:
            SpecFault: the file is wrong, or something in it cannot change while the environment runs.
        """
        self._require_started()
        prospect = await prospect_of(self._present)
        return Applied(self._file, self.revision, prospect.plan, prospect.warnings).to_data()

    async def apply(self, *, revision: int | None = None) -> dict[str, Any]:
        """Reads the file again and makes it hold; answers as soon as it does, while what it replaces may yet finish.

        Args:
            revision: the one that must run now.

        Raises:
            SpecFault: as `plan`.
            Conflict: another apply is under way.
            Outdated: another revision runs.
            Undone: a component could not start; what ran before runs on.
        """
        return (await self._carried_out(lambda: None, revision)).to_data()

    async def roll_back(self, number: int | None, *, revision: int | None = None) -> dict[str, Any]:
        """Makes an earlier revision hold, as a new one; its references are followed anew.

        Args:
            number: the one that was applied before the one that runs, where it is None.
            revision: the one that must run now.

        Raises:
            As `apply`; NotFound: there is no such revision; Conflict: it was never applied, or cannot be read.
        """
        wanted = await anyio.to_thread.run_sync(self._earlier, number)
        text = json.dumps(wanted.spec, ensure_ascii=False)
        return (await self._carried_out(lambda: text, revision)).to_data()

    # As signals and files ask

    def request(self, why: str) -> None:
        """The file may say something else now; must not block. Asked for while one is under way, another follows."""
        if not self._present.started:
            logger.warning("%s, but the environment is still starting: nothing is read again", why)
            return
        if self._under_way is not None:
            self._again = True
            return
        logger.info("%s, reading %s again", why, self._present.loaded.file.name)
        self._tasks.start_soon(self._unattended)

    async def watch(self, known: Signature) -> None:
        """Applies whenever a file that the spec was read from has changed; never ends.

        Args:
            known: how the files looked when they were read: they may have changed while the environment came up.
        """
        seen: Signature = {}
        while True:
            await anyio.sleep(LOOK)
            now = signature(self._present.loaded.read)
            differing = frozenset(file for file in now if file in known and now[file] != known[file])
            if differing and now != seen:
                seen = now  # it may yet be written: the next look tells
                continue
            if differing:
                self.request(_changed(differing))
            known, seen = now, {}

    async def _unattended(self) -> None:
        try:
            self._tell(await self._carried_out(lambda: None, None))
        except Fault as fault:
            self._tell(fault)

    # How it is done

    async def _carried_out(self, text: Callable[[], str | None], revision: int | None) -> Applied:
        """Begins an apply in a task of its own, and returns when it holds. What an earlier one replaced ends first.

        Raises:
            Fault: as `apply`.
        """
        self._require_started()
        if self._under_way is not None:
            raise Conflict("another apply is under way", remedy="Look at what it comes to, then try again.")
        if revision is not None and revision != self.revision:
            raise Outdated(
                f"revision {self.revision} runs, not {revision}", remedy="Look at the plan again, and apply that."
            )
        held, outcome, began = anyio.Event(), _Outcome(), time.monotonic()
        self._under_way = outcome

        def holds(applied: Applied) -> None:
            outcome.applied = applied
            over()

        def over() -> None:
            held.set()
            if self._under_way is outcome:
                self._under_way = None
                if self._again:
                    self._again = False
                    self.request("asked for meanwhile")

        async def run() -> None:
            try:
                await self._apply(text(), began, holds)
            except Fault as fault:
                outcome.fault = fault
            except Exception as error:
                logger.exception("an apply failed unexpectedly")
                outcome.fault = Undone(Fault(f"{type(error).__name__}: see the log of the environment"))
            finally:
                over()

        self._tasks.start_soon(run)
        await held.wait()
        if outcome.applied is None:
            raise outcome.fault or Undone(Fault("the environment is being stopped"))
        return outcome.applied

    def _require_started(self) -> None:
        if not self._present.started:
            raise Conflict("the environment is still starting", remedy="Try again in a moment.")

    async def _apply(self, text: str | None, began: float, holds: Callable[[Applied], None]) -> None:
        present = self._present
        async with present.changing:
            prospect = await prospect_of(present, text)

            def held() -> None:
                self._held()
                seconds = time.monotonic() - began
                applied = Applied(self._file, self.revision, prospect.plan, prospect.warnings, seconds)
                logger.info(
                    "revision %d holds: %s",
                    applied.revision,
                    _summed(prospect.plan),
                    extra={"seconds": round(seconds, 3)},
                )
                for warning in prospect.warnings:
                    logger.warning("%s", warning)
                holds(applied)

            try:
                await present.become(
                    prospect.loaded, prospect.assembly, prospect.components, recorded=True, on_held=held
                )
            except Fault as fault:
                logger.error("the apply was undone: %s", present.redactor.text(fault.message))
                raise Undone(fault, mask=present.redactor.text) from fault

    def _earlier(self, number: int | None) -> Revision:
        journal = self._present.kernel.journal
        if journal is None:
            raise NotFound("this environment keeps no journal")
        if number is None:
            earlier = [each for each in journal.list() if each.outcome == "applied" and each.number < self.revision]
            if not earlier:
                raise NotFound(
                    f"nothing was applied before revision {self.revision}", remedy="`runtime revisions` lists them."
                )
            return earlier[-1]
        wanted = journal.read(number)
        if wanted.note is not None or wanted.spec is None:
            raise Conflict(
                f"revision {number} cannot be read", remedy="Choose another: `runtime revisions` lists them."
            )
        if wanted.outcome != "applied":
            reason = self._present.redactor.text(wanted.error or "")
            raise Conflict(f"revision {number} never held: {reason}", remedy="Choose one that was applied.")
        return wanted

    @property
    def _file(self) -> str:
        return str(self._present.loaded.file)


class _Outcome:
    applied: Applied | None = None
    fault: Fault | None = None


def _summed(plan: Plan) -> str:
    """How many components were created, replaced, updated and removed."""
    words: dict[Action, str] = {"create": "created", "replace": "replaced", "update": "updated", "remove": "removed"}
    counts = {word: len(plan.ids(action)) for action, word in words.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing changed"


def _changed(files: frozenset[str]) -> str:
    names = sorted(file.rpartition("/")[2] for file in files)
    return f"{', '.join(names)} changed"
