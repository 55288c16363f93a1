"""Tokens and leases of a real Vault: renewed in time, replaced at their maximum; known values while it is away."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from runtime.services.secrets.backend import VaultFault
from runtime.services.secrets.held import Key
from runtime.services.secrets.store import VaultStore
from runtime.spec.origins import Found
from runtime.spec.references import parse
from tests.openbao import ROOT, running
from tests.postgres import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runtime.spec.references import Reference
    from tests.openbao import OpenBao
    from tests.postgres import Postgres

READ_ALL = 'path "secret/data/*" { capabilities = ["read"] }'
LEASES = 'path "sys/leases/renew" { capabilities = ["update"] }'


def reference(text: str) -> Reference:
    return parse(f"${{vault:{text}}}").references[0]


def section(openbao: OpenBao, auth: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"address": openbao.url, "auth": auth or {"method": "token", "token": ROOT}, **more}


def text(store: VaultStore, vault: dict[str, Any], wanted: str) -> str:
    (found,) = store(vault, [reference(wanted)]).values()
    assert isinstance(found, Found), found
    return found.text


def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def kept_until(store: VaultStore, true: Callable[[], bool]) -> list[bool]:
    """Keeps the store whenever something is due, until a condition holds; what each keeping said."""
    said = []

    def step() -> bool:
        if store.due is not None and store.due <= time.monotonic():
            said.append(store.keep())
        return true()

    until(step)
    return said


def test_a_token_is_renewed_at_two_thirds_of_its_life_and_replaced_at_its_maximum(openbao: OpenBao) -> None:
    role, role_id = openbao.approle(openbao.policy(READ_ALL), token_ttl="2s", token_max_ttl="3s")
    auth = {"method": "approle", "role_id": role_id, "secret_id": openbao.secret_id(role)}
    path = openbao.name("app")
    openbao.put(path, password="pw")
    store = VaultStore()
    assert text(store, section(openbao, auth), f"secret/data/{path}#password") == "pw"
    session = store.session
    assert session is not None
    assert session.span is not None
    assert session.span.due is not None
    assert abs(session.span.due - session.span.began - 2 * 2 / 3) < 0.01
    first = session.server.token
    kept_until(store, lambda: session.sign_ins == 2)  # some renewals, then the maximum is near
    assert session.server.token != first
    assert store.problem is None
    store.leave()


def test_a_token_that_has_been_revoked_is_replaced_at_the_next_call(openbao: OpenBao) -> None:
    role, role_id = openbao.approle(openbao.policy(READ_ALL))
    auth = {"method": "approle", "role_id": role_id, "secret_id": openbao.secret_id(role)}
    path = openbao.name("app")
    openbao.put(path, password="old")
    store, vault = VaultStore(), section(openbao, auth)
    text(store, vault, f"secret/data/{path}#password")
    assert store.session is not None
    openbao.call("POST", "auth/token/revoke", {"token": store.session.server.token})
    openbao.put(path, password="new")
    assert store.look(Key(f"secret/data/{path}", None))
    assert text(store, vault, f"secret/data/{path}#password") == "new"
    assert store.session.sign_ins == 2


def test_a_policy_that_forbids_metadata_is_no_hindrance(openbao: OpenBao) -> None:
    path = openbao.name("app")
    openbao.put(path, password="old")
    token = openbao.token(openbao.policy(READ_ALL))
    store, vault = VaultStore(), section(openbao, {"method": "token", "token": token})
    text(store, vault, f"secret/data/{path}#password")
    key = Key(f"secret/data/{path}", None)
    assert not store.look(key)
    openbao.put(path, password="new")
    assert store.look(key)
    assert store.held[key].version == "2"


def test_a_secret_that_is_deleted_while_it_is_in_use_stays_known(openbao: OpenBao) -> None:
    path = openbao.name("app")
    openbao.put(path, password="pw")
    store, vault = VaultStore(), section(openbao)
    text(store, vault, f"secret/data/{path}#password")
    key = Key(f"secret/data/{path}", None)
    openbao.put(path, password="gone")
    openbao.call("DELETE", f"secret/data/{path}")
    with pytest.raises(VaultFault, match="was deleted"):
        store.look(key)
    problem = store.held[key].problem
    assert problem is not None
    assert not problem.out
    assert store.problem is None  # Vault itself works
    assert text(store, vault, f"secret/data/{path}#password") == "pw"


def test_a_version_that_is_named_and_what_is_to_be_ignored_do_not_change(openbao: OpenBao) -> None:
    path = openbao.name("app")
    openbao.put(path, password="pw")
    paths = {
        "pinned": {"path": f"secret/data/{path}", "version": 1},
        "still": {"path": f"secret/data/{path}", "on_rotate": "ignore"},
    }
    store, vault = VaultStore(), section(openbao, paths=paths)
    store(vault, [reference("pinned#password"), reference("still#password")])
    assert store.watched() == {}


def test_known_values_are_served_while_it_is_sealed(free_port: int) -> None:
    with running() as own:
        own.put("app", password="pw")
        store, vault = VaultStore(), section(own)
        text(store, vault, "secret/data/app#password")
        key = Key("secret/data/app", None)
        own.seal()
        with pytest.raises(VaultFault, match="is sealed"):
            store.look(key)
        with pytest.raises(VaultFault, match="is sealed"):
            store.probe()
        assert store.problem is not None
        assert store.out_since is not None
        assert text(store, vault, "secret/data/app#password") == "pw"
        own.unseal()
        store.probe()
        assert store_is_well(store)
        own.put("app", password="new")
        assert store.look(key)


def store_is_well(store: VaultStore) -> bool:
    return store.problem is None and store.out_since is None


@contextmanager
def lending(openbao: OpenBao, postgres: Postgres, **role: str) -> Iterator[str]:
    """Lets OpenBao make users of PostgreSQL; gives the path of their credentials."""
    mount, name = openbao.mount("database"), postgres.database().rpartition("/")[2]
    address = f"127.0.0.1:{postgres.port}/{name}?sslmode=disable"
    config = {
        "plugin_name": "postgresql-database-plugin",
        "allowed_roles": "*",
        "username": "tester",
        "password": PASSWORD,
        "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@{address}",
    }
    openbao.call("POST", f"{mount}/config/db", config)
    create = "CREATE ROLE \"{{name}}\" LOGIN SUPERUSER PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
    owner = "ALTER ROLE \"{{name}}\" SET role = 'tester'"
    openbao.call("POST", f"{mount}/roles/app", {"db_name": "db", "creation_statements": [create, owner], **role})
    try:
        yield f"{mount}/creds/app"
    finally:
        openbao.call("DELETE", f"sys/mounts/{mount}")


def can_connect(postgres: Postgres, name: str, user: str, password: str) -> bool:
    import asyncio

    import asyncpg

    async def connect() -> bool:
        try:
            await (await asyncpg.connect(postgres.url(name, user=user, password=password))).close()
        except asyncpg.PostgresError:
            return False
        return True

    return asyncio.run(connect())


def test_credentials_lent_by_vault_are_renewed_and_replaced_before_they_end(
    openbao: OpenBao, postgres: Postgres
) -> None:
    with lending(openbao, postgres, default_ttl="2s", max_ttl="4s") as path:
        store = VaultStore()
        vault = section(openbao, paths={"db": {"path": path, "engine": "database"}})
        user = text(store, vault, "db#username")
        assert can_connect(postgres, "postgres", user, text(store, vault, "db#password"))
        held = store.held[Key("db", None)]
        assert held.reading.lease
        said = kept_until(store, lambda: held.reading.values["username"] != user)
        assert said[-1] is True
        assert said[0] is False  # renewed once, before the maximum came near
        second = text(store, vault, "db#username")
        assert can_connect(postgres, "postgres", second, text(store, vault, "db#password"))


def test_leases_of_a_token_that_is_replaced_are_taken_anew(openbao: OpenBao, postgres: Postgres) -> None:
    """What a token was lent ends with it."""
    with lending(openbao, postgres, default_ttl="1h", max_ttl="2h") as path:
        policy = openbao.policy(f'path "{path}" {{ capabilities = ["read"] }}\n{LEASES}')
        role, role_id = openbao.approle(policy, token_ttl="1h")
        auth = {"method": "approle", "role_id": role_id, "secret_id": openbao.secret_id(role)}
        store, vault = VaultStore(), section(openbao, auth, paths={"db": {"path": path, "engine": "database"}})
        user = text(store, vault, "db#username")
        assert store.session is not None
        store.session.sign_in()
        assert store.due is not None
        assert store.due <= time.monotonic()
        assert store.keep() is True
        second, password = text(store, vault, "db#username"), text(store, vault, "db#password")
        assert second != user
        assert can_connect(postgres, "postgres", second, password)
        store.leave()
        until(lambda: not can_connect(postgres, "postgres", second, password))  # given back, with what it was lent


def test_what_was_lent_and_is_gone_before_its_time_is_taken_anew(openbao: OpenBao, postgres: Postgres) -> None:
    with lending(openbao, postgres, default_ttl="1h", max_ttl="2h") as path:
        store = VaultStore()
        vault = section(openbao, paths={"db": {"path": path, "engine": "database"}})
        user = text(store, vault, "db#username")
        store.doubt()
        assert store.due is not None
        assert store.due <= time.monotonic()
        assert store.keep() is False  # it is still good
        assert text(store, vault, "db#username") == user
        openbao.call("PUT", f"sys/leases/revoke-prefix/{path}")
        store.doubt()
        assert store.keep() is True
        assert text(store, vault, "db#username") != user
