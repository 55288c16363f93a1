"""Credentials that were found right, kept in memory until they are revoked, run out, or nothing can be learned of
revocations any more.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runtime.http.access import Caller

MOST: Final = 20_000
STALE: Final = 30.0
"""Seconds for which what is known is good while the database cannot be asked what was revoked since. Nothing can be
revoked through a database that is away from everybody."""
TICK: Final = 0.01
"""Seconds after the moment at which a key runs out when its streams end, so that the clock is past it for sure."""


def digest(credential: str) -> bytes:
    """What a credential is known by here, so that memory holds none."""
    return hashlib.sha256(credential.encode("utf-8", "surrogateescape")).digest()


class Entry(NamedTuple):
    """A right credential.

    Args:
        caller: whom it belongs to.
        id: of the key or the session.
        expires: Unix time.
        subjects: what ends it when it is revoked: `key:…`, `session:…`, `user:…`.
        csrf: what a page sends along with each change, of a session.
    """

    caller: Caller
    id: str
    expires: float
    subjects: tuple[str, ...]
    csrf: str = ""


class Verified:
    """The right credentials of this instance.

    Example:
        >>> mark = verified.mark                                                              # doctest: +SKIP
        >>> row = await look_up()                                                             # doctest: +SKIP
        >>> verified.put(mark, digest(credential), entry)                                     # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._by_subject: dict[str, set[bytes]] = {}
        self._watched: dict[str, set[anyio.Event]] = {}
        self.mark = 0
        """Grows with each revocation. What was read before one may not be put here after it."""
        self._fresh = time.monotonic()

    def get(self, known: bytes) -> Entry | None:
        """The entry of a credential's digest, while it is good."""
        entry = self._entries.get(known)
        if entry is None:
            return None
        if entry.expires <= time.time() or time.monotonic() - self._fresh > STALE:
            self._drop(known)
            return None
        return entry

    def put(self, mark: int, known: bytes, entry: Entry) -> None:
        """Keeps an entry, unless something was revoked since the mark was taken."""
        if mark != self.mark:
            return
        self._entries[known] = entry
        for subject in entry.subjects:
            self._by_subject.setdefault(subject, set()).add(known)
        while len(self._entries) > MOST:
            self._drop(next(iter(self._entries)))

    def revoke(self, subjects: Iterable[str]) -> None:
        """Forgets all that has one of the subjects."""
        for subject in subjects:
            self.mark += 1
            for event in self._watched.get(subject, ()):
                event.set()
            for known in tuple(self._by_subject.get(subject, ())):
                self._drop(known)

    @contextmanager
    def watched(self, caller: Caller) -> Iterator[anyio.Event]:
        """The event that is set when a caller's key, account or session is revoked, or its key runs out; good within
        the block."""
        event = anyio.Event()
        subjects = [caller.id, *([f"session:{caller.session}"] if caller.session else [])]
        for subject in subjects:
            self._watched.setdefault(subject, set()).add(event)
        timer = None
        if caller.expires is not None:
            left = max(0.0, caller.expires - time.time()) + TICK
            timer = asyncio.get_running_loop().call_later(left, event.set)
        try:
            yield event
        finally:
            if timer is not None:
                timer.cancel()
            for subject in subjects:
                self._watched[subject].discard(event)
                if not self._watched[subject]:
                    del self._watched[subject]

    def clear(self) -> None:
        """Forgets everything: what was revoked meanwhile, nobody can tell."""
        self.mark += 1
        for events in self._watched.values():
            for event in events:
                event.set()
        self._entries.clear()
        self._by_subject.clear()

    def fresh(self) -> None:
        """All that was revoked up to now is known."""
        self._fresh = time.monotonic()

    @property
    def behind(self) -> float:
        """Seconds since the last word on what was revoked."""
        return time.monotonic() - self._fresh

    def _drop(self, known: bytes) -> None:
        entry = self._entries.pop(known, None)
        for subject in entry.subjects if entry else ():
            left = self._by_subject.get(subject)
            if left is not None:
                left.discard(known)
                if not left:
                    del self._by_subject[subject]
