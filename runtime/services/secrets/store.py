"""The secrets of Vault that a spec refers to: read once at start, kept fresh while the environment runs.

It is the lookup that `runtime.spec` is handed; all that it does blocks, so a running environment calls it in threads.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from runtime.services.secrets.backend import Reading, VaultFault
from runtime.services.secrets.held import Held, Key
from runtime.services.secrets.session import Session
from runtime.services.secrets.spec import VaultPathSpec, VaultSpec
from runtime.spec.origins import Found, NoVault, Unresolved
from runtime.spec.values import tells_no_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runtime.services.secrets.backend import VaultBackend
    from runtime.spec.references import Reference

T = TypeVar("T")

INSTALL: Final = "install it: pip install 'declarative-runtime[vault]'"
AT_ONCE: Final = 4
"""Secrets that are read side by side."""


def _by_hvac(spec: VaultSpec) -> VaultBackend:
    try:
        from runtime.services.secrets.adapters.vault import Vault  # takes 0.2 s to import
    except ModuleNotFoundError as error:
        reason = f"Vault needs {error.name}, which is not installed; {INSTALL}"
        raise NoVault(reason, "address") from error
    return Vault(spec)


class VaultStore:
    """What is known of Vault; implements `VaultLookup`."""

    def __init__(self) -> None:
        self.spec: VaultSpec | None = None
        self.session: Session | None = None
        self.problem: VaultFault | None = None
        """Why Vault as a whole does not work; None while it does."""
        self.out_since: float | None = None
        """Since when, on our clock."""
        self.held: dict[Key, Held] = {}
        self._lock = threading.RLock()

    def __call__(
        self, section: Mapping[str, Any], wanted: Sequence[Reference]
    ) -> Mapping[Reference, Found | Unresolved]:
        """Reads what is not known yet, and answers each reference.

        Raises:
            NoVault: Vault cannot be reached, or does not let us in.
        """
        with self._lock:
            self._adopt(VaultSpec.model_validate(section))
            keys = dict.fromkeys(self._key(each) for each in wanted)
            failed = self._read([key for key in keys if key not in self.held])
        return {each: self._answer(each, failed) for each in wanted}

    def use(self, spec: VaultSpec) -> None:
        """Takes over the section without reading anything; the first call signs in."""
        with self._lock:
            self._adopt(spec)

    def call(self, action: Callable[[VaultBackend], T]) -> T:
        """What an action on the server returns.

        Raises:
            VaultFault: it does not answer, or refuses.
        """
        assert self.session is not None  # noqa: S101 - `use` or a look-up comes first
        return self.session.call(action)

    @property
    def secrets(self) -> frozenset[str]:
        """Texts that must not be shown and stand in no spec: our token, and every field of what was read."""
        found = {
            value
            for held in list(self.held.values())
            for field, value in held.reading.values.items()
            if isinstance(value, str) and not tells_no_secret(field)
        }
        token = self.session.server.token if self.session is not None else ""
        return frozenset(found | ({token} if token else set()))

    @property
    def due(self) -> float | None:
        """When the token or a lease next wants care, on our clock; None for never."""
        spans = [held.span for held in list(self.held.values())] if self._renews else []
        dues = [span.due for span in spans if span is not None]
        if self._renews and any(self._is_orphan(held) for held in list(self.held.values())):
            dues.append(time.monotonic())
        dues += [self.session.due] if self.session is not None else []
        return min((due for due in dues if due is not None), default=None)

    def keep(self) -> bool:
        """Renews what is due; returns whether values became other ones, since a lease could not be renewed.

        Raises:
            VaultFault: Vault does not answer, or refuses; to be tried again.
        """
        with self._lock:
            now, session = time.monotonic(), self.session
            if session is None:
                return False
            ours = session.due is not None and session.due <= now
            try:
                if ours:
                    session.keep()
                changed = [self._keep(held) for held in self.held.values() if self._is_due(held, now)]
            except VaultFault as fault:
                self._failed(fault)
                raise
            if ours or changed:
                self._works()
            return any(changed)

    def look(self, key: Key) -> bool:
        """Looks whether a secret has changed at Vault, and reads it if so; returns whether its values are other ones.

        Raises:
            VaultFault: it could not be looked at; what is known is kept.
        """
        with self._lock:
            held, session = self.held[key], self.session
            if session is None:
                return False
            try:
                changed = self._look(key, held, session)
            except VaultFault as fault:
                held.problem = fault
                if fault.out:
                    self._failed(fault)
                raise
            held.confirmed()
            self._works()
            return changed

    def doubt(self) -> None:
        """A server refuses what Vault has lent: at the next `keep` each lease is renewed, or taken anew."""
        for held in list(self.held.values()):
            if held.span is not None:
                held.span.doubt()

    def probe(self) -> None:
        """Asks for nothing but whether Vault works.

        Raises:
            VaultFault: it does not.
        """
        with self._lock:
            if self.session is None:
                return
            try:
                self.session.call(lambda server: server.knows_us())
            except VaultFault as fault:
                self._failed(fault)
                raise
            self._works()

    def watched(self) -> dict[Key, Held]:
        """The secrets that may change: those with neither a version of their own nor a lease, and not ignored."""
        return {key: held for key, held in list(self.held.items()) if self._may_change(key, held)}

    def leave(self) -> None:
        """Gives our token back, and with it all leases."""
        if self.session is not None:
            self.session.leave()

    def path(self, name: str) -> VaultPathSpec:
        """How a name, or a raw path, is read."""
        declared = self.spec.paths.get(name) if self.spec is not None else None
        return declared or VaultPathSpec(path=name)

    @property
    def _renews(self) -> bool:
        return self.spec is not None and self.spec.renew

    def _may_change(self, key: Key, held: Held) -> bool:
        return key.version is None and held.span is None and held.spec.on_rotate != "ignore"

    def _adopt(self, spec: VaultSpec) -> None:
        """Takes over the section; another credential makes a new session, the leases of the old one stay good."""
        if spec == self.spec:
            return
        same = self.spec is not None and spec.model_copy(update={"paths": self.spec.paths}) == self.spec
        self.spec = spec
        if same:
            return
        signed = self.session.sign_ins if self.session is not None else 0
        self.session = Session(_by_hvac(spec), renew=spec.renew, sign_ins=signed)

    def _key(self, reference: Reference) -> Key:
        return Key(reference.name, reference.version or self.path(reference.name).version)

    def _read(self, keys: Sequence[Key]) -> dict[Key, str]:
        """Reads secrets for the first time; returns why some could not be."""
        session = self.session
        if not keys or session is None:
            return {}
        try:
            if session.span is None:
                session.sign_in()
        except VaultFault as fault:
            raise NoVault(fault.reason, fault.key, away=fault.away) from fault

        def read(key: Key) -> Reading | VaultFault:
            try:
                return session.call(lambda server: server.read(self.path(key.name).path, key.version))
            except VaultFault as fault:
                return fault

        with ThreadPoolExecutor(AT_ONCE) as threads:
            readings = list(threads.map(read, keys))
        failed: dict[Key, str] = {}
        for key, reading in zip(keys, readings, strict=True):
            if isinstance(reading, Reading):
                self.held[key] = Held(self.path(key.name), reading, sign_in=session.sign_ins)
            elif reading.out:
                raise NoVault(reading.reason, reading.key, away=reading.away)
            else:
                failed[key] = reading.reason
        return failed

    def _answer(self, reference: Reference, failed: Mapping[Key, str]) -> Found | Unresolved:
        key = self._key(reference)
        if key in failed:
            return Unresolved(failed[key])
        return self.held[key].found(reference.field)

    def _is_due(self, held: Held, now: float) -> bool:
        if held.span is None or not self._renews:
            return False
        return self._is_orphan(held) or (held.span.due is not None and held.span.due <= now)

    def _is_orphan(self, held: Held) -> bool:
        """Whether its lease was given to an earlier token of ours, and ends with that."""
        return held.span is not None and self.session is not None and held.sign_in != self.session.sign_ins

    def _keep(self, held: Held) -> bool:
        """Renews a lease, or reads anew where that gives nothing any more."""
        session, span = self.session, held.span
        assert session is not None  # noqa: S101 - `keep` has looked
        assert span is not None  # noqa: S101 - it is due
        if not span.exhausted and not self._is_orphan(held):
            try:
                span.given(session.call(lambda server: server.renew_lease(held.reading.lease)))
            except VaultFault as fault:
                if fault.out:
                    raise
            else:
                held.confirmed()
                if not span.exhausted:
                    return False
        if held.spec.on_rotate == "ignore":
            held.span = None  # it is wanted so: it ends, and whoever uses it sees to that
            return False
        reading = session.call(lambda server: server.read(held.spec.path))
        held.sign_in = session.sign_ins
        return held.replaced(reading)

    def _look(self, key: Key, held: Held, session: Session) -> bool:
        if held.reading.version:
            try:
                if session.call(lambda server: server.newest(held.spec.path)) == held.reading.version:
                    return False
            except VaultFault as fault:
                if fault.kind != "denied":  # the policy covers the values alone: then those are read
                    raise
        return held.replaced(session.call(lambda server: server.read(held.spec.path, key.version)))

    def _failed(self, fault: VaultFault) -> None:
        self.problem = fault
        self.out_since = time.monotonic() if self.out_since is None else self.out_since

    def _works(self) -> None:
        self.problem, self.out_since = None, None
