"""API keys: made, found, verified once with bcrypt and then from memory, revoked everywhere."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import bcrypt

from runtime.errors import Forbidden, Invalid, NotFound, Pointer, TooMany, Unauthenticated
from runtime.http.access import ADMIN, Caller
from runtime.http.window import Windows
from runtime.services.auth import store
from runtime.services.auth.key_text import KeyText, id_of, public_part
from runtime.services.auth.ports import ApiKey
from runtime.services.auth.store import keys, revocations, users
from runtime.services.auth.verified import Entry, digest
from runtime.spec.units import Rate, rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from runtime.services.auth.hashing import Hashing
    from runtime.services.auth.spec import ApiKeysSpec
    from runtime.services.auth.verified import Verified
    from runtime.storage.database import Database

logger = logging.getLogger("runtime.auth")

SCOPE: Final = re.compile(r"[a-z][a-z0-9-]{0,30}:[a-z][a-z0-9-]{0,30}")
TRIES_OF_A_KEY: Final = Rate(20, 60.0)
"""How often one address may have one key compared in a minute, on one instance: a right key needs it once."""
TRIES_OF_AN_ADDRESS: Final = Rate(60, 60.0)
NOTE_USE: Final = 30.0
FOREVER: Final = float("inf")
MOST_CREDITS: Final = Decimal(10**12)


class KeyStore:
    """Implements the port `ApiKeys`, and `Access` by API keys.

    Args:
        spec: `auth.api_keys`.
        database: where they are.
        verified: those that were found right on this instance.
        hashing: where bcrypt runs.
    """

    def __init__(self, spec: ApiKeysSpec, database: Database, verified: Verified, hashing: Hashing) -> None:
        self._spec = spec
        self._database = database
        self._verified = verified
        self._hashing = hashing
        self._tries = Windows()
        self._used: dict[str, float] = {}
        self._comparing: dict[bytes, asyncio.Lock] = {}

    # Who shows a key

    def known(self, credential: str) -> Caller | None:
        """Whom a credential belongs to, be it a key or an access token, that this instance has found right."""
        entry = self._verified.get(digest(credential))
        return self._noted(entry) if entry is not None else None

    async def caller(self, credential: str, address: str) -> Caller | None:
        """Whom a key belongs to; None where it is none."""
        key = KeyText.read(credential)
        entry = await self._verify(key, digest(credential), address) if key is not None else None
        return self._noted(entry) if entry is not None else None

    def _noted(self, entry: Entry) -> Caller:
        if entry.caller.session is None:
            self._used[entry.id] = time.time()
        return entry.caller

    async def _verify(self, key: KeyText, known: bytes, address: str) -> Entry | None:
        """Compares a key with what is stored; of requests with the same key at once, one does."""
        lock = self._comparing.setdefault(known, asyncio.Lock())
        try:
            async with lock:
                return self._verified.get(known) or await self._compare(key, known, address)
        finally:
            if not lock.locked():
                self._comparing.pop(known, None)

    async def _compare(self, key: KeyText, known: bytes, address: str) -> Entry | None:
        self._limit(key.id, address)
        mark = self._verified.mark
        async with self._database.reading() as connection:
            found = await keys.find(connection, key.id)
        if found is None:
            return None
        stored, hashed = found
        expires = stored.expires_at.timestamp() if stored.expires_at else FOREVER
        if stored.revoked_at is not None or expires <= time.time() or stored.prefix != key.prefix:
            return None
        if not await self._hashing.run(lambda: bcrypt.checkpw(key.secret.encode(), hashed.encode())):
            return None
        limit = rate(stored.rate) if stored.rate else self._spec.rate
        caller = Caller(
            f"key:{stored.id}",
            frozenset(stored.scopes),
            stored.owner,
            limit,
            credits=stored.credits,
            expires=expires if stored.expires_at else None,
        )
        entry = Entry(caller, stored.id, expires, (f"key:{stored.id}",))
        self._verified.put(mark, known, entry)
        return entry

    def _limit(self, id_: str, address: str) -> None:
        now = time.time()
        for who, limit in ((address, TRIES_OF_AN_ADDRESS), (f"{id_} {address}", TRIES_OF_A_KEY)):
            verdict = self._tries.hit(who, limit, now)
            if not verdict.allowed:
                raise TooMany("too many keys from this address", retry_after=verdict.reset)

    # Making and ending keys

    async def create(
        self,
        caller: Caller,
        name: str,
        scopes: Sequence[str],
        *,
        owner: str | None = None,
        expires_at: datetime | None = None,
        rate: str | None = None,
        credits: Decimal | None = None,  # noqa: A002 - the port's word
    ) -> tuple[ApiKey, str]:
        _require_given(caller, scopes, owner)
        _require_sane(scopes, expires_at, rate, credits)
        text = KeyText.new(self._spec.prefix)
        made = ApiKey(
            id=text.id,
            prefix=text.prefix,
            name=name,
            owner=owner or caller.account,
            scopes=tuple(sorted(set(scopes))),
            rate=rate,
            created_at=datetime.now(UTC),
            created_by=caller.id,
            expires_at=expires_at.astimezone(UTC) if expires_at else None,
            credits=credits,
        )
        await self._require_within(caller, made)
        rounds = self._spec.rounds
        hashed = await self._hashing.run(lambda: bcrypt.hashpw(text.secret.encode(), bcrypt.gensalt(rounds)))
        async with self._database.transaction() as connection:
            if not await _stands(connection, caller):
                raise Unauthenticated("whoever makes this key has just been removed")
            await keys.add(connection, made, hashed.decode())
        logger.info("an API key was made", extra={"key": made.id, "by": caller.id, "scopes": " ".join(made.scopes)})
        return made, str(text)

    async def _require_within(self, caller: Caller, made: ApiKey) -> None:
        """A key that makes keys cannot shed its own limits by it."""
        kind, _, id_ = caller.id.partition(":")
        async with self._database.reading() as connection:
            found = await keys.find(connection, id_) if kind == "key" else None
        if found is None:
            return
        maker, mine = found[0], caller.rate
        its = rate(made.rate) if made.rate else self._spec.rate
        longer = maker.expires_at is not None and (made.expires_at is None or made.expires_at > maker.expires_at)
        faster = mine is not None and (its is None or its.count / its.seconds > mine.count / mine.seconds)
        if maker.credits is not None or longer or faster:
            raise Forbidden(
                "a key makes none that lasts longer or may do more often than itself, and none where its credits "
                "are limited",
                remedy="Make it as the account that the key belongs to.",
            )

    async def page(
        self, *, owner: str | None, starts_with: str = "", before: str | None = None, most: int = 50
    ) -> list[ApiKey]:
        begins = public_part(starts_with)
        async with self._database.reading() as connection:
            return await keys.page(connection, owner=owner, starts_with=begins, before=before, most=most)

    async def revoke(self, caller: Caller, id_: str) -> None:
        id_ = id_of(id_)
        async with self._database.transaction() as connection:
            found = await keys.find(connection, id_)
            if found is None or not (caller.may(ADMIN) or found[0].owner == caller.account):
                raise NotFound(f'there is no API key "{id_[:40]}"')
            if not await keys.revoke(connection, id_):
                return
            await revocations.write(connection, [f"key:{id_}"])
        self._verified.revoke([f"key:{id_}"])
        logger.info("an API key was revoked", extra={"key": id_, "by": caller.id})

    # As part of the component

    async def note_use(self) -> None:
        """Writes down when keys were last used, until it is cancelled."""
        while True:
            await asyncio.sleep(NOTE_USE)
            await self.write_use()

    async def write_use(self) -> None:
        """Writes down what is not yet."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with self._database.transaction() as connection:
                await keys.used(connection, used)
        except store.AWAY as error:
            self._used = {**used, **self._used}
            logger.warning("the last use of keys could not be noted: %s", type(error).__name__)


async def _stands(connection: AsyncConnection, caller: Caller) -> bool:
    """Whether a caller is still there, now that nothing can change it: a key was hashed since it was seen."""
    kind, _, id_ = caller.id.partition(":")
    if kind == "user" and caller.session is not None:
        return await users.find(connection, id_, lock=True) is not None
    found = await keys.find(connection, id_, lock=True) if kind == "key" else None
    return found is None or found[0].revoked_at is None


def _require_given(caller: Caller, scopes: Sequence[str], owner: str | None) -> None:
    """Nobody gives what they do not have."""
    lacking = [scope for scope in scopes if not caller.may(scope)]
    if lacking:
        raise Forbidden(f"a key may have no scope that its maker has not: {', '.join(lacking)[:200]}")
    if owner not in (None, caller.account) and not caller.may(ADMIN):
        raise Forbidden("this needs the scope runtime:admin: it is another's key")


def _require_sane(
    scopes: Sequence[str], expires_at: datetime | None, given_rate: str | None, most: Decimal | None
) -> None:
    for place, scope in enumerate(scopes):
        if not SCOPE.fullmatch(scope):
            raise _wrong(f"scopes/{place}", "a scope such as jobs:write")
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= datetime.now(UTC)):
        raise _wrong("expires_at", "a moment to come, with its zone")
    if given_rate is not None:
        try:
            rate(given_rate)
        except ValueError as error:
            raise _wrong("rate", "a rate such as 100/m") from error
    if most is not None and not (most.is_finite() and 0 < most < MOST_CREDITS and most == round(most, 9)):
        raise _wrong("credits", "an amount above zero, with at most nine decimals")


def _wrong(place: str, detail: str) -> Invalid:
    return Invalid(f"`{place.partition('/')[0]}` must be {detail}", errors=[Pointer(f"/{place}", detail)])
