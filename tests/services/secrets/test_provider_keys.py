"""Users' own keys: stored encrypted in a real database, brought under another key while they are in use."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import text

from runtime.errors import Fault, Invalid, NotFound, Unreachable
from runtime.services.secrets.adapters.sql import ProviderKeyTable, Record
from runtime.services.secrets.keyring import KeyRing
from runtime.services.secrets.provider_keys import ProviderKeyStore
from runtime.services.secrets.sealing import Sealer
from runtime.services.secrets.spec import EncryptionSpec, VaultSpec
from runtime.services.secrets.store import VaultStore
from runtime.storage.database import Database
from runtime.telemetry.redaction import Redactor
from tests.openbao import ROOT
from tests.services.secrets.test_envelope import K1, K2, unauthenticated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.openbao import OpenBao
    from tests.postgres import Postgres

KEY = "sk-live-of-a-user-0123456789"


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> AsyncIterator[Database]:
    url = postgres.database() if request.param == "postgresql" else "sqlite"
    made = Database(url, tmp_path, "core")
    await made.start()
    yield made
    await made.stop()


def section(active: str = "k1", **keys: Any) -> dict[str, Any]:
    legacy = "old" if "old" in keys else None
    return {"keys": keys or {"k1": K1}, "active": active, "legacy": legacy}


def made(database: Database, encryption: dict[str, Any], vault: VaultStore | None = None) -> ProviderKeyStore:
    ring = KeyRing(EncryptionSpec.model_validate(encryption), vault)
    return ProviderKeyStore(ProviderKeyTable(database), Sealer(ring), ["openai", "mistral"], lambda _: None)


@asynccontextmanager
async def watched(store: ProviderKeyStore) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        await store.start()
        tasks.start_soon(store.watch)
        yield
        tasks.cancel_scope.cancel()


async def brought(store: ProviderKeyStore) -> None:
    with anyio.fail_after(20):
        while (await store.progress()).left:
            await anyio.sleep(0.01)


async def rows(database: Database) -> list[tuple[str, str, str]]:
    async with database.reading() as connection:
        found = await connection.execute(text("SELECT id, value, label FROM provider_keys ORDER BY id"))
        return [(row[0], row[1], row[2]) for row in found]


async def test_a_key_is_stored_replaced_revealed_and_forgotten(database: Database) -> None:
    store = made(database, section())
    view = await store.store("user:7", "openai", KEY)
    assert (view.provider, view.encrypted_with, view.created) == ("openai", "k1", view.updated)
    assert await store.view("user:7", "openai") == view
    assert KEY not in repr(await rows(database))
    assert await store.reveal("user:7", "openai") == KEY
    again = await store.store("user:7", "openai", f"{KEY}-2")
    assert again.created == view.created
    assert again.updated > view.updated
    assert await store.reveal("user:7", "openai") == f"{KEY}-2"
    assert await store.reveal("user:8", "openai") is None
    await store.delete("user:7", "openai")
    await store.delete("user:7", "openai")
    with pytest.raises(NotFound, match="you have stored no key for openai"):
        await store.view("user:7", "openai")


async def test_what_is_no_key_and_no_provider(database: Database) -> None:
    store = made(database, section())
    for wrong in ("", "short", "with space", "with\nline-break", "schlüssel-key", "x" * 5000):
        with pytest.raises(Invalid):
            await store.store("user:7", "openai", wrong)
    with pytest.raises(NotFound, match='"openia"') as caught:
        await store.store("user:7", "openia", KEY)
    assert "openai" in str(caught.value)


async def test_a_key_is_learned_for_redaction(database: Database) -> None:
    redactor = Redactor()
    ring = KeyRing(EncryptionSpec.model_validate(section()), None)
    store = ProviderKeyStore(ProviderKeyTable(database), Sealer(ring), ["openai"], redactor.learn)
    await store.store("user:7", "openai", KEY)
    encoded = base64.b64encode(KEY.encode()).decode()
    assert redactor.text(f"{KEY} {encoded}") == "*** ***"


async def test_a_row_that_was_moved_to_another_user_does_not_open(database: Database) -> None:
    store = made(database, section())
    await store.store("user:7", "openai", KEY)
    await store.store("user:8", "openai", f"{KEY}-8")
    async with database.transaction() as connection:
        await connection.execute(
            text(
                "UPDATE provider_keys SET value = (SELECT value FROM provider_keys WHERE subject = 'user:8') "
                "WHERE subject = 'user:7'"
            )
        )
    with pytest.raises(Fault, match="belongs to another record") as caught:
        await store.reveal("user:7", "openai")
    assert "let its user store it again" in caught.value.remedy


async def test_all_is_brought_under_another_key_while_it_is_in_use(database: Database) -> None:
    first = made(database, section())
    for number in range(250):
        await first.store(f"user:{number}", "openai", f"{KEY}-{number}")
    second = made(database, section("k2", k1=K1, k2=K2))
    assert [(key.name, key.active, key.records) for key in await second.keys()] == [("k1", False, 250), ("k2", True, 0)]
    async with watched(second):
        await second.store("user:3", "openai", f"{KEY}-new")
        await second.delete("user:4", "openai")
        await brought(second)
    assert {label.partition("/")[0] for _, _, label in await rows(database)} == {"k2"}
    third = made(database, section("k2", k2=K2))  # the former key is not needed any more
    assert await third.reveal("user:3", "openai") == f"{KEY}-new"
    assert await third.reveal("user:249", "openai") == f"{KEY}-249"
    assert (await third.view("user:5", "openai")).updated == (await first.view("user:5", "openai")).updated


class Stopping(ProviderKeyTable):
    """Comes to a halt in the middle of the work, as a process does that is killed."""

    def __init__(self, database: Database, *, after: int) -> None:
        super().__init__(database)
        self.stopped = anyio.Event()
        self._left = after

    async def replace(self, record: Record, known: str, *, touched: bool) -> bool:
        if not self._left:
            self.stopped.set()
            await anyio.sleep_forever()
        self._left -= 1
        return await super().replace(record, known, touched=touched)


async def test_a_re_encryption_that_was_broken_off_goes_on(database: Database) -> None:
    first = made(database, section())
    for number in range(220):
        await first.store(f"user:{number}", "openai", f"{KEY}-{number}")
    table = Stopping(database, after=120)
    ring = KeyRing(EncryptionSpec.model_validate(section("k2", k1=K1, k2=K2)), None)
    broken = ProviderKeyStore(table, Sealer(ring), ["openai"], lambda _: None)
    async with watched(broken):
        with anyio.fail_after(20):
            await table.stopped.wait()
    left = (await broken.progress()).left
    assert left == 100
    resumed = made(database, section("k2", k1=K1, k2=K2))
    async with watched(resumed):
        await brought(resumed)
        assert (await resumed.progress()).done == left
    assert await resumed.reveal("user:219", "openai") == f"{KEY}-219"


async def test_a_key_that_changes_under_its_name_while_it_is_in_use(database: Database) -> None:
    store = made(database, section(k1=K1))
    async with watched(store):
        await store.store("user:7", "openai", KEY)
        await store.update({"encryption": section(k1=K2)})
        assert await store.reveal("user:7", "openai") == KEY
        await brought(store)
    assert await made(database, section(k1=K2)).reveal("user:7", "openai") == KEY


async def test_one_that_cannot_be_read_does_not_hold_up_the_others(database: Database) -> None:
    first = made(database, section())
    for user in ("user:1", "user:2", "user:3"):
        await first.store(user, "openai", KEY)
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE provider_keys SET value = 'v1:damaged' WHERE subject = 'user:2'"))
    second = made(database, section("k2", k1=K1, k2=K2))
    async with watched(second):
        with anyio.fail_after(20):
            while (await second.progress()).left > 1 or (await second.health()).status != "degraded":
                await anyio.sleep(0.01)
    assert (await second.health()).reason == "1 stored keys cannot be decrypted"


async def test_rows_of_the_earlier_system_are_encrypted_anew_when_they_are_touched(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO provider_keys (id, subject, provider, value, label, created_at, updated_at) VALUES "
                "('r1', 'user:7', 'openai', :value, 'unauthenticated', :now, :now)"
            ).bindparams(value=unauthenticated(bytes.fromhex(K2), KEY), now=_now()),
        )
    store = made(database, section(k1=K1, old=K2))
    assert await store.reveal("user:7", "openai") == KEY
    ((_, value, label),) = await rows(database)
    assert value.startswith("v1:aes-256-gcm:k1:")
    assert label.startswith("k1/")
    assert await made(database, section()).reveal("user:7", "openai") == KEY


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


async def test_keys_in_vault_s_transit_engine(tmp_path: Path, openbao: OpenBao) -> None:
    database = Database("sqlite", tmp_path, "core")
    await database.start()
    mount = openbao.mount("transit")
    openbao.call("POST", f"{mount}/keys/users", {})
    vault = VaultStore()
    auth = {"method": "token", "token": ROOT}
    vault.use(VaultSpec.model_validate({"address": openbao.url, "auth": auth}))
    store = made(database, section("t", t={"transit": "users", "mount": mount}), vault)
    await store.store("user:7", "openai", KEY)
    assert await store.reveal("user:7", "openai") == KEY
    ((_, value, label),) = await rows(database)
    assert (value.split(":")[:4], label) == (["v1", "aes-256-gcm", "t", "transit"], "t/transit/v1")
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE provider_keys SET subject = 'user:8'"))
    with pytest.raises(Fault, match="Vault does not open it: it was changed, or belongs to another record"):
        await store.reveal("user:8", "openai")  # the associated data reaches into Vault
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE provider_keys SET subject = 'user:7'"))
    async with watched(store):
        await store.reencrypt(rotate=True)
        await brought(store)
    assert [label for _, _, label in await rows(database)] == ["t/transit/v2"]
    assert await store.reveal("user:7", "openai") == KEY
    await database.stop()


async def test_vault_away_is_no_damage(tmp_path: Path, free_port: int) -> None:
    database = Database("sqlite", tmp_path, "core")
    await database.start()
    vault = VaultStore()
    auth = {"method": "token", "token": ROOT}
    vault.use(VaultSpec.model_validate({"address": f"http://127.0.0.1:{free_port}", "auth": auth}))
    store = made(database, section("t", t={"transit": "users"}), vault)
    with pytest.raises(Unreachable, match="connection refused"):
        await store.store("user:7", "openai", KEY)
    await database.stop()
