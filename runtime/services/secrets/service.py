"""The sources of secrets while an environment runs: kept fresh, watched for changes, told of, never shown."""

from __future__ import annotations

import logging
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import anyio

from runtime.errors import NotFound, Unreachable
from runtime.health import Health
from runtime.services.secrets.adapters.files import follow
from runtime.services.secrets.backend import VaultFault
from runtime.services.secrets.held import Key
from runtime.services.secrets.ports import SecretView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runtime.services.secrets.held import Held
    from runtime.services.secrets.store import VaultStore
    from runtime.spec.origins import Use

logger = logging.getLogger("runtime.secrets")

IDLE: Final = 5.0
"""Seconds between two looks at what is due, at most: a new session may have come meanwhile."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds between two tries while Vault does not work."""
HURRY_AGAIN: Final = 1.0
JITTER: Final = 0.15
"""By so much of `refresh` two instances drift apart, so that they do not ask in step."""


class SecretService:
    """Implements `Secrets` and is the component of the section.

    Args:
        uses: each reference of the spec, with where its value came from.
        files: the files that values come from.
        store: what is known of Vault; None where the spec has none.
        changed: called when a source has changed; must not block.
        learn: called with what must be masked, a new token of ours above all.
    """

    def __init__(
        self,
        uses: Sequence[Use],
        files: frozenset[str],
        store: VaultStore | None,
        changed: Callable[[], None],
        *,
        learn: Callable[[frozenset[str]], None] = lambda _: None,
    ) -> None:
        self._uses = uses
        self._files = files
        self._store = store
        self._changed = changed
        self._learn = learn
        self._learned: frozenset[str] = frozenset()
        self._not_rotated = ""
        self._polls: dict[Key, float] = {}
        self._poll_now, self._keep_now = anyio.Event(), anyio.Event()
        self._hurried = float("-inf")
        self._told = ""

    async def start(self) -> None:
        """The values were read when the spec was."""
        self._learn_all()

    async def stop(self) -> None:
        """Our token stays good, for those who stop after us and for the next start."""

    async def watch(self) -> None:
        """Renews, polls and watches, for as long as the environment runs."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, lambda: self._files, self._file_changed)
            if self._store is not None:
                tasks.start_soon(self._keep, self._store)
                tasks.start_soon(self._poll, self._store)

    async def health(self) -> Health:
        details: dict[str, Any] = {"files": len(self._files)}
        if self._store is not None:
            details["vault"] = self._vault_details(self._store)
            if (out := self._out(self._store)) is not None:
                return Health(*out, details)
            if stale := [view for view in self.views() if view.status == "stale"]:
                return Health("degraded", f"{stale[0].name}: {stale[0].problem}", details)
        if self._not_rotated:
            return Health("degraded", f"a changed secret is not in use yet: {self._not_rotated}", details)
        return Health(details=details)

    def hurry(self) -> None:
        """A server refuses a password that it had taken before: looks at once whether there is another, once a second
        at most."""
        now = time.monotonic()
        if now - self._hurried < HURRY_AGAIN:
            return
        self._hurried = now
        self._changed()  # a file may have changed unnoticed
        if self._store is not None:
            self._polls = dict.fromkeys(self._store.watched(), 0.0)
            self._store.doubt()
        self._poll_now.set()
        self._keep_now.set()

    def adopt(self, uses: Sequence[Use], files: frozenset[str]) -> None:
        """A changed secret is in use everywhere."""
        self._uses, self._files, self._not_rotated = uses, files, ""

    def refused(self, reason: str) -> None:
        """A changed secret could not be brought into use: what ran before runs on."""
        self._not_rotated = reason

    def views(self) -> Sequence[SecretView]:
        found: dict[tuple[str, str], list[Use]] = {}
        for use in self._uses:
            if use.origin is not None and use.origin.kind != "default":
                name = use.reference.name if use.origin.kind == "vault" else use.origin.name or use.reference.name
                found.setdefault((use.origin.kind, name), []).append(use)
        return [self._view(name, uses) for (_, name), uses in sorted(found.items())]

    async def refresh(self, name: str) -> SecretView:
        known = {view.name: view for view in self.views()}
        if name not in known:
            raise NotFound(
                f'the spec uses no secret "{name[:100]}"', remedy="GET /v1/secrets lists those that it uses."
            )
        if known[name].source == "vault" and self._store is not None:
            store = self._store
            for key in [key for key in store.watched() if key.name == name]:
                try:
                    changed = await anyio.to_thread.run_sync(store.look, key)
                except VaultFault as fault:
                    address = store.spec.address if store.spec else "Vault"
                    raise Unreachable("secrets", address, fault.reason, remedy="Known values are kept.") from fault
                if changed:
                    self._changed()
        else:
            self._changed()
        return next(view for view in self.views() if view.name == name)

    def _view(self, name: str, uses: list[Use]) -> SecretView:
        from runtime.spec.diagnostics import dotted

        origin = uses[0].origin
        assert origin is not None  # noqa: S101 - `views` has looked
        held = self._held(uses[0]) if origin.kind == "vault" else None
        written = held.reading.written or held.changed if held is not None else origin.since
        problem = held.problem if held is not None else None
        return SecretView(
            name=name,
            source=origin.kind,
            path=held.spec.path if held is not None else origin.name,
            used_by=sorted({dotted(use.path) for use in uses}),
            version=(held.version if held is not None else origin.version) or None,
            written=datetime.fromtimestamp(written, UTC) if written is not None else None,
            age=round(max(0.0, time.time() - written), 1) if written is not None else None,
            lease=held.span.left if held is not None and held.span is not None else None,
            on_rotate=held.spec.on_rotate if held is not None else "reconnect",
            status="stale" if problem is not None else "fresh",
            problem=problem.reason if problem is not None else None,
        )

    def _held(self, use: Use) -> Held | None:
        if self._store is None:
            return None
        version = use.reference.version or self._store.path(use.reference.name).version
        return self._store.held.get(Key(use.reference.name, version))

    def _out(self, store: VaultStore) -> tuple[Any, str] | None:
        """Status and reason while Vault as a whole does not work."""
        if store.problem is None or store.out_since is None or store.spec is None:
            return None
        away = time.monotonic() - store.out_since
        if away > store.spec.max_stale:
            return "down", f"{store.problem.reason}; known values are older than max_stale ({store.spec.max_stale:g} s)"
        reason = f"{store.problem.reason}; known values are served, {away:.0f} s of at most {store.spec.max_stale:g} s"
        return "degraded", reason

    def _vault_details(self, store: VaultStore) -> dict[str, Any]:
        span = store.session.span if store.session is not None else None
        return {
            "address": store.spec.address if store.spec else "",
            "secrets": len(store.held),
            "sign_ins": store.session.sign_ins if store.session is not None else 0,
            "token_seconds_left": round(span.left) if span is not None and span.left is not None else None,
        }

    # -- what goes on in the background ------------------------------------------------------------------------------

    def _file_changed(self, files: frozenset[str]) -> None:
        logger.info("files of secrets have changed", extra={"files": sorted(files)})
        self._changed()

    async def _keep(self, store: VaultStore) -> None:
        """Renews the token and the leases when they are due; while Vault does not work, asks until it does."""
        pause = FIRST_PAUSE
        while True:
            due = store.due
            if store.problem is not None:
                await anyio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311 - no secret
            elif due is None or due > time.monotonic():
                with anyio.move_on_after(min(IDLE, IDLE if due is None else due - time.monotonic())):
                    await self._keep_now.wait()
                self._keep_now = anyio.Event()
            try:
                changed = await anyio.to_thread.run_sync(store.keep)
                self._learn_all()
                if changed:
                    self._changed()
                if store.problem is not None:
                    await anyio.to_thread.run_sync(store.probe)
            except VaultFault as fault:
                pause = min(LONGEST_PAUSE, pause * 2)
                self._tell(fault.reason)
            else:
                pause = FIRST_PAUSE
                if self._told:
                    self._polls = dict.fromkeys(store.watched(), 0.0)  # what has changed meanwhile is wanted now
                self._tell("")

    async def _poll(self, store: VaultStore) -> None:
        """Asks for a change of each secret at its own pace."""
        while True:
            now = time.monotonic()
            for key, held in store.watched().items():
                due = self._polls.setdefault(key, now + self._wait(held))
                if due <= now:
                    self._polls[key] = now + self._wait(held)
                    await self._look(store, key)
            earliest = min(self._polls.values(), default=now + IDLE)
            with anyio.move_on_after(max(0.02, min(IDLE, earliest - time.monotonic()))):
                await self._poll_now.wait()
            self._poll_now = anyio.Event()

    async def _look(self, store: VaultStore, key: Key) -> None:
        known = store.held[key].problem
        try:
            changed = await anyio.to_thread.run_sync(store.look, key)
            self._learn_all()
            if changed:
                logger.info("%s has changed at Vault", key.name)
                self._changed()
        except VaultFault as fault:
            if fault.out:
                self._tell(fault.reason)
            elif known is None:
                logger.warning("%s: its known value is served: %s", key.name, fault.reason)

    def _learn_all(self) -> None:
        """Lets our token and what Vault has given be masked, before anybody can write it."""
        known = self._store.secrets if self._store is not None else frozenset()
        if known != self._learned:
            self._learned = known
            self._learn(known)

    def _wait(self, held: Held) -> float:
        return held.spec.refresh * (1.0 + JITTER * (2.0 * random.random() - 1.0))  # noqa: S311

    def _tell(self, reason: str) -> None:
        """Logs that Vault does not work, and that it works again, once each."""
        if reason and not self._told:
            logger.warning("known secrets are served: %s", reason)
        elif self._told and not reason:
            logger.info("Vault works again")
        self._told = reason
