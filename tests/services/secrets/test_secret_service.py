"""The component of secrets: what it says of itself while Vault is away, and of each source; never a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runtime.errors import NotFound, Unreachable
from runtime.loading import load
from runtime.services.secrets.backend import VaultFault
from runtime.services.secrets.service import SecretService
from runtime.services.secrets.store import VaultStore
from tests.openbao import running
from tests.services.secrets.test_vault_references import by_token, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.openbao import OpenBao


def serving(spec: Path, vault: dict[str, Any], **wanted: str) -> tuple[SecretService, VaultStore, list[str]]:
    loaded = load(write(spec, vault, **wanted), {})
    assert isinstance(loaded.vault, VaultStore)
    changed: list[str] = []
    service = SecretService(loaded.uses, loaded.files, loaded.vault, lambda: changed.append("changed"))
    return service, loaded.vault, changed


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "spec.yaml"


async def test_it_is_degraded_while_vault_is_away_and_down_after_max_stale(spec: Path) -> None:
    with running() as own:
        own.put("app", password="pw-of-the-app")
        service, store, _ = serving(spec, by_token(own, max_stale="1h"), a="secret/data/app#password")
        assert (await service.health()).status == "operational"
        own.seal()
        with pytest.raises(VaultFault):
            store.probe()
        health = await service.health()
        assert health.status == "degraded"
        assert "is sealed or stands by; unseal it; known values are served" in health.reason
        assert store.out_since is not None
        store.out_since -= 3600
        health = await service.health()
        assert (health.status, "older than max_stale (3600 s)" in health.reason) == ("down", True)
        own.unseal()
        store.probe()
        assert (await service.health()).status == "operational"


async def test_what_it_tells_of_each_source(spec: Path, openbao: OpenBao) -> None:
    path = openbao.name("app")
    openbao.put(path, password="pw-of-the-app")
    vault = by_token(openbao, paths={"app": {"path": f"secret/data/{path}", "on_rotate": "restart"}})
    service, _, changed = serving(spec, vault, a="app#password", b="app#password")
    (view,) = service.views()
    assert (view.name, view.source, view.path, view.version) == ("app", "vault", f"secret/data/{path}", "1")
    assert (view.used_by, view.on_rotate, view.status) == (
        ["schedules.s.payload.a", "schedules.s.payload.b"], "restart", "fresh",
    )  # fmt: skip
    assert "pw-of-the-app" not in repr(view)
    assert (await service.refresh("app")).version == "1"
    assert changed == []
    openbao.put(path, password="another-of-the-app")
    assert (await service.refresh("app")).version == "2"
    assert changed == ["changed"]
    with pytest.raises(NotFound, match='no secret "none"'):
        await service.refresh("none")


async def test_a_source_that_cannot_be_looked_at_is_stale(spec: Path) -> None:
    with running() as own:
        own.put("app", password="pw-of-the-app")
        service, _, _ = serving(spec, by_token(own), a="secret/data/app#password")
        own.call("DELETE", "secret/data/app")
        with pytest.raises(Unreachable, match="was deleted"):
            await service.refresh("secret/data/app")
        (view,) = service.views()
        assert (view.status, view.version) == ("stale", "1")
        health = await service.health()
        assert (health.status, "was deleted" in health.reason) == ("degraded", True)
