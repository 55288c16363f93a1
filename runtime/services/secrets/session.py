"""Our session at Vault: signed in, renewed in time, signed in again when that is refused."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

from runtime.services.secrets.backend import Life, VaultFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.services.secrets.backend import VaultBackend

T = TypeVar("T")

RENEW_AT: Final = 2 / 3
"""The part of its life after which a token or a lease is renewed."""
TOO_SHORT: Final = 1 / 3
"""A renewal that gives less than this part of the first life is the last: the maximum is near."""
SOONEST: Final = 0.25
"""Seconds between two tries at least, however short a life is."""


class Span:
    """The life of a token or a lease, on our clock.

    Args:
        life: what Vault said when it was first given.
    """

    def __init__(self, life: Life) -> None:
        self._first = life.seconds
        self.given(life)

    def given(self, life: Life) -> None:
        """It was renewed, and lasts so long from now."""
        self.life = life
        self.began = time.monotonic()
        self._doubted = False

    def doubt(self) -> None:
        """It may have ended before its time: a renewal will tell."""
        self._doubted = True

    @property
    def due(self) -> float | None:
        """When it is to be renewed or replaced, on our clock; None where it lasts for ever."""
        if self._doubted:
            return self.began
        return self.began + max(SOONEST, self.life.seconds * RENEW_AT) if self._first else None

    @property
    def left(self) -> float | None:
        """Seconds until it ends; None where it lasts for ever."""
        return max(0.0, self.began + self.life.seconds - time.monotonic()) if self._first else None

    @property
    def exhausted(self) -> bool:
        """Whether a further renewal gives next to nothing: it cannot be renewed, or its maximum is near."""
        return not self.life.renewable or self.life.seconds < self._first * TOO_SHORT


class Session:
    """Makes calls with a token that is good. Safe to use from several threads.

    Args:
        server: the secret server.
        renew: whether the token is renewed before it ends.
        sign_ins: how often we had signed in before.
    """

    def __init__(
        self,
        server: VaultBackend,
        *,
        renew: bool,
        sign_ins: int = 0,
    ) -> None:
        self.server = server
        self.sign_ins = sign_ins
        self._renew = renew
        self._lock = threading.RLock()
        self._span: Span | None = None

    @property
    def span(self) -> Span | None:
        """The life of our token; None before the first sign-in."""
        return self._span

    @property
    def due(self) -> float | None:
        """When the token wants care, on our clock; None for never."""
        return self._span.due if self._span is not None and self._renew else None

    def call(self, action: Callable[[VaultBackend], T]) -> T:
        """What an action on the server returns; a refusal by an expired token is met by a new sign-in, once.

        Raises:
            VaultFault: the server does not answer, or refuses.
        """
        with self._lock:
            if self._span is None:
                self.sign_in()
            used = self.sign_ins
        try:
            return action(self.server)
        except VaultFault as fault:
            if fault.kind != "denied" or self._is_good():
                raise
        with self._lock:
            if self.sign_ins == used:  # else another thread has done it
                self.sign_in()
        return action(self.server)

    def sign_in(self) -> None:
        """Gets a new token."""
        with self._lock:
            self._span = Span(self.server.sign_in())
            self.sign_ins += 1

    def keep(self) -> None:
        """Renews the token, or gets a new one where its maximum is near or the renewal is refused.

        Raises:
            VaultFault: neither works; the present one is kept.
        """
        with self._lock:
            span = self._span
            if span is None or span.exhausted:
                self.sign_in()
                return
            try:
                span.given(self.server.renew())
            except VaultFault as fault:
                if fault.out:
                    raise
                self.sign_in()  # past the maximum some servers answer 500, others 403
                return
            if span.exhausted:
                self.sign_in()

    def leave(self) -> None:
        """Gives the token back, as far as Vault lets us."""
        with self._lock:
            if self._span is not None:
                self._span = None
                try:
                    self.server.leave()
                except VaultFault:
                    pass  # it ends by itself

    def _is_good(self) -> bool:
        """Whether the token itself still works, so that the refusal was about what it may do."""
        with self._lock:
            if self._span is not None and self._span.left == 0.0:
                return False
            try:
                return self.server.knows_us()
            except VaultFault:
                return True  # it cannot be told; the first refusal stands
